"""The engine against the slow oracle, on every family, for whatever hypothesis draws.

Fails if any set of arms differs from one hooked forward pass of the whole model per arm by more
than 1e-5 of the largest logit, or if a clean run is not bit for bit the model's own. In every set
some arm's interventions each move a logit by a hundred times that: an engine that left one out
would fail.
"""

from functools import cache

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.tiny import picture, tiny_qwen, tiny_vlm
from vlmlib import VLM, Ablate, Block, Stimulus, VLMError, engine, oracle

WIDTH = 16
FAMILIES = {
    "llava": tiny_vlm,
    "qwen2-vl": tiny_qwen,
    "qwen2-vl, sliding windows": lambda attention: tiny_qwen(attention, layers=3, window=9),
}
SIZES = [(22, 16), (16, 40), (33, 31)]
EVERY = [(family, attention) for family in FAMILIES for attention in ("sdpa", "eager")]


@cache
def read(family: str, attention: str, size: int) -> tuple[VLM, Stimulus]:
    vlm = FAMILIES[family](attention)
    return vlm, vlm.read(picture(size, SIZES[size]), "Is there a dog in this image?")


@st.composite
def drawn_arms(draw, vlm: VLM, length: int) -> list[list[tuple]]:
    """Arms of up to three interventions; edges of a position to itself go where others stay."""
    layer_count, head_count = len(vlm.layers), vlm.decoder.heads
    arms = []
    for _ in range(draw(st.integers(1, 6))):
        free = [set(range(length)) for _ in range(layer_count)]
        arm: list[tuple] = []
        # such a block may take its targets' edges to themselves: three others stay
        only_block = draw(st.booleans())
        for _ in range(draw(st.integers(0, 3))):
            may_block = not (only_block and any(kind == "block" for kind, *_ in arm))
            if not may_block or draw(st.booleans()):
                layer = draw(st.integers(0, layer_count - 1))
                tokens = draw(
                    st.sets(st.sampled_from(sorted(free[layer])), min_size=1, max_size=12)
                )
                free[layer] -= tokens
                arm.append(("ablate", tokens, draw(st.integers(0, 99)), layer))
            else:
                to = draw(
                    st.sets(st.integers(1, length - 1), min_size=1, max_size=9)
                    | st.just({length - 1})
                )
                source = draw(st.sets(st.integers(0, min(to) - 1), min_size=1, max_size=30))
                if only_block and min(to) > 4:
                    source = set(range(min(to) + 1)) - set(range(min(to) - 3, min(to)))
                layers = draw(st.sets(st.integers(0, layer_count - 1), min_size=1))
                heads = draw(st.none() | st.sets(st.integers(0, head_count - 1), min_size=1))
                arm.append(("block", source, to, layers, heads))
        arms.append(arm)
    return arms


def built(arm: list[tuple]) -> list[Ablate | Block]:
    interventions: list[Ablate | Block] = []
    for kind, *values in arm:
        if kind == "ablate":
            tokens, seed, layer = values
            generator = torch.Generator().manual_seed(seed)
            interventions.append(
                Ablate(tokens, torch.randn(len(tokens), WIDTH, generator=generator), layer)
            )
        else:
            interventions.append(Block(*values))
    return interventions


def alone(vlm: VLM, stimulus: Stimulus, arm: list[Ablate | Block]) -> torch.Tensor:
    return oracle.next_token(vlm.model, vlm.decoder, stimulus, arm)


def is_strong(vlm: VLM, stimulus: Stimulus, arm: list[Ablate | Block]) -> bool:
    """Whether leaving out any one of the interventions would move a logit by a hundred tolerances
    or more."""
    full = alone(vlm, stimulus, arm)
    without = [
        alone(vlm, stimulus, [each for each in arm if each is not dropped]) for dropped in arm
    ]
    return bool(arm) and all((full - row).abs().max() >= 1e-3 * full.abs().max() for row in without)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "attention"), EVERY)
@settings(max_examples=30, deadline=None)
@given(data=st.data(), size=st.integers(0, 2), max_tokens=st.sampled_from([1, 60, 16384]))
def test_any_arms_equal_one_hooked_forward_pass_each(family, attention, data, size, max_tokens):
    vlm, stimulus = read(family, attention, size)
    arms = [built(arm) for arm in data.draw(drawn_arms(vlm, len(stimulus.input_ids)))]
    assume(any(is_strong(vlm, stimulus, arm) for arm in arms))
    fast = vlm.next_token(stimulus, arms, max_tokens=max_tokens)
    for arm, row in zip(arms, fast, strict=True):
        slow = alone(vlm, stimulus, arm)
        torch.testing.assert_close(row, slow, rtol=0, atol=1e-5 * float(slow.abs().max()))


@pytest.mark.parametrize(("family", "attention"), EVERY)
@pytest.mark.parametrize("size", range(3))
def test_a_clean_run_is_bit_for_bit_the_models_own(family, attention, size):
    vlm, stimulus = read(family, attention, size)
    own = vlm.model(**stimulus.inputs, logits_to_keep=1).logits[0, -1]
    block = [Block(stimulus.visual, to=stimulus.last, layers=vlm.layers)]
    ablate = [Ablate(stimulus.visual, torch.zeros(WIDTH))]
    assert torch.equal(vlm.next_token(stimulus, [[]])[0], own)
    assert torch.equal(vlm.next_token(stimulus, [ablate, [], block])[1], own)


@pytest.mark.parametrize("family", FAMILIES)
def test_both_attention_implementations_agree(family):
    logits = []
    for attention in ("sdpa", "eager"):
        vlm, stimulus = read(family, attention, 1)
        arms = [
            [],
            [Ablate(stimulus.visual[2:9], torch.ones(WIDTH))],
            [Block(stimulus.visual, stimulus.last, [0, 1])],
        ]
        logits.append(vlm.next_token(stimulus, arms))
    torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("family", "attention"), EVERY)
def test_work_that_no_arm_changes_is_done_once(family, attention):
    vlm, stimulus = read(family, attention, 1)
    anything = [Block([0], to=stimulus.last, layers=vlm.layers)]
    vlm.next_token(stimulus, [anything])  # of each length more is tried, once
    length, computed = len(stimulus.input_ids), []
    hook = vlm.decoder.layers[0].register_forward_pre_hook(
        lambda _module, args: computed.append(args[0].shape[:2].numel())
    )
    try:
        knockouts = [
            [Block([token], to=stimulus.last, layers=vlm.layers)]
            for token in stimulus.visual.tolist()
        ]
        vlm.next_token(stimulus, [[], *knockouts])
        late = int(stimulus.visual[-1])
        vlm.next_token(stimulus, [[Ablate([late], torch.zeros(WIDTH))]])
    finally:
        hook.remove()
    assert sum(computed) == length + len(knockouts) + length


def test_only_the_last_positions_are_unembedded(vlm, stimulus):
    assert vlm.shares_on(stimulus)  # which is tried once of a length
    seen = []
    hook = vlm.decoder.unembed.register_forward_pre_hook(
        lambda _module, args: seen.append(args[0].shape[:-1].numel())
    )
    try:
        vlm.next_token(
            stimulus,
            [[], [Ablate(stimulus.visual, torch.zeros(WIDTH))], [Ablate([3], torch.zeros(WIDTH))]],
        )
    finally:
        hook.remove()
    assert sum(seen) == 3


def test_no_hook_stays_and_no_gradient_is_kept(vlm, stimulus):
    arm = [
        Ablate(stimulus.visual, torch.zeros(WIDTH), layer=1),
        Block([1], to=stimulus.last, layers=[0]),
    ]
    assert not vlm.next_token(stimulus, [arm]).requires_grad
    assert not any(module._forward_pre_hooks for module in vlm.model.modules())


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_agrees_to_its_own_tolerance(dtype):
    vlm = tiny_vlm()
    half = VLM(tiny_vlm().model.to(dtype), vlm.processor)
    stimulus = half.read(picture(), "Is there a dog in this image?")
    arms = [
        [],
        [Ablate(stimulus.visual[4:], torch.zeros(WIDTH))],
        [Block(stimulus.visual, stimulus.last, [0, 1])],
    ]
    fast = half.next_token(stimulus, arms)
    slow = torch.stack([alone(half, stimulus, arm) for arm in arms])
    assert half.shares
    assert fast.dtype == dtype
    assert (fast - slow).abs().max() < 2e-2 * slow.abs().max()
    assert (slow[1:] - slow[0]).abs().amax(1).min() > 5e-2 * slow.abs().max()


def test_no_arms_are_no_rows_and_no_budget_is_an_error(vlm, stimulus):
    assert vlm.next_token(stimulus, []).shape == (0, vlm.model.config.text_config.vocab_size)
    with pytest.raises(VLMError, match="max_tokens is 0"):
        vlm.next_token(stimulus, [[]], max_tokens=0)


def test_the_engine_itself_runs_without_a_handle(vlm, stimulus):
    assert torch.equal(
        engine.next_token(vlm.decoder, stimulus, [[]], 99), vlm.next_token(stimulus, [[]])
    )
