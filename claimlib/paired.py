"""Arm against arm on the same images: does one of the two do more?"""

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.signal import fftconvolve
from scipy.stats import binom

from claimlib.curves import within
from claimlib.errors import ClaimError
from claimlib.intervals import of_mean
from claimlib.samples import Sample, Totals, check_values, neighbours, totals
from claimlib.verdicts import TOO_FEW, UNDECIDED, Verdict, decide, no_images, tail

REQUIRED = "more than the control"
ALONE = "the bootstrap alone excludes zero"
ZERO = "the interval includes zero"
OVERLAP = "it depends on which images the two counts share, which is not known"

Effect = Sample | Float[np.ndarray, " image"]
Pairs = Int[np.ndarray, "2 _"]  # images on which only the effect, only the control


def greater(effect: Effect, control: Effect, level: float = 0.95) -> Verdict:
    """Does one arm do more than another on the same images? Greater supports, smaller refutes.

    - Arrays of bools: McNemar's exact test on the discordant images and a paired bootstrap of the
      difference of shares must both exclude zero, at this two-sided level; `p` is the larger one.
      The bootstrap's distribution, of a sum of n differences of -1, 0 or 1, is computed exactly and
      not drawn. (McNemar's is the stricter of the two.)
    - Arrays of probabilities: the interval of the mean difference, by `intervals.of_mean` (with a
      fixed seed).
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
    kinds = {_kind(effect), _kind(control)}
    if isinstance(effect, Totals) or isinstance(control, Totals):
        if not kinds <= {"counts", "bool"}:
            raise ClaimError(
                "greater was given counts beside probabilities. Pass both arms as the same kind of "
                "result."
            )
        return _counts(totals(effect), totals(control), level)
    if len(effect) != len(control) or kinds not in ({"bool"}, {"probabilities"}):
        raise ClaimError(
            f"greater was given {effect.dtype}[{len(effect)}] and {control.dtype}[{len(control)}]. "
            "Pass both arms on the same images in the same order, both as bools or both as "
            "probabilities."
        )
    if not len(effect):
        return no_images("greater", REQUIRED)
    judge = _shares if kinds == {"bool"} else _means
    return judge(effect, control, level)


def _kind(effect: Effect) -> str:
    if isinstance(effect, Totals):
        return "counts"
    return {"b": "bool", "f": "probabilities"}.get(effect.dtype.kind, "neither")


def _shares(
    effect: Bool[np.ndarray, " image"], control: Bool[np.ndarray, " image"], level: float
) -> Verdict:
    n = len(effect)
    more, less = int((effect & ~control).sum()), int((control & ~effect).sum())
    steps = [(more + 1, less), (more - 1, less), (more, less + 1), (more, less - 1)]
    possible = [step for step in steps if min(step) >= 0 and sum(step) <= n]
    alone = np.stack([np.arange(n + 1), np.zeros(n + 1, int)])
    enough = np.flatnonzero(_mcnemar(alone) < tail(level))
    return _verdict(
        _pair(more, less),
        n=n,
        level=level,
        estimate=(more - less) / n,
        control=f"control {control.mean():.1%} of {n}, discordant {more}:{less}",
        detectable=f"could have shown >= {enough[0] / n:.1%}" if len(enough) else TOO_FEW,
        others=[_pair(*step) for step in possible],
    )


def _pair(more: int, less: int) -> Pairs:
    return np.array([[more], [less]])


def _counts(effect: Totals, control: Totals, level: float) -> Verdict:
    n = min(effect.n, control.n)
    if not n:
        return no_images("greater", REQUIRED)
    moved = [
        *((other, control) for other in neighbours(effect)),
        *((effect, other) for other in neighbours(control)),
    ]
    pairs = _pairings(effect, control)
    verdict = _verdict(
        pairs,
        n=n,
        level=level,
        estimate=effect.share - control.share,
        control=f"control {control.share:.1%} of {control.n}",
        detectable="",
        others=[_pairings(*each) for each in moved],
    )
    some_pairing_decides = min(_mcnemar(pairs).min(), _mcnemar(pairs[::-1]).min()) < tail(level)
    if verdict.outcome == UNDECIDED and some_pairing_decides:
        return replace(verdict, why=OVERLAP)
    return verdict


def _pairings(effect: Totals, control: Totals) -> Pairs:
    """The pairs that two counts may hide: every overlap, where the counts are least and most
    favourable to the effect.

    No count between those goes further: one image less in the effect's count, or more in the
    control's, never favours the effect. But where no image may be discordant at all, the interval
    is another one, so that this is added.
    """
    n = min(effect.n, control.n)

    def fallen_on_common(larger: Totals) -> tuple[int, int]:
        return max(0, larger.count - (larger.n - n)), min(larger.count, n)

    def overlaps(effect: int, control: int) -> Pairs:
        both = np.arange(max(0, effect + control - n), min(effect, control) + 1)
        return np.stack([effect - both, control - both])

    (few, many), (rare, often) = fallen_on_common(effect), fallen_on_common(control)
    may_be_alike = few <= often and rare <= many
    alike = np.zeros((2, 1 if may_be_alike else 0), int)
    return np.unique(np.hstack([overlaps(few, often), overlaps(many, rare), alike]), axis=1)


def _verdict(
    pairs: Pairs,
    *,
    n: int,
    level: float,
    estimate: float,
    control: str,
    detectable: str,
    others: list[Pairs],
) -> Verdict:
    """What all pairs agree on."""
    alpha = tail(level)
    p, low = _more(pairs, n, alpha)
    p_against, high = _more(pairs[::-1], n, alpha)
    outcome, excluded = decide(p, p_against, alpha), low > 0 or high > 0
    doubt = ALONE if excluded else ZERO
    tests = [(float(_mcnemar(other).max()), float(_mcnemar(other[::-1]).max())) for other in others]
    return Verdict(
        kind="greater",
        outcome=outcome,
        estimate=estimate,
        interval=(low, -high),
        level=level,
        n=n,
        required=REQUIRED,
        threshold=0.0,
        p=p,
        p_against=p_against,
        alpha=alpha,
        detectable=detectable,
        control=control,
        why=doubt if outcome == UNDECIDED else "",
        fragile=any(decide(*test, alpha) != outcome for test in tests),
    )


def _mcnemar(pairs: Pairs) -> Float[np.ndarray, " pair"]:
    return binom.sf(pairs[0] - 1, pairs[0] + pairs[1], 0.5)


def _more(pairs: Pairs, n: int, alpha: float) -> tuple[float, float]:
    """The largest p-value for more of the first kind, and the smallest lower bound of the
    difference of shares."""
    more, less = pairs
    difference = np.stack([less, n - more - less, more], axis=1) / n  # of one image: -1, 0 or 1
    at_most = _sum_of(n, difference).cumsum(axis=1).clip(0, 1)  # from -n to n
    low, p = (np.argmax(at_most >= alpha, axis=1) - n) / n, at_most[:, n]
    for at in np.flatnonzero((more == n) | (less == n) | (more + less == 0)):
        bounds = of_mean(np.full(n, float(np.sign(more[at] - less[at]))), (-1.0, 1.0))
        low[at], p[at] = bounds.lower(alpha), bounds.p_above(0.0)
    return float(max(p.max(), _mcnemar(pairs).max())), float(low.min())


def _sum_of(n: int, one: Float[np.ndarray, "pair value"]) -> Float[np.ndarray, "pair total"]:
    """The distribution of the sum of n draws from a distribution: its n-fold convolution."""
    if n == 1:
        return one
    half = _sum_of(n // 2, one)
    even = fftconvolve(half, half, axes=1)
    return fftconvolve(even, one, axes=1) if n % 2 else even


def _means(
    effect: Float[np.ndarray, " image"], control: Float[np.ndarray, " image"], level: float
) -> Verdict:
    for arm in (effect, control):
        check_values(arm, (0.0, 1.0))
    difference = effect.astype(np.float64) - control.astype(np.float64)
    verdict = within(difference, 0.0, math.inf, bounds=(-1.0, 1.0), level=level, unit="%")
    shown = f"control {control.mean():.1%} on average"
    return replace(verdict, kind="greater", required=REQUIRED, threshold=0.0, control=shown)
