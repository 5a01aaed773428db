"""Which images count: the paper's filters, and the clean run of the task at hand.

1. Filter 1 (section 3): fewer than 4 annotations, and a category with exactly one instance, whose
   area lies between two bounds.
2. Filter 2 (section 3), of the generative and the polling setting: the model names the target in
   its description, and no longer does once the target is painted out with noise. VQA, and with it
   all knockouts, asks about every image that has a question.
3. The clean run: an image counts for a task if the model is right on it when nothing is changed.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vlmlib import VLMError
from vlmlib.errors import MOST_BAD
from vlmlib.pictures import pictures_in
from vlmlib.study import Example, Finished, MeanOf, Object, Picture, Step, Store, coco, is_right
from vlmlib.study.example import file_key
from vlmlib.study.meaning import meaning_of
from vlmlib.study.sound import at_once, sound
from vlmlib.study.store import content_key

THE_PAPERS = ", the paper's questions"  # after the name of a data set
MEAN_IMAGES = 200  # over which the mean token is taken
MEND = "Mend them, or pass --vlm-bad SHARE to go on without more of them."

CANDIDATES = 4318  # images that pass filter 1, as the paper says
QUESTIONS = 100  # that the authors ask about those, each about another image
MOST_IMAGES = 1000  # the authors' runs end with so many that pass filter 2
UNFILTERED = 4  # of so many images table 1 is taken of one, whether or not it passes filter 2

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
    """What passes filter 1, each with its target, in order of the ids.

    - `others`: the first pictures that do not pass. `categories`: the names of all that the data
      set annotates; `split`: the part of it.
    - `steps`: how many images each step left, and why others fell; `most_bad`: the share of bad
      ones up to which a step goes on. `about`: what else is to be known.
    """

    data: str
    examples: list[Example]
    others: list[Picture]
    categories: Sequence[str] = ()
    split: str = ""
    folder: Path = Path()
    steps: Sequence[Step] = ()
    most_bad: float = MOST_BAD
    about: Sequence[str] = ()

    def check(self) -> None:
        """**Raises:** `VLMError` that names the first step of which too much is bad, or that leaves
        no image."""
        for step in self.steps:
            step.check(self.most_bad)
        if self.steps and not self.steps[0].given:
            raise VLMError(f"{self.data} lists no image in its split {self.split}. Take another.")


def filter_1(
    folder: Path,
    purpose: Filter,
    questions: Path | None = None,
    limit: int | None = None,
    crowds: bool = False,
    store: Store | None = None,
    most_bad: float = MOST_BAD,
) -> Images:
    """The images of a data set that pass filter 1 and can be measured, at most the first `limit`.

    Where several objects qualify, the one with the smallest annotation id is the target. Of every
    image a category is known that it does not show ("absent"), for controls.

    **Arguments:** `crowds`: whether a crowd may be a target; it counts as an annotation in any
    case. `store`: where what was found out about the files is kept, so that it is once.

    **Raises:** `VLMError` if a file is missing or not in COCO's format, and for questions about
    none of the images. Not for bad images: see `Images.check`.
    """
    file = coco.annotation_file(folder, purpose.split)
    table = _table_of(file, folder, purpose, store)
    passing = [each for each in table["images"] if each["targets"][crowds]]
    asked = coco.questions_of(folder, questions)
    split, named = coco.split_of(file), [each for each in passing if asked.get(str(each["id"]))]
    if questions and not named:
        raise VLMError(_no_question(questions, asked, folder, len(passing)))
    home = coco.pictures_of(folder, split)
    advice = f"Put them into {str(folder / split)!r}, or {split}.zip beside it. {MEND}"
    whole, looked_at = _whole(passing, home, limit, store, advice)
    names = table["categories"]
    examples = [_example(each, crowds, picture, asked, names) for each, picture in whole]
    asking = f"{len(named):,} of {len(passing):,} that pass filter 1 have a question"
    return Images(
        data=folder.resolve().name + (THE_PAPERS if are_the_papers(questions) else ""),
        examples=examples,
        others=[Picture(home / name, tuple(size)) for name, size in table["others"]],
        categories=names,
        split=split,
        folder=home,
        steps=[*_steps(table, file, passing, crowds), looked_at],
        most_bad=most_bad,
        about=[
            *([] if purpose is LENS else [asking]),
            *([f"at most {limit} images are taken"] if limit else []),
        ],
    )


def _whole(
    passing: Sequence[dict[str, Any]],
    home: Path,
    limit: int | None,
    store: Store | None,
    advice: str,
) -> tuple[list[tuple[dict[str, Any], Path]], Step]:
    """Images with their pictures, of those whose pictures are whole; and the step that tells of the
    others."""
    pictures = [Picture(home / each["file"], tuple(each["size"])) for each in passing]
    remember = store.remember if store else at_once
    whole, looked_at = sound(pictures, home, limit, remember, "pictures that are whole", advice)
    chosen, pairs = {*whole}, zip(passing, pictures, strict=True)
    return [(each, picture.path) for each, picture in pairs if picture.path in chosen], looked_at


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


def are_the_papers(questions: Path | None) -> bool:
    """Whether a file of questions is the authors' own: 4,318 images, of which 100 are asked about.
    What is asked of them is then measured on the paper's own images.

    **Raises:** `VLMError` for a file that cannot be read.
    """
    asked = coco.questions_of(questions.parent, questions) if questions else {}
    return (len(asked), sum(map(bool, asked.values()))) == (CANDIDATES, QUESTIONS)


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


def _table_of(file: Path, folder: Path, purpose: Filter, store: Store | None) -> dict[str, Any]:
    """What filter 1 finds for a purpose in an annotation file, which is read once for all purposes,
    protocols, models, processes and runs."""
    purposes = [
        each for each in (IDENTIFICATION, LENS) if coco.annotation_file(folder, each.split) == file
    ]
    bounds = {each.file: _bounds(folder, each) for each in purposes}
    bounds |= {purpose.file: _bounds(folder, purpose)}
    remember, key_of = (store.remember, store.file_key) if store else (at_once, file_key)
    key = content_key("filter 1", file.name, key_of(file), bounds, meaning_of(_tables))
    return remember(key, lambda: _tables(file, bounds))[purpose.file]


def _tables(file: Path, bounds: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """By purpose, the images that pass, as plain values."""
    index = coco.index(file)
    return {name: _table(index, each) for name, each in bounds.items()}


def _table(index: coco.Index, bounds: dict[str, Any]) -> dict[str, Any]:
    images, bad, others = [], [], []
    for image in index.images:
        annotations = index.annotations.get(image.id, ())
        targets = [_target(index, image, annotations, bounds, crowds) for crowds in (False, True)]
        if any(targets):
            try:
                objects = [
                    [each.category, each.outline, each.area, each.crowd]
                    for each in index.objects(image)
                ]
            except VLMError as error:
                bad.append([image.file_name, str(error), targets])
            else:
                entry = {"id": image.id, "file": image.file_name, "size": image.size}
                images.append(entry | {"objects": objects, "targets": targets})
        elif len(others) < 2 * MEAN_IMAGES:  # some may be bad
            others.append([image.file_name, image.size])
    steps = [asdict(step) for step in index.steps]
    names = list(index.categories.values())
    return {"images": images, "bad": bad, "others": others, "steps": steps, "categories": names}


def _steps(table: dict[str, Any], file: Path, passing: Sequence[Any], crowds: bool) -> list[Step]:
    """The steps from the annotation file to the images whose pictures are looked at."""
    mend = f"Look at {str(file)!r}. {MEND}"
    steps = [replace(Step(**each), advice=mend) for each in table["steps"]]
    bad = [(name, fault) for name, fault, targets in table["bad"] if targets[crowds]]
    found = len(passing) + len(bad)
    advice = "Take a data set with more images, or bounds of its own (filter.json)."
    return [
        *steps,
        Step.of("images that pass filter 1", steps[-1].left, left=found, advice=advice),
        Step.of("of these with sound outlines", found, bad, advice=mend),
    ]


def _example(
    entry: dict[str, Any],
    crowds: bool,
    picture: Path,
    asked: dict[str, list[str]],
    categories: Sequence[str],
) -> Example:
    size = tuple(entry["size"])
    found = Example(
        id=str(entry["id"]),
        source=picture,
        objects=[
            Object(category, outline, size, area, crowd)
            for category, outline, area, crowd in entry["objects"]
        ],
        category=entry["targets"][crowds],
        questions=tuple(asked.get(str(entry["id"]), ())),
    )
    return replace(found, known=_absent(found, categories))


def _no_question(file: Path, asked: dict[str, list[str]], folder: Path, passing: int) -> str:
    about = [name for name, each in asked.items() if each]
    first = f", the first about {about[0]!r}" if about else ""
    return (
        f"--vlm-questions {str(file)!r} asks about {len(about):,} images{first}, and about none of "
        f"the {passing:,} of {str(folder)!r} that pass filter 1. Pass questions about this data "
        'set, as in {"7": ["What is on the bed?"]}.'
    )


def _bounds(folder: Path, purpose: Filter) -> dict[str, Any]:
    """The bounds of filter 1: the paper's, or the folder's own.

    **Raises:** `VLMError` for a file that says nothing of the kind.
    """
    own = folder / purpose.file
    if not own.exists():
        return purpose.bounds
    bounds = coco.read_json(own)
    numbers = [bounds.get(key) for key in ("above", "below", "annotations_below")]
    if bounds.get("area") not in ("pixels", "share") or not all(
        type(each) in (int, float) for each in numbers
    ):
        raise VLMError(
            f"{str(own)!r} holds {bounds}; expected bounds such as {purpose.bounds}, where the "
            'area is in "pixels" or a "share" of the image.'
        )
    return bounds


def _target(
    index: coco.Index,
    image: coco.Listed,
    annotations: Sequence[coco.Annotation],
    bounds: dict[str, Any],
    crowds: bool,
) -> str:
    """The target's category, or "" where there is none."""
    if len(annotations) >= bounds["annotations_below"]:
        return ""
    unit = 1 if bounds["area"] == "pixels" else image.width * image.height
    categories = [index.categories[each.category_id] for each in annotations]
    for each, category in zip(annotations, categories, strict=True):
        in_bounds = bounds["above"] < each.area / unit < bounds["below"]
        if in_bounds and categories.count(category) == 1 and (crowds or not each.iscrowd):
            return category
    return ""


def _absent(example: Example, categories: Sequence[str]) -> dict[str, str]:
    shown = {each.category for each in example.objects}
    others = [each for each in categories if each not in shown]
    return {"absent": others[example.number % len(others)] if others else ""}
