"""The logit lens: does each layer decode to what the model's final norm and unembedding make of its
hidden states?

Fails if the last layer is normed twice or not at all, if layers are shifted, if a rank belongs to
another token or position, if an arm does not reach the lens, or if more logits exist at once than
the bound allows.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny import picture, tiny_qwen, tiny_vlm
from vlmlib import VLM, Ablate, Block, VLMError, lens
from vlmlib.lens import Lens, logit_lens

FAMILIES = {"sdpa": tiny_vlm, "eager": lambda: tiny_vlm("eager"), "qwen": tiny_qwen}


@pytest.fixture(scope="module", params=FAMILIES)
def vlm(request):
    return FAMILIES[request.param]()


@pytest.fixture(scope="module")
def stimulus(vlm):
    return vlm.read(picture(), "Is there a dog in this image?")


def vocabulary(vlm: VLM) -> int:
    return vlm.model.config.get_text_config().vocab_size


def everything(vlm: VLM, stimulus, arm=()) -> tuple[Lens, torch.Tensor]:
    """The lens at all positions, and its probabilities [layer, token, vocab] put back in the
    vocabulary's order."""
    whole = logit_lens(vlm, stimulus, range(stimulus.last + 1), k=vocabulary(vlm), arm=arm)
    return whole, torch.zeros_like(whole.top_probabilities).scatter(
        -1, whole.top_ids, whole.top_probabilities
    )


def read_of(asked: Lens) -> tuple[torch.Tensor, torch.Tensor]:
    """Rank and probability of the token that was asked for."""
    assert asked.rank is not None
    assert asked.probability is not None
    return asked.rank, asked.probability


def normed(vlm: VLM, hidden: torch.Tensor) -> torch.Tensor:
    """The final norm written out."""
    weight = vlm.model.state_dict()["model.language_model.norm.weight"]
    epsilon = vlm.model.config.get_text_config().rms_norm_eps
    return weight * hidden / (hidden.pow(2).mean(-1, keepdim=True) + epsilon).sqrt()


def close(seen: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(seen, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_the_last_layer_is_the_models_own_prediction_at_every_position(vlm, stimulus):
    own = vlm.model(**stimulus.inputs).logits[0]
    whole, probabilities = everything(vlm, stimulus)
    close(probabilities[-1], own.softmax(-1))
    assert torch.equal(whole.top_ids[-1, :, 0], own.argmax(-1))


def test_earlier_layers_are_normed_once_and_unembedded(vlm, stimulus):
    """Earlier layers are the model's hidden states normed once and unembedded."""
    hidden = torch.cat(vlm.model(**stimulus.inputs, output_hidden_states=True).hidden_states[:-1])
    _, probabilities = everything(vlm, stimulus)
    assert len(probabilities) == len(hidden) + 1
    close(probabilities[:-1], (normed(vlm, hidden) @ vlm.model.lm_head.weight.T).softmax(-1))


def test_layer_0_decodes_the_embeddings(vlm, stimulus):
    expected = (normed(vlm, stimulus.embeddings) @ vlm.model.lm_head.weight.T).softmax(-1)
    close(everything(vlm, stimulus)[1][0], expected)


def test_chosen_positions_are_those_columns_of_the_whole(vlm, stimulus):
    """Chosen positions are those columns of the whole in ascending order."""
    whole, _ = everything(vlm, stimulus)
    some = logit_lens(vlm, stimulus, [9, 3, 9], k=4)
    assert some.tokens == (3, 9)
    close(some.top_probabilities, whole.top_probabilities[:, [3, 9], :4])
    assert torch.equal(some.top_ids, whole.top_ids[:, [3, 9], :4])
    assert torch.equal(logit_lens(vlm, stimulus, 9, k=4).top_ids, some.top_ids[:, 1:])
    assert torch.equal(logit_lens(vlm, stimulus, torch.tensor([9, 3]), k=4).top_ids, some.top_ids)


def test_no_positions_are_an_empty_lens(vlm, stimulus):
    rank, _ = read_of(logit_lens(vlm, stimulus, [], token_id=1))
    assert rank.shape == (len(vlm.layers) + 1, 0)


def test_rank_and_probability_are_a_tokens_place_in_the_vocabulary(vlm, stimulus):
    """Rank and probability are the token's place in the ordered vocabulary."""
    whole, _ = everything(vlm, stimulus)
    for token_id in (0, 7, vocabulary(vlm) - 1):
        asked = logit_lens(vlm, stimulus, range(stimulus.last + 1), k=1, token_id=token_id)
        rank, probability = read_of(asked)
        place = (whole.top_ids == token_id).nonzero()[:, -1].reshape(rank.shape)
        assert torch.equal(rank, place)
        close(probability, whole.top_probabilities.gather(-1, place[..., None])[..., 0])


def test_without_a_token_there_is_no_rank(vlm, stimulus):
    plain = logit_lens(vlm, stimulus, [3])
    assert plain.rank is None
    assert plain.probability is None


def test_tokens_that_tie_share_the_better_rank():
    vlm = tiny_vlm()
    vlm.model.lm_head.weight.data.zero_()
    stimulus = vlm.read(picture(), "Hi?")
    rank, probability = read_of(logit_lens(vlm, stimulus, stimulus.visual, token_id=7))
    assert not rank.any()
    close(probability, torch.full_like(probability, 1 / vocabulary(vlm)))


def test_an_arm_reaches_the_lens_from_its_layer_on(vlm, stimulus):
    _, clean = everything(vlm, stimulus)
    assert torch.equal(everything(vlm, stimulus, [])[1], clean)
    zero = Ablate(stimulus.visual, torch.zeros(vlm.d_model))
    changed = (everything(vlm, stimulus, [zero])[1] - clean).abs().amax(-1) > 1e-6
    assert changed[0].nonzero()[:, 0].tolist() == stimulus.visual.tolist()
    assert changed[1:, stimulus.last].all()
    cut = Block(stimulus.visual, to=stimulus.last, layers=[1])
    changed = (everything(vlm, stimulus, [cut])[1] - clean).abs().amax(-1) > 1e-6
    assert changed.nonzero().tolist() == [[2, stimulus.last]]


def test_an_arms_last_layer_is_its_next_token(vlm, stimulus):
    arm = [
        Ablate(stimulus.visual, torch.ones(vlm.d_model)),
        Block([3, 4], to=stimulus.last, layers=[0]),
    ]
    close(everything(vlm, stimulus, arm)[1][-1, -1], vlm.next_token(stimulus, [arm])[0].softmax(-1))


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(rows=st.integers(1, 90))
def test_no_more_logits_than_the_bound_exist_at_a_time(rows):
    """No more logits than the bound exist at a time and the lens stays the same."""
    vlm = tiny_vlm()
    stimulus = vlm.read(picture(), "Is there a dog in this image? " * 20)
    at = range(stimulus.last + 1)
    expected = logit_lens(vlm, stimulus, at, token_id=3)
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lens, "MAX_LOGITS", rows * vocabulary(vlm) + 1)
        hook = vlm.decoder.unembed.register_forward_hook(
            lambda _module, _args, logits: seen.append(logits.numel())
        )
        bounded = logit_lens(vlm, stimulus, at, token_id=3)
        hook.remove()
    assert max(seen) == rows * vocabulary(vlm)
    close(bounded.top_probabilities, expected.top_probabilities)
    close(read_of(bounded)[1], read_of(expected)[1])


def test_a_row_is_decoded_even_where_the_bound_is_below_the_vocabulary(monkeypatch):
    vlm = tiny_vlm()
    stimulus = vlm.read(picture(), "Hi?")
    expected = logit_lens(vlm, stimulus, stimulus.visual)
    monkeypatch.setattr(lens, "MAX_LOGITS", 10)
    close(logit_lens(vlm, stimulus, stimulus.visual).top_probabilities, expected.top_probabilities)


def test_probabilities_are_float32_in_a_model_of_half_precision():
    full = tiny_vlm()
    half = VLM(tiny_vlm().model.bfloat16(), full.processor)
    asked = logit_lens(half, half.read(picture(), "Hi?"), [3], k=vocabulary(half), token_id=3)
    assert {asked.top_probabilities.dtype, read_of(asked)[1].dtype} == {torch.float32}
    torch.testing.assert_close(
        asked.top_probabilities.sum(-1), torch.ones(3, 1), rtol=1e-5, atol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "the 0 likeliest of 586"),
        ({"k": 587}, "the 587 likeliest of 586"),
        ({"token_id": -1}, "token id -1 is outside 0 to 585"),
        ({"token_id": 586}, "token id 586 is outside"),
        ({"tokens": [3, 33]}, "position 33 is outside 0 to 32"),
        ({"tokens": -1}, "position -1 is outside 0 to 32"),
    ],
)
def test_what_is_outside_is_refused_before_the_model_runs(change, message):
    vlm = tiny_vlm()
    stimulus = vlm.read(picture(), "Is there a dog in this image?")
    hook = vlm.model.register_forward_pre_hook(lambda _module, _args: pytest.fail("the model ran"))
    with pytest.raises(VLMError, match=message):
        logit_lens(vlm, stimulus, **({"tokens": [3]} | change))
    hook.remove()
