"""Data sets in COCO's layout: the paper's first filter, the masks, and what bad files are told."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fixtures.coco import CocoData
from vlmlib import VLMError


def box(index: int, image_id: int, category_id: int, side: float) -> dict:
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of 100 x 80: 1 is kept; 2 has 4 objects; 3 two of a kind; 4 one too small, one too large; 5 a cat."""
    annotations = [
        box(1, 1, 18, 40),
        *(box(10 + k, 2, 18 + k, 40) for k in range(4)),
        *(box(20 + k, 3, 18, 40) for k in range(2)),
        box(30, 4, 18, 1000**0.5),
        box(31, 4, 19, 2000**0.5),
        box(40, 5, 18, 5),
        box(41, 5, 19, 35),
    ]
    content = {
        "images": [{"id": k, "file_name": f"{k}.png", "width": 100, "height": 80} for k in range(1, 6)],
        "annotations": annotations,
        "categories": [{"id": 18 + k, "name": name} for k, name in enumerate(["dog", "cat", "bed", "cup"])],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_train2017.json").write_text(json.dumps(content))
    (tmp_path / "train2017").mkdir()
    for k in range(1, 6):
        Image.new("RGB", (100, 80)).save(tmp_path / "train2017" / f"{k}.png")
    (tmp_path / "questions.json").write_text(json.dumps({"1": ["What is on the bed?"], "5": []}))
    return tmp_path


def test_the_filter_keeps_what_the_paper_keeps(folder):
    data = CocoData(folder)
    assert [(each.image_id, each.category) for each in data.examples] == [(1, "dog"), (5, "cat")]
    assert [path.stem for path in data.others] == ["2", "3", "4"]
    assert [each.questions for each in data.examples] == [("What is on the bed?",), ()]


def test_the_mask_is_the_polygons(folder):
    mask = CocoData(folder).examples[0].mask
    expected = np.zeros((80, 100), bool)
    expected[3:43, 2:42] = True
    assert np.array_equal(mask, expected)


def test_bounds_can_be_shares_of_the_image(folder):
    bounds = {"area": "share", "above": 0.001, "below": 0.004, "annotations_below": 4}
    (folder / "filter.json").write_text(json.dumps(bounds))
    assert [(each.image_id, each.category) for each in CocoData(folder).examples] == [(5, "dog")]


def test_a_limit_keeps_the_first_and_leaves_the_others_alone(folder):
    data = CocoData(folder, limit=1)
    assert ([each.image_id for each in data.examples], len(data.others)) == ([1], 3)


def test_a_folder_without_annotations_is_named(tmp_path):
    with pytest.raises(VLMError, match=r"There is no annotations/instances_\*\.json .*annotations_trainval2017\.zip"):
        CocoData(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{broken", "cannot be read as JSON"),
        ("[1]", "holds a JSON list"),
        ('{"images": []}', "no list 'annotations'"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', r"images\[0\] has no 'file_name'"),
        (
            '{"images": [], "annotations": [{"id": 1, "image_id": 1, "caption": ""}], "categories": []}',
            r"annotations\[0\] has no 'area'",
        ),
    ],
)
def test_a_file_that_is_not_coco_is_named_with_what_it_lacks(folder, content, message):
    file = folder / "annotations" / "instances_train2017.json"
    file.write_text(content)
    with pytest.raises(VLMError, match=message) as error:
        CocoData(folder)
    assert str(file) in str(error.value)


def test_a_missing_image_is_named_when_it_is_needed(folder):
    (folder / "train2017" / "1.png").unlink()
    with pytest.raises(VLMError, match=r"train2017/1\.png'.* cannot be read"):
        _ = CocoData(folder).examples[0].image


def test_questions_in_another_format_are_refused(folder):
    (folder / "questions.json").write_text('{"1": "What is on the bed?"}')
    with pytest.raises(VLMError, match="not in the questions format: image '1'"):
        CocoData(folder)
