"""Data sets in COCO's layout: which pictures, objects, questions and splits are read, and what bad
files are told.

Fails if an object is another picture's or another category's, if the order is not that of the ids,
or if a broken file is not named.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmlib import VLMError
from vlmlib.study import coco

NAMES = ["dog", "cat", "bed", "cup"]


def box(index: int, image_id: int, category_id: int = 18, side: float = 40) -> dict:
    """A square object with its corner at (2, 3), as a polygon like COCO's own."""
    polygon = [2, 3, 2 + side, 3, 2 + side, 3 + side, 2, 3 + side]
    return {
        "id": index,
        "image_id": image_id,
        "category_id": category_id,
        "area": side * side,
        "segmentation": [polygon],
        "iscrowd": 0,
    }


def written(folder: Path, *annotations: dict, split: str = "train2017", images: int = 3) -> Path:
    """An annotation file, of images of 100 x 80, in no order."""
    numbers = range(images, 0, -1)
    content = {
        "images": [{"id": k, "file_name": f"{k}.png", "width": 100, "height": 80} for k in numbers],
        "annotations": list(annotations),
        "categories": [{"id": 18 + k, "name": name} for k, name in enumerate(NAMES)],
    }
    (folder / "annotations").mkdir(exist_ok=True)
    file = folder / "annotations" / f"instances_{split}.json"
    file.write_text(json.dumps(content))
    (folder / split).mkdir(exist_ok=True)
    for k in numbers:
        Image.new("RGB", (100, 80), (k, 0, 0)).save(folder / split / f"{k}.png")
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Image 1 shows a cat and a dog, 2 nothing, 3 a bed."""
    written(tmp_path, box(7, 1, 18, 20), box(9, 3, 20), box(5, 1, 19))
    questions = {"1": ["What is on the bed?", "What barks?"], "3": []}
    (tmp_path / "questions.json").write_text(json.dumps(questions))
    return tmp_path


def test_examples_are_all_pictures_in_the_order_of_their_ids(folder):
    data = coco.read(folder)
    assert [each.id for each in data.examples] == ["1", "2", "3"]
    assert [each.cluster for each in data.examples] == ["1", "2", "3"]
    assert [each.image.getpixel((0, 0)) for each in data.examples] == [
        (1, 0, 0),
        (2, 0, 0),
        (3, 0, 0),
    ]
    assert (data.folder, data.split, data.categories) == (folder, "train2017", NAMES)


def test_ids_are_ordered_as_numbers(tmp_path):
    written(tmp_path, images=11)
    assert [each.id for each in coco.read(tmp_path).examples] == [str(k) for k in range(1, 12)]


def test_objects_are_those_of_the_picture_in_the_order_of_their_ids(folder):
    objects = [each.objects for each in coco.read(folder).examples]
    assert [[(one.category, one.area) for one in each] for each in objects] == [
        [("cat", 1600), ("dog", 400)],
        [],
        [("bed", 1600)],
    ]
    assert {one.size for each in objects for one in each} == {(80, 100)}


def test_masks_and_outlines_are_the_annotations(folder):
    _, dog = coco.read(folder).examples[0].objects
    expected = np.zeros((80, 100), bool)
    expected[3:23, 2:22] = True
    assert np.array_equal(dog.mask, expected)
    assert dog.polygons == (tuple(box(7, 1, 18, 20)["segmentation"][0]),)


def test_no_example_has_a_target_yet(folder):
    assert [each.category for each in coco.read(folder).examples] == [""] * 3


def test_questions_are_those_of_the_picture(folder):
    assert [each.questions for each in coco.read(folder).examples] == [
        ("What is on the bed?", "What barks?"),
        (),
        (),
    ]


def test_questions_may_lie_elsewhere_or_nowhere(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(json.dumps({"2": ["What is it?"]}))
    asked = [each.questions for each in coco.read(folder, questions=elsewhere).examples]
    assert asked == [(), ("What is it?",), ()]
    (folder / "questions.json").unlink()
    assert {each.questions for each in coco.read(folder).examples} == {()}


def test_the_split_asked_for_is_taken_or_the_only_one(folder):
    written(folder, box(1, 1), split="val2017", images=1)
    asked = ("val2017", "train2017")
    found = {split: coco.read(folder, split) for split in asked}
    assert {split: (data.split, len(data.examples)) for split, data in found.items()} == {
        "val2017": ("val2017", 1),
        "train2017": ("train2017", 3),
    }
    assert found["val2017"].examples[0].source == folder / "val2017" / "1.png"
    (folder / "annotations" / "instances_train2017.json").unlink()
    assert {coco.read(folder, split).split for split in (*asked, "")} == {"val2017"}


@pytest.mark.parametrize("split", ["test", ""])
def test_of_several_splits_none_stands_for_another(folder, split):
    written(folder, box(1, 1), split="val2017", images=1)
    told = (
        rf"has instances_train2017\.json, instances_val2017\.json and no instances_{split or 'N'}"
    )
    with pytest.raises(VLMError, match=told):
        coco.read(folder, split)


def test_a_folder_without_annotations_is_named(tmp_path):
    with pytest.raises(
        VLMError,
        match=r"There is no annotations/instances_\*\.json .*annotations_trainval2017\.zip",
    ):
        coco.read(tmp_path)


CAPTION = '{"id": 1, "image_id": 1, "caption": ""}'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{broken", "cannot be read as JSON"),
        ("[1]", "Expected `object`, got `array`"),
        ('{"images": []}', "no list 'annotations'"),
        (
            '{"images": [{"id": 1}], "annotations": [], "categories": []}',
            r"Bad: 1, has no 'file_name' \(images\[0\]\)",
        ),
        (
            f'{{"images": [], "annotations": [{CAPTION}], "categories": []}}',
            r"Bad: 1, has no 'category_id' \(annotations\[0\]\)",
        ),
        (
            f'{{"images": [], "annotations": [{json.dumps(box(1, 1, 77))}], "categories": []}}',
            r"Bad: 1, is of an image that is not listed \(annotation 1: 1\)",
        ),
    ],
)
def test_a_file_that_is_not_coco_is_named_with_what_it_lacks(folder, content, message):
    file = folder / "annotations" / "instances_train2017.json"
    file.write_text(content)
    with pytest.raises(VLMError, match=message) as error:
        coco.read(folder)
    assert file.name in str(error.value)


def test_a_bad_image_is_left_out_and_counted(folder):
    """All kinds: tests/neo2025/test_damage.py."""
    for bad in (box(11, 3, 77), box(11, 3, side=90), box(11, 3) | {"area": None}):
        written(folder, box(7, 1, 18, 20), box(9, 3, 20), bad)
        data = coco.read(folder)
        assert [each.id for each in data.examples] == ["1", "2"]
        assert [step.all_bad for step in data.steps].count(1) == 1
    written(folder, *(box(k, k, 77) for k in (1, 2)))
    with pytest.raises(
        VLMError, match=r"'images with sound annotations' 1 of 3 are left\. Bad: 2 "
    ):
        coco.read(folder)
    assert len(coco.read(folder, most_bad=0.7).examples) == 1


def test_a_file_without_annotations_is_one_of_pictures(folder):
    written(folder)
    assert [each.objects for each in coco.read(folder).examples] == [[], [], []]


def test_blank_questions_are_none(folder):
    (folder / "questions.json").write_text('{"1": ["", "  ", "What barks?", "\\n"], "2": [" "]}')
    assert coco.questions_of(folder) == {"1": ["What barks?"], "2": []}


@pytest.mark.parametrize("content", ["[]", "7", "{broken", '{"1": [7]}', '{"1": null}', '"text"'])
def test_what_are_no_questions_is_told(folder, content):
    file = folder / "asked.json"
    file.write_text(content)
    with pytest.raises(VLMError, match=r"asked\.json'"):
        coco.questions_of(folder, file)


def test_a_missing_picture_is_named_when_it_is_needed(folder):
    (folder / "train2017" / "1.png").unlink()
    first = coco.read(folder).examples[0]
    with pytest.raises(VLMError, match=r"train2017/1\.png'.* cannot be read"):
        _ = first.image


def test_questions_in_another_format_are_refused(folder):
    (folder / "questions.json").write_text('{"1": "What is on the bed?"}')
    with pytest.raises(VLMError, match="not in the questions format: image '1'"):
        coco.read(folder)
