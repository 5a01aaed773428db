"""Shares of images: the rules by which counts become supported, refuted or undecided."""

import numpy as np
from jaxtyping import Float
from scipy.stats import binom
from statsmodels.stats.proportion import proportion_confint

from claimlib.errors import ClaimError
from claimlib.intervals import of_difference, of_share
from claimlib.paired import greater
from claimlib.samples import Sample, Totals, neighbours, totals
from claimlib.verdicts import (
    REFUTED,
    SUPPORTED,
    TOO_FEW,
    UNDECIDED,
    Outcome,
    Verdict,
    decide,
    no_images,
)

__all__ = [
    "Sample",
    "Totals",
    "agrees",
    "can_agree",
    "exceeds",
    "exists",
    "greater",
    "negligible",
    "wilson",
]


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
    return float(low), float(high)


def exceeds(sample: Sample, threshold: float) -> Verdict:
    """Is the share of images on which it happened greater than a threshold?

    The exact (Clopper-Pearson) 95 % interval decides: above the threshold it supports, below it
    refutes, each falsely in at most 2.5 % of samples.

    **Raises:** `ClaimError` for a threshold that is no share.

    !!! example

        >>> str(exceeds(Totals(422, 488), 0.5))
        'supported: 86.5% [83.1%, 89.4%], n = 488, required > 50% (95% interval, p < 0.001); could have shown >= 54.7%'
        >>> exceeds(Totals(20, 39), 0.5).outcome
        <Outcome.UNDECIDED: 'undecided'>
    """
    counted = totals(sample)
    at_least, at_most = _tails(counted.n, threshold)
    shown = np.flatnonzero(at_least < 0.025)
    detectable = f"could have shown >= {shown[0] / counted.n:.1%}" if len(shown) else TOO_FEW
    return _share(
        "exceeds", counted, f"> {threshold:.0%}", threshold, at_least, at_most, 0.025, detectable
    )


def negligible(sample: Sample, margin: float) -> Verdict:
    """Is the share of images that an intervention changed smaller than a margin (equivalence)?

    The clean run is right on every counted image, so that this share is the paired difference to
    it. The exact 90 % interval decides: inside the margin it supports, outside it refutes, each
    falsely in at most 5 % of samples.

    **Raises:** `ClaimError` for a margin that is no share.

    !!! example

        >>> str(negligible(Totals(1, 100), 0.1))
        'supported: 1.0% [0.1%, 4.7%], n = 100, required < 10% (90% interval, p < 0.001); could have shown <= 4.0%'
        >>> negligible(Totals(0, 20), 0.1).detectable
        'too few images to show it'
    """
    counted = totals(sample)
    at_least, at_most = _tails(counted.n, margin)
    shown = np.flatnonzero(at_most < 0.05)
    detectable = f"could have shown <= {shown[-1] / counted.n:.1%}" if len(shown) else TOO_FEW
    return _share(
        "negligible", counted, f"< {margin:.0%}", margin, at_most, at_least, 0.05, detectable
    )


def agrees(sample: Sample, printed: Totals, margin: float = 0.10) -> Verdict:
    """Does our share agree with a printed one, of other images, to within a margin?

    Newcombe's 90 % interval of the difference of two independent shares decides: inside the margin
    on both sides it supports (two one-sided tests at 5 %), wholly outside it refutes. Where even
    the printed share itself could not agree (`can_agree`) what is not refuted is undecided. The
    interval is not exact: where the true difference is the margin itself, a false verdict comes up
    in at most 6 % of samples (enumerated for sizes from 30 to 488).

    **Raises:** `ClaimError` for a margin that is no share.

    !!! example

        >>> agrees(Totals(870, 1000), Totals(422, 488)).outcome
        <Outcome.SUPPORTED: 'supported'>
        >>> agrees(Totals(50, 100), Totals(20, 39)).why
        'a printed 20 of 39 is too coarse: not even its own share, on any number of images, agrees to within 10%'
    """
    ours, required = totals(sample), f"within {margin:.0%} of {printed.count} of {printed.n}"
    _check_share(margin)
    if not ours.n or not printed.n:
        return no_images("agrees", required)
    possible = can_agree(printed, margin)

    def outcome(counted: Totals) -> Outcome:
        low, high = of_difference(counted, printed).interval(0.90)
        if low > margin or high < -margin:
            return REFUTED
        return SUPPORTED if possible and -margin < low and high < margin else UNDECIDED

    bounds, found = of_difference(ours, printed), outcome(ours)
    low, high = bounds.interval(0.90)
    room = min(
        margin - (high - (ours.share - printed.share)), margin - (ours.share - printed.share - low)
    )
    why = "the interval crosses the margin"
    if not possible:
        why = (
            f"a printed {printed.count} of {printed.n} is too coarse: not even its own share, on "
            "any number of images, "
            f"agrees to within {margin:.0%}"
        )
    return Verdict(
        "agrees",
        found,
        ours.share - printed.share,
        (low, high),
        0.90,
        ours.n,
        required,
        margin,
        p=max(bounds.p_above(-margin), bounds.p_below(margin)),
        p_against=min(bounds.p_above(margin), bounds.p_below(-margin)),
        alpha=0.05,
        detectable=f"could have shown a difference <= {room:.1%}"
        if possible and room > 0
        else TOO_FEW,
        why=why if found == UNDECIDED else "",
        fragile=any(outcome(other) != found for other in neighbours(ours)),
    )


def can_agree(printed: Totals, margin: float = 0.10) -> bool:
    """Could a sample of ours, however large and with just the printed share, be found to agree with
    it?

    !!! example

        >>> can_agree(Totals(422, 488)), can_agree(Totals(20, 39))
        (True, False)
    """
    low, high = wilson(printed, 0.90)
    return printed.n > 0 and max(high - printed.share, printed.share - low) < margin


def exists(sample: Sample, control: Sample, at_least: int) -> Verdict:
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
    counted, required = totals(sample), f"at least {at_least} images, and more than the control"
    paired = greater(sample, control)
    if not paired.n:
        return no_images("exists", required)

    def outcome(counted: Totals) -> Outcome:
        return decide(
            paired.p if counted.count >= at_least else 1.0, paired.p_against, paired.alpha
        )

    found, reached = outcome(counted), counted.count >= at_least
    why = f"seen on {counted.count} images and not on {at_least}"
    if reached:
        why = f"not shown to be more than under the control: {paired.why}"
    return Verdict(
        "exists",
        found,
        counted.share,
        of_share(counted.count, counted.n).interval(0.95),
        0.95,
        counted.n,
        required,
        at_least / counted.n,
        paired.p if reached else 1.0,
        paired.p_against,
        paired.alpha,
        control=paired.control,
        why=why if found == UNDECIDED else "",
        fragile=(paired.fragile and reached)
        or any(outcome(other) != found for other in neighbours(counted)),
    )


def _check_share(bound: float) -> None:
    if not 0 <= bound <= 1:
        raise ClaimError(
            f"A threshold or margin of {bound:g} is no share. Pass a number between 0 and 1: 0.5 "
            "for 50 %."
        )


def _tails(n: int, share: float) -> tuple[Float[np.ndarray, " count"], Float[np.ndarray, " count"]]:
    """The probabilities of at least, and of at most, each count when this is the true share."""
    _check_share(share)
    counts = np.arange(n + 1)
    return binom.sf(counts - 1, n, share), binom.cdf(counts, n, share)


def _share(
    kind: str,
    counted: Totals,
    required: str,
    bound: float,
    p: Float[np.ndarray, " count"],
    p_against: Float[np.ndarray, " count"],
    alpha: float,
    detectable: str,
) -> Verdict:
    """The verdict on a count, from the p-values that each count would have."""
    if not counted.n:
        return no_images(kind, required)

    def outcome(counted: Totals) -> Outcome:
        return decide(float(p[counted.count]), float(p_against[counted.count]), alpha)

    found, level = outcome(counted), 1 - 2 * alpha
    return Verdict(
        kind,
        found,
        counted.share,
        of_share(counted.count, counted.n).interval(level),
        level,
        counted.n,
        required,
        bound,
        float(p[counted.count]),
        float(p_against[counted.count]),
        alpha,
        detectable,
        why=f"the interval includes {bound:.0%}" if found == UNDECIDED else "",
        fragile=any(outcome(other) != found for other in neighbours(counted)),
    )
