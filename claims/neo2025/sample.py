"""Which images count: the paper's filters, and the clean run of the task at hand.

1. Filter 1 (section 3): an image has one target (fixtures/filtered.py).
2. Filter 2 (section 3), of the generative and the polling setting: the model names the target in
   its description, and no longer does once the target is painted out with noise. VQA, and with it
   all knockouts, asks about every image that has a question.
3. The clean run: an image counts for a task if the model is right on it when nothing is changed.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fixtures.filtered import MEAN_IMAGES, MEND, Images
from vlmlib import VLMError
from vlmlib.pictures import pictures_in
from vlmlib.study import Example, Finished, MeanOf, Picture, Step, Store, is_right
from vlmlib.study.sound import at_once, sound
from vlmlib.study.store import content_key

MOST_IMAGES = 1000  # the authors' runs end with so many that pass filter 2
UNFILTERED = 4  # of so many images table 1 is taken of one, whether or not it passes filter 2

counts = is_right  # what an arm takes away, the clean run must have had


def mean_of(given: Path | None, images: Images, store: Store | None = None) -> tuple[MeanOf, Step]:
    """What the mean token is made from: a file that holds it, the pictures of a folder, or by
    default the first pictures that filter 1 leaves out; and which of them can be used.

    **Raises:** `VLMError` if none can, or too many cannot.
    """
    if given and not given.is_dir():
        return MeanOf(given), Step(f"mean token, in {given.name}", 1, 1)
    remember = store.remember if store else at_once
    pictures = [Picture(each) for each in pictures_in(given)] if given else images.others
    most, home = (None, given) if given else (MEAN_IMAGES, images.folder)
    asked = "" if given else f" ({MEAN_IMAGES} asked for)"
    advice = f"Pass --vlm-mean with a mean token or a folder of pictures. {MEND}"
    name = f"pictures for the mean token{asked}"
    found, step = sound(pictures, home, most, remember, name, advice)
    step.check(images.most_bad)
    if not found:
        raise VLMError(
            "There is no picture for the mean token: by default it is taken over images that "
            f"filter 1 leaves out, and {images.data} has none. {advice}"
        )
    return MeanOf(pictures=found), step


def filter_2(described: Sequence[Finished]) -> list[str]:
    """The ids of the images that pass filter 2, by the rows of their descriptions, in the same
    order."""
    return [found.example for found in described if needs_its_target(found)]


def reached(described: Sequence[Finished], most: int) -> list[Finished]:
    """The images that a run comes to which ends with the `most`-th that passes filter 2; all where
    fewer do."""
    passing = filter_2(described)
    if len(passing) <= most:
        return list(described)
    ids = [found.example for found in described]
    return list(described[: ids.index(passing[most - 1]) + 1 if most else 0])


def is_unfiltered(image: str) -> bool:
    """Whether table 1 is taken of an image whether or not it passes filter 2: one in `UNFILTERED`,
    as all would take most of a run's time. The id alone decides, so that no part of a run needs to
    know the others."""
    return int(content_key("without filter 2", image)[:8], 16) % UNFILTERED == 0


def needs_its_target(described: Finished) -> bool:
    """Whether the model names the target in the description, and no longer does once the target is
    painted out."""
    named = {row.arm: row.right for row in described.rows}
    return bool(named.get("clean")) and not named["painted out"]


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
