"""Ablation and attention knockout against a Llama written out in torch, and as values.

Fails if the hooked forward pass or the engine differs from the plain one for any arm that
hypothesis draws, if asking for nothing changes a bit, or if an arm without meaning runs.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny import picture, plain_logits, tiny_vlm
from vlmlib import Ablate, Block, VLMError, oracle
from vlmlib.interventions import causal_blocks, first_affected

LENGTH, LAYERS, WIDTH, HEADS = 33, 2, 16, 4
VLMS = {attention: tiny_vlm(attention) for attention in ("sdpa", "eager")}
STIMULI = {name: vlm.read(picture(), "Is there a dog in this image?") for name, vlm in VLMS.items()}


@st.composite
def drawn_arms(draw) -> dict:
    """What to ablate at each layer, and up to two blocks that leave every position itself to attend
    to."""
    blocks = []
    for _ in range(draw(st.integers(0, 2))):
        to = draw(st.sets(st.integers(1, LENGTH - 1), min_size=1, max_size=3))
        source = draw(st.sets(st.integers(0, min(to) - 1), min_size=1, max_size=8))
        layers = draw(st.sets(st.integers(0, LAYERS - 1), min_size=1))
        heads = draw(st.none() | st.sets(st.integers(0, HEADS - 1), min_size=1))
        blocks.append({"source": source, "to": to, "layers": layers, "heads": heads})
    ablated = [draw(st.sets(st.integers(0, LENGTH - 1), max_size=6)) for _ in range(LAYERS)]
    return {"ablated": ablated, "seed": draw(st.integers(0, 9)), "blocks": blocks}


def test_the_length_that_the_strategies_assume():
    assert all(len(stimulus.input_ids) == LENGTH for stimulus in STIMULI.values())


@pytest.mark.slow
@pytest.mark.parametrize("attention", VLMS)
@settings(max_examples=60, deadline=None)
@given(drawn=drawn_arms())
def test_any_arm_equals_a_llama_written_out_in_torch(attention, drawn):
    vlm, stimulus = VLMS[attention], STIMULI[attention]
    generator = torch.Generator().manual_seed(drawn["seed"])
    ablations = [
        Ablate(tokens, torch.randn(WIDTH, generator=generator), layer)
        for layer, tokens in enumerate(drawn["ablated"])
    ]
    arm = [*ablations, *(Block(**block) for block in drawn["blocks"])]
    expected = plain_logits(vlm, stimulus.embeddings, arm)
    close = {"rtol": 0, "atol": 1e-5 * float(expected.abs().max())}
    torch.testing.assert_close(vlm.next_token(stimulus, [arm])[0], expected, **close)
    torch.testing.assert_close(
        oracle.next_token(vlm.model, vlm.decoder, stimulus, arm), expected, **close
    )


def test_nothing_asked_nothing_changed(vlm, stimulus):
    nobody = Ablate([], torch.zeros(WIDTH))
    nothing = Block([], to=stimulus.last, layers=vlm.layers)
    nowhere = Block(stimulus.visual, to=stimulus.last, layers=[])
    headless = Block(stimulus.visual, to=stimulus.last, layers=vlm.layers, heads=[])
    arms = [[], [nobody], [nothing], [nowhere], [headless]]
    logits = vlm.next_token(stimulus, arms)
    assert all(torch.equal(row, logits[0]) for row in logits)
    slow = [oracle.next_token(vlm.model, vlm.decoder, stimulus, arm) for arm in arms]
    assert all(torch.equal(row, logits[0]) for row in slow)


def test_a_tokens_own_embedding_changes_nothing(vlm, stimulus):
    tokens = stimulus.visual[3:6]
    for layer in vlm.layers:
        itself = Ablate(tokens, vlm.hidden_states(stimulus, tokens)[layer], layer)
        clean, replaced = vlm.next_token(stimulus, [[], [itself]])
        torch.testing.assert_close(replaced, clean, rtol=1e-5, atol=1e-5)
        assert torch.equal(oracle.next_token(vlm.model, vlm.decoder, stimulus, [itself]), clean)


def test_patching_every_position_gives_the_other_stimulus(vlm, stimulus):
    """Patching every position from another stimulus gives that stimulus."""
    other = vlm.read(picture(7), "Is there a dog in this image?")
    everywhere = range(LENGTH)
    patch = [Ablate(everywhere, vlm.hidden_states(other, everywhere)[1], layer=1)]
    patched, theirs = vlm.next_token(stimulus, [patch])[0], vlm.next_token(other, [[]])[0]
    torch.testing.assert_close(patched, theirs, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(patched, vlm.next_token(stimulus, [[]])[0], atol=1e-3)


def test_a_vector_per_token_and_one_for_all_agree(vlm, stimulus):
    value = torch.randn(WIDTH, generator=torch.Generator().manual_seed(0))
    one, each = Ablate(stimulus.visual, value), Ablate(stimulus.visual, value.expand(16, -1))
    assert torch.equal(*vlm.next_token(stimulus, [[one], [each]]))


def test_every_kind_of_edit_moves_the_logits(vlm, stimulus):
    edits = [
        Ablate(stimulus.visual, torch.zeros(WIDTH)),
        Ablate(stimulus.visual, torch.zeros(WIDTH), layer=1),
        Block(stimulus.visual, to=stimulus.last, layers=vlm.layers),
        Block(stimulus.visual, to=stimulus.last, layers=[1]),
        Block(stimulus.visual, to=stimulus.last, layers=[0], heads=[2]),
    ]
    clean, *edited = vlm.next_token(stimulus, [[], *([edit] for edit in edits)])
    for row in edited:
        assert (clean - row).abs().max() > 1e-3 * clean.abs().max()


def test_all_heads_named_are_all_heads(vlm, stimulus):
    named = Block(stimulus.visual, to=stimulus.last, layers=[1], heads=range(HEADS))
    unnamed = Block(stimulus.visual, to=stimulus.last, layers=[1])
    torch.testing.assert_close(
        *vlm.next_token(stimulus, [[named], [unnamed]]), rtol=1e-5, atol=1e-5
    )


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
    torch.testing.assert_close(clean, blocked, rtol=1e-5, atol=1e-5)


def test_a_self_edge_goes_only_if_it_is_listed(vlm, stimulus):
    arm = [Block(range(stimulus.last), to=stimulus.last, layers=vlm.layers)]
    expected = plain_logits(vlm, stimulus.embeddings, arm)
    torch.testing.assert_close(vlm.next_token(stimulus, [arm])[0], expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(
        VLMError, match=f"leaves position {stimulus.last} with no position to attend to in layer 0"
    ):
        vlm.next_token(stimulus, [[Block(range(LENGTH), to=stimulus.last, layers=[0])]])


def test_two_blocks_that_together_leave_no_source_are_an_error(vlm, stimulus):
    one = Block(range(20), to=20, layers=[1])
    other = Block(range(5, 21), to=[20, 21], layers=[0, 1], heads=[3])
    assert vlm.next_token(stimulus, [[one], [other]]).isfinite().all()
    with pytest.raises(VLMError, match=r"leaves position 20 .* in layer 1"):
        vlm.next_token(stimulus, [[one, other]])


def test_hooks_leave_when_a_run_fails(vlm, stimulus):
    with (
        pytest.raises(VLMError, match="leaves position"),
        oracle.intervened(
            vlm.decoder, stimulus, [Block(range(LENGTH), to=stimulus.last, layers=[1])]
        ),
    ):
        vlm.model(**stimulus.inputs)
    assert not any(module._forward_pre_hooks for module in vlm.model.modules())


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ([Ablate([99], torch.zeros(WIDTH))], r"Ablate: token 99 is outside 0 to 32"),
        ([Ablate([-1], torch.zeros(WIDTH))], r"Ablate: token -1 is outside"),
        ([Ablate([1], torch.zeros(WIDTH), layer=2)], r"Ablate: layer 2 is outside 0 to 1"),
        ([Ablate([1], torch.zeros(3))], r"width 3.*width 16"),
        (
            [Ablate([1, 2], torch.zeros(WIDTH)), Ablate([2], torch.zeros(WIDTH))],
            r"Two ablations .* token 2 at layer 0",
        ),
        ([Block([1], to=99, layers=[0])], r"Block: target 99"),
        ([Block([1], to=2, layers=[7])], r"Block: layer 7 is outside 0 to 1"),
        ([Block([1], to=2, layers=[0], heads=[4])], r"Block: head 4 is outside 0 to 3"),
        (
            [Block([5], to=2, layers=[0])],
            r"edge from position 5 into 2.* no position attends to a later one",
        ),
        ([Block([1, 5], to=[4, 6], layers=[0])], r"edge from position 5 into 4.*causal_blocks"),
    ],
)
def test_an_arm_without_meaning_is_an_error(vlm, stimulus, arm, message):
    with pytest.raises(VLMError, match=message):
        vlm.next_token(stimulus, [[], arm])


def test_the_same_token_may_be_ablated_at_two_layers(vlm, stimulus):
    arm = [Ablate([9], torch.zeros(WIDTH)), Ablate([9], torch.ones(WIDTH), layer=1)]
    expected = plain_logits(vlm, stimulus.embeddings, arm)
    torch.testing.assert_close(vlm.next_token(stimulus, [arm])[0], expected, rtol=1e-4, atol=1e-4)


def test_a_value_per_token_needs_a_row_for_each():
    with pytest.raises(VLMError, match=r"shape \(2, 16\) for 3 tokens"):
        Ablate([1, 2, 3], torch.zeros(2, WIDTH))


def test_rows_of_values_belong_to_the_tokens_in_the_order_given():
    rows = torch.arange(2 * WIDTH).view(2, WIDTH).float()
    swapped, sorted_ = Ablate([9, 5], rows), Ablate([5, 9], rows.flip(0))
    assert swapped.tokens == sorted_.tokens == (5, 9)
    assert torch.equal(swapped.value, sorted_.value)
    with pytest.raises(VLMError, match="each token once"):
        Ablate([5, 5], rows)


@pytest.mark.parametrize(
    "tokens", [torch.tensor([False, True]), [True, False], [5.7], torch.tensor([1.0]), ["5"]]
)
def test_positions_that_are_no_whole_numbers_are_refused(tokens):
    with pytest.raises((VLMError, TypeError), match=r"whole numbers|Type-check error"):
        Ablate(tokens, torch.zeros(WIDTH))


def test_single_positions_layers_and_heads_need_no_list():
    assert Block(3, to=np.int64(5), layers=1, heads=0) == Block([3], to=[5], layers=[1], heads=[0])


@pytest.mark.parametrize("arms", [[Ablate([1], torch.zeros(WIDTH))], [["Ablate"]]])
def test_arms_that_are_no_lists_of_interventions_are_refused(vlm, stimulus, arms):
    with pytest.raises(
        (VLMError, TypeError), match=r"An arm is a list of Ablate and Block|Type-check error"
    ):
        vlm.next_token(stimulus, arms)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_must_be_finite(value):
    with pytest.raises(VLMError, match="not finite"):
        Ablate([1], torch.full((WIDTH,), value))


def test_sources_and_targets_may_be_tensors_of_different_lengths(stimulus):
    block = Block(stimulus.visual[:7], to=stimulus.visual[-4:], layers=[0])
    assert (len(block.source), len(block.targets)) == (7, 4)


@given(source=st.sets(st.integers(0, 12)), to=st.sets(st.integers(0, 12)))
def test_causal_blocks_hold_every_edge_that_exists_once(source, to):
    blocks = causal_blocks(source, to, layers=[0])
    edges = [
        (each, target) for block in blocks for each in block.source for target in block.targets
    ]
    assert sorted(edges) == sorted(
        (each, target) for each in source for target in to if each <= target
    )


@given(
    source=st.sets(st.integers(0, 9), min_size=1),
    to=st.sets(st.integers(9, 19), min_size=1),
    tokens=st.sets(st.integers(0, 19)),
)
def test_the_first_affected_position_is_a_target_or_an_ablated_token(source, to, tokens):
    arm = [Block(source, to, [0]), Ablate(tokens, torch.zeros(2))]
    assert first_affected(arm, 20) == min(to | tokens)
    assert first_affected([], 20) == 20
