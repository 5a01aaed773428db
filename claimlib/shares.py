"""Shares of images: the rules by which counts become supported, refuted or undecided."""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.special import betainc, betaincinv
from statsmodels.stats.proportion import proportion_confint

from claimlib.clusters import effective
from claimlib.errors import ClaimError
from claimlib.intervals import of_difference, of_share
from claimlib.paired import greater
from claimlib.samples import (
    Number,
    Sample,
    Totals,
    check_number,
    check_values,
    is_clustered,
    neighbours,
    seen,
    totals,
)
from claimlib.verdicts import (
    NOT_SEEN,
    POINTS,
    POWER,
    REFUTED,
    SUPPORTED,
    TOO_COARSE,
    TOO_FEW,
    UNDECIDED,
    Outcome,
    Verdict,
    decide,
    further,
    no_images,
    number,
    percent,
    tail,
)


def wilson(sample: Sample, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share, to be shown beside a paper's figure; no verdict rests on it.

    !!! example

        >>> "{:.3f} {:.3f}".format(*wilson(Totals(20, 39)))
        '0.362 0.661'
    """
    counted = totals(sample)
    if not counted.n:
        return 0.0, 1.0
    low, high = proportion_confint(counted.count, counted.n, alpha=1 - level, method="wilson")
    return float(low), float(high)  # pyright: ignore[reportArgumentType]


def share_interval(sample: Sample, level: float = 0.95) -> tuple[float, float]:
    """The exact interval by which `exceeds` decides, to be shown where nothing is decided.

    !!! example

        >>> "{:.3f} {:.3f}".format(*share_interval(Totals(20, 39)))
        '0.348 0.676'
    """
    found = worth(sample, tail(level))
    return of_share(found.share * found.n, found.n).interval(level) if found.seen else (0.0, 1.0)


class Worth(NamedTuple):
    """A share, and of how many independent images: `share`, `n`; on how many it was `seen`."""

    share: float
    n: float
    seen: int


def worth(sample: Sample, alpha: float) -> Worth:
    """A share, and how many independent images would tell as much of it (`clusters.effective`).

    !!! example

        >>> worth(Totals(20, 39), 0.025)
        Worth(share=0.5128205128205128, n=39.0, seen=39)
    """
    if isinstance(sample, Totals):
        return Worth(sample.share if sample.n else 0.0, float(sample.n), sample.n)
    found = seen(sample)
    if not len(found):
        return Worth(0.0, 0.0, 0)
    if found.values.dtype != bool:
        check_values(found.values, (0.0, 1.0))
    share = float(np.average(found.values, weights=found.weights))
    return Worth(share, effective(found, alpha), len(found))


def exceeds(sample: Sample, threshold: Number, level: float = 0.95) -> Verdict:
    """Is the share of images on which it happened greater than a threshold?

    The exact (Clopper-Pearson) interval of this level decides: above the threshold it supports,
    below it refutes, each falsely in at most (1 - level) / 2 of samples. Images that share
    categories count as the independent ones that they are worth (Korn and Graubard 1998).

    **Raises:** `ClaimError` for a threshold that is no share.

    !!! example

        >>> str(exceeds(Totals(422, 488), 0.5))[:78]
        'supported: 86.5% [83.1%, 89.4%], n = 488, required > 50% (95% interval, p < 0.'
        >>> exceeds(Totals(20, 39), 0.5).outcome
        <Outcome.UNDECIDED: 'undecided'>
    """
    alpha = tail(level)
    found = worth(sample, alpha)
    enough = _least(found.n, threshold, alpha)
    return _share(
        sample,
        found,
        kind="exceeds",
        required=f"> {percent(threshold)}",
        threshold=threshold,
        level=level,
        is_above=True,
        detectable="" if enough is None else f">= {enough:.1%}",
    )


def negligible(sample: Sample, margin: Number, level: float = 0.90) -> Verdict:
    """Is the share of images that an intervention changed smaller than a margin (equivalence)?

    The clean run is right on every counted image, so that this share is the paired difference to
    it. The exact interval of this level decides, as for `exceeds`: inside the margin it supports,
    outside it refutes, each falsely in at most (1 - level) / 2 of samples.

    **Raises:** `ClaimError` for a margin that is no share.

    !!! example

        >>> negligible(Totals(1, 100), 0.1).outcome
        <Outcome.SUPPORTED: 'supported'>
        >>> negligible(Totals(0, 20), 0.1).detectable
        'too few images to show it'
    """
    alpha = tail(level)
    found = worth(sample, alpha)
    enough = _least(found.n, 1 - margin, alpha)
    return _share(
        sample,
        found,
        kind="negligible",
        required=f"< {percent(margin)}",
        threshold=margin,
        level=level,
        is_above=False,
        detectable="" if enough is None else f"<= {1 - enough:.1%}",
    )


def agrees(sample: Sample, printed: Totals, margin: Number, level: float = 0.90) -> Verdict:
    """Does our share agree with a printed one, of other images, to within a margin?

    Newcombe's interval of the difference of two independent shares decides: inside the margin on
    both sides it supports (two one-sided tests), wholly outside it refutes. Where even the printed
    share itself could not agree (`can_agree`) what is not refuted is undecided. The interval is not
    exact: where the true difference is the margin itself, a false verdict comes up in at most 6 %
    of samples at a level of 90 % (enumerated for sizes from 30 to 488).

    **Raises:** `ClaimError` for a margin that is no share, and for images that share clusters, of
    which `reproduces` knows.

    !!! example

        >>> agrees(Totals(870, 1000), Totals(422, 488), margin=0.1).outcome
        <Outcome.SUPPORTED: 'supported'>
        >>> print(agrees(Totals(50, 100), Totals(20, 39), margin=0.1).why[:40])
        a printed 20 of 39 is too coarse: not ev
    """
    _check_share(margin)
    if not isinstance(sample, Totals) and is_clustered(sample):
        raise ClaimError(
            "One figure was compared with images that share clusters, as if they did not. Use "
            "reproduces([sample], [printed], margin), which knows of them."
        )
    return _agrees(totals(sample), printed, margin, level)


@cache  # the p-values are searched for, and tables repeat the same few counts
def _agrees(ours: Totals, printed: Totals, margin: Number, level: float) -> Verdict:
    required = f"within {number(margin, POINTS)} points of {printed.count} of {printed.n}"
    if not ours.n or not printed.n:
        return no_images("agrees", required)
    possible = can_agree(printed, margin, level)

    def outcome(counted: Totals) -> Outcome:
        low, high = of_difference(counted, printed).interval(level)
        if low > margin or high < -margin:
            return REFUTED
        return SUPPORTED if possible and -margin < low and high < margin else UNDECIDED

    bounds, found = of_difference(ours, printed), outcome(ours)
    estimate, (low, high) = ours.share - printed.share, bounds.interval(level)
    room = min(
        margin - further(level) * (high - estimate), margin - further(level) * (estimate - low)
    )
    shown = f"could have shown <= {number(room, POINTS)} points"
    why = "the interval crosses the margin" if possible else _too_coarse(printed, margin)
    return Verdict(
        kind="agrees",
        outcome=found,
        estimate=estimate,
        interval=(low, high),
        level=level,
        n=ours.n,
        required=required,
        required_range=(-margin, margin),
        threshold=margin,
        p=max(bounds.p_above(-margin), bounds.p_below(margin)),
        p_against=min(bounds.p_above(margin), bounds.p_below(-margin)),
        alpha=tail(level),
        detectable=shown if possible and room > 0 else TOO_FEW,
        why=why if found == UNDECIDED else "",
        cause="" if possible or found != UNDECIDED else TOO_COARSE,
        fragile=any(outcome(other) != found for other in neighbours(ours)),
        unit=POINTS,
    )


def can_agree(printed: Totals, margin: Number, level: float = 0.90) -> bool:
    """Could a sample of ours, however large and with just the printed share, be found to agree with
    it?

    !!! example

        >>> can_agree(Totals(422, 488), margin=0.1), can_agree(Totals(20, 39), margin=0.1)
        (True, False)
    """
    low, high = wilson(printed, level)
    return printed.n > 0 and max(high - printed.share, printed.share - low) < margin


def exists(sample: Sample, control: Sample, at_least: int, level: float = 0.95) -> Verdict:
    """Does it happen: on at least so many images, and on more than under a control on the same
    images?

    Supported if the count is reached and `greater` is supported. Refuted only if the control shows
    it on significantly more images: not to have seen a thing does not show that there is none.

    !!! example

        >>> exists(Totals(12, 170), Totals(0, 170), at_least=5).outcome
        <Outcome.SUPPORTED: 'supported'>
        >>> exists(Totals(2, 170), Totals(0, 170), at_least=5).why
        'seen on 2 images and not on 5'
    """
    check_number("smallest number of images", at_least, 1)
    counted, required = totals(sample), f"at least {at_least} images, and more than the control"
    paired = greater(sample, control, level=level)
    if not paired.n:
        return no_images("exists", required)

    def p(counted: Totals) -> float:
        return paired.p if counted.count >= at_least else 1.0

    def outcome(counted: Totals) -> Outcome:
        return decide(p(counted), paired.p_against, paired.alpha)

    found, reached = outcome(counted), counted.count >= at_least
    why = f"seen on {counted.count} images and not on {at_least}"
    if reached:
        why = f"not shown to be more than under the control: {paired.why}"
    on_the_edge = any(outcome(other) != found for other in neighbours(counted))
    share = worth(sample, paired.alpha)
    return Verdict(
        kind="exists",
        outcome=found,
        estimate=counted.share,
        interval=of_share(share.share * share.n, share.n).interval(level),
        level=level,
        n=counted.n,
        effective=share.n,
        required=required,
        required_range=(at_least / counted.n, math.inf),
        threshold=at_least / counted.n,
        p=p(counted),
        p_against=paired.p_against,
        alpha=paired.alpha,
        control=paired.control,
        why=why if found == UNDECIDED else "",
        cause="" if reached or found != UNDECIDED else NOT_SEEN,
        fragile=on_the_edge or (reached and paired.fragile),
    )


def _check_share(bound: Number) -> None:
    if not 0 <= bound <= 1:
        raise ClaimError(
            f"A threshold or margin of {bound:g} is no share. Pass a number between 0 and 1: 0.5 "
            "for 50 %."
        )


def _too_coarse(printed: Totals, margin: Number) -> str:
    return (
        f"a printed {printed.count} of {printed.n} is too coarse: not even its own share, on any "
        f"number of images, agrees to within {percent(margin)}"
    )


def _at_least(count: float, n: float, share: Number) -> float:
    """The probability of at least this count; n need not be whole (Clopper and Pearson's beta)."""
    return 1.0 if count <= 0 else float(betainc(count, n - count + 1, share))


def _least(n: float, threshold: Number, alpha: float) -> float | None:
    """The smallest true share that a sample of n shows to lie above a threshold with a power of
    80 %; None where not even all of it would."""
    _check_share(threshold)
    counts = np.append(np.arange(1, n), n)  # n need not be whole
    enough = counts[betainc(counts, n - counts + 1, threshold) < alpha]
    return float(betaincinv(enough[0], n - enough[0] + 1, POWER)) if len(enough) else None


def _share(
    sample: Sample,
    found: Worth,
    *,
    kind: str,
    required: str,
    threshold: Number,
    level: float,
    is_above: bool,
    detectable: str,
) -> Verdict:
    """The verdict on whether a share lies above a threshold, or below."""
    _check_share(threshold)
    if not found.seen:
        return no_images(kind, required)
    alpha = tail(level)

    def p_values(share: float) -> tuple[float, float]:
        count = share * found.n
        above = _at_least(count, found.n, threshold)
        below = _at_least(found.n - count, found.n, 1 - threshold)
        return (above, below) if is_above else (below, above)

    def outcome(share: float) -> Outcome:
        return decide(*p_values(share), alpha)

    (p, p_against), decided = p_values(found.share), outcome(found.share)
    others = [found.share + step / found.seen for step in (-1, 1)]
    return Verdict(
        kind=kind,
        outcome=decided,
        estimate=found.share,
        interval=of_share(found.share * found.n, found.n).interval(level),
        level=level,
        n=found.seen,
        effective=found.n,
        required=required,
        required_range=(threshold, math.inf) if is_above else (-math.inf, threshold),
        threshold=threshold,
        p=p,
        p_against=p_against,
        alpha=alpha,
        detectable=f"could have shown {detectable}" if detectable else TOO_FEW,
        why=f"the interval includes {percent(threshold)}" if decided == UNDECIDED else "",
        fragile=any(outcome(each) != decided for each in others if 0 <= each <= 1),
    )
