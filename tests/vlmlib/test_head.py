"""What stands around the stack of layers: a head that does more than unembed, and what happens to
embeddings before layer 0.

Fails if the last layer of the lens is not the model's own prediction, if a head that cannot be had
apart is decoded all the same, or if hidden states that are put back where they were read change
anything and are not refused.
"""

from typing import Any

import pytest
import torch

from tests import texts
from tests.tiny import deep_vlm, picture, tiny_processor, tiny_qwen, tiny_vlm
from vlmlib import VLM, Ablate, VLMError, logit_lens, oracle
from vlmlib.reach import Watching

QUESTION = "Is there a dog in this image?"
quiet = pytest.mark.filterwarnings("ignore:.*cannot share work:UserWarning")

MAKE = {
    "llava": tiny_vlm,
    "qwen2-vl": tiny_qwen,
    "granite": lambda: texts.llava_around(texts.MULTIPLIED),
    "gemma2": lambda: texts.llava_around(texts.CAPPED, "eager"),
    "gemma3": texts.tiny_gemma3,
    "paligemma2": texts.tiny_paligemma2,
}


@pytest.mark.slow
@quiet
@pytest.mark.parametrize("name", MAKE)
def test_the_last_layer_of_the_lens_is_the_models_own_softmax(name):
    vlm = MAKE[name]()
    stimulus = vlm.read(picture(), QUESTION)
    every = range(stimulus.last + 1)
    lens = logit_lens(vlm, stimulus, every, k=vlm.decoder.vocab)
    own = vlm.model(**stimulus.inputs).logits[0].softmax(-1)
    seen = torch.zeros_like(own).scatter(-1, lens.top_ids[-1], lens.top_probabilities[-1])
    torch.testing.assert_close(seen, own, rtol=1e-4, atol=1e-7)
    assert vlm.head.plain == (name != "paligemma2")


@quiet
def test_a_soft_cap_is_in_every_layer_and_not_unembedding_alone():
    vlm = texts.tiny_paligemma2(cap=0.5)
    stimulus = vlm.read(picture(), QUESTION)
    hidden = vlm.hidden_states(stimulus, stimulus.last)[1]
    normed = vlm.decoder.norm(hidden)
    plain = vlm.decoder.unembed(normed)
    capped = 0.5 * torch.tanh(plain / 0.5)
    torch.testing.assert_close(vlm.head(normed), capped)
    seen = logit_lens(vlm, stimulus, stimulus.last, k=3).top_probabilities[1, 0]
    torch.testing.assert_close(seen, capped.softmax(-1).topk(3).values[0])
    assert (seen - plain.softmax(-1).topk(3).values[0]).abs().max() > 1e-3


@pytest.mark.slow
@quiet
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_lens_is_capped_in_half_precision(dtype):
    """A cap that bends the largest logits by as much as rounding may."""
    plain = texts.tiny_paligemma2(cap=100.0)
    model = plain.model.to(dtype)
    with torch.no_grad():
        model.lm_head.weight.data = 4 * model.lm_head.weight.data
    vlm = VLM(model, plain.processor, plain.prompt)
    stimulus = vlm.read(picture(), QUESTION)
    lens = logit_lens(vlm, stimulus, stimulus.last)
    own = model(**stimulus.inputs, logits_to_keep=1).logits[0, -1].float().softmax(-1)
    assert not vlm.head.plain
    assert torch.equal(lens.top_probabilities[-1, 0], own[lens.top_ids[-1, 0]])


@quiet
def test_what_a_watch_says_of_the_first_token_is_the_models_own():
    vlm = texts.tiny_paligemma2(cap=0.5)
    stimulus = vlm.read(picture(), QUESTION)
    arms = [[], [Ablate(stimulus.visual, torch.zeros(16))]]
    watching = Watching(vlm, stimulus, arms[1:])
    watching.model.next_token(stimulus, arms)
    own = vlm.next_token(stimulus, arms).softmax(-1)
    assert watching.first_token(arms) == pytest.approx(own[:, own[0].argmax()].tolist(), rel=1e-4)


@quiet
@pytest.mark.parametrize("planted", [True, False])
def test_a_lens_that_cannot_be_right_is_refused(planted):
    model = tiny_vlm().model
    if planted:
        own = model.model.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            output = own(*args, **kwargs)
            output.last_hidden_state = 3 * output.last_hidden_state
            return output

        model.model.forward = forward
    vlm = VLM(model, tiny_vlm().processor)
    stimulus = vlm.read(picture(), QUESTION)
    if not planted:
        assert vlm.head.refusal is None
        return
    with pytest.raises(VLMError, match=r"cannot be decoded: .* not its own prediction \(off by"):
        logit_lens(vlm, stimulus, stimulus.last)
    logits = vlm.model(**stimulus.inputs).logits[0, -1]
    torch.testing.assert_close(vlm.next_token(stimulus, [[]])[0], logits)


@pytest.mark.slow
@quiet
@pytest.mark.parametrize("name", MAKE)
def test_putting_back_what_enters_a_layer_changes_nothing(name):
    vlm = MAKE[name]()
    stimulus = vlm.read(picture(), QUESTION)
    every = range(stimulus.last + 1)
    hidden = vlm.hidden_states(stimulus, every)
    assert torch.equal(hidden[0], stimulus.embeddings)
    assert not vlm.decoder.closed
    arms = [[Ablate(every, hidden[layer], layer)] for layer in vlm.layers]
    clean, *back = vlm.next_token(stimulus, [[], *arms])
    for logits in back:
        torch.testing.assert_close(logits, clean, rtol=1e-4, atol=1e-5)


def test_embeddings_are_multiplied_after_they_are_replaced():
    """So the mean token, which is read at the same place, is multiplied as they are."""
    vlm = texts.llava_around(texts.MULTIPLIED)
    stimulus = vlm.read(picture(), QUESTION)
    entering: list[torch.Tensor] = []
    hook = vlm.decoder.layers[0].register_forward_pre_hook(
        lambda _module, args: entering.append(args[0])
    )
    ones = [Ablate(stimulus.visual, torch.ones(16))]
    states = vlm.hidden_states(stimulus, stimulus.visual, ones)
    hook.remove()
    assert torch.equal(states[0], torch.ones(16, 16))
    assert torch.equal(entering[-1][0, stimulus.visual], torch.full((16, 16), 6.0))


@pytest.mark.parametrize("at", [0, 1])
def test_a_layer_whose_input_cannot_be_put_back_is_closed(at, monkeypatch):
    own = oracle.hidden_states

    def elsewhere(*given: Any) -> torch.Tensor:
        """What enters one layer is read where it is not yet what it will be."""
        hidden = own(*given).clone()
        hidden[at] *= 2
        return hidden

    monkeypatch.setattr(oracle, "hidden_states", elsewhere)
    vlm = tiny_vlm()
    stimulus = vlm.read(picture(), QUESTION)
    with pytest.raises(VLMError, match=rf"what enters layer {at} .* what enters it moves what it"):
        vlm.next_token(stimulus, [[Ablate([3], torch.zeros(16), layer=at)]])


@quiet
def test_hidden_states_end_with_what_leaves_the_last_layer():
    """What comes between it and the final norm is in no head, so that they cannot be decoded."""
    model = tiny_vlm().model
    stack: Any = model.model.language_model
    inside: list[bool] = []
    stack.register_forward_pre_hook(lambda *_: inside.append(True))
    stack.norm.register_forward_pre_hook(lambda _module, args: (args[0] + len(inside),))
    stack.register_forward_hook(lambda *_: inside.clear())
    vlm = VLM(model, tiny_processor())
    stimulus = vlm.read(picture(), QUESTION)
    left: list[Any] = []
    hook = stack.layers[-1].register_forward_hook(lambda *given: left.append(given[-1]))
    model(**stimulus.inputs)
    hook.remove()
    [hidden] = vlm.hidden_states(stimulus, stimulus.last)[-1]
    assert torch.equal(hidden, left[0][0, -1])
    with pytest.raises(VLMError, match="its final norm and its head make of its last ones is not"):
        logit_lens(vlm, stimulus, stimulus.last)


def entering(module: Any, name: str) -> list[torch.Tensor]:
    """What a module is given by a name, or first; as it is once hooks have changed it."""
    own, seen = module.forward, []

    def forward(*args: Any, **given: Any) -> Any:
        seen.append(given[name] if name in given else args[0])
        return own(*args, **given)

    module.forward = forward
    return seen


def earlier_states(stack: Any) -> None:
    """The second layer is given what entered the first."""
    first, second = stack.layers
    seen = entering(first, "hidden_states")
    second.register_forward_hook(lambda *given: given[-1] + 0.5 * seen[-1])


def embeddings_in_every_layer(stack: Any) -> None:
    """Each layer is given something that the stack makes of the embeddings."""
    seen = entering(stack, "inputs_embeds")
    for layer in stack.layers:
        layer.register_forward_hook(lambda *given: given[-1] + seen[-1].tanh())


@quiet
@pytest.mark.parametrize("plant", [earlier_states, embeddings_in_every_layer])
def test_a_layer_that_is_given_more_of_the_picture_is_closed(plant):
    """Replacing what enters it leaves it the picture that this has."""
    model = tiny_vlm().model
    plant(model.model.language_model)
    vlm = VLM(model, tiny_processor())
    assert [*vlm.decoder.closed] == [1]
    stimulus, value = vlm.read(picture(), QUESTION), torch.zeros(vlm.d_model)
    clean, ablated = vlm.next_token(stimulus, [[], [Ablate(stimulus.visual, value)]])
    assert not torch.equal(clean, ablated)
    with pytest.raises(VLMError, match=r"what enters layer 1 .* more of the picture than what"):
        vlm.next_token(stimulus, [[Ablate(stimulus.visual, value, layer=1)]])


@quiet
@pytest.mark.parametrize(("given", "to"), [(1, 2), (2, 4), (2, 5), (3, 4), (4, 5)])
def test_a_layer_that_is_given_what_entered_any_layer_before_it_is_closed(given, to):
    """However far back, and when what entered another one between them is replaced as well."""
    model = deep_vlm(6).model
    layers: Any = model.model.language_model.layers
    seen = entering(layers[given], "hidden_states")
    layers[to].register_forward_hook(lambda *made: made[-1] + 0.5 * seen[-1])
    assert [*VLM(model, tiny_processor()).decoder.closed] == [to]
