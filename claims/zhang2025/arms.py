"""The conditions, by the names that figures and tables use: a route, of which attention is blocked,
and the layers in which it is. No other file puts such a name together."""

from collections.abc import Callable, Sequence
from functools import cache, partial

import torch
from jaxtyping import Int
from torch import Tensor

from vlmlib import Block, LackingError, select
from vlmlib.interventions import causal_blocks
from vlmlib.study import Scene
from vlmlib.windows import centred, named

Tokens = Int[Tensor, " _"]

# From where to where attention is blocked, as the paper's figures have it.
QUESTION, IMAGE, LAST = "question -> last", "image -> last", "last -> last"
INTO_QUESTION = "image -> question"
RELATED, OTHER = "related -> question", "other -> question"
ROUTES = (QUESTION, IMAGE, LAST, INTO_QUESTION, RELATED, OTHER)
# As many of the other visual tokens as the objects have; as many visual ones as the question has.
AS_MANY, RANDOM = "as many others -> question", "random -> last"
# What the authors leave open, and all of it together: the ceiling.
SUFFIX, TEXT = "image -> suffix", "image -> text"
WINDOWED, THROUGHOUT = (*ROUTES, AS_MANY, RANDOM), (SUFFIX, TEXT)

ALL = "all layers"
SHARE = 0.22  # of all layers in a window: 9 of 40, 7 of 32
FEWEST = 12  # layers, below which windows are single layers
# In layers of 40, as the paper's 13B model has them: where it sees a stage begin and end.
STAGES = {
    "lowest": (0, 6),
    "early": (0, 5),
    "between": (5, 8),
    "second": (8, 14),
    "middle": (15, 26),
    "higher": (20, 40),
    "highest": (34, 40),
}
OF = 40


def knockout(route: str, window: str) -> str:
    """The arm that blocks a route in a window of layers.

    !!! example

        >>> knockout(IMAGE, window(3))
        'image -> last, around layer 3'
    """
    return f"{route}, {window}"


def window(layer: int) -> str:
    """The name of the window around a layer, counted from 0."""
    return f"around layer {layer}"


def width(layers: int) -> int:
    """Of how many layers a window is: the paper's share of them; of few layers, one.

    !!! example

        >>> width(40), width(32), width(8)
        (9, 7, 1)
    """
    return round(SHARE * layers) if layers >= FEWEST else 1


def stages(layers: int) -> dict[str, range]:
    """The paper's stages in a model of any depth.

    !!! example

        >>> stages(40)["early"], stages(8)["early"], stages(8)["second"]
        (range(0, 5), range(0, 1), range(2, 3))
    """
    return named(layers, STAGES, of=OF)


def flow(scene: Scene) -> dict[str, Callable[[], list[Block]]]:
    """All arms of a question."""
    layers = len(scene.vlm.layers)
    windows = {window(at): each for at, each in enumerate(centred(layers, width(layers)))}
    every = {ALL: range(layers)}
    return {
        knockout(route, name): partial(_blocks, edges, within)
        for route in (*WINDOWED, *THROUGHOUT)
        for edges in [cache(partial(_edges, scene, route))]
        for name, within in ({**windows, **every} if route in WINDOWED else every).items()
    }


def _blocks(edges: Callable[[], Sequence[Block]], layers: range) -> list[Block]:
    return [Block(each.source, each.to, layers) for each in edges()]


def _edges(scene: Scene, route: str) -> list[Block]:
    """The edges of a route, in whatever layers.

    **Raises:** `LackingError` where a prompt has none.
    """
    source, target = ends(scene, route)
    if not len(source) or not len(target):
        raise LackingError(f"In this prompt {route!r} has no token at one of its ends.")
    blocks = causal_blocks(source, target, [0])
    if not blocks:
        raise LackingError(f"In this prompt nothing of {route!r} is seen: its target stands first.")
    return blocks


def ends(scene: Scene, route: str) -> tuple[Tokens, Tokens]:
    """The source and the target of a route."""
    source, target = route.split(" -> ")
    return _source(scene, source), _target(scene, target)


def _source(scene: Scene, name: str) -> Tokens:
    image = scene.stimulus.visual
    match name:
        case "image":
            return image
        case "question" | "last":
            return _target(scene, name)
        case "random":
            return scene.random(RANDOM, min(len(scene.stimulus.spans["question"]), len(image)))
    objects = bool(scene.example.objects)
    related = scene.stimulus.tokens_of(scene.example.shown) if objects else image[:0]
    if name == "related":
        return related
    other = select.complement(scene.stimulus, related)
    return other if name == "other" else _as_many(scene, other, len(related))


def _as_many(scene: Scene, other: Tokens, count: int) -> Tokens:
    """Of visual tokens so many, at random."""
    if len(other) < count:
        raise LackingError(
            f"The objects have {count} visual tokens, and only {len(other)} are no object's."
        )
    chosen = scene.generator(AS_MANY).permutation(len(other))[:count]
    return other[torch.from_numpy(chosen)].sort().values


def _target(scene: Scene, name: str) -> Tokens:
    stimulus, question = scene.stimulus, scene.stimulus.spans["question"]
    last = torch.tensor([stimulus.last], device=question.device)
    after = torch.arange(stimulus.image.stop, stimulus.last + 1, device=question.device)
    match name:
        case "last":
            return last
        case "question":
            return question
        case "suffix":
            return select.difference(after, question, last)
    return after
