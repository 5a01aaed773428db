"""Verdicts as values: how one prints, and how several become one, or a table.

Fails if a claim about every setting is supported while a part is open, if several parts or cells
refute a true claim (or support a false one) more often than one would, or if a correction rescues
what a control took away.
"""

import gc
import html
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy.stats import norm

from claimlib.controls import where_alive
from claimlib.curves import within
from claimlib.errors import ClaimError
from claimlib.paired import greater, no_more
from claimlib.samples import Totals
from claimlib.shares import exceeds, negligible
from claimlib.tables import reproduces
from claimlib.verdicts import (
    REFUTED,
    SUPPORTED,
    UNDECIDED,
    Verdict,
    counted_above,
    counted_equal,
    decide,
    further,
    in_every_setting,
    no_images,
    number,
)

P_VALUES = st.floats(1e-6, 1.0)


@pytest.fixture(scope="module", autouse=True)
def without_collecting_garbage():
    """statsmodels collects the whole process's garbage in every correction, which takes as long as
    all these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "collect", lambda: 0)
        yield


def judged(p: float, p_against: float = 1.0, alpha: float = 0.025, **fields) -> Verdict:
    outcome = decide(p, p_against, alpha)
    verdict = Verdict(
        kind="exceeds",
        outcome=outcome,
        estimate=0.945,
        interval=(0.905, 0.971),
        level=0.95,
        n=217,
        required="> 50%",
        required_range=(0.5, math.inf),
        p=p,
        p_against=p_against,
        alpha=alpha,
    )
    return replace(verdict, **fields)


def test_a_verdict_prints_itself_in_one_line():
    verdict = judged(
        1e-9, detectable="could have shown > 57.1%", control="control 0.0% of 217, discordant 205:0"
    )
    line = (
        "supported: 94.5% [90.5%, 97.1%], n = 217, required > 50% (95% interval, p < 0.001); could "
        "have shown > 57.1%; "
        "control 0.0% of 217, discordant 205:0"
    )
    assert str(verdict) == line
    assert str(replace(verdict, fragile=True)) == line + "; one image would change this"


def test_a_refutation_prints_its_own_p_and_an_undecided_its_reason():
    assert "(95% interval, p = 0.004 against)" in str(judged(0.9, 0.004))
    assert str(judged(0.3, 0.7, why="the interval includes 50%")).endswith(
        "p = 0.300); the interval includes 50%"
    )


def test_a_number_that_is_no_share_prints_with_its_unit():
    verdict = judged(0.01, estimate=25.68, interval=(24.94, 26.4), required="> 16", unit="layers")
    assert str(verdict).startswith(
        "supported: 25.7 [24.9, 26.4] layers, n = 217, required > 16 (95%"
    )
    assert (number(1140.4, "tokens"), number(math.inf, ""), number(-0.0001, "%")) == (
        "1,140",
        "inf",
        "0.0%",
    )


def test_without_images_only_that_is_said():
    assert str(no_images("exceeds", "> 50%")) == "undecided: no images are left, required > 50%"


def test_what_is_counted_has_no_interval():
    counted = {
        "more": counted_above(0.954, threshold=0.95),
        "not more": counted_above(7_000_000_000, threshold=7_000_000_000, unit="parameters"),
        "as much": counted_equal(576, expected=576, unit="tokens"),
        "not as much": counted_equal(391, expected=576, unit="tokens"),
    }
    outcomes = [SUPPORTED, REFUTED, SUPPORTED, REFUTED]
    assert [verdict.outcome for verdict in counted.values()] == outcomes
    assert [str(verdict) for verdict in counted.values()] == [
        "supported: 95.4%, required > 95.0% (counted, not sampled)",
        "refuted: 7,000,000,000, required > 7,000,000,000 parameters (counted, not sampled)",
        "supported: 576, required 576 tokens (counted, not sampled)",
        "refuted: 391, required 576 tokens (counted, not sampled)",
    ]
    assert {verdict.sampled for verdict in counted.values()} == {False}


def test_every_part_must_be_supported_and_the_weakest_is_shown():
    verdict = in_every_setting(
        {"generative": judged(1e-5), "polling": judged(0.02), "VQA": judged(1e-4)}
    )
    assert (verdict.outcome, verdict.decided_by, verdict.p, len(verdict.parts)) == (
        SUPPORTED,
        "polling",
        0.02,
        3,
    )
    assert str(verdict).startswith(
        "supported: 3 of 3 parts supported; weakest: polling: 94.5% [90.5%, 97.1%], n = 217"
    )
    assert in_every_setting({"a": judged(0.02), "b": judged(0.03)}).outcome == UNDECIDED


def test_an_open_part_leaves_the_claim_open_and_is_named():
    verdict = in_every_setting({"a": judged(0.001), "b": judged(0.3), "c": judged(0.6)})
    assert (verdict.outcome, verdict.decided_by, verdict.why) == (UNDECIDED, "c", "open: b, c")
    assert str(verdict).startswith(
        "undecided: 1 of 3 parts supported; open: b, c; most doubtful: c: 94.5%"
    )
    taken = judged(
        1e-9, outcome=UNDECIDED, why="the negative control may do as much on these images"
    )
    assert in_every_setting({"a": judged(0.001), "b": taken}).why == "open: b"


def test_one_part_refutes_if_it_withstands_the_correction():
    verdict = in_every_setting({"a": judged(0.001), "b": judged(0.3), "c": judged(1.0, 0.008)})
    assert (verdict.outcome, verdict.decided_by) == (REFUTED, "c")
    assert verdict.p_against == pytest.approx(0.024)
    assert str(verdict).startswith("refuted: 1 of 3 parts supported; refuted by: c: ")
    weak = in_every_setting({"a": judged(0.001), "b": judged(0.001), "c": judged(1.0, 0.009)})
    assert (weak.outcome, weak.why) == (
        UNDECIDED,
        "refuted alone, but not when corrected for 3 parts: c",
    )


def test_parts_of_different_levels_are_compared_by_their_own():
    parts = {"a": judged(0.02), "b": judged(0.03, alpha=0.05)}
    assert in_every_setting(parts).decided_by == "a"
    assert (
        in_every_setting({"a": judged(1.0, 0.02), "b": judged(1.0, 0.024, alpha=0.05)}).decided_by
        == "b"
    )


def test_a_claim_is_fragile_where_the_parts_that_decide_it_are():
    firm, frail = judged(0.001), judged(0.02, fragile=True)
    against, hardly = judged(1.0, 0.001), judged(1.0, 0.002, fragile=True)
    assert in_every_setting({"a": firm, "b": frail}).fragile
    assert not in_every_setting({"a": frail, "b": judged(0.3)}).fragile
    assert in_every_setting({"a": firm, "b": hardly}).fragile
    assert not in_every_setting({"a": against, "b": hardly}).fragile


def test_a_claim_without_parts_is_refused():
    with pytest.raises(ClaimError, match="no parts"):
        in_every_setting({})


def test_the_average_over_settings_is_told_beside():
    parts = {"a": judged(0.001), "b": judged(0.3)}
    average = judged(0.004, estimate=0.7)
    whole = in_every_setting(parts, on_average=average)
    assert whole.outcome == UNDECIDED
    assert whole.on_average == average
    assert "on average supported: 70.0%" in str(whole)
    assert in_every_setting(parts).on_average is None


def test_the_average_decides_nothing_about_every_setting():
    parts = {"a": judged(0.001), "b": judged(0.3)}
    for average in (judged(1e-9), judged(1.0, 1e-9), judged(0.5)):
        whole = in_every_setting(parts, on_average=average)
        assert replace(whole, on_average=None) == in_every_setting(parts)


@pytest.mark.parametrize("against", [1e-6, 0.02])
def test_an_average_is_not_supported_where_a_setting_is_reversed(against):
    """Nor where the reverse is too weak to refute what is said of all settings."""
    parts = {"a": judged(1e-9), "b": judged(1.0, against)}
    whole = in_every_setting(parts, on_average=judged(1e-9))
    assert whole.on_average is not None
    assert (whole.on_average.outcome, whole.on_average.why) == (UNDECIDED, "the reverse: b")
    assert whole.on_average.reason == "a part reversed"
    refuted = in_every_setting(parts, on_average=judged(1.0, 1e-9)).on_average
    assert refuted is not None
    assert refuted.outcome == REFUTED


def test_a_true_value_so_much_further_is_shown_in_four_of_five():
    """Of a normal estimate whose interval's half is 1.96, or 1.64, standard errors."""
    for level in (0.5, 0.9, 0.95):
        half = norm.isf((1 - level) / 2)
        power = norm.sf(half - further(level) * half)
        assert power == pytest.approx(0.8)


def test_many_settings_err_no_more_often_than_one():
    """A claim about many settings is falsely refuted, or supported, as rarely as about one."""
    rng, settings = np.random.default_rng(0), 5
    true = rng.random(
        (2000, settings)
    )  # against a part that is only just true: p against is uniform
    refuted = [
        in_every_setting({str(i): judged(1 - p, p) for i, p in enumerate(row)}).outcome
        for row in true
    ]
    assert (
        0.015 < np.mean([outcome == REFUTED for outcome in refuted]) < 0.025 + 0.007
    )  # 2 standard errors
    false = rng.random(2000)  # one part only just false, all others true beyond doubt
    rows = [
        {"just": judged(p, 1 - p)} | {str(i): judged(1e-9) for i in range(settings)} for p in false
    ]
    assert np.mean([in_every_setting(row).outcome == SUPPORTED for row in rows]) < 0.025 + 0.007


def test_the_short_line_has_figures_requirement_and_reason():
    few, many = Totals(20, 39), Totals(422, 488)
    assert exceeds(many, 0.5).short == "supported: 86.5% [83.1%, 89.4%], n = 488, required > 50%"
    told = "undecided, at the bound: 51.3% [34.8%, 67.6%], n = 39, required > 50%"
    assert exceeds(few, 0.5).short == told
    whole = in_every_setting({"one": exceeds(many, 0.5), "two": exceeds(few, 0.5)})
    assert whole.short.startswith("undecided, at the bound: 1 of 2 parts; two: 51.3%")
    assert no_images("exceeds", "> 50%").short == "undecided, no images: no images, required > 50%"


@pytest.mark.parametrize(
    ("count", "n", "threshold", "reason"),
    [(20, 39, 0.5, "at the bound"), (6, 39, 0.1, "too few images"), (39, 39, 0.5, "")],
)
def test_an_undecided_is_so_for_want_of_images_or_at_the_bound(count, n, threshold, reason):
    """Where ten times as many images at the same share would not decide, it is at the bound."""
    verdict = exceeds(Totals(count, n), threshold)
    assert verdict.reason == reason
    if reason:
        decided = exceeds(Totals(10 * count, 10 * n), threshold).outcome != UNDECIDED
        assert decided == (reason == "too few images")


def test_a_cause_that_is_given_is_the_reason():
    judged_so = judged(0.2, outcome=UNDECIDED, cause="did nothing")
    assert judged_so.reason == "did nothing"
    assert judged(1e-9, cause="did nothing").reason == ""


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0, 95.0, math.nan])
def test_a_level_that_is_none_is_refused_by_every_rule(level):
    hit, miss = np.ones(30, bool), np.zeros(30, bool)
    for call in (
        lambda: greater(hit, miss, level=level),
        lambda: exceeds(hit, 0.5, level=level),
        lambda: within(hit * 1.0, 0.2, 0.9, level=level),
        lambda: reproduces([hit], [Totals(20, 30)], 0.1, level=level),
    ):
        with pytest.raises(ClaimError, match="level"):
            call()


@pytest.mark.parametrize("margin", [math.nan, math.inf, -math.inf, 2])
def test_a_margin_that_is_no_difference_is_refused(margin):
    hit, miss = np.ones(30, bool), np.zeros(30, bool)
    for call in (
        lambda: greater(hit, miss, margin=margin),
        lambda: greater(hit * 1.0, miss * 1.0, margin=margin),
        lambda: greater(Totals(20, 30), Totals(2, 30), margin=margin),
        lambda: no_more(miss, hit, margin=margin),
        lambda: reproduces([hit], [Totals(20, 30)], margin),
    ):
        with pytest.raises(ClaimError, match="margin"):
            call()


@pytest.mark.parametrize("cause", ["control failed", "did nothing"])
def test_an_average_says_nothing_where_a_part_was_not_measured(cause):
    """Nor is it supported beside a part whose control does as much, or whose arm is dead."""
    part = replace(exceeds(np.ones(90, bool), 0.5), outcome=UNDECIDED, cause=cause)
    average = exceeds(np.ones(180, bool), 0.5)
    whole = in_every_setting({"a": part, "b": average}, on_average=average)
    assert whole.on_average is not None
    assert (whole.on_average.outcome, whole.on_average.reason) == (UNDECIDED, cause)
    open_part = replace(part, cause="")
    told = in_every_setting({"a": open_part, "b": average}, on_average=average).on_average
    assert told == average


def test_a_sentence_says_on_how_many_images_nothing_was_done():
    verdict = exceeds(np.arange(300) < 250, 0.5)
    alive = where_alive(verdict, np.arange(300) < 240)
    assert (alive.outcome, alive.dead) == (SUPPORTED, 60)
    assert "it did nothing on 60 images" in str(alive)
    assert where_alive(alive, np.ones(300, bool)).dead == 60


def test_a_notebook_shows_the_whole_finding_and_no_html_of_a_name():
    heads = exceeds(Totals(70, 100), threshold=0.5)
    told = heads._repr_html_()
    assert "<strong>supported</strong>" in told
    assert html.escape(str(heads).removeprefix("supported: ")) in told
    assert "<details>" not in told
    parts = {"<script>": heads, "b": no_images("exceeds", "> 50%")}
    told = in_every_setting(parts)._repr_html_()
    assert "<strong>undecided, no images</strong>" in told
    assert told.count("<li>") == 2
    assert "<script>" not in told


def test_a_verdict_says_what_images_that_share_clusters_are_worth():
    whole, shared = judged(0.1), judged(0.1, effective=40.2, threshold=0.94)
    assert "n = 217," in str(whole)
    assert "n = 217 worth 40," in str(shared)
    assert shared.short.endswith("n = 217 worth 40, required > 50%")
    assert "worth" not in str(judged(0.1, effective=210.0))


@pytest.mark.parametrize(
    ("effective", "reason"),
    [
        (None, "too few images"),
        (217.0, "too few images"),
        (109.0, "too few images"),
        (108.0, "too few clusters"),
        (8.0, "too few clusters"),
    ],
)
def test_too_few_images_are_told_from_too_few_clusters(effective, reason):
    assert judged(0.1, effective=effective, threshold=0.91).reason == reason
    assert judged(0.1, effective=effective, threshold=0.944).reason == "at the bound"


@pytest.mark.parametrize(("share", "shown"), [(0.025, "2.5%"), (0.005, "0.5%"), (0.5, "50%")])
def test_bounds_are_printed_as_they_are(share, shown):
    assert f"required > {shown} " in str(exceeds(Totals(20, 1000), share))
    assert f"required < {shown} " in str(negligible(Totals(20, 1000), share))


@pytest.mark.parametrize("counted", [counted_above, counted_equal])
def test_what_is_no_number_is_not_counted(counted):
    with pytest.raises(ClaimError, match="Pass the number that was counted"):
        counted(math.nan, 3)
