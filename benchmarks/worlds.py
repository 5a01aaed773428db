"""Worlds in which the truth is known, drawn at random: what the paper's claims are tried on.

A world says on which share of images each arm takes the right answer away, and what the lens shows.
Whom it hits is drawn from a probit model: what the arms of one image share, what the images of one
category share, and what is each answer's own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from types import SimpleNamespace
from typing import NamedTuple
from zlib import crc32

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri
from scipy.stats import gamma, multivariate_normal

from claimlib import Clustered
from claims.neo2025 import arms
from claims.neo2025.arms import REGIONS, REGISTER, SLIDING_WIDTH, TO_LAST, TO_ROW, TO_TEXT
from claims.neo2025.lens import AS_MANY, LensResults, Named, Shown
from claims.neo2025.lexicon import Entry, load_lexicon
from claims.neo2025.published import cells, load_figures
from claims.neo2025.study import NumberAblations
from claims.neo2025.windows import RUN
from fixtures.filtered import CANDIDATES
from vlmlib.study import Row
from vlmlib.windows import named

CATEGORIES, VISUAL, DEPTH = 80, 576, 32
TOKENS, OTHERS = 60, 400  # of an object, and of the rest
CALIBRATION = 10_000  # images, evenly spread: they err by a small part of what 1,000 do
FLIPS = 1 / 200
ABSENT = 0.3  # of an absent class's best layer, what every layer shows
# Of the variance that an image's arms have in common: the shipped model's arms have more.
WITHIN = 0.6
DOUBT_NOISE = 0.15  # of an arm's own, in what the right token's probability loses
PRINTED = {(cell.model, cell.table, cell.task, cell.arm): cell.lost.share for cell in cells()}
# As many tokens as a region or the register has, of those printed.
NEAREST: dict[str, int] = {**dict(zip(REGIONS, (10, 40, 60), strict=True)), REGISTER: 5}
SLIDING, WINDOWS = arms.sliding(DEPTH), named(DEPTH, RUN)
LAYERS = {"llava-1.5-7b": 33, "llava-phi-3": 33, "qwen2-vl-2b": 29}
Effects = Callable[[str, str], float]


def paper(model: str) -> Effects:
    """The share of images that each arm takes the right answer from, as printed. Table 2 is
    LLaVA-1.5's for both models; what is not printed is made up to agree with the text."""

    def lost(task: str, arm: str) -> float:
        head, _, window = arm.partition(", ")
        if head.removeprefix("random = ") in TO_LAST or head in (*TO_ROW, *TO_TEXT):
            return _knockout(head, window)
        first, _, region = arm.partition(" = ")
        if arm.startswith("elsewhere ") or (first == "random" and region):
            nearest = NEAREST[region or arm.removeprefix("elsewhere ")]
            return PRINTED[model, 1, task, arms.random(nearest)]
        if first == "gradient" and region:
            return PRINTED[model, 1, task, arms.gradient(NEAREST[region])]
        if arm == arms.of_object(REGISTER):
            return 0.5 * PRINTED[model, 1, task, "object"]
        return 0.0 if arm == "clean" else PRINTED[model, 1, task, arm]

    return lost


def _knockout(row: str, window: str) -> float:
    if row in TO_TEXT:
        direct = _knockout("O+1 -> LTP", window) if row == TO_TEXT[1] else 0.0
        return direct + 0.01
    if row.startswith("random = "):  # nearly all of them, in the last row
        return 0.0 if "I-" not in row else _knockout(row.removeprefix("random = "), window)
    if window in SLIDING:
        return _sliding(row, SLIDING[window])
    return PRINTED["llava-1.5-7b", 2, "VQA", arms.knockout(row, window)]


def _sliding(row: str, layers: range) -> float:
    """What a sliding window takes away: nothing early, most about layer 20 of 32."""
    middle = (layers.start + layers.stop) / 2
    if row in TO_ROW:
        return 0.0
    if row == "I-(O+1) -> LTP":
        return 0.12 if middle <= SLIDING_WIDTH / 2 else 0.03
    return 0.2 * float(np.exp(-(((middle - 20) / 5) ** 2)))


def nothing(task: str, arm: str) -> float:
    """No arm takes anything away."""
    return 0.0


@dataclass(frozen=True)
class Lens:
    """What the logit lens shows.

    - `share`: of the object's tokens, how many decode to the class in a layer as good as the best;
      the maximum over layers, which is printed, is a little more. `background`, `absent`: the same
      of other tokens, and of an absent class.
    - `best`: the layer about which the best ones lie; `auc`: of the class's probability; `early`:
      the share in the first quarter of the layers.
    - `whole`: how often the class shows at the adapter's output. `cases`: how often more specific
      words and other languages do. `numbers`: how often numbers show in the last quarter, and
      `numbers_first` in the first; `persist`, `changed`: what ablating them does, and
      `persist_by_random`, `changed_by_random` ablating others.
    - `norm`: of visual tokens over the text's; `inside`: how often the mean token is like them.
    - `absent_auc`, `foreign`: `auc` and `cases` of the absent class.
    """

    share: float = 0.241
    background: float = 0.005
    absent: float = 0.001
    best: float = 25.7
    states: int = 33
    auc: float = 0.8
    early: float = 0.0
    whole: float = 0.0
    cases: float = 0.3
    numbers: float = 0.6
    numbers_first: float = 0.05
    persist: float = 0.9
    persist_by_random: float = 0.05
    changed: float = 0.1
    changed_by_random: float = 0.1
    norm: float = 10.0
    inside: float = 1.0
    absent_auc: float = 0.5
    foreign: float = 0.0


PAPER_LENS = {
    "llava-1.5-7b": Lens(),
    "llava-phi-3": Lens(),
    "qwen2-vl-2b": Lens(share=0.055, best=26.5, states=29, early=0.002),
}
DEAD_LENS = Lens(0.0, 0.0, 0.0, auc=0.5, cases=0.0, numbers=0.0, numbers_first=0.0)
CHANCE_LENS = Lens(0.003, 0.003, 0.003, auc=0.5, cases=0.0, numbers=0.2, numbers_first=0.2)
CHANCE_LENS = replace(CHANCE_LENS, persist=0.2, persist_by_random=0.2)


class Decoded(NamedTuple):
    """How many tokens decode to the class, by image and layer: of the object's, of all others."""

    of_object: Int[np.ndarray, "image layer"]
    elsewhere: Int[np.ndarray, "image layer"]


def decoded(
    lens: Lens,
    level: Float[np.ndarray, " image"],
    off: Float[np.ndarray, " image"],
    rng: np.random.Generator,
) -> Decoded:
    """Curves about each image's own best layer, so far off the usual one (standard normal), and as
    high as its class is known (1 on average)."""
    layers = np.arange(lens.states)
    where = np.clip(lens.best + 2.0 * off, 1, lens.states - 1)
    shape = np.exp(-np.abs(layers - where[:, None]) / 4) * (layers > 0)
    # the best of several noisy layers lies a little above the curve's height
    chance = np.clip(0.92 * lens.share * level[:, None] * shape, 0, 1)
    chance[:, 1 : lens.states // 4] += lens.early
    elsewhere = np.clip(lens.background * shape, 0, 1)
    return Decoded(rng.binomial(TOKENS, chance), rng.binomial(OTHERS, elsewhere))


@cache
def calibrated(lens: Lens, field_: str, estimand: Callable[[Decoded], float]) -> Lens:
    """A lens whose true value of an estimand is what its field says, and not only about it."""
    wanted = getattr(lens, field_)
    high = 4 * wanted if wanted < 1 else lens.states - 1

    def error(value: float) -> float:
        return true(replace(lens, **{field_: value}), estimand) - wanted

    return replace(lens, **{field_: brentq(error, 0.2 * wanted, high, xtol=1e-3 * wanted)})


def true(lens: Lens, estimand: Callable[[Decoded], float], n: int = CALIBRATION) -> float:
    """The value of an estimand, on n evenly spread images."""
    rng, evenly = np.random.default_rng(0), (np.arange(n) + 0.5) / n
    return estimand(decoded(lens, 2 * evenly, ndtri(rng.permutation(evenly)), rng))


@dataclass(frozen=True)
class World:
    """What is true, and how many images see it.

    - `effects`: the share of images that an arm takes the right answer from, by task and arm.
    - `sizes`: how many images count, by task, and under "lens".
    - `alive`: whether an arm does anything at all, by its name.
    - `icc`: the intraclass correlation of categories, of a share of 10 %. `skewed`: whether
      categories are as uneven as COCO's (Zipf's law), or even.
    - `same_images`: whether the very images are drawn again, of which 1 answer in 200 flips.
    - `tokens`: how many a row of table 1 touches, as a share of what is printed, where it is not 1.
    """

    model: str
    effects: Effects
    sizes: Mapping[str, int]
    lens: Lens = field(default_factory=Lens)
    alive: Callable[[str], bool] = lambda arm: True
    icc: float = 0.0
    skewed: bool = True
    same_images: bool = False
    tokens: Mapping[str, float] = field(default_factory=dict)

    def draw(self, rng: np.random.Generator) -> SimpleNamespace:
        """A study as claims ask it, with results drawn at random."""
        drawn = Drawn(self, rng)
        lens = _lens(self, rng)
        return SimpleNamespace(
            name=self.model,
            label=self.model,
            data="nowhere",
            own=False,
            made=[],
            ablations=drawn,
            knockouts=drawn,
            sliding_places={
                name: (layers.start + layers.stop) / 2 / DEPTH for name, layers in SLIDING.items()
            },
            visual_tokens=VISUAL,
            areas=Clustered(rng.uniform(0.0033, 0.0065, 100), np.arange(100)),
            flips=FLIPS,
            lens=lens,
            numbers=_numbers(self, rng),
        )


@cache
def latent(icc: float, share: float = 0.1) -> float:
    """The correlation of normal variables whose lower tails of this share correlate by `icc`."""
    at = ndtri(share)

    def off(shared: float) -> float:
        both = multivariate_normal.cdf([at, at], cov=[[1, shared], [shared, 1]])  # pyright: ignore
        return (float(both) - share**2) / (share - share**2) - icc

    return brentq(off, 0.0, 0.99) if icc else 0.0  # pyright: ignore[reportReturnType]


def normal(
    kinds: Int[np.ndarray, " image"],
    part: float,
    rng: np.random.Generator,
    image: Float[np.ndarray, " image"] | None = None,
) -> Float[np.ndarray, " image"]:
    """Standard normal numbers, of whose variance the images of one category share a part, and what
    is said of one image `WITHIN`, where `image` is what that shares."""
    within = min(WITHIN, 1 - part) if image is not None else 0.0
    own = np.sqrt(max(1 - part - within, 0.0)) * rng.normal(size=len(kinds))
    common = np.sqrt(part) * rng.normal(size=CATEGORIES)[kinds]
    return own + common + (np.sqrt(within) * image if image is not None else 0.0)


class Drawn:
    """One draw of both tables: on which images each arm takes the right answer away."""

    def __init__(self, world: World, rng: np.random.Generator):
        self.world, self._seed = world, int(rng.integers(2**32))
        self.shared = latent(world.icc)
        tasks = [task for task in world.sizes if task != "lens"]
        self.categories = {task: _categories(world, rng, world.sizes[task]) for task in tasks}
        self._image = {task: rng.normal(size=world.sizes[task]) for task in tasks}
        self._category = rng.normal(size=CATEGORIES)
        self._lost: dict[tuple[str, str], Bool[np.ndarray, " image"]] = {}
        self._layers: dict[str, Float[np.ndarray, "image layer"]] = {}
        n = max(world.sizes[task] for task in tasks)
        self.yields = {task: {"filter 1": CANDIDATES, "filter 2": n} for task in tasks}

    def _rng(self, *names: str) -> np.random.Generator:
        """What is drawn of an arm is the same whatever was asked before."""
        return np.random.default_rng([self._seed, crc32("/".join(names).encode())])

    def has(self, arm: str) -> bool:
        return True

    def lost(self, task: str, arm: str) -> Clustered:
        return self._seen(task, self._where(task, arm))

    def pair(self, task: str, arm: str, other: str) -> tuple[Clustered, Clustered]:
        return self.lost(task, arm), self.lost(task, other)

    def curves(self, task: str, names: Sequence[str]) -> Clustered:
        return self._seen(task, np.stack([self._where(task, arm) for arm in names], 1) * 1.0)

    def doubts(self, task: str, names: Sequence[str]) -> list[Clustered]:
        return [self._seen(task, self._doubt(task, arm)) for arm in names]

    def alive(self, task: str, arm: str) -> Clustered:
        alive = self.world.alive(arm)
        return self._seen(task, np.full(len(self.categories[task]), alive))

    def tokens(self, arm: str) -> Clustered:
        categories = max(self.categories.values(), key=len)
        mean = self.world.tokens.get(arm, 1.0) * load_figures().tokens[arm]
        size = gamma.ppf(
            ndtr(normal(categories, self.world.icc, self._rng("tokens", arm))), 9, scale=mean / 9
        )
        return Clustered(np.clip(size, 0, VISUAL), categories)

    def _seen(self, task: str, values: np.ndarray) -> Clustered:
        return Clustered(values, self.categories[task])

    def _where(self, task: str, arm: str) -> Bool[np.ndarray, " image"]:
        if (task, arm) not in self._lost:
            share = self.world.effects(task, arm) if self.world.alive(arm) else 0.0
            latent = self._latent(task, arm)
            lost = latent < ndtri(share)
            if self.world.same_images:
                first = np.argsort(latent)[: round(share * len(latent))]
                lost = np.isin(np.arange(len(latent)), first)
                lost ^= self._rng("flips", task, arm).random(len(latent)) < FLIPS
            self._lost[task, arm] = lost
        return self._lost[task, arm]

    def _latent(self, task: str, arm: str) -> Float[np.ndarray, " image"]:
        """Standard normal; half of what a category shares is the arm's own."""
        categories = self.categories[task]
        own = self._rng("category", task, arm).normal(size=CATEGORIES)
        category = (self._category + own)[categories] / np.sqrt(2)
        noise = self._noise(task, arm)
        within = min(WITHIN, 1 - self.shared)
        parts = (self.shared, category), (within, self._image[task])
        rest = max(1 - self.shared - within, 0.0)
        drawn = [np.sqrt(part) * each for part, each in (*parts, (rest, noise))]
        return np.sum(drawn, axis=0)

    def _noise(self, task: str, arm: str) -> Float[np.ndarray, " image"]:
        """An arm's own; windows that share layers share as much of it, and so do the direct way and
        both ways together."""
        row, _, window = arm.partition(", ")
        layers = SLIDING.get(window) or WINDOWS.get(window)
        if layers is None:
            return self._rng("own", task, arm).normal(size=len(self.categories[task]))
        row = "O+1 -> LTP" if row == TO_TEXT[1] else row
        if row not in self._layers:
            size = len(self.categories[task]), DEPTH
            self._layers[row] = self._rng("layers", task, row).normal(size=size)
        return self._layers[row][:, layers].sum(1) / np.sqrt(len(layers))

    def _doubt(self, task: str, arm: str) -> Float[np.ndarray, " image"]:
        """One minus the right token's probability."""
        lost = self._where(task, arm)
        alive = self.world.alive(arm) and arm != "clean"
        noise = DOUBT_NOISE * alive * self._rng("doubt", task, arm).normal(size=len(lost))
        share = self.world.effects(task, arm) if alive else 0.0
        return ndtr(_doubt(self._image[task], lost, share) + noise)


def _doubt(image: np.ndarray, lost: np.ndarray, share: float) -> np.ndarray:
    """On the normal scale: a little more everywhere, and much where the answer is lost."""
    return -1.0 - 0.5 * image + 1.5 * lost + 1.5 * share


def mean_doubt(share: float) -> float:
    """The mean over images of one minus the right token's probability, under an arm that takes the
    right answer from such a share of them; in the clean run, of none."""
    at, weights = np.polynomial.hermite_e.hermegauss(40)
    losing = ndtr((ndtri(share) - np.sqrt(WITHIN) * at) / np.sqrt(1 - WITHIN))
    spread = np.sqrt(1 + DOUBT_NOISE**2 * (share > 0))
    lost, kept = (ndtr(_doubt(at, np.array(gone), share) / spread) for gone in (1, 0))
    return float(weights @ (losing * lost + (1 - losing) * kept) / weights.sum())


def _categories(world: World, rng: np.random.Generator, n: int) -> np.ndarray:
    weights = 1 / np.arange(1, CATEGORIES + 1) if world.skewed else np.ones(CATEGORIES)
    return rng.choice(CATEGORIES, size=n, p=weights / weights.sum())


def _lens(world: World, rng: np.random.Generator) -> LensResults:
    """What the lens shows of each image; a category is well or badly known."""
    lens, n, lexicon = world.lens, world.sizes.get("lens", 0), load_lexicon()
    names = sorted(lexicon)
    kinds = _categories(world, rng, n)

    def drawn() -> Float[np.ndarray, " image"]:
        return normal(kinds, world.icc, rng)

    def happens(share: float) -> Bool[np.ndarray, " image"]:
        return normal(kinds, latent(world.icc), rng) < ndtri(share)

    layers = np.arange(lens.states)
    shares, elsewhere = decoded(lens, 2 * ndtr(drawn()), drawn(), rng)
    absent = rng.binomial(TOKENS, min(lens.absent * ABSENT, 1), (n, lens.states))
    auc = np.clip(0.5 + (lens.auc - 0.5) * (layers > 0) + 0.1 * drawn()[:, None], 0, 1)
    other = 0.5 + (lens.absent_auc - 0.5) * (layers > 0)
    absent_auc = np.clip(other + 0.1 * drawn()[:, None], 0, 1)
    shares[:, 0] = happens(lens.whole)
    quarter, count = lens.states // 4, np.zeros((n, lens.states), int)
    count[:, -1], count[:, quarter - 1] = map(happens, (lens.numbers, lens.numbers_first))
    cases, foreign, inside = map(happens, (lens.cases, lens.foreign, lens.inside))
    norm = lens.norm * np.exp(0.1 * drawn())
    images = []
    for at, kind in enumerate(kinds):
        name, other = names[kind], names[(kind + 1) % len(names)]
        words = [*_words(lexicon[name], cases[at]), *_words(lexicon[other], foreign[at])]
        images.append(
            Shown(
                tokens=TOKENS,
                area=float(rng.uniform(0.065, 0.098)),
                of_class=Named(name, shares[at].tolist(), auc[at].tolist()),
                of_absent=Named(other, absent[at].tolist(), absent_auc[at].tolist()),
                whole=bool(kind % 4),
                background=OTHERS,
                elsewhere=elsewhere[at].tolist(),
                words=words,
                numbers=[0] * int(count[at, -1]),
                numbers_in=count[at].tolist(),
                norms={"visual": norm[at], "text": 1.0, "low": 7.0, "high": 12.0, "mean": 8.0},
                cosines={"mean": 0.8 * inside[at], "low": 0.3},
            )
        )
    return LensResults(images)


def _words(entry: Entry, shown: bool) -> list[str]:
    return [entry.specific[0], entry.other_languages[0]] if shown else []


def _numbers(world: World, rng: np.random.Generator) -> NumberAblations:
    lens, part = world.lens, latent(world.icc)
    kinds = _categories(world, rng, round(lens.numbers * world.sizes.get("lens", 0)))
    image, alive = rng.normal(size=len(kinds)), world.alive("numbers")

    def changed(share: float) -> Bool[np.ndarray, " image"]:
        return (normal(kinds, part, rng, image) < ndtri(share)) & alive

    def still(share: float) -> Bool[np.ndarray, " image"]:
        return normal(kinds, part, rng) < ndtri(share)

    found = {
        "numbers": (changed(lens.changed), still(lens.persist) | (not alive)),
        AS_MANY: (changed(lens.changed_by_random), still(lens.persist_by_random)),
        "+1 buffer": (changed(0.9), still(0.0)),
    }
    return NumberAblations(
        [
            {"clean": Row("clean", True, detail={"category": str(kind)})}
            | {
                arm: Row(arm, not gone[at], detail={"still": int(left[at]), "moved": alive})
                for arm, (gone, left) in found.items()
            }
            for at, kind in enumerate(kinds)
        ]
    )
