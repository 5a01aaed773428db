"""Verdicts: what a check hands back, how it prints, and how several become one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from statsmodels.stats.multitest import multipletests

from claimlib.errors import ClaimError


class Outcome(StrEnum):
    SUPPORTED = "supported"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


SUPPORTED, REFUTED, UNDECIDED = Outcome
TOO_FEW = "too few images to show it"


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    - `estimate`, `interval`: what was measured and its interval, of that `level`; `n`: on how many
        images.
    - `required`: what the claim asks, in words; `threshold`: the number in it, if it is one.
    - `p`, `p_against`: one-sided; a small one supports, a small other one refutes; `alpha`: each
        one's level.
    - `detectable`: the smallest effect that a sample of this size could have shown.
    - `control`, `why`: what the control showed; why an undecided is one.
    - `fragile`: one image more or less would change the outcome.
    - `parts`, `decided_by`: of a claim about several settings, and the one whose figures are shown.
    - `unit`: "%" for a share, or the name of what is counted.
    """

    kind: str
    outcome: Outcome
    estimate: float
    interval: tuple[float, float]
    level: float
    n: int
    required: str
    threshold: float | None = None
    p: float = 1.0
    p_against: float = 1.0
    alpha: float = 0.025
    detectable: str = ""
    control: str = ""
    why: str = ""
    fragile: bool = False
    parts: tuple[tuple[str, "Verdict"], ...] = ()
    decided_by: str = ""
    unit: str = "%"

    def __str__(self) -> str:
        found = f"{self.outcome}: {self._figures()}"
        if self.parts:
            supported = sum(part.outcome == SUPPORTED for _, part in self.parts)
            role = {SUPPORTED: "weakest", REFUTED: "refuted by", UNDECIDED: "most doubtful"}[
                self.outcome
            ]
            figures = dict(self.parts)[self.decided_by]._figures()
            count = f"{supported} of {len(self.parts)} parts supported"
            told = [
                f"{self.outcome}: {count}",
                self.why,
                self.control,
                f"{role}: {self.decided_by}: {figures}",
            ]
            found = "; ".join(filter(None, told))
        return found + "; one image would change this" * self.fragile

    def _figures(self) -> str:
        if math.isnan(self.estimate):
            return f"{self.why}, required {self.required}"
        if self.kind == "fact":
            return f"{number(self.estimate, self.unit)}, required {self.required} (counted, not sampled)"
        low, high = (number(end, self.unit) for end in self.interval)
        unit = f" {self.unit}" if self.unit not in ("", "%") else ""
        p = self.p_against if self.outcome == REFUTED else self.p
        line = (
            f"{number(self.estimate, self.unit)} [{low}, {high}]{unit}, n = {self.n}, required "
            f"{self.required} "
            f"({self.level:.0%} interval, {'p < 0.001' if p < 0.001 else f'p = {p:.3f}'}"
            f"{' against' * (self.outcome == REFUTED)})"
        )
        return "; ".join(filter(None, [line, self.detectable, self.control, self.why]))


def number(value: float | int, unit: str) -> str:
    """A number as verdicts print it: a share in per cent, anything else to three digits.

    !!! example

        >>> number(0.945, "%"), number(25.68, "layers"), number(7063000000, "parameters")
        ('94.5%', '25.7', '7,063,000,000')
    """
    if unit == "%":
        return f"{float(value):z.1%}"
    return f"{value:,.0f}" if 1000 <= abs(value) < math.inf else f"{float(value):z.3g}"


def decide(p: float, p_against: float, alpha: float) -> Outcome:
    """Supported if `p` is below alpha, refuted if `p_against` is, else undecided.

    !!! example

        >>> decide(p=0.001, p_against=0.999, alpha=0.025)
        <Outcome.SUPPORTED: 'supported'>
    """
    if p < alpha:
        return SUPPORTED
    return REFUTED if p_against < alpha else UNDECIDED


def no_images(kind: str, required: str) -> Verdict:
    """The verdict where no image is left to measure on.

    !!! example

        >>> str(no_images("exceeds", "> 50%"))
        'undecided: no images are left, required > 50%'
    """
    return Verdict(
        kind, UNDECIDED, math.nan, (-math.inf, math.inf), 1.0, 0, required, why="no images are left"
    )


def fact(estimate: float | int, holds: bool, required: str, unit: str = "%") -> Verdict:
    """A verdict on what is counted and not sampled, such as a model's parameters: it holds or it
    does not.

    !!! example

        >>> str(fact(0.954, holds=True, required="> 95%"))
        'supported: 95.4%, required > 95% (counted, not sampled)'
    """
    outcome, p = (SUPPORTED, 0.0) if holds else (REFUTED, 1.0)
    figure = float(estimate)
    return Verdict(
        "fact",
        outcome,
        figure,
        (figure, figure),
        1.0,
        0,
        required,
        p=p,
        p_against=1.0 - p,
        unit=unit,
    )


def in_every_setting(parts: Mapping[str, Verdict]) -> Verdict:
    """The verdict on a claim that is made of every part.

    Supported if every part is: an intersection-union test, whose level needs no correction. Refuted
    if some part is refuted with `p_against` times the number of parts (Bonferroni) still below its
    alpha, so that a true claim is refuted no more often than one part alone would be. Else
    undecided. The figures are those of the part that decides: the one most clearly refuted, else
    the most doubtful that is not supported, else the weakest.

    **Raises:** `ClaimError` without parts.

    !!! example

        >>> verdict = in_every_setting({"mine": fact(576, True, "576", "tokens"), "yours": fact(391, False, "576", "")})
        >>> str(verdict)
        'refuted: 1 of 2 parts supported; refuted by: yours: 391, required 576 (counted, not sampled)'
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
    why = ""
    if refuting:
        outcome = REFUTED
        name = min(refuting, key=lambda each: refuting[each].p_against / refuting[each].alpha)
        fragile = all(part.fragile for part in refuting.values())
    elif missing:
        outcome = UNDECIDED
        name = max(missing, key=lambda each: missing[each].p / missing[each].alpha)
        fragile = any(part.fragile for part in missing.values())
        still_open = [name for name in missing if name not in refuted]
        alone = (
            f"refuted alone, but not when corrected for {len(parts)} parts: {_some(list(refuted))}"
            if refuted
            else ""
        )
        why = "; ".join(filter(None, [f"open: {_some(still_open)}" if still_open else "", alone]))
    else:
        outcome = SUPPORTED
        name = max(parts, key=lambda each: parts[each].p / parts[each].alpha)
        fragile = any(part.fragile for part in parts.values())
    deciding = parts[name]
    p = max(part.p / part.alpha for part in parts.values()) * deciding.alpha
    p_against = (
        min(part.p_against / part.alpha for part in parts.values()) * deciding.alpha * len(parts)
    )
    return replace(
        deciding,
        kind="in every setting",
        outcome=outcome,
        p=min(p, 1.0),
        p_against=min(p_against, 1.0),
        control="",
        why=why,
        fragile=fragile,
        parts=tuple(parts.items()),
        decided_by=name,
    )


def holm(verdicts: Mapping[str, Verdict]) -> dict[str, Verdict]:
    """The verdicts of a table, with Holm's correction for their number.

    The p-values in favour are adjusted together, those against likewise: a table whose claims are
    all false shows any supported one no more often than one cell alone would, and one whose claims
    are all true any refuted one. What does not survive becomes undecided and says so; what was
    undecided before, for whatever reason, stays so. Intervals stay those of the single cell.

    !!! example

        >>> lone = Verdict("exceeds", Outcome.SUPPORTED, 0.6, (0.51, 0.68), 0.95, 100, "> 50%", p=0.02)
        >>> holm({"a": lone, "b": lone})["a"].why
        'supported alone, but not in a table of 2 (Holm)'
    """
    if not verdicts:
        return {}
    adjusted = _adjusted([each.p for each in verdicts.values()])
    against = _adjusted([each.p_against for each in verdicts.values()])
    corrected = {}
    for (name, alone), p, p_against in zip(verdicts.items(), adjusted, against, strict=True):
        verdict = replace(alone, p=p, p_against=p_against)
        if alone.outcome not in (UNDECIDED, decide(verdict.p, verdict.p_against, verdict.alpha)):
            why = f"{alone.outcome} alone, but not in a table of {len(verdicts)} (Holm)"
            verdict = replace(verdict, outcome=UNDECIDED, why=why, fragile=False)
        corrected[name] = verdict
    return corrected


def _adjusted(p: list[float]) -> list[float]:
    return np.asarray(multipletests(p, method="holm")[1]).tolist()


def _some(names: list[str]) -> str:
    """The first names of a list; how many more there are."""
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
