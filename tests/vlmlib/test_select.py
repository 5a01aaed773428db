"""Token selection on the grid: does every function return the region it names, in ascending
positions?"""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.tiny import picture, tiny_vlm
from vlmlib import Stimulus, VLMError, select

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
    first, again = (
        select.random(STIMULUS, k, np.random.default_rng(seed)).tolist() for _ in range(2)
    )
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
        if all(
            0 <= r + down < ROWS and 0 <= c + across < COLS and (r + down, c + across) not in here
            for r, c in here
        )
    ]
    if moved is None:
        assert not here or not shifts
    else:
        shifted = [{(r + down, c + across) for r, c in here} for down, across in shifts]
        assert cells(moved) in shifted


def test_every_free_place_of_the_control_is_drawn():
    corner = STIMULUS.visual[:1]
    seen = set()
    for seed in range(300):
        moved = select.shape_matched(STIMULUS, corner, np.random.default_rng(seed))
        assert moved is not None
        seen.add(int(moved[0]))
    assert seen == set(STIMULUS.visual[1:].tolist())


@pytest.mark.parametrize("function", [lambda s, t: select.buffer(s, t, 1), select.complement])
def test_a_position_that_is_no_visual_token_is_refused(function):
    with pytest.raises(VLMError, match="position 0, which is no visual token"):
        function(STIMULUS, torch.tensor([0]))


numbers = st.lists(st.integers(-3, 3), min_size=ROWS * COLS, max_size=ROWS * COLS)


def with_norms(norms: torch.Tensor) -> Stimulus:
    """The stimulus with visual tokens of these norms, in random directions, and text tokens of a
    huge one."""
    embeddings = torch.full_like(STIMULUS.embeddings, 1e6)
    directions = torch.randn(
        len(norms), embeddings.shape[1], generator=torch.Generator().manual_seed(0)
    )
    embeddings[STIMULUS.visual] = norms[:, None] * directions / directions.norm(dim=1, keepdim=True)
    return dataclasses.replace(STIMULUS, embeddings=embeddings)


def test_register_tokens_have_a_norm_far_above_the_mean():
    """Register tokens have a norm more than two deviations above the mean."""
    norms = torch.full((16,), 10.0)
    norms[3], norms[7], norms[9] = 14.0, 9.0, 6.0
    stimulus = with_norms(norms)
    assert select.register(stimulus).tolist() == [stimulus.visual[3]]
    assert select.register(stimulus, two_sided=True).tolist() == stimulus.visual[[3, 9]].tolist()
    assert select.register(stimulus, deviations=3.0).tolist() == []
    assert (
        select.register(stimulus, deviations=0.3, two_sided=True).tolist()
        == stimulus.visual[[3, 7, 9]].tolist()
    )


def test_where_all_norms_are_equal_no_token_is_a_register_token():
    stimulus = dataclasses.replace(STIMULUS, embeddings=torch.ones_like(STIMULUS.embeddings))
    assert len(select.register(stimulus)) == len(select.register(stimulus, two_sided=True)) == 0


def test_the_deviation_is_that_of_this_images_visual_tokens():
    """The deviation is that of the population of this image's visual tokens."""
    norms = torch.ones(16)
    # mean 2, population deviation sqrt(15), so the outlier lies 15 / sqrt(15) = 3.87 of them away
    norms[0] = 17.0
    stimulus = with_norms(norms)
    assert select.register(stimulus, deviations=3.87).tolist() == [stimulus.visual[0]]
    assert select.register(stimulus, deviations=3.88).tolist() == []


@settings(deadline=None)
@given(
    norms=st.lists(st.integers(1, 40), min_size=16, max_size=16), order=st.permutations(range(16))
)
def test_register_tokens_follow_their_norms_wherever_they_stand(norms, order):
    norms = torch.tensor(norms, dtype=torch.float32)
    for two_sided in (False, True):
        here = select.register(with_norms(norms), 1.5, two_sided) - STIMULUS.visual[0]
        moved = select.register(with_norms(norms[list(order)]), 1.5, two_sided) - STIMULUS.visual[0]
        assert sorted(order[each] for each in moved.tolist()) == here.tolist()


@given(scores=numbers, k=st.integers(0, ROWS * COLS))
def test_the_top_tokens_are_the_first_of_a_stable_sort(scores, k):
    """The top tokens are the first of a stable sort from large to small."""
    ranked = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
    expected = STIMULUS.visual[sorted(ranked[:k])].tolist()
    assert select.top(STIMULUS, torch.tensor(scores, dtype=torch.float32), k).tolist() == expected


@given(order=st.permutations(range(ROWS * COLS)), k=st.integers(0, ROWS * COLS))
def test_the_top_tokens_follow_their_scores_wherever_they_stand(order, k):
    chosen = select.top(STIMULUS, torch.tensor(order, dtype=torch.float32), k) - STIMULUS.visual[0]
    assert {order[each] for each in chosen.tolist()} == set(range(ROWS * COLS - k, ROWS * COLS))


@settings(deadline=None)
@given(region=regions, seed=st.integers(0, 99))
def test_as_many_tokens_as_a_region_has_are_as_many_as_its_count(region, seed):
    like = tokens_at(region)
    scores = torch.from_numpy(np.random.default_rng(seed).normal(size=region.size))
    drawn, counted = (
        select.random(STIMULUS, k, np.random.default_rng(seed)) for k in (like, int(region.sum()))
    )
    assert drawn.tolist() == counted.tolist()
    assert (
        select.top(STIMULUS, scores, like).tolist()
        == select.top(STIMULUS, scores, len(like)).tolist()
    )
    assert len(drawn) == len(like)


def test_random_tokens_of_a_seed_stay_the_same():
    ours, plain = np.random.default_rng(0), np.random.default_rng(0)
    for _ in range(3):
        drawn = select.random(STIMULUS, 5, ours) - STIMULUS.visual[0]
        assert drawn.tolist() == sorted(plain.choice(16, size=5, replace=False).tolist())


@pytest.mark.parametrize("k", [17, -1])
def test_more_top_tokens_than_there_are_is_an_error(k):
    with pytest.raises(VLMError, match=f"top was asked for {k} of 16"):
        select.top(STIMULUS, torch.zeros(16), k)


@pytest.mark.parametrize("scores", [torch.zeros(33), torch.tensor([float("nan")] + [0.0] * 15)])
def test_scores_are_a_number_for_each_visual_token(scores):
    with pytest.raises(VLMError, match=r"the 16 visual tokens, in the order of stimulus\.visual"):
        select.top(STIMULUS, scores, 3)
