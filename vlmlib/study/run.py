"""One example under all arms of a design: what a measurement does."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vlmlib import select
from vlmlib.errors import VLMError
from vlmlib.interventions import Arm, is_empty, touched
from vlmlib.model import VLM
from vlmlib.reach import Watching
from vlmlib.stimulus import Stimulus
from vlmlib.study.example import Example
from vlmlib.study.moved import moved, near_ties
from vlmlib.study.row import Row
from vlmlib.study.scene import Design, Making, Scene, made
from vlmlib.study.task import Task

# In the clean row's detail: of how many arms' answers, and of how many in all (see `near_ties`).
NEAR_TIES = "near ties"

# And what the model was asked, and in which words, and where the object's tokens are, and those
# beside them (a buffer of one; see `VLM.rectangles`).
QUESTION, PROMPT, OBJECT, BUFFER = "question", "prompt", "object", "buffer"
DIGITS = 4

Keep = Callable[[Row], bool | None]


def is_right(clean: Row) -> bool | None:
    """Whether the clean run is right: only then has an example something to lose.

    !!! example

        >>> is_right(Row("clean", right=True))
        True
    """
    return clean.right


def run(
    vlm: VLM,
    mean: Float[Tensor, " d_model"],
    example: Example,
    task: Task,
    design: Design,
    keep: Keep,
    seed: int,
) -> list[Row]:
    """The rows of an example: the clean run, then every arm of the design.

    None where the task does not ask about it; the clean run alone where `keep` is false of that. An
    arm that changes nothing is not run: it has a row without tokens and without an answer. Nor is
    one that cannot be made on this example, whose row says why (see `made`). Beside the arms stand
    a few that change nothing, which tell what counts as a change.

    **Raises:** `VLMError` for a design that calls an arm of its own "clean".

    !!! example

        >>> from vlmlib.study import polling
        >>> def design(scene):
        ...     return {"none": [Ablate([], scene.mean)], "one": [Ablate([9], scene.mean)]}
        >>> example = Example("7", image, category="dog")
        >>> rows = run(vlm, torch.zeros(16), example, polling, design, lambda clean: True, seed=0)
        >>> [(row.arm, row.tokens, row.moved) for row in rows]
        [('clean', 0, None), ('none', 0, False), ('one', 1, True)]
    """
    stimulus = task.read(vlm, example)
    if stimulus is None:
        return []
    [clean] = task.ask(vlm, example, stimulus, [[]])
    told = {"category": example.category, QUESTION: stimulus.question, PROMPT: stimulus.prompt}
    detail: dict[str, Any] = {"visual": len(stimulus.visual), **told}
    rows = [Row("clean", clean.right, clean.probability, 0, clean.text, detail)]
    if not keep(rows[0]):
        return rows
    tokens = stimulus.tokens_of(example.mask) if example.targets else stimulus.visual[:0]
    if len(tokens):
        beside = np.setdiff1d(select.buffer(stimulus, tokens, 1).cpu(), tokens.cpu())
        rows[0].detail[OBJECT] = places(vlm, stimulus, tokens)
        rows[0].detail[BUFFER] = places(vlm, stimulus, torch.from_numpy(beside))
    designed = design(Scene(vlm, stimulus, example, tokens, mean, (seed, example.number)))
    if "clean" in designed:
        raise VLMError(
            f"The design of {task.name} has an arm 'clean', which is the name of the run that "
            "changes nothing. Give the arm another name."
        )
    arms, lacking = made(
        {name: partial(_checked, vlm, stimulus, arm) for name, arm in designed.items()}
    )
    changing = {name: arm for name, arm in arms.items() if not is_empty(arm)}
    if changing:
        found, ties = _rows(vlm, example, task, stimulus, changing)
        rows[0].detail[NEAR_TIES] = [ties, len(changing)]
    else:
        found = {}
    found |= {name: Row.lacking(name, why) for name, why in lacking.items()}
    return rows + [found.get(name, Row(name, tokens=0, moved=False)) for name in designed]


def places(vlm: VLM, stimulus: Stimulus, tokens: Int[Tensor, " token"]) -> list[list[float]]:
    """What part of the image some visual tokens show, for whoever looks at a row later.

    **Returns:** left, top, right and bottom of each, in shares of the picture's sides; of tokens
    that show no part of it, nothing.

    !!! example

        >>> places(vlm, stimulus, stimulus.visual[:2])
        [[0.1373, 0.0, 0.3176, 0.251], [0.3176, 0.0, 0.502, 0.251]]
    """
    chosen = torch.isin(stimulus.visual.cpu(), tokens.cpu()).numpy()
    found = vlm.rectangles(stimulus)[chosen]
    return found[~np.isnan(found).any(1)].round(DIGITS).tolist()


def _checked(vlm: VLM, stimulus: Stimulus, arm: Arm | Making) -> Arm:
    """An arm that means something on a stimulus."""
    ready = arm() if callable(arm) else arm
    vlm.check(stimulus, [ready])
    return ready


def _rows(
    vlm: VLM, example: Example, task: Task, stimulus: Stimulus, arms: Mapping[str, Arm]
) -> tuple[dict[str, Row], int]:
    """The rows of arms that change something, by name; and how many of their answers rounding may
    decide."""
    watching = Watching(vlm, stimulus, list(arms.values()))
    asked = [[], *watching.repeats, *arms.values()]
    clean, *answers = task.ask(watching.model, example, stimulus, asked)
    count, rounding = len(watching.repeats), torch.finfo(vlm.decoder.dtype).eps
    repeats, answers = answers[:count], answers[count:]
    moves = moved(clean, repeats, answers, rounding)
    firsts = watching.first_token(asked) if clean.probability is None else None
    if firsts is not None:
        # a text that stays may still have been on its way to another
        said = [replace(clean, probability=each) for each in firsts]
        finer = moved(said[0], said[1 : count + 1], said[count + 1 :], rounding)
        moves = [text or first for text, first in zip(moves, finer, strict=True)]
    found = {
        name: Row(
            name,
            answer.right,
            answer.probability,
            len(touched(arm)),
            answer.text,
            moved=move,
            attention=reach.attention,
            reached=reach.reached,
        )
        for (name, arm), answer, move, reach in zip(
            arms.items(), answers, moves, watching.reaches(), strict=True
        )
    }
    return found, near_ties(clean, repeats, answers)
