"""Numbers that are not finite, planted in a head that gives NaN on one picture alone.

Fails if a readout of that picture comes back, if one of another picture does not, or if what is
told names neither the arm nor what to do.
"""

from functools import partial

import pytest
import torch
from torch import Tensor

from tests.spoiled import spoiled
from tests.tiny import picture, tiny_vlm
from vlmlib import (
    VLM,
    Ablate,
    Block,
    ImageError,
    Polling,
    VLMError,
    integrated_gradients,
    logit_lens,
    mean_embedding,
)
from vlmlib.finite import NOT_FINITE, check_finite, check_said, likeliest, not_finite

QUESTION = "Is there a dog in this image?"


@pytest.fixture(scope="module", params=[True, False], ids=["shared", "one by one"])
def either(request) -> VLM:
    """A model whose arms share work, and one whose arms do not."""
    vlm = tiny_vlm()
    vlm.unshared = "" if request.param else "it was asked not to"
    return vlm


def readouts(vlm: VLM, image) -> dict:
    stimulus = vlm.read(image, QUESTION)
    readouts = {
        "next_token": lambda: vlm.next_token(stimulus, [[]]),
        "describe": lambda: vlm.describe(stimulus, [[]], 3),
        "describe_each": lambda: vlm.describe_each([stimulus], 3),
        "lens": lambda: logit_lens(vlm, stimulus, stimulus.last),
        "task": lambda: Polling("dog").ask(vlm, stimulus, [[]]),
    }
    if vlm.shares:
        baseline = torch.zeros(vlm.d_model)
        readouts["gradients"] = lambda: integrated_gradients(vlm, stimulus, 5, baseline, steps=2)
    return readouts


def test_one_picture_is_refused_and_another_is_not(either):
    bad, good = picture(3), picture(4)
    [logits] = either.next_token(either.read(bad, QUESTION), [[]])
    expected = {name: repr(ask()) for name, ask in readouts(either, good).items()}
    with spoiled(either, logits):
        for name, ask in readouts(either, bad).items():
            with pytest.raises(ImageError, match=r"not finite after the clean run. Load .*wider"):
                print(name, ask())
        if either.shares:
            del expected["gradients"]
        assert {name: repr(readouts(either, good)[name]()) for name in expected} == expected


@pytest.mark.parametrize("step", [1, 2])
def test_a_description_is_refused_wherever_it_leaves_the_numbers(either, step):
    """At its first token, and at a later one."""
    stimuli = [either.read(picture(seed), QUESTION) for seed in (3, 4, 5)]
    texts = either.describe_each(stimuli, 3)
    stimulus = stimuli[1]
    ids = either.model.generate(**stimulus.inputs, do_sample=False, max_new_tokens=step - 1 or 1)
    ids = ids[:, : len(stimulus.input_ids) + step - 1]
    inputs = {**stimulus.inputs, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
    logits = either.model(**inputs).logits[0, -1]
    with spoiled(either, logits):
        with pytest.raises(ImageError, match="description are not finite after the clean run"):
            either.describe(stimulus, [[]], 3)
        with pytest.raises(ImageError, match="description 2 of 3 are not finite"):
            either.describe_each(stimuli, 3)
        assert either.describe_each(stimuli[::2], 3) == texts[::2]


def test_the_arm_is_named(either):
    stimulus = either.read(picture(3), QUESTION)
    ablated = [Ablate(stimulus.visual[:4], torch.ones(16))]
    blocked = [Block(stimulus.visual, to=stimulus.last, layers=[0])]
    arms = [[], blocked, [*ablated, *blocked], ablated]
    logits = either.next_token(stimulus, arms)
    assert logits.unique(dim=0).shape[0] == 4
    with spoiled(either, logits[2]):
        for ask in (either.next_token, either.describe):
            with pytest.raises(ImageError, match=r"after arm 3 of 4 \(Ablate, Block\)"):
                ask(stimulus, arms)
        assert torch.equal(either.next_token(stimulus, arms[:2]), logits[:2])


def test_hidden_states_are_refused_under_the_arm_that_spoils_them(either):
    stimulus = either.read(picture(3), QUESTION)
    arm = [Ablate(stimulus.visual, torch.full([16], 7.0))]

    def spoil(_module: object, args: tuple, output: Tensor) -> Tensor:
        return output.masked_fill((args[0] == 7).all(-1)[..., None], torch.inf)

    hook = either.decoder.layers[0].register_forward_hook(spoil)
    try:
        assert either.hidden_states(stimulus, stimulus.visual).isfinite().all()
        for ask in (either.hidden_states, partial(logit_lens, either)):
            with pytest.raises(ImageError, match=r"hidden states are not .* arm 1 of 1 \(Ablate"):
                ask(stimulus, stimulus.visual, arm=arm)
    finally:
        hook.remove()


def test_gradients_that_overflow_are_refused():
    vlm = tiny_vlm()
    stimulus, baseline = vlm.read(picture(), QUESTION), torch.zeros(16)
    assert integrated_gradients(vlm, stimulus, 5, baseline, steps=2).signed.isfinite().all()
    scaled = vlm.decoder.layers[0].register_forward_pre_hook(
        lambda _module, args: (_Steep.apply(args[0]), *args[1:])
    )
    with pytest.raises(ImageError, match="The integrated gradients are not finite"):
        integrated_gradients(vlm, stimulus, 5, baseline, steps=2)
    scaled.remove()


class _Steep(torch.autograd.Function):
    """Changes nothing but the gradient, which it makes infinite."""

    @staticmethod
    def forward(ctx, values: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor) -> Tensor:
        return grad_outputs[0] * torch.inf


def test_a_picture_that_has_no_finite_embeddings_is_left_out_of_a_mean():
    vlm = tiny_vlm()
    projector = vlm.model.model.multi_modal_projector
    bad, good = picture(3), picture(4)
    stimulus = vlm.read(bad, "")
    features = stimulus.embeddings[stimulus.visual]

    def spoil(_module: object, _args: object, output: Tensor) -> Tensor:
        return output * torch.nan if torch.allclose(output[0], features, atol=1e-5) else output

    projector.register_forward_hook(spoil)
    with pytest.raises(ImageError, match="embeddings of this image and question are not finite"):
        vlm.read(bad, "Hi?")
    refused: list[ImageError] = []
    mean = mean_embedding(vlm, [good, bad], refused)
    assert torch.equal(mean, mean_embedding(vlm, [good]))
    assert len(refused) == 1


@pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf])
def test_each_kind_of_number_is_found_and_the_largest_is_none(number):
    values = torch.full([3, 5], torch.finfo(torch.float32).max)
    check_finite("They", values, [[]] * 3)
    values[1, 4] = number
    with pytest.raises(ImageError, match="They are not finite after the clean run"):
        check_finite("They", values, [[]] * 3)


def test_of_no_numbers_none_is_at_fault(either):
    check_finite("They", torch.zeros(1, 0), [[]])
    stimulus = either.read(picture(), QUESTION)
    assert either.hidden_states(stimulus, []).shape == (3, 0, 16)


def test_a_token_is_named_by_what_is_finite():
    logits = torch.tensor(
        [[1.0, 2, 0], [1, torch.nan, 9], [torch.inf, 1, 2], [1, 2, -torch.inf], [-torch.inf] * 3]
    )
    assert likeliest(logits).tolist() == [1, NOT_FINITE, NOT_FINITE, 1, NOT_FINITE]
    check_said("They", [[1, 2], [3]], [[], []])
    with pytest.raises(ImageError):
        check_said("They", [[1, 2], [3, NOT_FINITE]], [[], []])


def test_it_is_bad_input_and_says_what_to_do():
    error = not_finite("They", [True, False], [[], [Ablate([3], torch.zeros(2))]])
    assert isinstance(error, VLMError)
    assert str(error).startswith("They are not finite after arm 2 of 2 (Ablate). Load the model in")
