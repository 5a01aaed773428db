"""Token selection on the grid: does every function return the region it names, in ascending positions?"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.tiny import picture, tiny_vlm
from vlmlib import VLMError, select

STIMULUS = tiny_vlm().read(picture(), "Is there a dog in this image?")
ROWS, COLS = STIMULUS.grid
regions = arrays(bool, (ROWS, COLS))


def tokens_at(region: np.ndarray) -> torch.Tensor:
    return STIMULUS.visual[torch.from_numpy(region.ravel())]


def cells(tokens: torch.Tensor) -> set[tuple[int, int]]:
    return {divmod(int(token - STIMULUS.visual[0]), COLS) for token in tokens}


@settings(deadline=None)
@given(region=regions, n=st.integers(0, 3))
def test_a_buffer_is_every_cell_at_most_n_rows_and_columns_away(region, n):
    inside = {(row, col) for row, col in np.argwhere(region)}
    expected = {
        (row, col)
        for row in range(ROWS)
        for col in range(COLS)
        if any(max(abs(row - r), abs(col - c)) <= n for r, c in inside)
    }
    assert cells(select.buffer(STIMULUS, tokens_at(region), n)) == expected


@settings(deadline=None)
@given(region=regions)
def test_a_region_and_its_complement_are_all_visual_tokens(region):
    tokens = tokens_at(region)
    joined = torch.cat([tokens, select.complement(STIMULUS, tokens)])
    assert joined.sort().values.tolist() == STIMULUS.visual.tolist()


def test_the_last_row_is_the_bottom_of_the_grid():
    assert cells(select.last_row(STIMULUS)) == {(ROWS - 1, col) for col in range(COLS)}


@given(k=st.integers(0, ROWS * COLS), seed=st.integers(0, 99))
def test_random_tokens_are_k_different_ones_and_repeat_with_their_seed(k, seed):
    first, again = (select.random(STIMULUS, k, np.random.default_rng(seed)).tolist() for _ in range(2))
    assert first == again == sorted(set(first))
    assert len(first) == k
    assert set(first) <= set(STIMULUS.visual.tolist())


def test_more_random_tokens_than_there_are_is_an_error():
    with pytest.raises(VLMError, match="17 of 16"):
        select.random(STIMULUS, 17, np.random.default_rng(0))


@settings(deadline=None)
@given(region=regions, seed=st.integers(0, 99))
def test_the_control_is_the_same_shape_elsewhere_or_has_no_place(region, seed):
    tokens = tokens_at(region)
    moved = select.shape_matched(STIMULUS, tokens, np.random.default_rng(seed))
    here = cells(tokens)
    shifts = [
        (down, across)
        for down in range(-ROWS, ROWS)
        for across in range(-COLS, COLS)
        if all(0 <= r + down < ROWS and 0 <= c + across < COLS and (r + down, c + across) not in here for r, c in here)
    ]
    if moved is None:
        assert not here or not shifts
    else:
        shifted = [{(r + down, c + across) for r, c in here} for down, across in shifts]
        assert cells(moved) in shifted


def test_every_free_place_of_the_control_is_drawn():
    corner = STIMULUS.visual[:1]
    seen = {int(select.shape_matched(STIMULUS, corner, np.random.default_rng(seed))[0]) for seed in range(300)}
    assert seen == set(STIMULUS.visual[1:].tolist())


@pytest.mark.parametrize("function", [lambda s, t: select.buffer(s, t, 1), select.complement])
def test_a_position_that_is_no_visual_token_is_refused(function):
    with pytest.raises(VLMError, match="position 0, which is no visual token"):
        function(STIMULUS, torch.tensor([0]))
