"""The shipped data set: is it what its description says, and made by the script beside it?"""

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from fixtures.emoji_coco import make
from fixtures.emoji_coco.questions import relation_questions
from fixtures.emoji_coco.scenes import (
    EVALUATION,
    HERE,
    NAMES,
    STYLES,
    TRAINING,
    look_alikes,
    render,
    visible_share,
)
from vlmlib.study.coco import LENS, CocoData

DATA, LENS_DATA = CocoData(HERE), CocoData(HERE, purpose=LENS)
FILES = sorted((HERE / "eval").glob("*.png"))
ANNOTATIONS = list(DATA.coco.anns.values())


def test_there_are_enough_scenes_targets_and_questions():
    assert len(FILES) == len(DATA.coco.imgs) >= 400
    assert len(DATA.examples) >= 100
    assert sum(bool(each.questions) for each in DATA.examples) >= 80


def test_there_are_enough_larger_objects_for_the_lens_and_they_are_other_targets():
    assert len(LENS_DATA.examples) >= 60
    assert len({each.category for each in LENS_DATA.examples}) >= 8
    targets = {(each.image_id, each.category) for each in DATA.examples}
    assert not targets & {(each.image_id, each.category) for each in LENS_DATA.examples}


def test_objects_for_the_lens_are_as_large_a_part_of_the_image_as_the_papers_are_of_coco_s():
    shares = [each.mask.mean() for each in LENS_DATA.examples]
    assert min(shares) > 0.065
    assert max(shares) < 0.098
    assert (round(20000 / (640 * 480), 3), round(30000 / (640 * 480), 3)) == (0.065, 0.098)


def test_every_scene_lacks_some_category_and_has_run_length_masks():
    for example in (*DATA.examples, *LENS_DATA.examples):
        assert example.absent in NAMES
        assert example.absent not in DATA.objects(example.image_id)
        assert example.polygons == ()


def test_the_filters_and_questions_are_what_the_script_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(make, "SCENES", 4)
    make.main(tmp_path)
    for name in ("filter.json", "lens_filter.json"):
        assert (tmp_path / name).read_bytes() == (HERE / name).read_bytes()
    written, shipped = (
        json.loads((folder / "questions.json").read_text()) for folder in (tmp_path, HERE)
    )
    assert written == {image: asked for image, asked in shipped.items() if int(image) <= 4}
    contents = (
        json.loads((folder / "annotations/instances_eval.json").read_text())
        for folder in (tmp_path, HERE)
    )
    few, all_ = (
        [each for each in content["annotations"] if each["image_id"] <= 4] for content in contents
    )
    assert [(each["image_id"], each["category_id"]) for each in few] == [
        (each["image_id"], each["category_id"]) for each in all_
    ]
    assert [each["area"] for each in few] == pytest.approx(
        [each["area"] for each in all_], rel=0.01
    )


def test_every_category_and_both_styles_occur():
    assert len(NAMES) >= 40
    assert {DATA.coco.cats[each["category_id"]]["name"] for each in ANNOTATIONS} == set(NAMES)
    assert {each["style"] for each in ANNOTATIONS} == set(STYLES)
    assert {"traffic light", "cell phone", "bear", "teddy bear", "dog", "hot dog"} <= set(NAMES)


def test_scenes_have_one_to_four_objects_on_three_canvases():
    assert set(Counter(each["image_id"] for each in ANNOTATIONS).values()) == {1, 2, 3, 4}
    shapes = {(each["width"], each["height"]) for each in DATA.coco.imgs.values()}
    assert {np.sign(width - height) for width, height in shapes} == {-1, 0, 1}


def test_some_objects_are_occluded_and_some_are_cut_by_the_centre_crop():
    shares = [
        visible_share(each) for index in range(60) for each in render([EVALUATION, index]).objects
    ]
    assert any(0 < share < 0.9 for share in shares)
    assert any(share == 1 for share in shares)


@pytest.mark.parametrize("image_id", [1, 100, 480])
def test_the_files_are_what_the_seeds_render(image_id):
    scene = render([EVALUATION, image_id - 1])
    stored = np.asarray(Image.open(HERE / "eval" / f"{image_id:04}.png").convert("RGB"), dtype=int)
    rendered = np.asarray(scene.image, dtype=int)
    assert stored.shape == rendered.shape
    assert np.abs(stored - rendered).mean() < 1  # another Pillow may round otherwise
    masks = DATA.objects(image_id)
    assert set(masks) == {each.category for each in scene.objects}


def test_rendering_is_a_function_of_the_seed():
    first, again, other = render([TRAINING, 5]), render([TRAINING, 5]), render([EVALUATION, 5])
    assert first.image.tobytes() == again.image.tobytes() != other.image.tobytes()


def test_every_question_has_the_target_as_its_one_right_answer():
    asked = [each for each in DATA.examples if each.questions]
    for example in asked:
        objects = render([EVALUATION, example.image_id - 1]).objects
        right = [
            each.answer for each in relation_questions(objects) if each.text == example.questions[0]
        ]
        visible = [each for each in objects if visible_share(each) >= 0.5]
        right += [
            each.answer for each in relation_questions(visible) if each.text == example.questions[0]
        ]
        assert set(right) == {example.category}, example.image_id


def test_look_alikes_are_pairs_of_known_categories():
    pairs = json.loads((HERE / "look_alikes.json").read_text())["pairs"]
    assert {name for pair in pairs for name in pair} == set(NAMES)
    assert all(name in look_alikes(other) for name in NAMES for other in look_alikes(name))


def test_the_data_set_is_small_and_its_licences_stand_beside_it():
    size = sum(file.stat().st_size for file in HERE.rglob("*") if file.is_file())
    assert size < 10e6
    licences = (HERE / "LICENSES.md").read_text()
    assert all(f"drawings/{style}/" in licences for style in STYLES)
    drawn = {
        style: {file.stem.replace("_", " ") for file in (HERE / "drawings" / style).glob("*.png")}
        for style in STYLES
    }
    assert all(names == set(NAMES) for names in drawn.values())
