"""The conditions, by the names that figures and tables use: to which text attention from the image
is blocked, and in which layers; and what is done to the question in the first layers. No other file
puts such a name together."""

from collections.abc import Callable
from functools import partial
from itertools import combinations

from jaxtyping import Int
from torch import Tensor

from claims.route_by_task.sample import WITH, WITHOUT
from vlmlib import Block, LackingError, select
from vlmlib.interventions import Ablate, causal_blocks
from vlmlib.patching import patch
from vlmlib.study import Example, Scene
from vlmlib.windows import centred

Tokens = Int[Tensor, " _"]

# The text after the image: the question's own tokens, the position that says the answer, and all
# others (what ends the image, an instruction, whose turn it is, the beginning of the answer).
PARTS = ("question", "other text", "last")
ALL = "all layers"
SHARE = 8  # of so many layers one: in a window, and among the first


def to(*parts: str) -> str:
    """The name of the routes from the image to parts of the text.

    !!! example

        >>> to("question", "last"), to(*PARTS)
        ('image -> question + last', 'image -> text')
    """
    return f"image -> {'text' if len(parts) == len(PARTS) else ' + '.join(parts)}"


QUESTION, OTHER, LAST = map(to, PARTS)
BOTH, TEXT = to("question", "last"), to(*PARTS)
# By name which parts of the text no longer see the image, alone and together.
ROUTES = {to(*each): each for n in (1, 2, 3) for each in combinations(PARTS, n)}
WINDOWED = (QUESTION, OTHER, LAST, TEXT)

# What is done in the first layers: no visual token reaches the question; none but one that shows
# nothing annotated; or the question leaves them as it does from another picture, of which the
# answer is the other one, or the same.
BLOCKED, ONE_LEFT = (
    "image -> question, first layers",
    "image but one token -> question, first layers",
)
OTHER_ANSWER, SAME_ANSWER = "question of another answer's picture", "question of the same answer's"
EARLY = (BLOCKED, ONE_LEFT, OTHER_ANSWER, SAME_ANSWER)


def knockout(route: str, window: str = ALL) -> str:
    """The arm that blocks routes in a window of layers.

    !!! example

        >>> knockout(LAST), knockout(LAST, window(3))
        ('image -> last, all layers', 'image -> last, around layer 3')
    """
    return f"{route}, {window}"


def window(layer: int) -> str:
    """The name of the window around a layer, counted from 0."""
    return f"around layer {layer}"


def width(layers: int) -> int:
    """Of how many layers a window is, and how many are the first.

    !!! example

        >>> width(32), width(8), width(2)
        (4, 1, 1)
    """
    return max(1, layers // SHARE)


def routes(scene: Scene) -> dict[str, Callable[[], list[Block]]]:
    """Routes alone and together in all layers, and the single ones in windows."""
    layers = len(scene.vlm.layers)
    windows = {window(at): each for at, each in enumerate(centred(layers, width(layers)))}
    found = {knockout(route): partial(_blocks, scene, route, range(layers)) for route in ROUTES}
    return found | {
        knockout(route, name): partial(_blocks, scene, route, within)
        for route in WINDOWED
        for name, within in windows.items()
    }


def _blocks(scene: Scene, route: str, layers: range) -> list[Block]:
    """**Raises:** `LackingError` where a prompt has no such edge; of routes together, not all."""
    targets: list[int] = []
    for name in ROUTES[route]:
        tokens = part(scene, name)
        if not causal_blocks(scene.stimulus.visual, tokens, layers):
            raise LackingError(f"In this prompt there is no {to(name)!r}, for {route!r}.")
        targets += tokens
    return causal_blocks(scene.stimulus.visual, targets, layers)


def part(scene: Scene, name: str) -> list[int]:
    """The positions of a part of the text (`PARTS`); no two parts have one in common."""
    stimulus, last = scene.stimulus, scene.stimulus.last
    question = [at for at in stimulus.spans["question"].tolist() if at != last]
    if name == "question":
        return question
    after = range(stimulus.image.stop, last)
    return [last] if name == "last" else sorted({*after} - {*question})


def early(scene: Scene) -> dict[str, Callable[[], list[Block] | list[Ablate]]]:
    """What becomes of the question in the first layers."""
    shows = bool(scene.example.targets)
    same, other = (WITH, WITHOUT) if shows else (WITHOUT, WITH)
    return {
        BLOCKED: partial(_cut, scene, _every),
        ONE_LEFT: partial(_cut, scene, _but_one),
        OTHER_ANSWER: partial(_patched, scene, other),
        SAME_ANSWER: partial(_patched, scene, same),
    }


def _cut(scene: Scene, source: Callable[[Scene], Tokens]) -> list[Block]:
    """The question does not see these visual tokens.

    **Raises:** `LackingError` where it sees none of them anyway.
    """
    blocks = causal_blocks(
        source(scene), part(scene, "question"), range(width(len(scene.vlm.layers)))
    )
    if not blocks:
        raise LackingError("In this prompt the question stands before the image.")
    return blocks


def _every(scene: Scene) -> Tokens:
    return scene.stimulus.visual


def _but_one(scene: Scene) -> Tokens:
    """All visual tokens but a random one of what is not annotated.

    **Raises:** `LackingError` where there is none.
    """
    stimulus = scene.stimulus
    empty = select.complement(stimulus, stimulus.tokens_of(scene.example.shown))
    if not len(empty):
        raise LackingError("All visual tokens of this image are an object's.")
    at = int(scene.generator(ONE_LEFT).integers(len(empty)))
    return select.complement(stimulus, empty[at : at + 1])


def _patched(scene: Scene, donor: str) -> list[Ablate]:
    """The question enters the layer after the first ones as it does with another picture.

    **Raises:** `LackingError` where no picture is known, or it is laid out otherwise.
    """
    other = scene.example.known.get(donor)
    if not isinstance(other, Example):
        raise LackingError(
            f"No other picture {donor}, a {scene.example.category}, in this data set."
        )
    vlm, stimulus = scene.vlm, scene.stimulus
    read = vlm.read(other.image, stimulus.question)
    return [patch(vlm, stimulus, read, part(scene, "question"), width(len(vlm.layers)))]
