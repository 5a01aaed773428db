"""Steps by which images are chosen, as they are counted and told.

Fails if a bad one is not counted, if a single one ends a run, or if too many do not.
"""

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmlib import VLMError
from vlmlib.study.steps import SHOWN, Step


def step(given: int, bad: int, left: int | None = None) -> Step:
    faults = [(f"{k}.jpg", f"is {'missing' if k % 2 else 'broken'}: {k}") for k in range(bad)]
    return Step.of("images", given, faults, left, "Mend them.")


@given(given=st.integers(0, 500), bad=st.integers(0, 500), share=st.floats(0, 1))
def test_more_than_a_share_is_an_error_but_never_a_single_one(given, bad, share):
    bad = min(bad, given)
    one = step(given, bad)
    assert (one.all_bad, one.left) == (bad, given - bad)
    if given and (bad == given or (bad > 1 and bad > share * given)):
        with pytest.raises(
            VLMError, match=rf"^At .* 'images' {given - bad} of {given} are left\. .*Mend"
        ):
            one.check(share)
    else:
        one.check(share)


def test_a_step_that_leaves_none_is_an_error_without_anything_bad():
    with pytest.raises(VLMError, match=r"^At the step 'images' 0 of 7 are left\. Mend them\.$"):
        step(7, 0, left=0).check(1.0)


def test_a_step_is_told_in_a_line_with_the_first_of_each_reason():
    assert step(4000, 0).told == "4,000 of 4,000 images"
    told = step(4000, 13).told
    assert told == (
        "3,987 of 4,000 images, 13 bad: 7 is broken (0.jpg: 0, 2.jpg: 2, 4.jpg: 4, 6.jpg: 6, "
        "8.jpg: 8, and 2 more); 6 is missing (1.jpg: 1, 3.jpg: 3, 5.jpg: 5, 7.jpg: 7, 9.jpg: 9, "
        "and 1 more)"
    )
    assert told.count(".jpg") == 2 * SHOWN


def test_a_step_comes_back_from_json():
    one = step(40, 13, left=20)
    assert Step(**json.loads(json.dumps(asdict(one)))) == one
