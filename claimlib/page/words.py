"""Verdicts in plain words: what was found, and what would change it.

Each takes a verdict as verdicts.json has it.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from claimlib.data import UNITS
from claimlib.verdicts import (
    AT_THE_BOUND,
    CONTROL_FAILED,
    DID_NOTHING,
    FEW_CLUSTERS,
    FEW_IMAGES,
    FLAT,
    LEFT_OUT,
    NO_ROOM,
    NOT_SEEN,
    OVERLAP_UNKNOWN,
    PART_REVERSED,
    TOO_COARSE,
    TOO_FEW,
    amount,
    change,
    number,
    percent,
)

Told = Mapping[str, Any]
TOY = "stand-in"  # what a page calls a subject that is none of the paper's
PRINTED = {told: unit for unit, told in UNITS.items()}  # units as verdicts print them
SIGNS = {">= ": "at least ", "<= ": "at most ", "> ": "more than ", "< ": "less than "}
# Why an undecided claim is one.
REASONS = {
    FEW_IMAGES: "These are too few images to tell.",
    FEW_CLUSTERS: "The images share too few categories to tell.",
    AT_THE_BOUND: "The estimate lies so near to what is asked that ten times as many images "
    "would not decide.",
    CONTROL_FAILED: "A control that has to hold does not, so that the effect may be none of the "
    "claim's.",
    DID_NOTHING: "The intervention changed nothing, so that it shows nothing.",
    NO_ROOM: "The control leaves no room for the effect to show.",
    OVERLAP_UNKNOWN: "It depends on which images the two counts share, which is not printed.",
    PART_REVERSED: "In one setting the reverse is shown.",
    FLAT: "The curve is flat, so that its peak lies anywhere.",
    NOT_SEEN: "It was seen on fewer images than the claim asks for.",
    TOO_COARSE: "The printed share is of so few images that not even itself would agree with it.",
}
# What would decide it, where that is not a number of images; of other reasons `why` is told.
REMEDIES = {
    AT_THE_BOUND: "Another bound would decide it, and be another claim: the estimate lies too "
    "near to this one.",
    CONTROL_FAILED: "A control that holds would decide it; more images alone would not.",
    DID_NOTHING: "An intervention that reaches the answer would decide it.",
    NO_ROOM: "A setting in which the control leaves room would decide it.",
    OVERLAP_UNKNOWN: "Answers by image would decide it, in place of printed counts.",
}


def in_words(verdict: Told) -> str:
    """What was found, as a sentence or a few.

    !!! example

        >>> from claimlib import Totals, exceeds
        >>> from claimlib.data import figures
        >>> print(in_words(figures(exceeds(Totals(422, 488), threshold=0.5)) | {"parts": []}))
        Shown: 86.5% on 488 images (95% interval 83.1% to 89.4%); the claim asks for more than 50%.
    """
    if verdict["estimate"] is None:
        return f"Not measured: {ended(verdict['why'])}"
    reason = verdict["reason"]
    told = [f"{_lead(verdict)}: {found(verdict)}.", REASONS.get(reason, ended(reason))]
    if average := verdict.get("on_average"):
        head = f"On average over the settings it is {average['outcome']}"
        told.append(f"{head}: {measured(average)}.")
    return " ".join(filter(None, told))


def found(verdict: Told) -> str:
    """What was measured, and what is asked.

    !!! example

        >>> from claimlib import counted_equal
        >>> from claimlib.data import figures
        >>> found(figures(counted_equal(391, 576, unit="tokens")))
        'counted, 391 tokens; the claim asks for 576 tokens'
    """
    return f"{measured(verdict)}; the claim asks for {in_full(verdict['required'])}"


def measured(verdict: Told) -> str:
    """The estimate with its interval, and on how many images.

    !!! example

        >>> from claimlib import Totals, exceeds
        >>> from claimlib.data import figures
        >>> measured(figures(exceeds(Totals(422, 488), threshold=0.5)))
        '86.5% on 488 images (95% interval 83.1% to 89.4%)'
    """
    if verdict["estimate"] is None:
        return verdict["why"]
    estimate = amount(verdict["estimate"], unit_of(verdict))
    if not verdict["sampled"]:
        return f"counted, {estimate}"
    images = f"{verdict['n']:,} image" + ("s" if verdict["n"] != 1 else "")
    return f"{estimate} on {images} ({percent(verdict['level'])} interval {interval(verdict)})"


def what_would_change(verdict: Told) -> list[str]:
    """How far a verdict is from another one, and what would bring it there.

    !!! example

        >>> from claimlib import Totals, exceeds
        >>> from claimlib.data import figures
        >>> verdict = figures(exceeds(Totals(30, 50), threshold=0.5)) | {"parts": []}
        >>> print(*what_would_change(verdict), sep="\\n")
        The interval, 45.2% to 73.6%, reaches over the bound of 50.0%.
        About 110 images would decide it, if the estimate stayed where it is; these are 50.
        So many images could have shown at least 70.4%, if it were there.
    """
    if verdict["estimate"] is None:
        left_out = "What it takes would have to be there to be measured."
        return [left_out if verdict["reason"] == LEFT_OUT else "It takes images to measure on."]
    if not verdict["sampled"]:
        return ["Nothing but another count: it is no sample."]
    told = [_distance(verdict), _remedy(verdict), _detectable(verdict)]
    if verdict["parts"] and verdict["outcome"] == "undecided":
        told.append(ended(verdict["why"]))
    if verdict["fragile"]:
        told.append("One image more or less would change it.")
    return [each for each in told if each]


def interval(verdict: Told) -> str:
    """An interval from end to end.

    !!! example

        >>> interval({"interval": [0.25, None], "unit": "share"})
        '25.0% to no end'
    """
    unit = unit_of(verdict)
    ends = ("no end" if end is None else number(end, unit) for end in verdict["interval"])
    return " to ".join(ends)


def unit_of(verdict: Told) -> str:
    """The unit as verdicts print it.

    !!! example

        >>> unit_of({"unit": "difference of shares"}), unit_of({"unit": "layers"})
        ('points', 'layers')
    """
    told: str = verdict["unit"]
    return PRINTED.get(told, told)


def in_full(required: str) -> str:
    """What is required, without signs.

    !!! example

        >>> in_full("more than the control by > 2.0 points")
        'more than the control by more than 2.0 points'
    """
    return re.sub(r"[<>]=? ", lambda sign: SIGNS[sign[0]], required)


def ended(sentence: str) -> str:
    """A sentence that begins and ends as one.

    !!! example

        >>> ended("no images are left"), ended("It has none.")
        ('No images are left.', 'It has none.')
    """
    if not sentence:
        return ""
    whole = sentence[0].upper() + sentence[1:]
    return whole if whole[-1] in ".!?" else f"{whole}."


def _lead(verdict: Told) -> str:
    outcome, parts = verdict["outcome"], verdict["parts"]
    if not parts:
        return {"supported": "Shown", "refuted": "The contrary is shown"}.get(outcome, "Open")
    many, by = len(parts), verdict["decided_by"]
    shown = f"{sum(part['outcome'] == 'supported' for part in parts)} of {many}"
    return {
        "supported": f"Shown in all {many} settings, least clearly in {by}",
        "refuted": f"Shown in {shown} settings; the contrary most clearly in {by}",
    }.get(outcome, f"Shown in {shown} settings; most doubtful is {by}")


def _distance(verdict: Told) -> str:
    """How far the interval is from the bound."""
    bound, (low, high) = verdict["bound"], verdict["interval"]
    unit = unit_of(verdict)
    if bound is None:
        return _by_test(verdict)
    ends = [end for end in (low, high) if end is not None]
    if _beyond(verdict) is None:
        told = f"The interval, {interval(verdict)}, reaches over"
        return f"{told} the bound of {amount(bound, unit)}."
    nearest = min(ends, key=lambda end: abs(end - bound))
    off = amount(abs(nearest - bound), change(unit))
    near = amount(nearest, unit)
    told = f"The nearer end of the interval, {near}, lies {off} from the bound of"
    return f"{told} {amount(bound, unit)}."


def _beyond(verdict: Told) -> bool | None:
    """Whether the interval lies above the bound, or below it; None where it holds it."""
    low, high = verdict["interval"]
    if low is not None and low > verdict["bound"]:
        return True
    return False if high is not None and high < verdict["bound"] else None


def _by_test(verdict: Told) -> str:
    side = "p_against" if verdict["outcome"] == "refuted" else "p"
    return (
        f"Its test has p = {verdict[side]:.3g}, where less than {verdict['alpha']:.3g} decides; "
        "no single bound does."
    )


def _remedy(verdict: Told) -> str:
    reason = verdict["reason"]
    if reason in (FEW_IMAGES, FEW_CLUSTERS):
        return _images_needed(verdict)
    if reason in REMEDIES or not reason or verdict["parts"]:
        return REMEDIES.get(reason, "")
    return ended(verdict["why"] or reason)


def _detectable(verdict: Told) -> str:
    """The smallest effect that so many images show, where a larger one would have been found."""
    told = verdict["detectable"]
    if verdict["outcome"] != "undecided" or not told:
        return ""
    if told == TOO_FEW:
        return "Not even the largest effect would show on so few images."
    return f"So many images {in_full(told)}, if it were there."


def _images_needed(verdict: Told) -> str:
    """With how many images the interval would just leave the bound, if it shrank with their root
    around the same estimate."""
    bound, estimate, (low, high) = verdict["bound"], verdict["estimate"], verdict["interval"]
    if bound is None or bound == estimate:
        return "More images may decide it."
    end = low if estimate > bound else high
    if end is None or _beyond(verdict) is not None:
        return "More images may decide it."
    needed = verdict["n"] * ((estimate - end) / (estimate - bound)) ** 2
    digits = 1 - math.floor(math.log10(max(needed, 1)))
    rounded = math.ceil(round(needed * 10**digits, 6)) / 10**digits
    return (
        f"About {rounded:,.0f} images would decide it, if the estimate stayed where it is; "
        f"these are {verdict['n']:,}."
    )
