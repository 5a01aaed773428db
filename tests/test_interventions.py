"""Ablation and attention knockout against two oracles: a Llama written out in torch, and the identity.

Fails if a hooked forward pass differs from the plain one for any arm that hypothesis draws, if asking for nothing
changes a bit, or if an arm without meaning runs.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny import picture, plain_logits, tiny_vlm
from vlmlib import Ablate, Block, VLMError

LENGTH, LAYERS, WIDTH = 33, 2, 16
VLMS = {attention: tiny_vlm(attention) for attention in ("sdpa", "eager")}
STIMULI = {name: vlm.read(picture(), "Is there a dog in this image?") for name, vlm in VLMS.items()}


@st.composite
def drawn_arms(draw) -> dict:
    """What to ablate, if anything, and up to two blocks that leave every position itself to attend to."""
    blocks = []
    for _ in range(draw(st.integers(0, 2))):
        to = draw(st.sets(st.integers(1, LENGTH - 1), min_size=1, max_size=3))
        source = draw(st.sets(st.integers(0, min(to) - 1), min_size=1, max_size=8))
        layers = draw(st.sets(st.integers(0, LAYERS - 1), min_size=1))
        blocks.append({"source": source, "to": to, "layers": layers})
    ablated = draw(st.sets(st.integers(0, LENGTH - 1), max_size=6))
    return {"ablated": ablated, "seed": draw(st.integers(0, 9)), "blocks": blocks}


def test_the_length_that_the_strategies_assume():
    assert all(len(stimulus.input_ids) == LENGTH for stimulus in STIMULI.values())


@pytest.mark.parametrize("attention", VLMS)
@settings(max_examples=60, deadline=None)
@given(drawn=drawn_arms())
def test_any_arm_equals_a_llama_written_out_in_torch(attention, drawn):
    vlm, stimulus = VLMS[attention], STIMULI[attention]
    value = torch.randn(WIDTH, generator=torch.Generator().manual_seed(drawn["seed"]))
    arm = [Ablate(drawn["ablated"], value), *(Block(**block) for block in drawn["blocks"])]
    expected = plain_logits(vlm, stimulus.embeddings, arm)
    observed = vlm.next_token(stimulus, [arm])[0]
    torch.testing.assert_close(observed, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_nothing_asked_nothing_changed(vlm, stimulus):
    tokens = stimulus.visual[3:6]
    itself = Ablate(tokens, stimulus.embeddings[tokens])
    nobody = Ablate([], torch.zeros(WIDTH))
    nothing = Block([], to=stimulus.last, layers=vlm.layers)
    nowhere = Block(tokens, to=stimulus.last, layers=[])
    logits = vlm.next_token(stimulus, [[], [itself], [nobody], [nothing], [nowhere]])
    assert all(torch.equal(row, logits[0]) for row in logits)


def test_every_kind_of_edit_moves_the_logits(vlm, stimulus):
    ablate = Ablate(stimulus.visual, torch.zeros(WIDTH))
    block = Block(stimulus.visual, to=stimulus.last, layers=vlm.layers)
    clean, ablated, blocked = vlm.next_token(stimulus, [[], [ablate], [block]])
    assert (clean - ablated).abs().max() > 1e-3
    assert (clean - blocked).abs().max() > 1e-3


def test_arms_do_not_reach_into_each_other(vlm, stimulus):
    block = [Block(stimulus.visual, to=stimulus.last, layers=vlm.layers)]
    before = stimulus.embeddings.clone()
    first, _, again = vlm.next_token(stimulus, [[], block, []])
    assert torch.equal(first, again)
    assert torch.equal(before, stimulus.embeddings)


def test_blocking_in_the_last_layer_only_leaves_other_rows_alone(vlm, stimulus):
    middle = int(stimulus.visual[8])
    block = Block(stimulus.visual[:4], to=middle, layers=[LAYERS - 1])
    clean, blocked = vlm.next_token(stimulus, [[], [block]])
    torch.testing.assert_close(clean, blocked, rtol=1e-6, atol=1e-6)


def test_a_self_edge_goes_only_if_it_is_listed(vlm, stimulus):
    everything_before = range(stimulus.last)
    kept, *_ = vlm.next_token(stimulus, [[Block(everything_before, to=stimulus.last, layers=vlm.layers)]])
    expected = plain_logits(vlm, stimulus.embeddings, [Block(everything_before, to=stimulus.last, layers=vlm.layers)])
    torch.testing.assert_close(kept, expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(VLMError, match=f"leaves position {stimulus.last} with no position to attend to"):
        vlm.next_token(stimulus, [[Block(range(LENGTH), to=stimulus.last, layers=[0])]])


def test_hooks_leave_when_a_run_fails(vlm, stimulus):
    with pytest.raises(VLMError):
        vlm.next_token(stimulus, [[Block(range(LENGTH), to=stimulus.last, layers=[1])]])
    assert not any(module._forward_pre_hooks for module in vlm.model.modules())


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ([Ablate([99], torch.zeros(WIDTH))], r"Ablate: token 99 is outside 0 to 32"),
        ([Ablate([-1], torch.zeros(WIDTH))], r"Ablate: token -1 is outside"),
        ([Ablate([1], torch.zeros(3))], r"width 3.*width 16"),
        ([Ablate([1, 2], torch.zeros(WIDTH)), Ablate([2], torch.zeros(WIDTH))], r"Two ablations .* token 2"),
        ([Block([1], to=99, layers=[0])], r"Block: target 99"),
        ([Block([1], to=2, layers=[7])], r"Block: layer 7 is outside 0 to 1"),
        ([Block([5], to=2, layers=[0])], r"position 5 into 2 .* no position attends to a later one"),
    ],
)
def test_an_arm_without_meaning_is_an_error(vlm, stimulus, arm, message):
    with pytest.raises(VLMError, match=message):
        vlm.next_token(stimulus, [arm])


def test_a_value_per_token_needs_a_row_for_each():
    with pytest.raises(VLMError, match=r"shape \(2, 16\) for 3 tokens"):
        Ablate([1, 2, 3], torch.zeros(2, WIDTH))


def test_sources_and_targets_may_be_tensors_of_different_lengths(stimulus):
    block = Block(stimulus.visual[:7], to=stimulus.visual[-4:], layers=[0])
    assert (len(block.source), len(block.to)) == (7, 4)
