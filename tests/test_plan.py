"""The planner, as a function of numbers.

Fails if an arm is lost or run twice, if a pass starts after an arm's first change or holds too many
positions, or if batches could be cut into fewer positions.
"""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmlib.plan import PACK, PASS_COST, SHORT, WORTH_SHARING, Pass, plan


@st.composite
def drawn(draw) -> tuple[list[int], int, int, bool]:
    length = draw(st.integers(1, 700))
    starts = draw(st.lists(st.integers(0, length), max_size=30))
    return starts, length, draw(st.integers(1, 5000)), draw(st.booleans())


@given(drawn())
def test_every_arm_runs_once_from_where_it_changes_something(case):
    starts, length, max_tokens, pack = case
    made = plan(starts, length, max_tokens, pack)
    assert sorted([*made.clean, *(arm for run in made.passes for arm in run.arms)]) == list(
        range(len(starts))
    )
    assert all(starts[arm] == length for arm in made.clean)
    for run in made.passes:
        assert all(begin <= starts[arm] for arm, begin in zip(run.arms, run.starts, strict=True))
        assert run.packed or len(set(run.starts)) == 1


@given(drawn())
def test_no_pass_computes_more_than_it_may_unless_it_is_one_arm(case):
    starts, length, max_tokens, pack = case
    for run in plan(starts, length, max_tokens, pack).passes:
        assert run.tokens(length) <= max_tokens or len(run.arms) == 1


@given(drawn())
def test_the_clean_pass_reaches_as_far_as_any_pass_needs_and_no_farther(case):
    starts, length, max_tokens, pack = case
    made = plan(starts, length, max_tokens, pack)
    needed = [begin for run in made.passes for begin in run.starts]
    assert made.shared == (length if made.clean else max(needed, default=0))


@given(drawn())
def test_short_suffixes_are_packed_into_packs_of_bounded_size(case):
    starts, length, max_tokens, pack = case
    for run in plan(starts, length, max_tokens, pack).passes:
        assert run.packed == (pack and (length - starts[run.arms[0]]) * SHORT <= length)
        if run.packed and len(run.arms) > 1:
            assert run.tokens(length) <= length // PACK


@given(starts=st.lists(st.integers(0, 99), min_size=1, max_size=7), clean=st.booleans())
def test_no_cut_into_batches_computes_fewer_positions(starts, clean):
    length = 100

    def cost(cuts: tuple[int, ...]) -> int:
        ordered = sorted(start if start * WORTH_SHARING >= length else 0 for start in starts)
        total = 0
        for begin, stop in zip((0, *cuts), (*cuts, len(starts)), strict=True):
            total += (stop - begin) * (length - ordered[begin]) + PASS_COST
        return total + (0 if clean else ordered[cuts[-1] if cuts else 0])

    made = plan([*starts, length] if clean else starts, length, 10**6, pack=False)
    ours = sum(run.tokens(length) + PASS_COST for run in made.passes) + (
        0 if clean else made.shared
    )
    inner = range(1, len(starts))
    assert ours == min(
        cost(cuts) for size in range(len(starts)) for cuts in combinations(inner, size)
    )


def test_no_arm_needs_no_pass():
    made = plan([], 600, 1000)
    assert (made.shared, made.clean, made.passes) == (0, (), ())


def test_table_2_computes_fewer_positions_than_two_forward_passes():
    length = 600
    starts = [599] * 24 + [560] * 12
    made = plan([length, *starts], length, 10**5)
    assert all(run.packed for run in made.passes)
    # as few packs of up to half of it, filled evenly
    assert [run.tokens(length) for run in made.passes] == [252, 252]
    assert made.shared == 600


@pytest.mark.parametrize(("max_tokens", "passes"), [(10**6, 1), (1200, 2), (1, 4)])
def test_a_token_budget_bounds_the_rows_of_a_batch(max_tokens, passes):
    made = plan([0] * 4, 600, max_tokens)
    assert [run.starts for run in made.passes] == [(0,) * (4 // passes)] * passes
    assert isinstance(made.passes[0], Pass)
