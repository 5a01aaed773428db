"""Verdicts in plain words: do they say what the numbers say?

Fails if a word contradicts the outcome, if what would change a verdict would not, or if a verdict
of some shape has no words.
"""

import re
from dataclasses import replace

import numpy as np
import pytest

from claimlib import Totals, Verdict, agrees, counted_equal, exceeds, exists, negligible, peaks
from claimlib.data import figures
from claimlib.page.words import REASONS, REMEDIES, ended, in_words, what_would_change
from claimlib.verdicts import (
    CONTROL_FAILED,
    DID_NOTHING,
    NO_ROOM,
    OVERLAP_UNKNOWN,
    UNDECIDED,
    in_every_setting,
    left_out,
    no_images,
)


def plain(verdict: Verdict) -> dict:
    """A verdict as verdicts.json has it."""
    parts = [{"part": name, **figures(part)} for name, part in verdict.parts]
    average = figures(verdict.on_average) if verdict.on_average else None
    more = {"parts": parts, "decided_by": verdict.decided_by, "on_average": average}
    return figures(verdict) | more


@pytest.mark.parametrize(
    ("heads", "begins"),
    [(90, "Shown: 90.0% on"), (10, "The contrary is shown: 10"), (52, "Open: ")],
)
def test_the_first_words_are_the_outcome(heads, begins):
    assert in_words(plain(exceeds(Totals(heads, 100), threshold=0.5))).startswith(begins)


def test_parts_say_in_how_many_settings_it_holds_and_which_decides():
    high, low = exceeds(Totals(90, 100), 0.5), exceeds(Totals(10, 100), 0.5)
    few = exceeds(Totals(6, 10), 0.5)
    for parts, begins in (
        ({"a": high, "b": high}, "Shown in all 2 settings, least clearly in a: "),
        ({"a": high, "b": low}, "Shown in 1 of 2 settings; the contrary most clearly in b: 10.0%"),
        ({"a": high, "b": few}, "Shown in 1 of 2 settings; most doubtful is b: 60.0% on 10"),
    ):
        assert in_words(plain(in_every_setting(parts))).startswith(begins)
    told = in_words(plain(in_every_setting({"a": high, "b": low}, on_average=few)))
    assert "On average over the settings it is undecided: 60.0% on 10 images" in told


@pytest.mark.parametrize("share", [0.55, 0.6, 0.66])
@pytest.mark.parametrize("n", [30, 60])
def test_so_many_images_would_decide_and_half_as_many_would_not(share, n):
    """The estimate stays where it is."""
    verdict = exceeds(Totals(round(share * n), n), threshold=0.5)
    told = " ".join(what_would_change(plain(verdict)))
    found = re.search(r"About ([\d,]+) images would decide it", told)
    assert (found is not None) == (verdict.reason == "too few images")
    if found:
        needed, rate = int(found[1].replace(",", "")), round(share * n) / n
        assert exceeds(Totals(round(1.15 * needed * rate), round(1.15 * needed)), 0.5).outcome != (
            UNDECIDED
        )
        half = needed // 2
        assert exceeds(Totals(round(half * rate), half), threshold=0.5).outcome == UNDECIDED


def test_the_distance_to_the_bound_is_that_of_the_nearer_end():
    told = what_would_change(plain(exceeds(Totals(422, 488), threshold=0.5)))
    assert told == [
        "The nearer end of the interval, 83.1%, lies 33.1 points from the bound of 50.0%."
    ]
    told = what_would_change(plain(negligible(Totals(0, 100), margin=0.1)))
    assert told[0].startswith("The nearer end of the interval, 3.0%, lies 7.0 points from")


def test_at_the_bound_no_number_of_images_is_promised():
    told = " ".join(what_would_change(plain(exceeds(Totals(51, 100), threshold=0.5))))
    assert "images would decide it" not in told
    assert "Another bound would decide it" in told


def test_what_hangs_on_one_image_says_so():
    verdict = exceeds(Totals(90, 100), threshold=0.5)
    assert "One image" not in " ".join(what_would_change(plain(verdict)))
    told = what_would_change(plain(replace(verdict, fragile=True)))
    assert told[-1] == "One image more or less would change it."


@pytest.mark.parametrize("cause", [CONTROL_FAILED, DID_NOTHING, NO_ROOM, OVERLAP_UNKNOWN])
def test_a_cause_says_what_it_is_and_what_would_help(cause):
    verdict = replace(exceeds(Totals(52, 100), 0.5), cause=cause)
    assert REASONS[cause] in in_words(plain(verdict))
    assert REMEDIES[cause] in what_would_change(plain(verdict))


FLAT_CURVE = peaks(np.ones((30, 9)), range(9), 4, 6)
SEEN_TWICE = exists(Totals(2, 170), Totals(0, 170), at_least=5)
COARSE = agrees(Totals(50, 100), Totals(20, 39), margin=0.1)


@pytest.mark.parametrize("verdict", [FLAT_CURVE, SEEN_TWICE, COARSE])
def test_a_cause_without_a_remedy_says_why(verdict):
    assert REASONS[verdict.reason] in in_words(plain(verdict))
    assert ended(verdict.why) in what_would_change(plain(verdict))


def test_a_cause_that_nobody_knows_is_told_in_its_own_words():
    verdict = replace(exceeds(Totals(52, 100), 0.5), cause="tired coin", why="it lies on its edge")
    assert in_words(plain(verdict)).endswith(" Tired coin.")
    assert "It lies on its edge." in what_would_change(plain(verdict))
    parts = in_every_setting({"a": verdict})
    told = what_would_change(plain(parts))
    assert told.count("Open: a.") == 1


@pytest.mark.parametrize(
    ("verdict", "told", "change"),
    [
        (no_images("exceeds", "> 50%"), "Not measured: No images are left.", "It takes images"),
        (left_out("exceeds", "It has none."), "Not measured: It has none.", "What it takes would"),
        (
            counted_equal(391, 576, unit="tokens"),
            "The contrary is shown: counted, 391 tokens; the claim asks for 576 tokens.",
            "Nothing but another count",
        ),
        (
            replace(exceeds(np.ones(30, bool), 0.5), threshold=None),
            "Shown: 100.0% on 30 images (95% interval",
            "Its test has p = ",
        ),
    ],
)
def test_verdicts_of_every_shape_have_words(verdict, told, change):
    assert in_words(plain(verdict)).startswith(told)
    assert what_would_change(plain(verdict))[0].startswith(change)
