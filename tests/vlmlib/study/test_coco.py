"""Data sets in COCO's layout: the paper's filters, masks and outlines, absent categories, and what
bad files are told.

Fails if an image passes that should not, if a mask or outline is not the annotation's, or if an
absent one is shown.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as run_length

from vlmlib import VLMError
from vlmlib.study.coco import LENS, CocoData


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
    """Images of 100 x 80: 1 is kept; 2 has 4 objects; 3 two of a kind; 4 one too small, one too
    large; 5 a cat."""
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
        "images": [
            {"id": k, "file_name": f"{k}.png", "width": 100, "height": 80} for k in range(1, 6)
        ],
        "annotations": annotations,
        "categories": [
            {"id": 18 + k, "name": name} for k, name in enumerate(["dog", "cat", "bed", "cup"])
        ],
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


def written(folder: Path, *annotations: dict, name: str = "train2017", images: int = 5) -> None:
    """Another annotation file, of images of 400 x 300."""
    content = {
        "images": [
            {"id": k, "file_name": f"{k}.png", "width": 400, "height": 300}
            for k in range(1, images + 1)
        ],
        "annotations": list(annotations),
        "categories": [
            {"id": 18 + k, "name": name} for k, name in enumerate(["dog", "cat", "bed", "cup"])
        ],
    }
    (folder / "annotations" / f"instances_{name}.json").write_text(json.dumps(content))


def test_for_the_lens_targets_are_of_20000_to_30000_pixels_and_both_ends_are_out(folder):
    sides = [20000**0.5, 141.5, 160, 173.2, 30000**0.5]
    written(folder, *(box(k, k, 18, side) for k, side in enumerate(sides, 1)))
    assert [each.image_id for each in CocoData(folder, purpose=LENS).examples] == [2, 3, 4]
    assert CocoData(folder).examples == []
    assert [path.stem for path in CocoData(folder, purpose=LENS).others] == ["1", "5"]


def test_for_the_lens_val2017_is_preferred_and_train2017_for_identification(folder):
    assert CocoData(folder, purpose=LENS).name == "train2017"
    written(folder, box(1, 1, 18, 150), name="val2017")
    written(folder, name="another")
    data = CocoData(folder, purpose=LENS)
    assert (data.name, [each.image_id for each in data.examples]) == ("val2017", [1])
    assert data.examples[0].path == folder / "val2017" / "1.png"
    assert (CocoData(folder).name, len(CocoData(folder).examples)) == ("train2017", 2)


def test_each_purpose_has_bounds_of_its_own_in_a_file(folder):
    (folder / "lens_filter.json").write_text(
        json.dumps({"area": "share", "above": 0.1, "below": 0.3, "annotations_below": 3})
    )
    assert [each.image_id for each in CocoData(folder, purpose=LENS).examples] == [1, 4, 5]
    assert [each.image_id for each in CocoData(folder).examples] == [1, 5]
    (folder / "filter.json").write_text(
        json.dumps({"area": "pixels", "above": 20, "below": 30, "annotations_below": 4})
    )
    assert [each.image_id for each in CocoData(folder).examples] == [5]
    assert [each.image_id for each in CocoData(folder, purpose=LENS).examples] == [1, 4, 5]


def test_the_absent_category_is_one_that_the_image_does_not_show_and_turns_with_the_image(folder):
    data = CocoData(folder)
    shown = {1: {"dog"}, 5: {"dog", "cat"}}
    others = {
        image: [name for name in ("dog", "cat", "bed", "cup") if name not in shown[image]]
        for image in shown
    }
    assert {each.image_id: each.absent for each in data.examples} == {
        1: others[1][1 % 3],
        5: others[5][5 % 2],
    }
    written(folder, *(box(k, k, 18, 40) for k in range(1, 6)))
    assert [each.absent for each in CocoData(folder).examples] == [
        "bed",
        "cup",
        "cat",
        "bed",
        "cup",
    ]


def test_where_an_image_shows_every_category_none_is_absent(folder):
    file = folder / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    file.write_text(
        json.dumps(
            content | {"categories": content["categories"][:1], "annotations": [box(1, 1, 18, 40)]}
        )
    )
    assert [each.absent for each in CocoData(folder).examples] == [""]


def test_outlines_are_the_annotations_polygons_and_a_run_length_code_has_none(folder):
    [outline] = box(1, 1, 18, 40)["segmentation"]
    first = CocoData(folder).examples[0]
    assert first.polygons == (tuple(outline),)
    another = [50, 50, 60, 50, 55, 60.5]
    mask = np.zeros((300, 400), bool)
    mask[3:43, 2:42] = True
    code = run_length.encode(np.asfortranarray(mask.astype(np.uint8)))
    coded = {"size": code["size"], "counts": code["counts"].decode()}
    written(
        folder,
        box(1, 1, 18, 40) | {"segmentation": [outline, another]},
        box(2, 2, 18, 40) | {"segmentation": coded},
    )
    both, code_only = CocoData(folder).examples
    assert both.polygons == (tuple(outline), tuple(another))
    assert code_only.polygons == ()
    assert np.array_equal(code_only.mask, mask)
    assert both.mask.sum() > mask.sum()


def test_a_limit_keeps_the_first_and_leaves_the_others_alone(folder):
    data = CocoData(folder, limit=1)
    assert ([each.image_id for each in data.examples], len(data.others)) == ([1], 3)


def test_a_folder_without_annotations_is_named(tmp_path):
    with pytest.raises(
        VLMError,
        match=r"There is no annotations/instances_\*\.json .*annotations_trainval2017\.zip",
    ):
        CocoData(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{broken", "cannot be read as JSON"),
        ("[1]", "holds a JSON list"),
        ('{"images": []}', "no list 'annotations'"),
        (
            '{"images": [{"id": 1}], "annotations": [], "categories": []}',
            r"images\[0\] has no 'file_name'",
        ),
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
