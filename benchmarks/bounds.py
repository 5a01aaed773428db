"""Worlds in which one part of a claim lies just at its bound, and every other part where the paper
prints it: how often does the claim's rule err there?"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from scipy.optimize import brentq

from benchmarks import worlds
from benchmarks.worlds import ABSENT, OTHERS, PAPER_LENS, TOKENS, Decoded, Effects, World
from claimlib import Claim
from claims.neo2025.arms import COUNTS, REGIONS, gradient
from claims.neo2025.published import load_figures

LLAVA, PHI, QWEN = "llava-1.5-7b", "llava-phi-3", "qwen2-vl-2b"
Shares = Mapping[tuple[str, str], float]
# Arms that a claim compares with the object's tokens in polling.
BASELINES = {
    "object-beats-gradient": "gradient 10",
    "object-beats-gradient-20": "gradient 20",
    "object-beats-gradient-same-count": "gradient = object",
    "object-beats-random": "random 10",
    "object-beats-random-same-count": "random = object",
    "both-models-agree": "random 20",
}
EARLY = slice(0, 8)  # of Qwen2-VL's hidden states: a quarter of the layers, and what enters them
PARTS = {"register-hardly-matters": "register", "random-hardly-matters": "random = object"}
REGION = {"object-impairs": "object"}  # and "+1 buffer" in other claims on a share


def at_bounds(claims: Mapping[str, Claim], world: Callable[..., World]) -> dict[str, World]:
    """By claim (or claim and model) the world in which it lies at its bound.

    **Arguments:** all claims; `world`: of a model, with its effects and lens.
    """
    found = {
        id_: world(model, effects=_with(model, shares))
        for id_, model, shares in _at_shares(claims)
        if id_ in claims
    }
    few = {"object": 1 - claims["token-counts"].bounds["margin"]}
    found["token-counts"] = world(LLAVA, tokens=few)
    for number, model in ((1, LLAVA), (1, PHI), (2, LLAVA)):
        margin = claims[f"table-{number}"].bounds["margin"]
        found[f"table-{number} {model}"] = world(model, effects=_off(model, margin))
    bounds = {id_: claim.bounds for id_, claim in claims.items()}
    return found | {id_: world(model, lens=lens) for id_, model, lens in _at_lenses(bounds)}


def _at_shares(claims: Mapping[str, Claim]) -> Iterator[tuple[str, str, Shares]]:
    """Claim, model, and what is lost under some arms."""
    bounds = {id_: claim.bounds for id_, claim in claims.items()}
    object_ = worlds.paper(PHI)("polling", "object")
    for id_, each in bounds.items():
        if id_.startswith("object-") and "threshold" in each:
            yield id_, PHI, {("polling", REGION.get(id_, "+1 buffer")): each["threshold"]}
    for id_, baseline in BASELINES.items():
        yield id_, PHI, {("polling", baseline): object_ - bounds[id_]["margin"]}
    for id_, arm in PARTS.items():
        yield id_, PHI, {("polling", arm): bounds[id_]["part"] * object_}
    few = {
        ("polling", "register"): 0.05 + bounds["register-as-random"]["margin"],
        ("polling", "random = register"): 0.05,
    }
    yield "register-as-random", PHI, few
    margin = bounds["object-beats-register"]["margin"]
    more = {("polling", "register"): 0.10, ("polling", "object = register"): 0.10 + margin}
    yield "object-beats-register", PHI, more
    rise = zip(REGIONS, (0.40, 0.45, 0.50), strict=True)
    yield "buffer-order", PHI, {("polling", region): share for region, share in rise}
    slope = {("polling", gradient(k)): 0.3 + 0.1 * (k - 5) / 245 for k in COUNTS}
    yield "gradient-increases", PHI, slope
    yield from _knockouts(bounds)


def _knockouts(bounds: Mapping[str, Mapping[str, float]]) -> Iterator[tuple[str, str, Shares]]:
    def at(**shares: float) -> Shares:
        return {("VQA", arm): share for arm, share in shares.items()}

    object_, context = "O -> LTP, {}".format, "I-(O+1) -> LTP, {}".format
    late = 0.10 + bounds["object-to-last-late"]["margin"]
    yield "object-to-last-late", LLAVA, at(**{object_("mid-late"): late, object_("early"): 0.10})
    early = bounds["object-to-last-early"]["margin"]
    yield "object-to-last-early", LLAVA, at(**{object_("early"): early, object_("all"): 0.4})
    more = 0.10 + bounds["context-early"]["margin"]
    yield "context-early", LLAVA, at(**{context("early"): more, context("late"): 0.10})
    direct = worlds.paper(LLAVA)("VQA", "O+1 -> LTP, all")
    less = direct - bounds["directly-extracts"]["margin"]
    yield "directly-extracts", LLAVA, at(**{"O+1 -> text, all": less})
    both = direct + bounds["indirect-way"]["margin"]
    yield "indirect-way", LLAVA, at(**{"O+1 -> text and LTP, all": both})
    least = _costing(bounds["last-visual-row-probability"]["margin"], beside=0.0)
    yield "last-visual-row-probability", LLAVA, at(**{"O+1 -> LVR, mid": least})
    least = _costing(bounds["probability-falls"]["margin"], beside=0.1)
    yield "probability-falls", LLAVA, at(**{object_("early"): 0.1, object_("mid-late"): least})
    part = direct / bounds["all-layers"]["factor"]
    yield "all-layers", LLAVA, at(**{"O+1 -> LTP, all": part})
    row = bounds["last-visual-row-vqa"]["margin"]
    yield "last-visual-row-vqa", LLAVA, at(**{"O+1 -> LVR, mid": row})
    row = bounds["sliding-last-row"]["margin"]
    yield "sliding-last-row", PHI, at(**{"O+1 -> LVR, L11-20": row})
    twins = {name: 0.2 if name in ("L7-16", "L17-26") else 0.05 for name in worlds.SLIDING}
    yield "sliding-peak", PHI, at(**{f"O+1 -> LTP, {name}": share for name, share in twins.items()})


def _costing(probability: float, beside: float) -> float:
    """The share of images from which an arm takes the right answer, where it takes this much of the
    right token's probability more than an arm that takes that from another share."""
    wanted = worlds.mean_doubt(beside) + probability

    def error(share: float) -> float:
        return worlds.mean_doubt(share) - wanted

    return brentq(error, beside, 0.9)  # pyright: ignore[reportReturnType]


def _at_lenses(
    bounds: Mapping[str, Mapping[str, float]],
) -> Iterator[tuple[str, str, worlds.Lens]]:
    """Claim, model, and what its lens shows."""
    paper, qwen = PAPER_LENS[LLAVA], PAPER_LENS[QWEN]
    calibrated = worlds.calibrated
    part = load_figures().lens[LLAVA].share / bounds["lens-share"]["factor"]
    share = calibrated(replace(paper, share=part), "share", _best_share)
    yield "lens-share", LLAVA, share
    margin = bounds["late-layers-name-the-class"]["margin"]
    beside = calibrated(replace(qwen, share=margin, background=0.01), "share", _over_background)
    yield "late-layers-name-the-class", QWEN, beside
    margin = bounds["alignment-grows"]["margin"]
    growing = calibrated(replace(paper, share=margin), "share", _change)
    yield "alignment-grows", LLAVA, growing
    less = worlds.true(paper, _best_share) - bounds["qwen-lower"]["margin"]
    yield "qwen-lower", QWEN, calibrated(replace(qwen, share=less), "share", _best_share)
    yield "qwen-early", QWEN, replace(qwen, absent=_as_often(worlds.true(qwen, _early, n=50_000)))
    last = paper.states - 1
    printed, off = load_figures().lens[LLAVA].best_layer, bounds["lens-best-layer"]["margin"] * last
    least = bounds["best-layer-mid-to-late"]["low"] * last
    for id_, layer in (("best-layer-mid-to-late", least), ("lens-best-layer", printed - off)):
        yield id_, LLAVA, calibrated(replace(paper, best=layer), "best", _best_layer)
    yield "coarse-segmentation", LLAVA, replace(paper, auc=bounds["coarse-segmentation"]["low"])
    yield "visual-norms", LLAVA, replace(paper, norm=2.0)  # as claimed, on half of the images
    inside = bounds["mean-token-in-distribution"]["threshold"]
    yield "mean-token-in-distribution", LLAVA, replace(paper, inside=inside)
    yield "adapter-output", LLAVA, replace(paper, whole=bounds["adapter-output"]["margin"])
    yield "numbers-persist", LLAVA, replace(paper, persist=bounds["numbers-persist"]["threshold"])
    more = paper.changed_by_random + bounds["numbers-do-not-matter"]["margin"]
    yield "numbers-do-not-matter", LLAVA, replace(paper, changed=more)
    yield "numbers-on-background", LLAVA, replace(paper, numbers=0.2, numbers_first=0.2)
    for id_ in ("more-specific", "other-languages"):
        yield id_, LLAVA, replace(paper, cases=0.1, foreign=0.1)


def _with(model: str, shares: Shares) -> Effects:
    base = worlds.paper(model)
    return lambda task, arm: shares.get((task, arm), base(task, arm))


def _off(model: str, margin: float) -> Effects:
    """A table that is off by the margin, in every cell towards the middle."""
    base = worlds.paper(model)
    return lambda task, arm: base(task, arm) + (margin if base(task, arm) < 0.5 else -margin)


def _best_share(found: Decoded) -> float:
    return float(found.of_object.max(axis=1).mean()) / TOKENS


def _early(found: Decoded) -> float:
    """On how many images any early layer decodes to the class."""
    return float(found.of_object[:, EARLY].any(axis=1).mean())


def _as_often(share: float) -> float:
    """What an absent class must show, for early layers to decode to it on this share of images."""
    return (1 - (1 - share) ** (1 / (TOKENS * EARLY.stop))) / ABSENT


def _change(found: Decoded) -> float:
    """Of the mean curve's line, from the first layer to the last."""
    curve = found.of_object.mean(axis=0) / TOKENS
    return float(np.polyfit(np.arange(len(curve)), curve, 1)[0] * (len(curve) - 1))


def _over_background(found: Decoded) -> float:
    """In the best layer of the later half."""
    late = slice((found.of_object.shape[1] - 1) // 2, None)
    shares = found.of_object[:, late].max(axis=1).mean() / TOKENS
    return float(shares - found.elsewhere[:, late].max(axis=1).mean() / OTHERS)


def _best_layer(found: Decoded) -> float:
    """Of images that have one, the middle one of equals."""
    counts = found.of_object[found.of_object.any(axis=1)]
    best = counts == counts.max(axis=1, keepdims=True)
    return float((best @ np.arange(counts.shape[1]) / best.sum(axis=1)).mean())
