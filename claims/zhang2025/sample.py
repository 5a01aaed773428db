"""Which questions are asked: mirror tasks of the shipped scenes, or the authors' six tasks of GQA
(gqa.py); and which of them count."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from claims.zhang2025 import gqa
from claims.zhang2025.asked import question
from fixtures.emoji_coco import mirror
from fixtures.models import SHIPPED, SHIPPED_DATA
from vlmlib import LackingError
from vlmlib.study import Example, Finished, Picture, Step, Store, coco, is_right
from vlmlib.study.sound import at_once, sound

ABLE = 0.80  # of a task's questions a model must be right on: else it is left out on that model
MOST_SHIPPED, MOST = 60, 150  # questions of a task: of the shipped model, and of others

counts = is_right  # what an arm takes away, the clean run must have had


@dataclass(frozen=True, eq=False)
class Questions:
    """What is asked, task by task, about which pictures, and the step that left these. `data`: the
    name of the data."""

    data: str
    tasks: Mapping[str, Sequence[Example]]
    pictures: Sequence[Path]
    step: Step


def questions_of(model: str, option: Any, store: Store | None = None) -> Questions:
    """The questions that a model is asked: the shipped one the mirror tasks, others GQA's.

    **Raises:** `LackingError` where none were given, `VLMError` where too many pictures are bad and
    as `gqa.read`.
    """
    if model == SHIPPED:
        most, home = option.vlm_limit or MOST_SHIPPED, coco.pictures_of(SHIPPED_DATA, "eval")
        asked, data = _mirrored(), f"{SHIPPED_DATA.name}, mirror tasks"
    elif option.vlm_gqa is None:
        raise LackingError(
            f"{model} needs questions. Pass --vlm-gqa DIR, a folder with the authors' files "
            f"({gqa.FILES.format('*')}) and GQA's images/ or images.zip."
        )
    else:
        most, home = option.vlm_limit or MOST, gqa.pictures_of(option.vlm_gqa)
        asked, data = gqa.read(option.vlm_gqa, home), f"{option.vlm_gqa.resolve().name}, GQA"
    chosen = {task: whole_texts(each, most) for task, each in asked.items()}
    every = [each for tasks in chosen.values() for each in tasks]
    sizes = {_file(each): tuple(each.known["size"]) for each in every}
    remember = store.remember if store else at_once
    name, advice = "pictures that are whole", "Mend them, or pass --vlm-bad SHARE."
    pictures = [Picture(path, size) for path, size in sizes.items()]
    found, step = sound(pictures, home, None, remember, name, advice)
    step.check(option.vlm_bad)
    whole = {*found}
    tasks = {task: [each for each in of if _file(each) in whole] for task, of in chosen.items()}
    return Questions(data, tasks, found, step)


def _file(example: Example) -> Path:
    assert isinstance(example.source, Path)
    return example.source


def whole_texts(examples: Sequence[Example], most: int) -> list[Example]:
    """The first questions, at most so many, and of each text all or none: within a text answers are
    balanced. Where not even one text fits, the first questions."""
    by_text: dict[str, list[Example]] = {}
    for each in examples:
        by_text.setdefault(each.questions[0], []).append(each)
    chosen: list[Example] = []
    for group in by_text.values():
        chosen += group if len(chosen) + len(group) <= most else []
    return chosen or list(examples[:most])


def _mirrored() -> dict[str, list[Example]]:
    scenes = {each.id: each for each in coco.read(SHIPPED_DATA).examples}
    rows = groupby(mirror.read(mirror.FILE), key=lambda row: row.task)
    return {
        task: [_mirror(row, at, scenes[row.image]) for at, row in enumerate(group, 1)]
        for task, group in rows
    }


def _mirror(row: mirror.Mirror, at: int, scene: Example) -> Example:
    return question(
        id=f"{row.task} {at}",
        picture=scene.source,
        image=row.image,
        size=scene.objects[0].size,
        boxes=[(name, box) for name, box in row.objects.items() if box],
        text=(row.question, row.suffix, row.prefill),
        answer=row.answer,
        whole=False,
    )


def right_on(found: Sequence[Finished]) -> float:
    """On what share of a task's questions the model is right."""
    rights = [bool(counts(each.rows[0])) for each in found if each.rows]
    return sum(rights) / len(rights) if rights else 0.0
