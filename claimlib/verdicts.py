"""Verdicts: what a check hands back, how it prints, and how several become one."""

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from scipy.special import ndtri

from claimlib.errors import ClaimError


class Outcome(StrEnum):
    SUPPORTED = "supported"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


SUPPORTED, REFUTED, UNDECIDED = Outcome
TOO_FEW = "too few images to show it"
# Why an undecided verdict is one; `claimlib.page.words` says each in a sentence.
FEW_IMAGES, FEW_CLUSTERS, NONE_LEFT = "too few images", "too few clusters", "no images"
AT_THE_BOUND, PART_REVERSED, FLAT = "at the bound", "a part reversed", "flat curve"
OVERLAP_UNKNOWN, TOO_COARSE = "overlap unknown", "printed too coarse"
NOT_SEEN = "not seen enough"
LEFT_OUT = "left out"  # what it takes was not there to be measured
CONTROL_FAILED, DID_NOTHING, NO_ROOM = VOID = "control failed", "did nothing", "no room"
# of `VOID` a verdict shows nothing, nor does an average over it
POINTS = "points"  # of a hundred: the unit of a difference of shares
SIGNS = {SUPPORTED: "✓", REFUTED: "✗", UNDECIDED: "?"}  # beside the words, in a notebook
MANY = 10  # times as many images
WORTH_LESS = 0.9  # of n, from which on it is told what images that share clusters are worth
POWER = 0.8  # with which an effect "could have been shown"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a check found.

    - `kind`: of the claim that its rule decides, as claims.toml names it.
    - `estimate`, `interval`: what was measured and its interval, of that `level`; `n`: on how many
      images; `effective`: how many independent ones they are worth, where that is known.
    - `required`: what the claim asks, in words; `required_range`: the same in numbers, from where
      to where the estimate supports, infinite where that is open; `threshold`: the end of it on
      which the outcome hangs, if it is one.
    - `p`, `p_against`: one-sided; a small one supports, a small other one refutes; `alpha`: each
      one's level.
    - `detectable`: the smallest effect that a sample of this size shows with a power of 80 %.
    - `control`, `why`: what the control showed; why an undecided is one; `cause`: the same in a
      word or two, where the figures do not tell.
    - `dead`: on how many images an intervention of it did nothing at all.
    - `fragile`: one image more or less would change the outcome.
    - `parts`, `decided_by`: of a claim about several settings, and the one whose figures are shown.
    - `on_average`: the weaker claim's verdict, on the average over settings.
    - `unit`: "%" for a share, or the name of what is counted.
    - `sampled`: False for what is counted, and has no interval.
    """

    kind: str
    outcome: Outcome
    estimate: float
    interval: tuple[float, float]
    level: float
    n: int
    required: str
    required_range: tuple[float, float]
    effective: float | None = None
    threshold: float | int | None = None
    p: float = 1.0
    p_against: float = 1.0
    alpha: float = 0.025
    detectable: str = ""
    control: str = ""
    why: str = ""
    cause: str = ""
    dead: int = 0
    fragile: bool = False
    parts: tuple[tuple[str, "Verdict"], ...] = ()
    decided_by: str = ""
    on_average: "Verdict | None" = None
    unit: str = "%"
    sampled: bool = True

    def __str__(self) -> str:
        found = self._in_parts() if self.parts else self._figures()
        fragile = "one image would change this" if self.fragile else ""
        return f"{self.outcome}: {_joined(found, self._average(), fragile)}"

    def _repr_html_(self) -> str:
        """The finding as a notebook shows it, in the notebook's own colours; parts unfold."""
        head = f"{self.outcome}, {self.reason}" if self.reason else str(self.outcome)
        told = str(self).removeprefix(f"{self.outcome}: ")
        parts = "".join(
            f"<li>{html.escape(name)}: {html.escape(str(part))}</li>" for name, part in self.parts
        )
        count = f"<summary>{len(self.parts)} parts</summary>"
        return (
            '<div style="border-left: 0.25em solid; padding: 0.1em 0.8em; max-width: 60em">'
            f'<span aria-hidden="true">{SIGNS[self.outcome]}</span> '
            f"<strong>{html.escape(head)}</strong><br>{html.escape(told)}"
            + (f"<details>{count}<ul>{parts}</ul></details>" if parts else "")
            + "</div>"
        )

    @property
    def short(self) -> str:
        """The outcome with the reason of an undecided, the `figures`, and what is required: less
        than a line.

        !!! example

            >>> counted_equal(576, 576, unit="tokens").short
            'supported: 576 tokens, required 576 tokens'
        """
        head = f"{self.outcome}, {self.reason}" if self.reason else str(self.outcome)
        return f"{head}: {_joined(self.figures + self._required(), self._average())}"

    @property
    def figures(self) -> str:
        """The estimate with its interval and n; of several parts, how many are supported, and those
        of the one that decides."""
        if self.parts:
            supported = sum(part.outcome == SUPPORTED for _, part in self.parts)
            deciding = dict(self.parts)[self.decided_by].figures
            return f"{supported} of {len(self.parts)} parts; {self.decided_by}: {deciding}"
        if math.isnan(self.estimate):
            return "not measured" if self.cause == LEFT_OUT else "no images"
        estimate, low, high = (number(each, self.unit) for each in (self.estimate, *self.interval))
        unit = "" if self.unit == "%" else f" {self.unit}" if self.unit else ""
        return f"{estimate} [{low}, {high}]{unit}, {self._n}" if self.sampled else estimate + unit

    @property
    def _n(self) -> str:
        worth = self.effective if self.effective is not None else self.n
        return f"n = {self.n}" + (f" worth {worth:.0f}" if worth < WORTH_LESS * self.n else "")

    @property
    def reason(self) -> str:
        """Why an undecided is one, in a word or two: `cause`; or whether it is for want of images,
        or of clusters of them (where they are worth less than half as many independent ones), or
        since the estimate lies so near its bound that ten times as many would not decide."""
        if self.outcome != UNDECIDED:
            return ""
        cause = self.cause
        if self.parts and not cause:
            cause = dict(self.parts)[self.decided_by].reason
        if cause or self.threshold is None or math.isnan(self.estimate):
            return cause or FEW_IMAGES
        off = abs(self.estimate - self.threshold)
        half = (self.interval[1] - self.interval[0]) / 2
        if off**2 * MANY < half**2:
            return AT_THE_BOUND
        shared = self.effective is not None and 2 * self.effective < self.n
        return FEW_CLUSTERS if shared else FEW_IMAGES

    def _required(self) -> str:
        return f", required {self.required}" if self.required else ""

    def _average(self) -> str:
        return f"on average {self.on_average.short}" if self.on_average else ""

    def _in_parts(self) -> str:
        supported = sum(part.outcome == SUPPORTED for _, part in self.parts)
        count = f"{supported} of {len(self.parts)} parts supported"
        role = {SUPPORTED: "weakest", REFUTED: "refuted by", UNDECIDED: "most doubtful"}
        figures = dict(self.parts)[self.decided_by]._figures()
        deciding = f"{role[self.outcome]}: {self.decided_by}: {figures}"
        return _joined(count, self.why, self.control, deciding)

    def _figures(self) -> str:
        if math.isnan(self.estimate):
            return self.why + self._required()
        if not self.sampled:
            estimate = number(self.estimate, self.unit)
            counted = f"{estimate}, required {self.required} (counted, not sampled)"
            return _joined(counted, self.control, self.why)
        dead = f"it did nothing on {self.dead} images" if self.dead and not self.why else ""
        return _joined(self._estimate(), self.detectable, self.control, dead, self.why)

    def _estimate(self) -> str:
        estimate, low, high = (number(each, self.unit) for each in (self.estimate, *self.interval))
        unit = "" if self.unit == "%" else self.unit
        found = " ".join(filter(None, [f"{estimate} [{low}, {high}]", unit]))
        test = f"{percent(self.level)} interval, {self._test()}"
        return f"{found}, {self._n}, required {self.required} ({test})"

    def _test(self) -> str:
        against = self.outcome == REFUTED
        p = self.p_against if against else self.p
        told = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
        return f"{told} against" if against else told


def _joined(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def number(value: float | int, unit: str) -> str:
    """A number as verdicts print it: a share in per cent, anything else to three digits.

    !!! example

        >>> number(0.945, "%"), number(0.945, "points"), number(25.68, "layers")
        ('94.5%', '94.5', '25.7')
    """
    if unit == "%":
        return f"{float(value):z.1%}"
    if unit == POINTS:
        return f"{100 * float(value):z.1f}"
    return f"{value:,.0f}" if 999.5 <= abs(value) < math.inf else f"{float(value):z.3g}"


def amount(value: float | int, unit: str) -> str:
    """A number with its unit.

    !!! example

        >>> amount(0.1, "%"), amount(0.1, "points"), amount(576, "tokens")
        ('10.0%', '10.0 points', '576 tokens')
    """
    return with_unit(number(value, unit), unit)


def with_unit(shown: str, unit: str) -> str:
    """What is shown of a unit, followed by its name; shares have theirs already.

    !!! example

        >>> with_unit("> 3.8", "layers"), with_unit("> 10.0%", "%")
        ('> 3.8 layers', '> 10.0%')
    """
    return shown if unit in ("", "%") else f"{shown} {unit}"


def change(unit: str) -> str:
    """The unit of a difference of two numbers of a unit: of shares, points of a hundred.

    !!! example

        >>> change("%"), change("layers")
        ('points', 'layers')
    """
    return POINTS if unit == "%" else unit


def decide(p: float, p_against: float, alpha: float) -> Outcome:
    """Supported if `p` is below alpha, refuted if `p_against` is, else undecided.

    !!! example

        >>> decide(p=0.001, p_against=0.999, alpha=0.025)
        <Outcome.SUPPORTED: 'supported'>
    """
    if p < alpha:
        return SUPPORTED
    return REFUTED if p_against < alpha else UNDECIDED


def tail(level: float) -> float:
    """What an interval of this level leaves out on each side: the level of each one-sided test.

    **Raises:** `ClaimError` for a level that does not lie between 0 and 1.

    !!! example

        >>> tail(0.95)
        0.025
    """
    if not 0 < level < 1:
        raise ClaimError(f"A level of {level:g} is none. Pass a number between 0 and 1: 0.95.")
    return round((1 - level) / 2, 12)


def further(level: float) -> float:
    """How many times further from a bound than an interval's half a true value must lie to be shown
    with a power of 80 %, if the estimate is normal.

    !!! example

        >>> round(further(0.95), 2)
        1.43
    """
    return float(1 - ndtri(POWER) / ndtri(tail(level)))


def no_images(kind: str, required: str) -> Verdict:
    """The verdict where no image is left to measure on.

    !!! example

        >>> str(no_images("exceeds", "> 50%"))
        'undecided: no images are left, required > 50%'
    """
    return Verdict(
        kind=kind,
        outcome=UNDECIDED,
        estimate=math.nan,
        interval=(-math.inf, math.inf),
        level=1.0,
        n=0,
        required=required,
        required_range=(-math.inf, math.inf),
        why="no images are left",
        cause=NONE_LEFT,
    )


def left_out(kind: str, why: str) -> Verdict:
    """The verdict where what a claim needs is not there to be measured: undecided, and why.

    **Arguments:** the claim's kind; the reason, in whole sentences.

    !!! example

        >>> left_out("exceeds", "This model has no gradients.").short
        'undecided, left out: not measured'
    """
    return replace(no_images(kind, required=""), why=why, cause=LEFT_OUT)


def counted_above(value: float | int, threshold: float | int, unit: str = "%") -> Verdict:
    """Is what is counted and not sampled, such as a model's parameters, more than a threshold?

    **Arguments:** `unit`: of both, "%" for shares.

    !!! example

        >>> str(counted_above(0.954, threshold=0.95))
        'supported: 95.4%, required > 95.0% (counted, not sampled)'
    """
    required = f"> {amount(threshold, unit)}"
    supports = (threshold, math.inf)
    return _counted("counted-above", value, value > threshold, required, supports, unit)


def counted_equal(value: float | int, expected: float | int, unit: str = "") -> Verdict:
    """Is what is counted and not sampled exactly as much as expected?

    **Arguments:** `unit`: of both, "%" for shares.

    !!! example

        >>> str(counted_equal(391, expected=576, unit="tokens"))
        'refuted: 391, required 576 tokens (counted, not sampled)'
    """
    required, supports = amount(expected, unit), (expected, expected)
    return _counted("counted-equal", value, value == expected, required, supports, unit)


def percent(share: float | int) -> str:
    """A bound as it is written, without digits that it does not have.

    !!! example

        >>> percent(0.5), percent(0.025), percent(0.07)
        ('50%', '2.5%', '7%')
    """
    return f"{float(100 * share):.6g}%"


def _counted(
    kind: str,
    value: float | int,
    holds: bool,
    required: str,
    supports: tuple[float, float],
    unit: str,
) -> Verdict:
    figure = float(value)
    if math.isnan(figure):
        raise ClaimError(f"{kind} was given {value}. Pass the number that was counted.")
    return Verdict(
        kind=kind,
        outcome=SUPPORTED if holds else REFUTED,
        estimate=figure,
        interval=(figure, figure),
        level=1.0,
        n=0,
        required=required,
        required_range=supports,
        p=0.0 if holds else 1.0,
        p_against=1.0 if holds else 0.0,
        unit=unit,
        sampled=False,
    )


def in_every_setting(parts: Mapping[str, Verdict], on_average: Verdict | None = None) -> Verdict:
    """The verdict on a claim that is made of every part.

    Supported if every part is: an intersection-union test, whose level needs no correction. Refuted
    if some part is refuted with `p_against` times the number of parts (Bonferroni) still below its
    alpha, so that a true claim is refuted no more often than one part alone would be. Else
    undecided. The figures are those of the part that decides: the one most clearly refuted, else
    the most doubtful that is not supported, else the weakest.

    **Arguments:** `on_average`: the verdict on the average over the parts, which is told beside:
    what a claim that fails in one setting still shows. It is supported only where no part is
    refuted, and none whose control failed or whose intervention did nothing.

    **Raises:** `ClaimError` without parts.

    !!! example

        >>> tokens = {"mine": counted_equal(576, 576), "yours": counted_equal(391, 576)}
        >>> str(in_every_setting(tokens))[:73]
        'refuted: 1 of 2 parts supported; refuted by: yours: 391, required 576 (co'
    """
    if not parts:
        raise ClaimError(
            "in_every_setting was given no parts. Pass a verdict for each setting that the claim "
            "names."
        )
    missing = {name: part for name, part in parts.items() if part.outcome != SUPPORTED}
    refuted = {name: part for name, part in missing.items() if part.outcome == REFUTED}
    refuting = {
        name: part for name, part in refuted.items() if part.p_against * len(parts) < part.alpha
    }
    if on_average and on_average.outcome == SUPPORTED:
        on_average = _unless_void(on_average, refuted, missing)
    if refuting:
        deciding = min(refuting, key=lambda name: _against(parts[name]))
        fragile = all(part.fragile for part in refuting.values())
        whole = _whole(parts, deciding, REFUTED, fragile)
    else:
        deciding = max(missing or parts, key=lambda name: _doubt(parts[name]))
        fragile = any(part.fragile for part in (missing or parts).values())
        whole = _whole(parts, deciding, UNDECIDED if missing else SUPPORTED, fragile)
    why = _why_open(missing, len(parts)) if whole.outcome == UNDECIDED else ""
    return replace(whole, why=why, on_average=on_average)


def _unless_void(
    average: Verdict, refuted: Mapping[str, Verdict], missing: Mapping[str, Verdict]
) -> Verdict:
    """An average that is supported, unless some part of it says the reverse or shows nothing."""
    void = {name: part.cause for name, part in missing.items() if part.cause in VOID}
    if refuted:
        why, cause = f"the reverse: {_some([*refuted])}", PART_REVERSED
    elif void:
        why, cause = f"{min(void.values())}: {_some([*void])}", min(void.values())
    else:
        return average
    return replace(average, outcome=UNDECIDED, why=why, cause=cause)


def _whole(parts: Mapping[str, Verdict], deciding: str, outcome: Outcome, fragile: bool) -> Verdict:
    """The verdict of all parts, with the figures of the one that decides."""
    part = parts[deciding]
    p = part.alpha * max(map(_doubt, parts.values()))
    p_against = part.alpha * len(parts) * min(map(_against, parts.values()))
    return replace(
        part,
        kind="in every setting",
        outcome=outcome,
        p=min(p, 1.0),
        p_against=min(p_against, 1.0),
        control="",
        why="",
        fragile=fragile,
        parts=tuple(parts.items()),
        decided_by=deciding,
    )


def _doubt(verdict: Verdict) -> float:
    """How far from supported, in units of its own level."""
    return verdict.p / verdict.alpha


def _against(verdict: Verdict) -> float:
    """How far from refuted, in units of its own level."""
    return verdict.p_against / verdict.alpha


def _why_open(missing: Mapping[str, Verdict], parts: int) -> str:
    still_open = [name for name, part in missing.items() if part.outcome == UNDECIDED]
    refuted = [name for name, part in missing.items() if part.outcome == REFUTED]
    alone = f"refuted alone, but not when corrected for {parts} parts: {_some(refuted)}"
    return _joined(f"open: {_some(still_open)}" if still_open else "", alone if refuted else "")


def _some(names: list[str]) -> str:
    """The first names of a list; how many more there are."""
    shown = ", ".join(names[:2])
    return f"{shown} and {len(names) - 2} more" if len(names) > 2 else shown
