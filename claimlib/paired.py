"""Arm against arm on the same images: does one of the two do more, no more, or only a part?"""

import math
from dataclasses import replace

import numpy as np
from jaxtyping import Int
from scipy.special import betaincinv
from scipy.stats import binom

from claimlib.clusters import Sums, effective, flipped
from claimlib.curves import placed_mean, placed_sum
from claimlib.errors import ClaimError
from claimlib.intervals import of_mean, of_pair, of_share, score_p
from claimlib.samples import (
    Clustered,
    Number,
    Sample,
    Totals,
    Values,
    as_numbers,
    check_number,
    check_values,
    is_clustered,
    neighbours,
    seen,
    totals,
    without_an_extreme,
)
from claimlib.verdicts import (
    NO_ROOM,
    OVERLAP_UNKNOWN,
    POINTS,
    POWER,
    REFUTED,
    SUPPORTED,
    TOO_FEW,
    UNDECIDED,
    Verdict,
    amount,
    decide,
    further,
    no_images,
    percent,
    tail,
)

FLIPS = "so many signs may come out alike by chance"
OVERLAP = "it depends on which images the two counts share, which is not known"

Effect = Sample | Values
Pairs = Int[np.ndarray, "2 _"]  # images on which only the effect, only the control


def greater(effect: Effect, control: Effect, margin: Number = 0.0, level: float = 0.95) -> Verdict:
    """Does one arm do more than another on the same images, by more than a margin? More supports,
    not more by the margin refutes.

    - Bools: two tests must agree, at this two-sided level; `p` is the larger one. Of no difference
      at all: every cluster's sign is a coin's (Fisher-Pitman; of single images that is McNemar's
      exact test). Of the margin: the score test (Tango 1998), on as many independent images as
      they are worth (`clusters.effective`).
    - Numbers: the same signs, and the interval of the mean difference, by `intervals.of_mean`.
    - Counts (`Totals`, on either side): on which images is not known, so that the verdict is what
      every possible pairing agrees on, and the interval spans theirs. Of two sizes, the smaller
      sample's images are taken to be among the larger one's, and how much of that one's count fell
      on them is not known either.

    Nothing does more by a margin than what leaves no more to do. So where the control leaves no
    more than the margin (by its own bound), less by the margin alone is undecided.

    **Arguments:** `margin`: the difference that is of no practical interest, as a share.

    **Raises:** `ClaimError` for arrays that differ in length or kind, values that are no
    probabilities, and a margin that is no share.

    !!! example

        >>> effect, control = np.arange(40) < 20, np.arange(40) < 9
        >>> str(greater(effect, control))[:80]
        'supported: 27.5 [14.2, 44.1] points, n = 40, required more than the control (95%'
        >>> greater(effect, control, margin=0.2).outcome
        <Outcome.UNDECIDED: 'undecided'>
        >>> greater(Totals(16, 40), Totals(9, 40)).why
        'it depends on which images the two counts share, which is not known'
    """
    verdict = _compared(effect, control, margin, level)
    return _with_room(verdict, control, margin) if verdict.outcome == REFUTED else verdict


def _compared(effect: Effect, control: Effect, margin: Number, level: float) -> Verdict:
    check_number("margin", margin, 0, 1)
    if _both_counts(effect, control):
        return _counts(totals(effect), totals(control), margin, level)
    first, second = _pair(effect, control)
    if not len(first):
        return no_images("greater", _required(margin))
    judge = _shares if first.values.dtype == bool else _means
    return judge(first, second, margin, level)


def _with_room(verdict: Verdict, control: Effect, margin: Number) -> Verdict:
    """A verdict that one arm does no more than the control, unless nothing could have."""
    left = 1 - (control.share if isinstance(control, Totals) else _mean(seen(control)))
    surely = 1 - _highest(control, verdict.alpha)
    if surely > margin or verdict.interval[1] < 0:
        return verdict
    why = f"the control leaves {left:.1%}, no room to do more by {_points(margin)}"
    return replace(verdict, outcome=UNDECIDED, why=why, cause=NO_ROOM)


def _highest(arm: Effect, alpha: float) -> float:
    """The upper bound of what an arm does, as a share."""
    if isinstance(arm, Totals):
        return float(of_share(arm.count, arm.n).upper(alpha))
    sample = seen(arm)
    if sample.values.dtype != bool:
        return float(of_mean(sample, (0.0, 1.0)).upper(alpha))
    n = effective(sample, alpha)
    return float(of_share(_mean(sample) * n, n).upper(alpha))


def no_more(effect: Effect, control: Effect, margin: Number, level: float = 0.90) -> Verdict:
    """Does one arm do no more than another on the same images, up to a margin (non-inferiority)?

    `greater` with its sides changed: less than the margin supports, if the control leaves room for
    more; more refutes. It holds where neither arm does anything: let it stand beside a positive
    control.

    !!! example

        >>> few, some = np.arange(200) < 6, np.arange(200) < 4
        >>> no_more(few, some, margin=0.1).outcome
        <Outcome.SUPPORTED: 'supported'>
        >>> no_more(np.arange(200) < 90, some, margin=0.1).outcome
        <Outcome.REFUTED: 'refuted'>
    """
    back = _compared(effect, control, margin, level)
    required = f"no more than the control, up to {_points(margin)}"
    if not back.n:
        return no_images("no-more", required)
    outcome = decide(back.p_against, back.p, back.alpha)
    room = margin - further(level) * (back.interval[1] - back.estimate)
    verdict = replace(
        back,
        kind="no-more",
        detectable=f"could have shown <= {_points(room)}" if room > 0 else TOO_FEW,
        outcome=outcome,
        required=required,
        required_range=(-math.inf, margin),
        p=back.p_against,
        p_against=back.p,
        why=f"the interval includes {_points(margin)}" if outcome == UNDECIDED else "",
    )
    return _with_room(verdict, control, margin) if outcome == SUPPORTED else verdict


def minor(effect: Effect, whole: Effect, part: Number, level: float = 0.90) -> Verdict:
    """Does one arm do less than a part of what another does on the same images?

    The interval of the mean of effect - part * whole, by `intervals.of_mean` (of counts: by
    `intervals.of_sum`), below zero supports, above refutes. Where neither arm does anything it is
    zero, and the claim undecided: `whole` is its own positive control.

    **Arguments:** `part`: a share, such as 0.5 for less than half.

    **Raises:** `ClaimError` as `greater` does, and for a part that is no share.

    !!! example

        >>> random, region = np.arange(90) < 4, np.arange(90) < 60
        >>> minor(random, region, part=0.5).outcome
        <Outcome.SUPPORTED: 'supported'>
        >>> minor(random & False, random & False, part=0.5).outcome
        <Outcome.UNDECIDED: 'undecided'>
        >>> minor(region, region, part=0.5).outcome
        <Outcome.REFUTED: 'refuted'>
    """
    if not 0 < part <= 1:
        raise ClaimError(f"A part of {part:g} is no share. Pass a number above 0 and up to 1.")
    required = f"< 0 points above {percent(part)} of the other"
    if _both_counts(effect, whole):
        counts = [totals(effect), totals(whole)]
        if not min(each.n for each in counts):
            return no_images("minor", required)
        verdict = placed_sum(counts, np.array([1.0, -float(part)]), -math.inf, 0.0, level, POINTS)
        shown = f"itself {counts[0].share:.1%}, the other {counts[1].share:.1%}"
    else:
        first, second = _pair(effect, whole)
        if not len(first):
            return no_images("minor", required)
        for arm in (first, second):
            check_values(as_numbers(arm).values, (0.0, 1.0))
        contrast = first.values.astype(float) - part * second.values.astype(float)
        values = Clustered(contrast, first.clusters, first.weights)
        verdict = placed_mean(values, -math.inf, 0.0, (-float(part), 1.0), level, POINTS)
        shown = f"itself {_mean(first):.1%}, the other {_mean(second):.1%}"
    return replace(verdict, kind="minor", required=required, threshold=0.0, control=shown)


def _both_counts(effect: Effect, control: Effect) -> bool:
    """Whether either is a count, beside which the other is one, too."""
    if not (isinstance(effect, Totals) or isinstance(control, Totals)):
        return False
    for each in (effect, control):
        if isinstance(each, Totals):
            continue
        sample = seen(each)
        if sample.values.dtype != bool:
            raise ClaimError(
                "Counts were compared with numbers. Pass both arms as the same kind of result."
            )
        if is_clustered(sample):
            raise ClaimError(
                "Counts, of which no clusters are known, were compared with images that share "
                "some. Pass both as samples, or both as counts."
            )
    return True


def _pair(effect: Effect, control: Effect) -> tuple[Clustered, Clustered]:
    """Both arms as they were seen on the same images."""
    assert not isinstance(effect, Totals)
    assert not isinstance(control, Totals)
    first, second = seen(effect), seen(control)
    kinds = {first.values.dtype.kind, second.values.dtype.kind}
    if len(first) != len(second) or kinds not in ({"b"}, {"f"}):
        raise ClaimError(
            f"Arms of {first.values.dtype}[{len(first)}] and {second.values.dtype}[{len(second)}] "
            "were compared. Pass both on the same images in the same order, both as bools or both "
            "as numbers from 0 to 1."
        )
    if not np.array_equal(first.codes, second.codes) or not _weigh_alike(first, second):
        raise ClaimError(
            "Two arms on the same images name different clusters or weights. Pass both with the "
            "same ones."
        )
    return first, second


def _weigh_alike(first: Clustered, second: Clustered) -> bool:
    one, other = first.weights, second.weights
    return one is other or (one is not None and other is not None and bool((one == other).all()))


def _required(margin: Number) -> str:
    return f"more than the control{f' by > {_points(margin)}' if margin else ''}"


def _points(value: Number) -> str:
    return amount(value, POINTS)


def _mean(sample: Clustered) -> float:
    return float(np.average(sample.values, weights=sample.weights))


def _shares(first: Clustered, second: Clustered, margin: Number, level: float) -> Verdict:
    alpha = tail(level)
    difference = _difference(first, second)
    p, p_against = _judged(difference, margin, alpha)
    moved = [*without_an_extreme(difference), *_with_one_more(difference)]
    others = [decide(*_judged(each, margin, alpha), alpha) for each in moved]
    outcome, n, worth = decide(p, p_against, alpha), len(first), effective(difference, alpha)
    more, less = (int((difference.values == sign).sum()) for sign in (1, -1))
    low, high = of_pair(*_discordant(difference, worth), worth).interval(level)
    why = f"the interval includes {_points(margin)}" if low <= margin <= high else FLIPS
    return Verdict(
        kind="greater",
        outcome=outcome,
        estimate=_mean(difference),
        interval=(low, high),
        level=level,
        n=n,
        effective=worth,
        required=_required(margin),
        required_range=(margin, math.inf),
        threshold=margin,
        p=p,
        p_against=p_against,
        alpha=alpha,
        detectable=_detectable(worth, margin, alpha),
        control=f"control {_mean(second):.1%} of {n}, discordant {more}:{less}",
        why=why if outcome == UNDECIDED else "",
        fragile=any(other != outcome for other in others),
        unit=POINTS,
    )


def _difference(first: Clustered, second: Clustered) -> Clustered:
    values = first.values.astype(np.float64) - second.values.astype(np.float64)
    return Clustered(values, first.clusters, first.weights)


def _with_one_more(difference: Clustered) -> list[Clustered]:
    """With one image more that only the first arm moves, and one that only the second does."""
    moved = []
    for sign in (1.0, -1.0):
        values = difference.values.copy()
        values[np.argmin(np.abs(values))] = sign
        moved.append(Clustered(values, difference.clusters, difference.weights))
    return moved


def _discordant(difference: Clustered, n: float) -> tuple[float, float]:
    """On how many of n images only the first happened, and only the second."""
    more, less = (
        n * float(np.average(difference.values == sign, weights=difference.weights))
        for sign in (1, -1)
    )
    return more, less


def _judged(difference: Clustered, margin: Number, alpha: float) -> tuple[float, float]:
    """Both p-values of differences of -1, 0 or 1."""
    n = effective(difference, alpha)
    more, less = _discordant(difference, n)
    up, down = _signs(difference)
    p = max(up, float(score_p(more, less, n, margin)))
    p_against = max(down if margin <= 0 else 0.0, float(score_p(less, more, n, -margin)))
    return p, p_against


def _signs(difference: Clustered) -> tuple[float, float]:
    """The chance of as large a sum, and of as small a one, were each cluster's sign a coin's."""
    sums = Sums.of(difference).values
    values = difference.values
    alone = len(sums) == len(values) and difference.weights is None
    if alone and np.isin(values, (-1, 0, 1)).all():
        more, less = (int((values == sign).sum()) for sign in (1, -1))
        return float(_mcnemar(more, less)), float(_mcnemar(less, more))
    return flipped(sums), flipped(-sums)


def _detectable(n: float, margin: Number, alpha: float) -> str:
    """The smallest difference that so many images show with a power of 80 %, if none of them says
    the opposite."""
    counts = np.arange(int(n) + 1)
    zero = np.zeros(len(counts))
    p = np.maximum(_mcnemar(counts, zero), score_p(counts, zero, n, margin))
    enough = counts[p < alpha]
    if not len(enough):
        return TOO_FEW
    shown = betaincinv(enough[0], n - enough[0] + 1, POWER)
    return f"could have shown >= {_points(float(shown))}"


def _counts(effect: Totals, control: Totals, margin: Number, level: float) -> Verdict:
    n, alpha = min(effect.n, control.n), tail(level)
    if not n:
        return no_images("greater", _required(margin))

    def p_values(pairs: Pairs) -> list[np.ndarray]:
        more, less = pairs[0], pairs[1]
        against = _mcnemar(less, more) if margin <= 0 else np.zeros(1)
        above, below = score_p(more, less, n, margin), score_p(less, more, n, -margin)
        return [np.maximum(_mcnemar(more, less), above), np.maximum(against, below)]

    moved = [
        *((other, control) for other in neighbours(effect)),
        *((effect, other) for other in neighbours(control)),
    ]
    pairs = _pairings(effect, control)
    some_p, some_against = p_values(pairs)
    p, p_against = float(some_p.max()), float(some_against.max())
    outcome = decide(p, p_against, alpha)
    one_decides = min(some_p.min(), some_against.min()) < alpha
    why = OVERLAP if one_decides else f"the interval includes {_points(margin)}"
    others = [[float(p.max()) for p in p_values(_pairings(*pair))] for pair in moved]
    return Verdict(
        kind="greater",
        outcome=outcome,
        estimate=effect.share - control.share,
        interval=of_pair(pairs[0], pairs[1], n).interval(level),
        level=level,
        n=n,
        required=_required(margin),
        required_range=(margin, math.inf),
        threshold=margin,
        p=p,
        p_against=p_against,
        alpha=alpha,
        control=f"control {control.share:.1%} of {control.n}",
        why=why if outcome == UNDECIDED else "",
        cause=OVERLAP_UNKNOWN if outcome == UNDECIDED and one_decides else "",
        fragile=any(decide(p, against, alpha) != outcome for p, against in others),
        unit=POINTS,
    )


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


def _mcnemar(more: object, less: object) -> np.ndarray:
    more, less = np.asarray(more), np.asarray(less)
    return np.asarray(binom.sf(more - 1, more + less, 0.5))


def _means(first: Clustered, second: Clustered, margin: Number, level: float) -> Verdict:
    for arm in (first, second):
        check_values(arm.values, (0.0, 1.0))
    difference = _difference(first, second)
    verdict = placed_mean(difference, margin, math.inf, (-1.0, 1.0), level, POINTS)
    up, down = _signs(difference)
    p = max(verdict.p, up)
    p_against = max(verdict.p_against, down if margin <= 0 else 0.0)
    outcome = decide(p, p_against, tail(level))
    why = "" if outcome != UNDECIDED else verdict.why or FLIPS
    return replace(
        verdict,
        kind="greater",
        outcome=outcome,
        p=p,
        p_against=p_against,
        required=_required(margin),
        threshold=margin,
        control=f"control {_mean(second):.1%} on average",
        why=why,
    )
