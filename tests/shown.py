"""What a lens shows, made up: pages of it are tried without a model."""

import base64
from collections.abc import Mapping, Sequence

import numpy as np

from vlmlib.study.lens_shown import LensShown, View, Word, area_under_curve, packed

# What a vocabulary may hold and a page must show as text.
HOSTILE = [
    "<script>document.title = 'run'</script>",
    "</script><img src=x onerror=\"document.title = 'run'\">",
    "\"'`&amp;",
    "\u202egnp.exe",
    "שלום",
    "日本語",
    "\x00\x1b[2J",
    "\n",
    "\u2028",
    "\u0301",
    "\ud800",
    "",
]


def made_up(
    likeliest: Sequence[Sequence[Sequence[str]]],
    probabilities: np.ndarray,
    view: tuple[int, int],
    of_object: Sequence[int] = (),
    words: Mapping[str, np.ndarray] | None = None,
    beside: int = 0,
) -> LensShown:
    """What is shown of words `[layer][token][k]` with their probabilities.

    **Arguments:** `view`: rows and columns, on the whole picture of 40 x 60; `words`: by word its
    probability `[layer, token]`; `beside`: so many of the last tokens have no place.
    """
    texts = list(dict.fromkeys(np.asarray(likeliest, dtype="O").ravel().tolist()))
    top = np.array([[[texts.index(each) for each in k] for k in layer] for layer in likeliest])
    states, tokens, k = top.shape
    inside = np.isin(np.arange(tokens), of_object)
    known = inside.any() and not inside.all()
    return LensShown(
        size=[40, 60],
        states=states,
        k=k,
        tokens=list(range(3, 3 + tokens)),
        views=[View(*view, list(range(tokens - beside)), [0.0, 0.0, 1.0, 1.0])],
        object=list(of_object),
        beside=[[at, "\n"] for at in range(tokens - beside, tokens)],
        ids=list(range(len(texts))),
        texts=texts,
        top=base64.b64encode(top.astype("<u4").tobytes()).decode(),
        top_probabilities=packed(probabilities),
        words=[
            Word(
                text, text, True, packed(p), area_under_curve(p, inside).tolist() if known else None
            )
            for text, p in (words or {}).items()
        ],
    )


def as_large_as_a_models(words: int = 84) -> LensShown:
    """576 tokens, 33 layers and a vocabulary of 32,000, drawn at random, which packs worst."""
    draw = np.random.default_rng(0)
    states, tokens, k, vocab = 33, 576, 5, 32_000
    ids, top = np.unique(draw.integers(0, vocab, (states, tokens, k)), return_inverse=True)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    texts = ["".join(draw.choice(letters, draw.integers(2, 9))) for _ in ids]
    likeliest = -np.sort(-draw.dirichlet(np.ones(8), (states, tokens))[..., :k])
    inside = np.arange(tokens) % 24 < 6
    drawn = [np.exp(draw.normal(-9, 2.5, (states, tokens))).clip(0, 1) for _ in range(words)]
    return LensShown(
        size=[480, 640],
        states=states,
        k=k,
        tokens=list(range(5, 5 + tokens)),
        views=[View(24, 24, list(range(tokens)), [0.0, 0.125, 1.0, 0.75])],
        object=np.flatnonzero(inside).tolist(),
        beside=[],
        ids=ids.tolist(),
        texts=texts,
        top=base64.b64encode(top.astype("<u4").tobytes()).decode(),
        top_probabilities=packed(likeliest),
        words=[
            Word(f"class {at}", "class", False, packed(p), area_under_curve(p, inside).tolist())
            for at, p in enumerate(drawn)
        ],
    )
