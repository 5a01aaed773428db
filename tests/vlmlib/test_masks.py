"""The masks of a pass, entry by entry against their definition.

Fails if an edge is allowed that the model, an arm's start, a block or another arm forbids, or
forbidden without reason.
"""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmlib import Block
from vlmlib.layout import Layout
from vlmlib.masks import Masks
from vlmlib.plan import Pass

LENGTH, HEADS, LAYERS = 12, 2, 3


@st.composite
def drawn(draw) -> dict:
    """A pass of up to three arms with a block each, and windows."""
    count, packed = draw(st.integers(1, 3)), draw(st.booleans())
    starts = draw(st.lists(st.integers(0, LENGTH - 1), min_size=count, max_size=count))
    if not packed:
        starts = [min(starts)] * count
    blocks = []
    for start in starts:
        to = draw(st.sets(st.integers(start, LENGTH - 1), min_size=1, max_size=3))
        source = draw(st.sets(st.integers(0, min(to)), max_size=4))
        layers = draw(st.sets(st.integers(0, LAYERS - 1)))
        blocks.append((source, to, layers, draw(st.none() | st.sets(st.integers(0, HEADS - 1)))))
    windows = draw(st.lists(st.none() | st.integers(1, LENGTH), min_size=LAYERS, max_size=LAYERS))
    return {"packed": packed, "starts": starts, "blocks": blocks, "windows": windows}


def defined(case: dict, layer: int) -> torch.Tensor:
    """The same masks, one edge after another."""
    starts, prefix = case["starts"], max(case["starts"])
    own = [(arm, position) for arm, start in enumerate(starts) for position in range(start, LENGTH)]
    rows = [[each for each in own if each[0] == arm] for arm in range(len(starts))]
    if case["packed"]:
        rows = [own]
    shared = [(None, position) for position in range(prefix)]
    mask = torch.zeros(len(rows), HEADS, len(rows[0]), prefix + len(rows[0]), dtype=torch.bool)
    window = case["windows"][layer] or LENGTH
    for row, queries in enumerate(rows):
        for q, (arm, query) in enumerate(queries):
            source, to, layers, heads = case["blocks"][arm]
            for k, (owner, key) in enumerate([*shared, *queries]):
                is_there = key < starts[arm] if owner is None else owner == arm
                for head in range(HEADS):
                    at = layer in layers and (heads is None or head in heads)
                    blocked = at and query in to and key in source
                    mask[row, head, q, k] = is_there and key <= query < key + window and not blocked
    return mask


def laid_out(starts: Sequence[int], packed: bool) -> Layout:
    return Layout.of(Pass(tuple(range(len(starts))), tuple(starts), packed), LENGTH, "cpu")


def made(case: dict, additive: torch.dtype | None = None) -> Masks:
    arms = [[Block(*block)] for block in case["blocks"]]
    layout = laid_out(case["starts"], case["packed"])
    return Masks(layout, arms, case["windows"], HEADS, additive)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(drawn())
def test_every_edge_is_as_defined(case):
    masks = made(case)
    for layer in range(LAYERS):
        expected = defined(case, layer)
        assert torch.equal(masks.layer(layer).expand_as(expected), expected)


@settings(max_examples=30, deadline=None)
@given(drawn())
def test_an_additive_mask_is_zero_where_the_boolean_one_allows(case):
    """An additive mask is zero where the boolean one allows and lowest elsewhere."""
    boolean, additive = made(case), made(case, additive=torch.float32)
    for layer in range(LAYERS):
        values = additive.layer(layer)
        assert torch.equal(values == 0, boolean.layer(layer))
        assert bool(((values == 0) | (values == torch.finfo(torch.float32).min)).all())


@settings(max_examples=80, deadline=None)
@given(drawn())
def test_an_arms_positions_are_where_the_layout_says(case):
    layout = laid_out(case["starts"], case["packed"])
    lasts = zip(*layout.lasts(), strict=True)
    for arm, (start, last) in enumerate(zip(case["starts"], lasts, strict=True)):
        row, columns = layout.at(arm, range(start, LENGTH))
        assert row == (0 if case["packed"] else arm)
        assert layout.queries[columns].tolist() == list(range(start, LENGTH))
        assert set(layout.query_owners[columns].tolist()) == {arm if case["packed"] else 0}
        assert last == (row, columns[-1])


def test_layers_that_block_the_same_share_one_mask():
    block = Block([1], to=LENGTH - 1, layers=[0, 1])
    masks = Masks(laid_out([LENGTH - 1], packed=True), [[block]], [None] * LAYERS, HEADS)
    assert masks.layer(0) is masks.layer(1)
    assert not torch.equal(masks.layer(1), masks.layer(2))


@pytest.mark.parametrize(
    ("starts", "arms", "own"),
    [
        ((0, 0), [[], []], True),
        ((3, 3), [[], []], False),
        ((0, 0), [[Block([1], to=4, layers=[0])], []], False),
    ],
)
def test_only_whole_sequences_without_a_block_are_left_to_the_model(starts, arms, own):
    masks = Masks(laid_out(starts, packed=False), arms, [None] * LAYERS, HEADS)
    assert masks.are_the_models_own is own
