"""The authors' files of questions are read as they are, and what is wrong in one is named.

Fails if a task, a box or an answer is read otherwise than the file says, or if a damaged file is
taken, or refused without its name and line.
"""

import csv
from argparse import Namespace
from pathlib import Path

import pytest
from PIL import Image

from claims.zhang2025 import gqa, sample
from vlmlib import LackingError, VLMError

ONE_OBJECT = {
    "question_id": "02452198",
    "img_id": "2386586",
    "question": "On which side of the photo is the curtain?",
    "answer": "right",
    "central object name": "curtain",
    "captions": 'a "quoted", long one.\nIn two lines.',
    "image_w": "500",
    "image_h": "333",
    "central object x": "337",
    "central object y": "23",
    "central object w": "162",
    "central object h": "310",
}
TWO_OBJECTS = {
    "question_id": "12824169",
    "img_id": "2350927",
    "question": "Is there any grass or mud that is not brown?",
    "answer": "no",
    "object1 name": "grass",
    "object2 name": "mud",
    "image_w": "334",
    "image_h": "500",
    "object1 x": "32",
    "object1 y": "312",
    "object1 w": "214",
    "object1 h": "147",
    "object2 x": "-",
    "object2 y": "-",
    "object2 w": "-",
    "object2 h": "-",
}


def written(folder: Path, task: str, *rows: dict[str, str]) -> Path:
    """A file of a task, with its rows and their pictures."""
    file = folder / gqa.FILES.format(gqa.TASKS[task])
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, [*rows[0]])
        writer.writeheader()
        writer.writerows(rows)
    (folder / "images").mkdir(exist_ok=True)
    for row in rows:
        if row["image_w"] not in ("wide", "0"):
            size = int(row["image_w"]), int(row["image_h"])
            Image.new("RGB", size).save(folder / "images" / f"{row['img_id']}.jpg")
    return file


def test_questions_are_read_with_their_boxes_and_answers(tmp_path):
    written(tmp_path, "QueryAttr", ONE_OBJECT)
    written(tmp_path, "LogicalObj", TWO_OBJECTS)
    found = gqa.read(tmp_path, gqa.pictures_of(tmp_path))
    assert [*found] == ["QueryAttr", "LogicalObj"]
    [curtain], [grass] = found.values()
    assert (curtain.id, curtain.cluster) == ("QueryAttr 02452198", "2386586")
    assert curtain.questions == (ONE_OBJECT["question"],)
    assert curtain.known["suffix"] == " \nAnswer the question using a single word or phrase."
    assert (curtain.known["answer"], curtain.known["whole"]) == ("right", True)
    [box] = curtain.objects
    assert box.mask[23:333, 337:499].all()
    assert box.mask.sum() == 162 * 310
    assert [each.category for each in grass.objects] == ["grass"]
    assert curtain.image.size == (500, 333)


def test_pictures_of_gqa_are_checked_and_the_first_questions_are_taken(tmp_path):
    rows = [ONE_OBJECT | {"question_id": f"{at}", "img_id": f"{at}"} for at in range(1, 6)]
    written(tmp_path, "QueryAttr", *rows)
    (tmp_path / "images" / "2.jpg").write_bytes(b"not a picture")
    option = Namespace(vlm_limit=3, vlm_bad=0.5, vlm_gqa=tmp_path)
    found = sample.questions_of("a-model", option)
    assert [each.id for each in found.tasks["QueryAttr"]] == ["QueryAttr 1", "QueryAttr 3"]
    assert found.step.left == 2


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"image_w": "wide"}, "image_w is 'wide'"),
        ({"image_w": "0"}, "image_w is '0'"),
        ({"answer": " "}, "answer is ' '"),
        ({"img_id": "../secret"}, "img_id is '../secret'"),
        ({"central object w": "-3"}, "central object w is '-3'"),
        ({"central object y": ""}, "central object y is ''"),
        ({"question": ""}, "question is ''"),
        ({"central object h": "1e3"}, "central object h is '1e3'"),
    ],
)
def test_a_damaged_row_is_refused_with_its_file_and_line(tmp_path, wrong, told):
    file = written(tmp_path, "QueryAttr", ONE_OBJECT, ONE_OBJECT | wrong)
    with pytest.raises(VLMError, match=told) as error:
        gqa.read(tmp_path, gqa.pictures_of(tmp_path))
    assert f"{str(file)!r}, line 5" in str(error.value)  # a caption has two lines


def test_a_file_of_other_columns_or_bytes_is_refused(tmp_path):
    file = tmp_path / gqa.FILES.format(gqa.TASKS["ChooseAttr"])
    file.write_text("question_id,question\n1,What?\n")
    with pytest.raises(VLMError, match="has no column 'img_id'"):
        gqa.read(tmp_path, tmp_path)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(VLMError, match="cannot be read as CSV"):
        gqa.read(tmp_path, tmp_path)


def test_a_file_that_tells_of_no_object_is_refused(tmp_path):
    written(tmp_path, "ChooseAttr", {name: ONE_OBJECT[name] for name in gqa.NEEDED})
    with pytest.raises(VLMError, match=r"line 2: no column tells where an object is"):
        gqa.read(tmp_path, gqa.pictures_of(tmp_path))


def test_without_any_question_the_next_step_is_told(tmp_path):
    with pytest.raises(VLMError, match="none of the authors' files"):
        gqa.read(tmp_path, tmp_path)
    with pytest.raises(LackingError, match="--vlm-gqa DIR"):
        sample.questions_of("a-model", Namespace(vlm_limit=None, vlm_bad=0.01, vlm_gqa=None))
