"""Attention that picks the best few of many positions: a block there lets others in.

Fails if `Block` is taken where it adds edges, if it is refused where it does not, or if a model is
tried again on prompts like those that it was tried on.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests import texts
from tests.texts import llava_around
from tests.tiny import picture, tiny_qwen, tiny_vlm
from vlmlib import VLM, Ablate, Block, LackingError, Stimulus, VLMError, oracle
from vlmlib.reach import eager, reach

QUESTION = "Is there a dog in this image?"
quiet = pytest.mark.filterwarnings("ignore:.*cannot share work:UserWarning")
FEW = {**texts.SPARSE, "index_topk": 8}
DENSE = {
    "plain": tiny_vlm,
    "three axes of positions": tiny_qwen,
    "compressed": lambda attention: llava_around(texts.COMPRESSED, attention),
    "windows": lambda attention: llava_around({**texts.WINDOWED, "sliding_window": 9}, attention),
    "chunks": lambda attention: llava_around(
        {**texts.CHUNKED, "attention_chunk_size": 9}, attention
    ),
    "later ones seen": texts.tiny_gemma3,
    "as many as there are": lambda attention: llava_around(texts.SPARSE, attention),
}


def heard(vlm: VLM, stimulus: Stimulus, layer: int, arm: list) -> set[int]:
    """The positions that have a weight in the last row of a layer under an arm."""
    weights: list[torch.Tensor] = []
    attention: Any = vlm.decoder.attentions[layer]
    hook = attention.register_forward_hook(lambda _module, _args, output: weights.append(output[1]))
    with eager(vlm.decoder), oracle.intervened(vlm.decoder, stimulus, arm), torch.no_grad():
        vlm.model(**stimulus.inputs, use_cache=False)
    hook.remove()
    return {*(weights[0][0, :, stimulus.last] > 0).any(0).nonzero()[:, 0].tolist()}


def by_length(hidden: torch.Tensor) -> torch.Tensor:
    return hidden[0].detach().norm(dim=-1)


def first_ten_then_last(hidden: torch.Tensor) -> torch.Tensor:
    scores = torch.arange(hidden.shape[1], 0, -1).float()
    return scores.index_fill(0, torch.tensor(len(scores) - 1), len(scores) - 9.5)


def picking_at(layer: int, attention: str = "sdpa", score: Callable = by_length) -> Any:
    """A plain model, of which one layer attends to the ten keys alone that score best."""
    model = tiny_vlm(attention).model
    chosen = model.model.language_model.layers[layer].self_attn
    own = chosen.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        hidden, mask = kwargs["hidden_states"], kwargs.get("attention_mask")
        length = hidden.shape[1]
        if mask is None:
            mask = torch.ones(length, length, dtype=torch.bool).tril()[None, None]
        lowest = False if mask.dtype == torch.bool else torch.finfo(mask.dtype).min
        allowed = mask if mask.dtype == torch.bool else mask > lowest / 2
        best = (
            score(hidden)
            .expand(allowed.shape)
            .masked_fill(~allowed, -1.0)
            .topk(min(10, length))
            .indices
        )
        picked = torch.zeros_like(allowed).scatter(-1, best, True)
        return own(*args, **{**kwargs, "attention_mask": mask.masked_fill(~picked, lowest)})

    chosen.forward = forward
    return model


@pytest.mark.slow
@quiet
@pytest.mark.parametrize(
    ("attention", "dtype"),
    [("sdpa", torch.float32), ("eager", torch.bfloat16), ("sdpa", torch.float16)],
)
def test_blocks_are_refused_where_others_are_let_in(attention, dtype):
    small = llava_around(FEW, attention)
    vlm = VLM(small.model.to(dtype), small.processor)
    stimulus = vlm.read(picture(), QUESTION)
    seen = heard(vlm, stimulus, 0, [])
    weak = sorted(seen)[:4]
    let_in = heard(vlm, stimulus, 0, [Block(weak, to=stimulus.last, layers=[0])]) - seen
    assert len(seen) == 8
    assert let_in
    assert sorted(vlm.sparse_on(stimulus)) == [0, 1]
    arm = [Block([weak[0]], to=stimulus.last, layers=[1])]
    for ask in (vlm.next_token, vlm.describe, lambda *asked: reach(vlm, *asked)):
        with pytest.raises(LackingError, match=r"nothing else, in layer 1 of .* takes others in"):
            ask(stimulus, [arm])
    ablate = [Ablate(stimulus.visual, torch.zeros(16))]
    expected = oracle.next_token(vlm.model, vlm.decoder, stimulus, ablate)
    assert torch.equal(vlm.next_token(stimulus, [ablate])[0], expected)


@pytest.mark.slow
@quiet
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("layer", [0, 1])
def test_blocks_are_refused_in_the_sparse_layers_alone(layer, attention):
    vlm = VLM(picking_at(layer, attention), tiny_vlm().processor)
    stimulus = vlm.read(picture(), QUESTION)
    assert [*vlm.sparse_on(stimulus)] == [layer]
    arms = [[Block(stimulus.visual, to=stimulus.last, layers=[at])] for at in vlm.layers]
    assert vlm.next_token(stimulus, [arms[1 - layer]]).isfinite().all()
    with pytest.raises(VLMError, match=rf"and nothing else, in layer {layer} of this model"):
        vlm.next_token(stimulus, [arms[layer]])
    report = vlm.report()
    assert report["knockout"].outcome == "refused"
    assert f"can be removed in 1 of 2 layers ({1 - layer})" in report["knockout"].found
    assert [each.what for each in report.refused] == ["knockout"]
    assert not report.wrong


@quiet
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_picks_are_seen_where_the_last_position_is_let_in(attention):
    """It is heard as the query anyway."""
    vlm = VLM(picking_at(0, attention, first_ten_then_last), tiny_vlm().processor)
    assert [*vlm.sparse_on(vlm.read(picture(), QUESTION))] == [0]


@pytest.mark.slow
@quiet
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", DENSE)
def test_blocks_are_taken_where_they_remove_edges_alone(name, attention):
    assert_taken(DENSE[name](attention))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scale", [1, 60])
def test_weights_that_round_to_zero_are_not_taken_for_unpicked(scale, dtype):
    """Sharp attention leaves most positions a weight that half precision cannot tell from none."""
    small = tiny_vlm()
    for layer in small.model.model.language_model.layers:
        layer.self_attn.q_proj.weight.data *= scale
    assert_taken(VLM(small.model.to(dtype), small.processor))


def assert_taken(vlm: VLM) -> None:
    stimulus = vlm.read(picture(), "Hi?")
    assert vlm.sparse_on(stimulus) == {}
    arm = [Block([stimulus.last - 1], to=stimulus.last, layers=vlm.layers)]
    assert vlm.next_token(stimulus, [arm]).isfinite().all()


@quiet
def test_a_prompt_longer_than_what_is_picked_is_tried_anew():
    vlm = llava_around(texts.SPARSE)
    short, long = (vlm.read(picture(), QUESTION * times) for times in (1, 3))
    assert len(short.embeddings) <= 40 < len(long.embeddings)
    arms = [[Block([each.last - 1], to=each.last, layers=[0])] for each in (short, long)]
    assert vlm.next_token(short, arms[:1]).isfinite().all()
    with pytest.raises(LackingError, match="takes others in their place"):
        vlm.next_token(long, arms[1:])


def test_prompts_like_those_that_were_tried_are_not_tried_again():
    vlm, calls = tiny_vlm(), []
    short, *others = (vlm.read(picture(), text) for text in ("Hi?", QUESTION, QUESTION * 2))
    for each in (short, *others):
        assert vlm.shares_on(each)
    vlm.model.register_forward_pre_hook(lambda *_: calls.append(1))
    for each, passes in zip((short, *others), (0, 1, 1), strict=True):
        vlm.next_token(each, [[Block([3], to=each.last, layers=[0])]])
        assert len(calls) == passes


def test_attention_that_cannot_be_looked_into_is_not_blocked():
    model = tiny_vlm().model
    attention = model.model.language_model.layers[0].self_attn
    own = attention.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        if kwargs["hidden_states"].requires_grad:
            raise ValueError("no gradient here")
        return own(*args, **kwargs)

    attention.forward = forward
    vlm = VLM(model, tiny_vlm().processor)
    stimulus = vlm.read(picture(), QUESTION)
    with pytest.raises(LackingError, match=r"could not be seen \(it raised ValueError: no grad"):
        vlm.next_token(stimulus, [[Block([3], to=stimulus.last, layers=[0])]])
