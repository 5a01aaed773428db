"""What the logit lens shows on one image, as plain data: a row can hold it, and a page be made of
it without the model."""

import base64
import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from vlmlib.errors import LackingError, VLMError
from vlmlib.geometry import centres
from vlmlib.interventions import Tokens, positions
from vlmlib.lens import MAX_LOGITS, Lens
from vlmlib.model import VLM
from vlmlib.stimulus import Stimulus

# A probability p is kept as -log2(p) in steps of 1/256, which is right to 0.14 % of it; 16 bits of
# that reach beyond the least that 32 bits hold, which is then known to be less.
STEPS, LEAST = 256, 2**16 - 1
# The bytes that exact probabilities may take, so that the page of 576 tokens and 33 layers stays
# below 5 MB: there, 84 words.
MOST_BYTES = 3_200_000


@dataclass(frozen=True)
class View:
    """A grid of tokens, and what it shows of the picture.

    - `cells`: row by row which of the lens' tokens stands there, -1 for none.
    - `box`: top, left, height and width of the grid in shares of the picture, of which it may reach
      beyond; none where it shows only padding.
    """

    rows: int
    cols: int
    cells: list[int]
    box: list[float] | None


@dataclass(frozen=True)
class Word:
    """A word of which the probability at each token is kept, layer by layer: that of the token
    `piece` with which the model would begin to say it.

    - `whole`: whether the piece is all of it. `probability`: packed (see `packed`).
    - `auc`: by layer how well it tells the object's tokens from the other tokens of the image (area
      under the ROC curve); none where it is not known which those are.
    """

    text: str
    piece: str
    whole: bool
    probability: str
    auc: list[float] | None


@dataclass(frozen=True)
class LensShown:
    """The likeliest tokens by layer, and where in the picture.

    - `size`: height and width of the picture. `states`: layers + 1. `k`: how many of the likeliest.
    - `tokens`: their positions in the sequence; by their places in this list all else speaks of
      them. `object`: those of the object. `beside`: those that have no place in the picture, with
      what the prompt has there; `unplaced`: why none has one, or "".
    - `ids`, `texts`: the tokens of the vocabulary that occur. `top`: which of those,
        `[layer, token, k]`, as base64 of 32 bits each; `top_probabilities`: packed.
    - `words`: those whose probabilities are kept. `left_out`: others, for which there was no room.
    """

    size: list[int]
    states: int
    k: int
    tokens: list[int]
    views: list[View]
    object: list[int]
    beside: list[list[Any]]
    ids: list[int]
    texts: list[str]
    top: str
    top_probabilities: str
    words: list[Word] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    unplaced: str = ""

    @property
    def plain(self) -> dict[str, Any]:
        """As what JSON holds."""
        return asdict(self)

    @classmethod
    def of_plain(cls, plain: dict[str, Any]) -> "LensShown":
        """What `plain` gave."""
        views = [View(**each) for each in plain["views"]]
        words = [Word(**each) for each in plain["words"]]
        return cls(**{**plain, "views": views, "words": words})


def lens_shown(
    vlm: VLM,
    stimulus: Stimulus,
    lens: Lens,
    words: Sequence[str] = (),
    object: Tokens = (),
) -> LensShown:
    """What a lens shows, with all that a page of it needs.

    **Arguments:** the model, what the lens read, and the lens; `words`: of which to keep the
    probabilities, under the lens' own arm, the most wanted first, since there is room for
    `MOST_BYTES`; `object`: the positions of an object's tokens.

    **Raises:** `VLMError` for a lens of other positions than the stimulus has, or of another model;
    for a word that is empty or holds control characters.

    !!! example

        >>> lens = logit_lens(vlm, stimulus, stimulus.visual)
        >>> shown = lens_shown(vlm, stimulus, lens, ["book"], stimulus.visual[:3])
        >>> shown.object, shown.words[0].piece, len(shown.words[0].auc)
        ([0, 1, 2], 'book', 3)
    """
    _check(vlm, stimulus, lens, words)
    place = {position: at for at, position in enumerate(lens.tokens)}
    inside = [place[each] for each in positions(object) if each in place]
    views, unplaced = _views(stimulus, place)
    placed = {at for view in views for at in view.cells}
    decode = vlm.processor.tokenizer.decode
    ids, top = np.unique(lens.top_ids.cpu().numpy(), return_inverse=True)
    states, _, k = lens.top_ids.shape
    wanted = list(dict.fromkeys(words))
    room = MOST_BYTES // (2 * states * max(len(lens.tokens), 1))
    return LensShown(
        size=list(stimulus.image_size),
        states=states,
        k=k,
        tokens=list(lens.tokens),
        views=views,
        object=inside,
        beside=[
            [at, decode([int(stimulus.input_ids[position])])]
            for position, at in place.items()
            if at not in placed
        ],
        ids=ids.tolist(),
        texts=[decode([each]) for each in ids.tolist()],
        top=base64.b64encode(top.astype("<u4").tobytes()).decode(),
        top_probabilities=packed(lens.top_probabilities.cpu().numpy()),
        words=_words(vlm, stimulus, lens, wanted[:room], inside),
        left_out=wanted[room:],
        unplaced=unplaced,
    )


def packed(probabilities: Float[np.ndarray, "*any"]) -> str:
    """Probabilities to three digits, as base64 of 16 bits each, the low byte first: -256 log2(p),
    65535 for zero.

    !!! example

        >>> base64.b64decode(packed(np.array([1.0, 0.5, 0.0]))).hex()
        '00000001ffff'
    """
    with np.errstate(divide="ignore"):
        steps = np.round(-STEPS * np.log2(np.asarray(probabilities, float)))
    return base64.b64encode(steps.clip(0, LEAST).astype("<u2").tobytes()).decode()


def area_under_curve(
    probability: Float[np.ndarray, "layer token"], inside: Bool[np.ndarray, " token"]
) -> Float[np.ndarray, " layer"]:
    """The chance that a token inside has a larger probability than one outside, ties counted half
    (Mann-Whitney), layer by layer; a half where there are not both.

    !!! example

        >>> inside = np.array([True, False, False])
        >>> area_under_curve(np.array([[0.9, 0.1, 0.2], [0.5, 0.5, 0.9]]), inside).tolist()
        [1.0, 0.25]
    """
    hits, misses = int(inside.sum()), int((~inside).sum())
    if not hits or not misses:
        return np.full(len(probability), 0.5)
    ranks = rankdata(probability, axis=1)[:, inside].sum(1)
    return (ranks - hits * (hits + 1) / 2) / (hits * misses)


def is_whole(piece: str, word: str) -> bool:
    """Whether the text of a token is all of a word, and no first piece that begins others, too.

    !!! example

        >>> is_whole(" Dog", "dog"), is_whole("book", "bookcase")
        (True, False)
    """
    return piece.strip().casefold() == word.strip().casefold()


def _check(vlm: VLM, stimulus: Stimulus, lens: Lens, words: Sequence[str]) -> None:
    if not lens.tokens or lens.tokens[-1] > stimulus.last:
        raise VLMError(
            f"The lens read positions {lens.tokens[:1]} to {lens.tokens[-1:]} of a stimulus whose "
            f"last is {stimulus.last}. Pass the stimulus that it read, and at least one token."
        )
    if len(lens.top_ids) != len(vlm.decoder.layers) + 1:
        raise VLMError(
            f"The lens has {len(lens.top_ids)} states and the model {len(vlm.decoder.layers)} "
            "layers. Pass the model that it read, which has one layer fewer."
        )
    for word in words:
        if not word.strip() or not word.isprintable():
            raise VLMError(f"{word!r} is no word. Pass words that can be seen, in one line each.")


def _words(
    vlm: VLM, stimulus: Stimulus, lens: Lens, words: Sequence[str], object: list[int]
) -> list[Word]:
    """The words with their probabilities, which one pass gives."""
    if not words:
        return []
    ids = [vlm.first_token(stimulus, word) for word in words]
    found = _probabilities(vlm, stimulus, lens, ids)
    visual = np.isin(lens.tokens, stimulus.visual.cpu().numpy())
    inside = np.isin(np.arange(len(lens.tokens)), object)[visual]
    known = inside.any() and not inside.all()
    made = []
    for word, id_, probability in zip(words, ids, found, strict=True):
        piece = vlm.processor.tokenizer.decode([id_])
        auc = area_under_curve(probability[:, visual], inside).round(6).tolist() if known else None
        made.append(Word(word, piece, is_whole(piece, word), packed(probability), auc))
    return made


@torch.no_grad()
def _probabilities(
    vlm: VLM, stimulus: Stimulus, lens: Lens, ids: Sequence[int]
) -> Float[np.ndarray, "word layer token"]:
    """Of some tokens of the vocabulary, as `logit_lens` has it of one."""
    hidden = vlm.hidden_states(stimulus, lens.tokens, lens.arm)
    chunks = hidden.flatten(0, 1).split(max(1, MAX_LOGITS // vlm.decoder.vocab))
    logits = (vlm.head(vlm.decoder.norm(chunk)).float() for chunk in chunks)
    found = torch.cat([each.softmax(-1)[:, list(ids)].double().cpu() for each in logits])
    return found.unflatten(0, hidden.shape[:2]).movedim(-1, 0).numpy()


def _views(stimulus: Stimulus, place: dict[int, int]) -> tuple[list[View], str]:
    """The grids of the tokens; or none, and why."""
    try:
        views = stimulus.views
        found = centres(stimulus.image_processor, stimulus.image_size, stimulus.grids)
    except LackingError as error:
        return [], str(error)
    made = [
        View(*grid, [place.get(each, -1) for each in view.flatten().tolist()], _box(places))
        for grid, view, places in zip(stimulus.grids, views, found, strict=True)
    ]
    return [view for view in made if {*view.cells} != {-1}], ""


def _box(places: Float[np.ndarray, "row col axis"]) -> list[float] | None:
    """The rectangle whose even division has such middles; none where nothing is seen."""
    if np.isnan(places).all():
        return None
    (top, height), (left, width) = _side(places[..., 0]), _side(places[..., 1].T)
    return [top, left, height, width]


def _side(middles: Float[np.ndarray, "line other"]) -> tuple[float, float]:
    """Where lines at even distances begin, and how far they reach. Those at an edge that show some
    padding have their middles off the line, hence medians."""
    seen = [at for at, line in enumerate(middles) if not np.isnan(line).all()]
    middle = {at: float(np.nanmedian(middles[at])) for at in seen}
    pairs = itertools.pairwise(seen)
    steps = [(middle[after] - middle[before]) / (after - before) for before, after in pairs]
    # of a single line it is not known; what lies evenly about it is the most that it can show
    step = float(np.median(steps)) if steps else 2 * min(middle[seen[0]], 1 - middle[seen[0]])
    start = float(np.median([middle[at] - (at + 0.5) * step for at in seen]))
    return start, step * len(middles)
