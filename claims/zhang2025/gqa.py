"""The authors' questions about GQA: six files of theirs, one a task, and GQA's own pictures."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from claims.zhang2025.asked import Box, question
from vlmlib import VLMError
from vlmlib.study import Example, coco

FILES = "GQA_val_correct_question_with_{}.csv"
TASKS = {
    "ChooseAttr": "choose_ChooseAttr",
    "ChooseCat": "categoryThatThisChoose_objThisChoose_ChooseCat",
    "ChooseRel": "relChooser_ChooseRel",
    "QueryAttr": "positionQuery_QueryAttr",
    "CompareAttr": "twoCommon_CompareAttr",
    "LogicalObj": "existThatOr_LogicalObj",
}
SUFFIX = " \nAnswer the question using a single word or phrase."
OBJECTS = ("central object", "object1", "object2")
NEEDED = ("question_id", "img_id", "question", "answer", "image_w", "image_h")


def pictures_of(folder: Path) -> Path:
    """Where GQA's pictures lie: in images/, or within images.zip."""
    return coco.pictures_of(folder, "images")


def read(folder: Path, pictures: Path) -> dict[str, list[Example]]:
    """The questions of every task whose file is there, in the files' order.

    **Raises:** `VLMError` that names the file, the line and what was expected; and where there is
    no file at all.
    """
    files = {task: folder / FILES.format(tail) for task, tail in TASKS.items()}
    found = {
        task: [_example(task, row, pictures, where) for where, row in _rows(file)]
        for task, file in files.items()
        if file.is_file()
    }
    if not found:
        raise VLMError(
            f"{str(folder)!r} has none of the authors' files of questions, "
            f"{', '.join(FILES.format(tail) for tail in TASKS.values())}. Put them there as they "
            "are in the datasets/ of the authors' repository."
        )
    return found


def _rows(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each row of a file, and what to call it."""
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines, strict=True)
            lacking = [name for name in NEEDED if name not in (reader.fieldnames or ())]
            if lacking:
                raise VLMError(
                    f"{str(file)!r} has no column {lacking[0]!r}. Expected the authors' columns, "
                    f"among them {', '.join(NEEDED)}."
                )
            for row in reader:
                yield f"{str(file)!r}, line {reader.line_num}", row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise VLMError(f"{str(file)!r} cannot be read as CSV: {error}.") from error


def _example(task: str, row: Mapping[str, Any], pictures: Path, where: str) -> Example:
    for name in NEEDED:
        if not isinstance(row[name], str) or not row[name].strip():
            raise VLMError(f"{where}: {name} is {row[name]!r}; expected some text.")
    if not any(f"{name} x" in row for name in OBJECTS):
        raise VLMError(f"{where}: no column tells where an object is, such as {OBJECTS[0]} x.")
    image = row["img_id"].removesuffix(".jpg")
    if not image.isalnum():
        raise VLMError(f"{where}: img_id is {row['img_id']!r}; expected an id such as 2390560.")
    height, width = (_number(where, row, name) for name in ("image_h", "image_w"))
    return question(
        id=f"{task} {row['question_id']}",
        picture=pictures / f"{image}.jpg",
        image=image,
        size=(height, width),
        boxes=[
            (row[f"{name} name"], _box(where, row, name)) for name in OBJECTS if _has(row, name)
        ],
        text=(row["question"], SUFFIX, ""),
        answer=row["answer"].strip().lower(),
        whole=True,
    )


def _has(row: Mapping[str, Any], name: str) -> bool:
    """Whether the picture shows an object: one that it does not has "-" for a place."""
    return (row.get(f"{name} x") or "-") != "-"


def _box(where: str, row: Mapping[str, Any], name: str) -> Box:
    left, top = (_number(where, row, f"{name} {side}", at_least=0) for side in "xy")
    width, height = (_number(where, row, f"{name} {side}") for side in "wh")
    return left, top, width, height


def _number(where: str, row: Mapping[str, Any], name: str, at_least: int = 1) -> int:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip().isdecimal() or int(value) < at_least:
        raise VLMError(
            f"{where}: {name} is {value!r}; expected a whole number of pixels, at least {at_least}."
        )
    return int(value)
