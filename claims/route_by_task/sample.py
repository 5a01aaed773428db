"""Which images: those of filter 1 with a question about their target; and, for each question
whether an object is there, other pictures that show it and do not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from claims.route_by_task.asked import ABSENT, NAMING, SHOWN
from fixtures.filtered import IDENTIFICATION, filter_1
from fixtures.models import SHIPPED
from fixtures.plugin import data_of
from vlmlib import LackingError
from vlmlib.study import Example, Step, Store, is_right

MOST_SHIPPED, MOST = 60, 200  # images: of the shipped model, and of others
WITH, WITHOUT = "shows it", "does not show it"  # what is known of donors

counts = is_right  # what an arm takes away, the clean run must have had


@dataclass(frozen=True, eq=False)
class Asked:
    """What each task is asked about, under the name of the data; `pictures`: the first of them;
    `steps`: those that left these images."""

    data: str
    examples: Mapping[str, Sequence[Example]]
    pictures: Sequence[Path]
    steps: Sequence[Step]


def asked_of(model: str, option: Any, store: Store | None = None) -> Asked:
    """What a model is asked about: the same images for every task.

    **Raises:** `LackingError` where none has a question, `VLMError` as `data_of` and `filter_1`.
    """
    folder, _ = data_of(model, option)
    images = filter_1(
        folder, IDENTIFICATION, option.vlm_questions, store=store, most_bad=option.vlm_bad
    )
    images.check()
    most = option.vlm_limit or (MOST_SHIPPED if model == SHIPPED else MOST)
    asked = [each for each in images.examples if each.questions]
    chosen = asked[:most]
    if not chosen:
        raise LackingError(
            f"{images.data} has no question about any of {len(images.examples)} images that pass "
            "filter 1. Pass --vlm-questions FILE."
        )
    absent = [replace(each, category=str(each.known["absent"])) for each in chosen]
    return Asked(
        data=images.data,
        examples={
            NAMING: chosen,
            SHOWN: [with_donors(each, images.examples) for each in chosen],
            ABSENT: [with_donors(each, images.examples) for each in absent],
        },
        pictures=[each for each in (chosen[0].source,) if isinstance(each, Path)],
        steps=[*images.steps, Step("of these with a question", len(images.examples), len(asked))],
    )


def with_donors(example: Example, pool: Sequence[Example]) -> Example:
    """An example that knows another picture which shows its category as the target, and one which
    shows none of it: the next ones in the data set, of the same size if there are any."""
    at = [each.id for each in pool].index(example.id) + 1
    size = example.objects[0].size
    others = [*pool[at:], *pool[: at - 1]]
    others.sort(key=lambda each: each.objects[0].size != size)  # which keeps their order
    showing = (each for each in others if each.category == example.category)
    lacking = (each for each in others if not _shows(each, example.category))
    found = {WITH: next(showing, None), WITHOUT: next(lacking, None)}
    return example.knowing(**{name: each for name, each in found.items() if each})


def _shows(example: Example, category: str) -> bool:
    return any(each.category == category for each in example.objects)
