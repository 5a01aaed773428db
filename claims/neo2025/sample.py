"""Which images count: the paper's filters, and the clean run of the task at hand.

1. Filter 1 (section 3): fewer than 4 annotations, and a category with exactly one instance, whose
   area lies between two bounds.
2. Filter 2 (section 3), of the generative and the polling setting: the model names the target in
   its description, and no longer does once the target is painted out with noise. VQA, and with it
   all knockouts, asks about every image that has a question.
3. The clean run: an image counts for a task if the model is right on it when nothing is changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vlmlib.study import Example, Finished, Object, coco, is_right

THE_PAPERS = ", the paper's questions"  # after the name of a data set

counts = is_right  # what an arm takes away, the clean run must have had


@dataclass(frozen=True)
class Filter:
    """Filter 1 for one purpose. A folder's own `file` of bounds takes the place of the paper's.

    - `split`: the one of COCO that the paper took.
    - `bounds`: `above` < the target's `area` < `below`, in "pixels" or as a "share" of the image,
      among fewer than `annotations_below` annotations.
    """

    split: str
    file: str
    bounds: dict[str, Any]


_PIXELS = {"area": "pixels", "annotations_below": 4}
IDENTIFICATION = Filter("train2017", "filter.json", {**_PIXELS, "above": 1000, "below": 2000})
LENS = Filter("val2017", "lens_filter.json", {**_PIXELS, "above": 20000, "below": 30000})


@dataclass(frozen=True, eq=False)
class Images:
    """What passes filter 1, each with its target, in order of the ids; pictures of all others; the
    names of all categories that the data set annotates."""

    data: str
    examples: list[Example]
    others: list[Path]
    categories: Sequence[str] = ()


def filter_1(
    folder: Path, purpose: Filter, questions: Path | None = None, limit: int | None = None
) -> Images:
    """The images of a data set that pass filter 1, at most the first `limit`.

    Where several objects qualify, the one with the smallest annotation id is the target. Of every
    image a category is known that it does not show ("absent"), for controls.

    **Raises:** `VLMError` if a file is missing or not in COCO's format.
    """
    data = coco.read(folder, purpose.split, questions)
    own = folder / purpose.file
    bounds = coco.read_json(own) if own.exists() else purpose.bounds
    targets = {example.id: _target(example.objects, bounds) for example in data.examples}
    kept = [example for example in data.examples if targets[example.id]]
    others = [example.source for example in data.examples if not targets[example.id]]
    chosen = [
        replace(example, category=targets[example.id], known=_absent(example, data.categories))
        for example in kept[:limit]
    ]
    pictures = [each for each in others if isinstance(each, Path)]
    name = folder.name + (THE_PAPERS if are_the_papers(questions) else "")
    return Images(name, chosen, pictures, data.categories)


def are_the_papers(questions: Path | None) -> bool:
    """Whether a file of questions is the authors' own: 4,318 images, of which 100 are asked about.
    What is asked of them is then measured on the paper's own images.

    **Raises:** `VLMError` for a file that cannot be read.
    """
    asked = coco.read_json(questions) if questions else {}
    return len(asked) == 4318 and sum(map(bool, asked.values())) == 100


def filter_2(described: Sequence[Finished]) -> list[str]:
    """The ids of the images that pass filter 2, by the rows of their descriptions, in the same
    order."""
    return [found.example for found in described if needs_its_target(found)]


def reached(described: Sequence[Finished], most: int | None) -> list[Finished]:
    """The images that a run comes to which ends with the `most`-th that passes filter 2; all where
    fewer do, or `most` is None."""
    passing = filter_2(described)
    if most is None or len(passing) <= most:
        return list(described)
    ids = [found.example for found in described]
    return list(described[: ids.index(passing[most - 1]) + 1 if most else 0])


def needs_its_target(described: Finished) -> bool:
    """Whether the model names the target in the description, and no longer does once the target is
    painted out."""
    named = {row.arm: row.right for row in described.rows}
    return bool(named["clean"]) and not named["painted out"]


def by_question(examples: Sequence[Example]) -> list[Example]:
    """One example for each question about an image, which is what they share; an image without a
    question stays one that is not asked."""
    return [
        replace(example, id=_numbered(example.id, at), questions=asked)
        for example in examples
        for at, asked in enumerate([(each,) for each in example.questions] or [()])
    ]


def _numbered(image: str, at: int) -> str:
    return image if at == 0 else f"{image}, question {at + 1}"


def _target(objects: Sequence[Object], bounds: dict[str, Any]) -> str:
    """The target's category, or "" where there is none."""
    if len(objects) >= bounds["annotations_below"]:
        return ""
    categories = [each.category for each in objects]
    for each in objects:
        height, width = each.size
        unit = 1 if bounds["area"] == "pixels" else width * height
        in_bounds = bounds["above"] < each.area / unit < bounds["below"]
        if in_bounds and categories.count(each.category) == 1:
            return each.category
    return ""


def _absent(example: Example, categories: Sequence[str]) -> dict[str, str]:
    shown = {each.category for each in example.objects}
    others = [each for each in categories if each not in shown]
    return {"absent": others[example.number % len(others)] if others else ""}
