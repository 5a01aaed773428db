"""The forest plot: does each claim stand on the side of its bound where its numbers lie?

Fails if an interval is drawn on another side than its verdict, if a range's far end is not shown,
if a claim without an estimate is dropped, or if groups or papers are mixed.
"""

import io
import math

import numpy as np
import pandas as pd
import pytest

from claimlib import Totals, in_every_setting, near, negligible, within, within_factor
from claimlib.data import figures
from claimlib.page.forest import MARKS, forest
from claimlib.verdicts import SUPPORTED

PAPER = "On coins"


def verdict(claim: str, **more) -> dict:
    """What verdicts.json has of a share above a half."""
    told = {
        **{"claim": claim, "paper": PAPER, "section": "1", "subject": "mine", "group": "Measured"},
        **{"outcome": "supported", "reason": "", "why": "", "kind": "exceeds", "estimate": 0.7},
        **{"interval": [0.6, 0.8], "unit": "share", "n": 100, "required": "> 50%"},
        **{"required_range": [0.5, None], "sampled": True},
    }
    return told | more


def document(*verdicts: dict, not_run: tuple[dict, ...] = (), more: tuple[dict, ...] = ()) -> dict:
    claims = {
        (each["paper"], each["claim"]): {key: each[key] for key in ("paper", "claim", "section")}
        for each in (*verdicts, *more)
    }
    return {"claims": [*claims.values()], "verdicts": [*verdicts], "not_run": [*not_run]}


def lines(document: dict, group: str = "Measured") -> list[dict]:
    table = pd.read_csv(io.StringIO(forest(document)[f"forest.{group}"].csv))
    return table.to_dict("records")


def drawn(**more) -> tuple[float, float, float, float]:
    """Where a verdict lies from its bound, to the right if that supports it, and how far there."""
    [line] = lines(document(verdict("heads", **more)))
    keys = ("from_bound_low", "from_bound", "from_bound_high", "supports_up_to")
    return tuple(line[key] for key in keys)


POINTS = "difference of shares"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, (0.1, 0.2, 0.3, math.inf)),
        ({"required_range": [None, 0.5]}, (-0.3, -0.2, -0.1, math.inf)),
        ({"required_range": [None, 0.9], "unit": POINTS}, (0.1, 0.2, 0.3, math.inf)),
        # of a range the nearer end is the bound, and inside is to the right
        ({"required_range": [0.6, 0.9]}, (0.0, 0.1, 0.2, 0.3)),
        ({"required_range": [0.2, 0.75]}, (-0.05, 0.05, 0.15, 0.55)),
        # of another unit in shares of the bound
        ({"required_range": [0.5, 1], "unit": "layers"}, (0.2, 0.4, 0.6, 1.0)),
        ({"required_range": [-0.1, 0.1], "estimate": 0.08, "interval": [0.05, 0.2]},
         (-0.1, 0.02, 0.05, 0.2)),
        (
            {"required_range": [576, 576], "unit": "tokens",
             "estimate": 576, "interval": [576, 576], "sampled": False},
            (0, 0, 0, 0),
        ),
        ({"interval": [None, 0.8]}, (-math.inf, 0.2, 0.3, math.inf)),
        ({"required_range": [None, None]}, (math.nan,) * 4),
    ],
)  # fmt: skip
def test_what_supports_lies_to_the_right_of_the_bound(more, expected):
    """Whatever the words or the kind are."""
    for beside in ({}, {"kind": "a new one", "required": "more than 3 of 4"}):
        assert drawn(**more, **beside) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("found", "bound"),
    [
        (near(np.tile([11.0, 14.0], 50), 12.6, 0.1, scale=12.6, bounds=(0, 576)), 12.6 * 0.9),
        (within_factor(np.tile([0.0, 0.1], 60), printed=0.065, factor=2), 0.065 / 2),
        (within(np.tile([24.0, 28.0], 30), 16, math.inf, bounds=(0, 32)), 16),
        (in_every_setting({"one": negligible(Totals(30, 100), 0.1)}), 0.1),
    ],
)
def test_a_claim_is_drawn_from_the_bound_that_its_rule_has(found, bound):
    [line] = lines(document(verdict("heads", **figures(found))))
    assert line["bound"] == pytest.approx(bound)
    assert (line["from_bound_low"] > 0) is (found.outcome == SUPPORTED)


def test_numbers_stand_beside_in_words():
    told = [
        verdict("a"),
        verdict("b", unit=POINTS, required="more than the control by > 2.0 points"),
        verdict("c", unit="layers", estimate=25.68, interval=[20, 30], required="peak 20 to 33"),
    ]
    assert [each["in_words"] for each in lines(document(*told))] == [
        "70.0% [60.0, 80.0]; > 50%",
        "70.0 [60.0, 80.0] pts; > 2.0 pts",
        "25.7 [20, 30] layers; peak 20 to 33",
    ]


def test_an_undecided_claim_says_why_in_the_picture_and_in_its_numbers(monkeypatch):
    """In the picture where there is room."""
    words: list[str] = []
    monkeypatch.setattr("claimlib.page.forest.drawable", lambda text: words.append(text) or text)
    few = {"outcome": "undecided", "reason": "too few images"}
    long = f"more than {'9' * 30}"
    told = [verdict("a", **few), verdict("b"), verdict("c", required=long, **few)]
    reasons = [each["reason"] for each in lines(document(*told))]
    assert reasons == ["too few images", pytest.approx(math.nan, nan_ok=True), "too few images"]
    assert "70.0% [60.0, 80.0]; > 50%; too few images" in words
    assert "70.0% [60.0, 80.0]; > 50%" in words
    assert sum("too few" in each for each in words) == 1


def test_a_title_of_two_lines_is_one_papers():
    [line] = lines(document(verdict("heads", paper="On\ncoins")))
    assert line["paper"] == "On coins"


def test_claims_stand_by_section_and_as_the_paper_has_them():
    """Sections as on the pages."""
    told = [verdict("c", section="10"), verdict("b", section="2.1"), verdict("a", section="2.1")]
    told += [verdict("d", section="abstract"), verdict("e", section="appendix 2")]
    told += [verdict("f", section="1")]
    found = document(*told)
    found["claims"].reverse()
    assert [each["claim"] for each in lines(found)] == ["d", "e", "f", "a", "b", "c"]


def test_a_claim_without_an_estimate_is_listed():
    """As one that was not run is, where there is a reason; one that is not about the group is
    not."""
    none = verdict(
        "none", outcome="undecided", estimate=None, interval=[None, None], why="no images"
    )
    reasons = {"a": "It has no gradients.", "b": "not applicable"}
    not_run = tuple(
        {"claim": claim, "paper": PAPER, "subject": "mine", "board": "not run", "reason": why}
        for claim, why in reasons.items()
    )
    known = tuple({"paper": PAPER, "claim": claim, "section": "1"} for claim in reasons)
    found = document(verdict("heads"), none, not_run=not_run, more=known)
    assert {each["claim"]: each["in_words"] for each in lines(found)} == {
        "heads": "70.0% [60.0, 80.0]; > 50%",
        "none": "undecided: no images",
        "a": "not run: It has no gradients.",
    }
    assert forest(found)["forest.Measured"].tells.startswith("1 supported, 1 undecided, 1 not run.")


def test_each_group_has_a_figure_of_its_own():
    found = document(verdict("heads"), verdict("heads", group="As published", subject="printed"))
    assert list(forest(found)) == ["forest.Measured", "forest.As published"]
    assert [each["subject"] for each in lines(found, "As published")] == ["printed"]


def test_papers_with_claims_of_one_name_are_kept_apart():
    found = document(verdict("heads"), verdict("heads", paper="On dice", estimate=0.9))
    assert [(each["paper"], each["estimate"]) for each in lines(found)] == [
        (PAPER, 0.7),
        ("On dice", 0.9),
    ]


def test_names_that_are_no_markup_or_formula_are_drawn():
    nasty = "<script>alert(1)</script> $x_ \N{DOG FACE}"
    figure = forest(document(verdict(nasty, subject=nasty, section=nasty)))["forest.Measured"]
    assert "<script>" not in figure.svg


def test_the_same_verdicts_make_the_same_picture():
    found = document(verdict("heads"), verdict("tails", outcome="refuted", estimate=0.2))
    assert forest(found) == forest(found)


def test_outcomes_differ_in_the_shape_of_their_marks():
    assert len({mark["marker"] for mark in MARKS.values()}) == len(MARKS) == 3
