"""Arm against arm on the same images: does one of the two do more?"""

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import binom

from claimlib.curves import mean_within
from claimlib.errors import ClaimError
from claimlib.intervals import of_mean
from claimlib.samples import Sample, Totals, check_values, neighbours, totals
from claimlib.verdicts import TOO_FEW, UNDECIDED, Verdict, decide, no_images

ALPHA = 0.025
REQUIRED = "more than the control"

Arm = Sample | Float[np.ndarray, " image"]
Pairs = Int[np.ndarray, "2 _"]  # images on which only the effect, only the control


def greater(effect: Arm, control: Arm) -> Verdict:
    """Does one arm do more than another on the same images? Greater supports, smaller refutes.

    - Arrays of bools: McNemar's exact test on the discordant images and a paired bootstrap of the
      difference of shares must both exclude zero, at two-sided 5 %; `p` is the larger one. The
      bootstrap's distribution, of a sum of n differences of -1, 0 or 1, is computed exactly and not
      drawn. (McNemar's is the stricter of the two.)
    - Arrays of probabilities: the 95 % interval of the mean difference, by `intervals.of_mean`
        (with a fixed seed).
    - Counts (`Totals`, on either side): on which images is not known, so that the verdict is what
      every possible pairing agrees on, and the interval spans theirs. Of two sizes, the smaller
      sample's images are taken to be among the larger one's, and how much of that one's count fell
      on them is not known either.

    **Raises:** `ClaimError` for arrays that differ in length or kind, and values that are no
    probabilities.

    !!! example

        >>> effect, control = np.arange(40) < 20, np.arange(40) < 9
        >>> str(greater(effect, control))[:80]
        'supported: 27.5% [15.0%, 42.5%], n = 40, required more than the control (95% int'
        >>> greater(effect, control).control
        'control 22.5% of 40, discordant 11:0'
        >>> greater(Totals(16, 40), Totals(9, 40)).why
        'it depends on which images the two counts share, which is not known'
    """
    kinds = {"counts" if isinstance(arm, Totals) else str(arm.dtype) for arm in (effect, control)}
    if isinstance(effect, Totals) or isinstance(control, Totals):
        if not kinds <= {"counts", "bool"}:
            raise ClaimError(
                "greater was given counts beside probabilities. Pass both arms as the same kind of "
                "result."
            )
        return _counts(totals(effect), totals(control))
    if len(effect) != len(control) or (
        kinds != {"bool"} and any("float" not in kind for kind in kinds)
    ):
        raise ClaimError(
            f"greater was given {effect.dtype}[{len(effect)}] and {control.dtype}[{len(control)}]. "
            "Pass both arms on "
            "the same images in the same order, both as bools or both as probabilities."
        )
    if not len(effect):
        return no_images("greater", REQUIRED)
    return _shares(effect, control) if kinds == {"bool"} else _means(effect, control)


def _shares(effect: Bool[np.ndarray, " image"], control: Bool[np.ndarray, " image"]) -> Verdict:
    n, only_effect, only_control = (
        len(effect),
        int((effect & ~control).sum()),
        int((control & ~effect).sum()),
    )

    def pair(only_effect: int, only_control: int) -> Pairs:
        return np.array([[only_effect], [only_control]])

    steps = [
        (only_effect + more, only_control + less)
        for more, less in [(1, 0), (-1, 0), (0, 1), (0, -1)]
    ]
    enough = np.flatnonzero(_mcnemar(np.stack([np.arange(n + 1), np.zeros(n + 1, int)])) < ALPHA)
    return _verdict(
        pair(only_effect, only_control),
        n,
        estimate=(only_effect - only_control) / n,
        shown=f"control {control.mean():.1%} of {n}, discordant {only_effect}:{only_control}",
        detectable=f"could have shown >= {enough[0] / n:.1%}" if len(enough) else TOO_FEW,
        others=[pair(*step) for step in steps if min(step) >= 0 and sum(step) <= n],
    )


def _counts(effect: Totals, control: Totals) -> Verdict:
    n = min(effect.n, control.n)
    if not n:
        return no_images("greater", REQUIRED)
    moved = [(other, control) for other in neighbours(effect)] + [
        (effect, other) for other in neighbours(control)
    ]
    pairs = _pairings(effect, control)
    verdict = _verdict(
        pairs,
        n,
        estimate=effect.share - control.share,
        shown=f"control {control.share:.1%} of {control.n}",
        detectable="",
        others=[_pairings(*each) for each in moved],
    )
    if (
        verdict.outcome == UNDECIDED
        and min(_mcnemar(pairs).min(), _mcnemar(pairs[::-1]).min()) < ALPHA
    ):
        return replace(
            verdict, why="it depends on which images the two counts share, which is not known"
        )
    return verdict


def _pairings(effect: Totals, control: Totals) -> Pairs:
    """The pairs that two counts may hide: every overlap, where the counts are least and most
    favourable to the effect.

    No count between those goes further: one image less in the effect's count, or more in the
    control's, never favours the effect. But where no image may be discordant at all, the interval
    is another one, so that this is added.
    """
    n = min(effect.n, control.n)

    def within(larger: Totals) -> tuple[int, int]:
        return max(0, larger.count - (larger.n - n)), min(larger.count, n)

    def overlaps(effect: int, control: int) -> Pairs:
        both = np.arange(max(0, effect + control - n), min(effect, control) + 1)
        return np.stack([effect - both, control - both])

    (few, many), (rare, often) = within(effect), within(control)
    alike = np.zeros((2, int(few <= often and rare <= many)), int)
    return np.unique(np.hstack([overlaps(few, often), overlaps(many, rare), alike]), axis=1)


def _verdict(
    pairs: Pairs, n: int, estimate: float, shown: str, detectable: str, others: list[Pairs]
) -> Verdict:
    """What all pairs agree on."""
    p, low = _more(pairs, n)
    p_against, high = _more(pairs[::-1], n)
    outcome, why = decide(p, p_against, ALPHA), ""
    if outcome == UNDECIDED:
        why = (
            "the bootstrap alone excludes zero"
            if low > 0 or high > 0
            else "the interval includes zero"
        )
    tests = [(float(_mcnemar(other).max()), float(_mcnemar(other[::-1]).max())) for other in others]
    return Verdict(
        "greater",
        outcome,
        estimate,
        (low, -high),
        0.95,
        n,
        REQUIRED,
        0.0,
        p,
        p_against,
        ALPHA,
        detectable,
        control=shown,
        why=why,
        fragile=any(decide(*test, ALPHA) != outcome for test in tests),
    )


def _mcnemar(pairs: Pairs) -> Float[np.ndarray, " pair"]:
    return binom.sf(pairs[0] - 1, pairs[0] + pairs[1], 0.5)


def _more(pairs: Pairs, n: int) -> tuple[float, float]:
    """The largest p-value for more of the first kind, and the smallest lower bound of the
    difference of shares."""
    more, less = pairs
    angle = 2 * np.pi * np.arange(n + 1) / (2 * n + 1)
    changed, shift = ((more + less) / n)[:, None], ((more - less) / n)[:, None]
    characteristic = (
        1 - changed * (1 - np.cos(angle)) - 1j * shift * np.sin(angle)
    )  # of one image's difference
    share = np.fft.irfft(characteristic**n, 2 * n + 1)
    at_most = np.roll(share, n, axis=1).cumsum(axis=1).clip(0, 1)  # of the sum, from -n to n
    low, p = (np.argmax(at_most >= ALPHA, axis=1) - n) / n, at_most[:, n]
    for at in np.flatnonzero((more == n) | (less == n) | (more + less == 0)):
        bounds = of_mean(np.full(n, float(np.sign(more[at] - less[at]))), (-1.0, 1.0))
        low[at], p[at] = bounds.lower(ALPHA), bounds.p_above(0.0)
    return float(max(p.max(), _mcnemar(pairs).max())), float(low.min())


def _means(effect: Float[np.ndarray, " image"], control: Float[np.ndarray, " image"]) -> Verdict:
    for arm in (effect, control):
        check_values(arm, (0.0, 1.0))
    difference = effect.astype(np.float64) - control.astype(np.float64)
    verdict = mean_within(difference, 0.0, math.inf, bounds=(-1.0, 1.0), unit="%")
    shown = f"control {control.mean():.1%} on average"
    return replace(verdict, kind="greater", required=REQUIRED, threshold=0.0, control=shown)
