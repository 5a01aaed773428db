"""What blocks reach: attention removed and hidden states changed, against plain computations.

Oracles: attention weights from `output_attentions=True`, summed edge by edge; hidden states of one
hooked forward pass per arm. Fails if a weight is off, if a block that changes its targets' states
is not seen, if one that takes nothing is, if an engine that does nothing passes for one that does,
or if watching changes what is watched.
"""

from collections.abc import Sequence
from itertools import product

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.tiny import picture, tiny_qwen, tiny_vlm
from tests.vlmlib.test_engine import EVERY, WIDTH, built, drawn_arms, read
from tests.vlmlib.test_selfcheck import paligemma
from vlmlib import VLM, Ablate, Block, Reach, Stimulus, VLMError, engine, oracle, reach
from vlmlib.interventions import by_kind
from vlmlib.masks import Masks
from vlmlib.reach import CleanRun, Watching, told_by

Arm = list[Ablate | Block]


def weights_of(family: str, size: int) -> tuple[torch.Tensor, ...]:
    vlm, stimulus = read(family, "eager", size)
    return vlm.model(**stimulus.inputs, output_attentions=True).attentions


def by_hand(weights: Sequence[torch.Tensor], arm: Arm) -> float:
    """Edge by edge: a mean over every layer, head and target that loses an edge."""
    lost: dict[tuple[int, int, int], set[int]] = {}
    for block in by_kind(arm)[1]:
        heads = range(weights[0].shape[1]) if block.heads is None else block.heads
        for place in product(block.layers, heads, block.targets):
            lost.setdefault(place, set()).update(block.source)
    sums = [
        sum(float(weights[layer][0, head, target, source]) for source in sources)
        for (layer, head, target), sources in lost.items()
    ]
    return sum(sums) / len(sums)


def change(vlm: VLM, stimulus: Stimulus, arm: Arm) -> float:
    """How far one hooked forward pass takes the hidden states at an arm's targets, or at the tokens
    that it ablates."""
    ablations, blocks, _ = by_kind(arm)
    acts = [(max(each.layers), each.targets) for each in blocks]
    acts = acts or [(each.layer, each.tokens) for each in ablations]
    targets, last = sorted({at for _, each in acts for at in each}), max(acts)[0]
    clean, other = (
        oracle.hidden_states(vlm.model, vlm.decoder, stimulus, targets, each)[last + 1]
        for each in ([], arm)
    )
    return float(((other - clean).norm(dim=-1) / clean.norm(dim=-1)).max())


def hooks(vlm: VLM) -> int:
    return sum(
        len(module._forward_pre_hooks) + len(module._forward_hooks)
        for module in vlm.model.modules()
    )


@pytest.mark.slow
@pytest.mark.parametrize(("family", "attention"), EVERY)
@settings(max_examples=15, deadline=None)
@given(data=st.data(), size=st.integers(0, 2))
def test_any_arms_reach_what_plain_passes_say(family, attention, data, size):
    vlm, stimulus = read(family, attention, size)
    arms = [built(arm) for arm in data.draw(drawn_arms(vlm, len(stimulus.input_ids)))]
    assume(any(any(by_kind(arm)) for arm in arms))
    weights = weights_of(family, size)
    for arm, found in zip(arms, reach(vlm, stimulus, arms), strict=True):
        if not any(by_kind(arm)):
            assert found == Reach(None, None)
            continue
        own = by_hand(weights, arm) if by_kind(arm)[1] else None
        assert found.attention == (own and pytest.approx(own, rel=1e-4, abs=1e-6))
        changed = change(vlm, stimulus, arm)
        if not 1e-7 < changed < 1e-4:  # what lies between is neither rounding nor an effect
            assert found.reached == (changed >= 1e-4)


@pytest.mark.parametrize(("family", "attention"), EVERY)
def test_what_is_watched_answers_as_unwatched(family, attention):
    vlm, stimulus = read(family, attention, 1)
    arms: list[Arm] = [
        [],
        [Block(stimulus.visual, stimulus.last, vlm.layers)],
        [Ablate(stimulus.visual[:3], torch.zeros(WIDTH)), Block([2], [5, 9], [0])],
    ]
    watching, before = Watching(vlm, stimulus, arms), hooks(vlm)
    asked = [*arms, *watching.repeats]
    plain = vlm.next_token(stimulus, asked)
    watched = watching.model.next_token(stimulus, asked)
    torch.testing.assert_close(watched, plain, rtol=1e-5, atol=1e-5)
    assert torch.equal(watched[0], plain[0])
    for repeat in watched[len(arms) :]:
        torch.testing.assert_close(repeat, plain[0], rtol=1e-5, atol=1e-5)
    watching.reaches()
    assert vlm.decoder.watch is None
    assert vlm.decoder.eager == (attention == "eager")
    assert hooks(vlm) == before


def test_no_arm_runs_twice_and_one_clean_run_is_all_that_is_added(vlm, stimulus):
    arms = [[Block([token], stimulus.last, vlm.layers)] for token in stimulus.visual.tolist()]
    watching, passes = Watching(vlm, stimulus, arms), []
    hook = vlm.decoder.stack.register_forward_pre_hook(lambda *_: passes.append(1))
    try:
        watching.model.next_token(stimulus, [[], *watching.repeats, *arms])
        asked = len(passes)
        watching.reaches()
    finally:
        hook.remove()
    assert len(passes) == asked + 1


def test_a_description_is_watched_while_it_reads_its_prompt(vlm, stimulus):
    arms: list[Arm] = [
        [Block(stimulus.visual, stimulus.last, vlm.layers)],
        [Block([1], [9, 20], [0])],
        [Ablate(stimulus.visual, torch.zeros(WIDTH))],
    ]
    watching, passes = Watching(vlm, stimulus, arms), []
    asked = [[], *watching.repeats, *arms]
    watching.model.describe(stimulus, asked, max_new_tokens=4)
    hook = vlm.decoder.stack.register_forward_pre_hook(lambda *_: passes.append(1))
    try:
        found = watching.reaches()
    finally:
        hook.remove()
    assert passes == [1]
    expected = reach(vlm, stimulus, arms)
    assert [each.reached for each in found] == [each.reached for each in expected]
    first = watching.first_token(asked)
    logits = vlm.next_token(stimulus, asked)
    own = logits.softmax(-1)[:, logits[0].argmax()]
    torch.testing.assert_close(torch.tensor(first), own, rtol=1e-4, atol=1e-6)


def test_edges_outside_a_window_carry_nothing_and_reach_nothing():
    """Beside edges within it, which do."""
    vlm = tiny_qwen(layers=3, window=9)
    stimulus = vlm.read(picture(size=(16, 40)), "Is there a dog in this image?")
    last = stimulus.last
    outside, within = reach(
        vlm, stimulus, [[Block(range(last - 9), last, [2])], [Block([last - 8], last, [2])]]
    )
    assert (outside.attention, outside.reached) == (0.0, False)
    assert within.attention is not None
    assert within.attention > 0
    assert within.reached


def test_an_arm_of_nothing_reaches_nothing(vlm, stimulus):
    nothing: list[Arm] = [[], [Block([], 3, [0])], [Block([1], 3, [0], heads=[])]]
    assert reach(vlm, stimulus, nothing) == [Reach()] * 3
    assert Watching(vlm, stimulus, nothing).repeats == []
    assert reach(vlm, stimulus, []) == []


def test_an_engine_that_ignores_ablations_reaches_nothing(vlm, stimulus, monkeypatch):
    """Nor does a token that is replaced by itself."""
    arms: list[Arm] = [
        [Ablate(stimulus.visual[:1], torch.zeros(WIDTH))],
        [Ablate(stimulus.visual, torch.ones(WIDTH), layer=1)],
    ]
    itself: Arm = [Ablate(stimulus.visual[:2], stimulus.embeddings[stimulus.visual[:2]])]
    assert reach(vlm, stimulus, [*arms, itself]) == [
        *[Reach(None, True)] * 2,
        Reach(None, False),
    ]
    monkeypatch.setattr(engine, "_replaced", lambda hidden, _layout, _ablations: hidden)
    assert reach(vlm, stimulus, arms) == [Reach(None, False)] * 2


def test_an_engine_that_ignores_blocks_reaches_nothing(vlm, stimulus, monkeypatch):
    """And takes away what it would have."""
    arms: list[Arm] = [
        [Block(stimulus.visual, stimulus.last, vlm.layers)],
        [Block(stimulus.visual[:3], stimulus.visual[9:], [0])],
    ]
    alive = reach(vlm, stimulus, arms)
    own = Masks._allowed
    monkeypatch.setattr(Masks, "_allowed", lambda self, window, _active: own(self, window, []))
    dead = reach(vlm, stimulus, arms)
    assert [each.reached for each in alive] == [True, True]
    assert [each.reached for each in dead] == [False, False]
    assert [each.attention for each in dead] == [each.attention for each in alive]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_knows_its_own_rounding(dtype, monkeypatch):
    vlm = VLM(tiny_vlm().model.to(dtype), tiny_vlm().processor)
    stimulus = vlm.read(picture(), "Is there a dog in this image?")
    arms: list[Arm] = [
        [Block(stimulus.visual, stimulus.last, vlm.layers)],
        [Block(stimulus.visual[:8], stimulus.visual[8:], [0])],
        [Ablate(stimulus.visual[:1], torch.zeros(WIDTH))],
    ]
    assert [each.reached for each in reach(vlm, stimulus, arms)] == [True] * 3
    own = Masks._allowed
    monkeypatch.setattr(Masks, "_allowed", lambda self, window, _active: own(self, window, []))
    monkeypatch.setattr(engine, "_replaced", lambda hidden, _layout, _ablations: hidden)
    assert [each.reached for each in reach(vlm, stimulus, arms)] == [False] * 3


def test_a_model_that_shares_no_work_is_watched_arm_by_arm():
    with pytest.warns(UserWarning, match="cannot share work"):
        vlm = VLM(*paligemma(), prompt="USER: <image>\n{question} ASSISTANT:")
    stimulus = vlm.read(picture(), "Is there a dog in this image?")
    # edges that exist in this model
    arm: Arm = [Block(stimulus.visual[8:], to=[0, 1, 2], layers=[0, 1])]
    [found] = reach(vlm, stimulus, [arm])
    vlm.model.config.text_config._attn_implementation = "eager"
    weights = vlm.model(**stimulus.inputs, output_attentions=True).attentions
    assert found.attention == pytest.approx(by_hand(weights, arm), rel=1e-4)
    assert found.reached
    watching = Watching(vlm, stimulus, [arm])
    watching.model.describe(stimulus, [[], *watching.repeats, arm], max_new_tokens=3)
    assert watching.reaches() == [found]


def test_arms_are_known_in_other_lists_on_their_own_stimulus(vlm, stimulus):
    arm: Arm = [Block(stimulus.visual, stimulus.last, vlm.layers)]
    watching = Watching(vlm, stimulus, [arm])
    other = vlm.read(picture(7), "Is there a dog in this image?")
    watching.model.next_token(other, [list(arm)])
    assert watching.first_token([arm]) is None
    watching.model.next_token(stimulus, [tuple(arm)])
    assert watching.first_token([arm]) is not None


def test_an_arm_without_meaning_is_refused(vlm, stimulus):
    with pytest.raises(VLMError, match="Block: layer 9 is outside"):
        reach(vlm, stimulus, [[Block([1], 3, [9])]])


def test_a_model_that_tells_no_attention_weights_is_refused(vlm, stimulus):
    blind: Arm = [Block(stimulus.visual, stimulus.last, [1])]
    attention = vlm.decoder.attentions[1]
    silent = attention.register_forward_hook(lambda _m, _i, output: (output[0], None))
    with silent, pytest.raises(VLMError, match="attention returns none"):
        CleanRun.of(vlm, stimulus, [blind])
    with pytest.raises(VLMError, match="attention returns none"):
        told_by((stimulus.embeddings,))
    assert reach(vlm, stimulus, [blind])[0].reached
