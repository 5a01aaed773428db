"""Examples: pictures with what is known about them, their masks, ids and contents, and noise in
place of a region.

Oracle of masks: pycocotools' own `annToMask`. Fails if a mask is not the annotation's, if something
that a measurement depends on is not in an example's content, or if noise reaches beyond its box.
"""

import contextlib
import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as run_length
from pycocotools.coco import COCO

from tests.tiny import picture
from vlmlib import VLMError
from vlmlib.study import Example, Object
from vlmlib.study.example import file_key, joined, noise_in
from vlmlib.study.store import content_key

SIZE = (30, 40)


def region(top: int = 3, left: int = 2, side: int = 10) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def square(left: float, side: float = 8) -> list[float]:
    return [left, 5, left + side, 5, left + side, 5 + side, left, 5 + side]


def compressed(mask: np.ndarray, as_text: bool = True) -> dict:
    code: Any = run_length.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(SIZE), "counts": code["counts"].decode() if as_text else code["counts"]}


def uncompressed(mask: np.ndarray) -> dict:
    pixels = mask.T.reshape(-1).astype(int)
    changes = np.flatnonzero(np.diff(np.concatenate([[0], pixels]))).tolist()
    edges = [0, *changes, len(pixels)]
    return {"size": list(SIZE), "counts": np.diff(edges).tolist()}


def by_pycocotools(outline) -> np.ndarray:
    """The mask of an annotation, as COCO's own code reads it."""
    with contextlib.redirect_stdout(io.StringIO()):
        data: Any = COCO()
        data.dataset = {
            "images": [{"id": 1, "height": SIZE[0], "width": SIZE[1]}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": outline}],
            "categories": [{"id": 1, "name": "dog"}],
        }
        data.createIndex()
    return data.annToMask(data.loadAnns([1])[0]).astype(bool)


# Masks.

OUTLINES = {
    "a polygon": [square(3)],
    "two polygons": [square(3), square(20)],
    "polygons that overlap": [square(3), square(6)],
    "a polygon of fractions": [[2.5, 3.25, 20.75, 4.5, 11.1, 25.9]],
    "a polygon beyond the edge": [[30, 20, 60, 20, 60, 50, 30, 50]],
    "a compressed code": compressed(region()),
    "an uncompressed code": uncompressed(region()),
    "a code that begins with the object": uncompressed(region(0, 0)),
}


@pytest.mark.parametrize("outline", OUTLINES.values(), ids=OUTLINES)
def test_a_mask_is_what_coco_takes_it_for(outline):
    mask = Object("dog", outline, SIZE).mask
    assert mask.dtype == bool
    assert mask.shape == SIZE
    assert 0 < mask.sum() < mask.size
    assert np.array_equal(mask, by_pycocotools(outline))


@settings(max_examples=60, deadline=None)
@given(
    polygons=st.lists(
        st.lists(st.floats(-5, 45, width=32), min_size=6, max_size=16).filter(
            lambda points: len(points) % 2 == 0
        ),
        min_size=1,
        max_size=3,
    )
)
def test_any_polygons_are_what_coco_takes_them_for(polygons):
    thing = Object("dog", polygons, SIZE)
    assert np.array_equal(thing.mask, by_pycocotools(polygons))
    assert thing.pixels == thing.mask.sum()


@settings(max_examples=60, deadline=None)
@given(pixels=st.binary(min_size=SIZE[0] * SIZE[1] // 8, max_size=SIZE[0] * SIZE[1] // 8))
def test_any_code_is_the_mask_that_was_encoded(pixels):
    mask = np.unpackbits(np.frombuffer(pixels, np.uint8)).reshape(SIZE).astype(bool)
    for outline in (compressed(mask), compressed(mask, as_text=False), uncompressed(mask)):
        assert np.array_equal(Object("dog", outline, SIZE).mask, mask)
        assert Object("dog", outline, SIZE).pixels == mask.sum()


def test_an_outline_may_be_a_mask_or_tuples():
    mask = Object("dog", region().astype(np.uint8), SIZE).mask
    assert Object("dog", region(), SIZE).pixels == region().sum()
    assert mask.dtype == bool
    assert np.array_equal(mask, region())
    of_tuples = Object("dog", tuple(map(tuple, [square(3)])), SIZE)
    assert np.array_equal(of_tuples.mask, by_pycocotools([square(3)]))


def test_outlines_are_polygons_and_a_code_or_mask_has_none():
    outlines = [[square(3), square(20)], compressed(region()), uncompressed(region()), region()]
    found = [Object("dog", outline, SIZE).polygons for outline in outlines]
    assert found == [(tuple(square(3)), tuple(square(20))), (), (), ()]


DOG, CAT = Object("dog", [square(3)], SIZE), Object("cat", [square(20)], SIZE)
OTHER_DOG = Object("dog", compressed(region(15)), SIZE)


def example(*objects: Object, category: str = "dog") -> Example:
    return Example("7", picture(), objects, category)


def test_the_target_is_all_of_its_category_and_shown_is_everything():
    both = example(DOG, CAT, OTHER_DOG)
    assert np.array_equal(both.mask, DOG.mask | OTHER_DOG.mask)
    assert np.array_equal(both.shown, DOG.mask | OTHER_DOG.mask | CAT.mask)
    assert both.targets == [DOG, OTHER_DOG]
    assert both.polygons == [tuple(square(3))]
    assert np.array_equal(joined([CAT], both), CAT.mask)


def test_an_example_without_its_target_has_no_region():
    for empty in (example(CAT), example(DOG, category=""), example()):
        assert empty.targets == []
        with pytest.raises(VLMError, match=r"'7' has no object of category .* Give it objects"):
            _ = empty.mask


# Ids, clusters and contents.


def test_an_example_is_a_cluster_of_its_own_unless_it_says_otherwise():
    assert Example("7", picture()).cluster == "7"
    second = Example("7, question 2", picture(), cluster="7")
    assert (second.id, second.cluster) == ("7, question 2", "7")
    assert replace(Example("7", picture()), id="8").cluster == "7"


@pytest.mark.parametrize("name", ["", " ", "7\n", "7\n8", "7\0", "\x1b[2J"])
def test_an_id_is_text_in_one_line(name):
    with pytest.raises(VLMError, match=r"Expected some text in one line"):
        Example(name, picture())


def test_the_number_of_an_example_comes_from_its_id_alone():
    numbers = [Example(name, picture()).number for name in ("7", "12", "seven", "7, question 2")]
    assert numbers[:2] == [7, 12]
    assert len(set(numbers)) == 4
    assert numbers[2] == Example("seven", picture(1), category="dog").number
    assert all(np.random.default_rng([0, number]) for number in numbers)


def key(one: Example) -> str:
    return content_key(one.content)


def test_the_same_example_has_the_same_content():
    assert key(example(DOG, CAT)) == key(example(DOG, CAT))
    asked = replace(example(DOG), questions=("What is it?",), known={"a": [1.5]})
    assert key(asked) == key(replace(asked))
    assert key(asked) == key(replace(asked, cluster="another"))  # no measurement depends on it


CHANGED = {
    "id": {"id": "8"},
    "picture": {"source": picture(1)},
    "size of the picture": {"source": picture().resize((16, 22))},
    "target": {"category": "cat"},
    "questions": {"questions": ("What is it?", "What is on it?")},
    "order of questions": {"questions": ("What is on it?", "What is it?")},
    "what is known": {"known": {"absent": "cup"}},
    "objects": {"objects": (DOG,)},
    "order of objects": {"objects": (CAT, DOG)},
    "an object's category": {"objects": (DOG, replace(CAT, category="dog"))},
    "an object's outline": {"objects": (DOG, replace(CAT, outline=[square(20.5)]))},
    "an object's code": {"objects": (DOG, replace(CAT, outline=compressed(region())))},
    "an object's mask": {"objects": (DOG, replace(CAT, outline=region()))},
    "an object's size": {"objects": (DOG, replace(CAT, size=(40, 30)))},
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_whatever_a_measurement_may_depend_on_is_in_the_content(change):
    before = example(DOG, CAT)
    assert key(replace(before, **change)) != key(before)


def test_another_mask_of_the_same_size_is_another_content():
    keys = {key(example(Object("dog", region(top), SIZE))) for top in (3, 4)}
    assert len(keys) == 2


def test_knowing_adds_to_what_is_known():
    first = example(DOG).knowing(absent="cup")
    second = first.knowing(attributions=[0.5], absent="bed")
    assert (first.known, second.known) == (
        {"absent": "cup"},
        {"absent": "bed", "attributions": [0.5]},
    )
    assert len({key(example(DOG)), key(first), key(second)}) == 3


# Pictures and files.


def test_a_picture_is_opened_when_it_is_needed_and_in_rgb(tmp_path):
    file = tmp_path / "7.png"
    lazy = Example("7", file)
    with pytest.raises(VLMError, match=r"7\.png'.*cannot be read"):
        _ = lazy.image
    picture().convert("L").save(file)
    assert (lazy.image.mode, lazy.image.size) == ("RGB", (22, 16))
    assert Example("7", picture().convert("L")).image.mode == "RGB"
    file.write_text("no picture")
    with pytest.raises(VLMError, match=r"7\.png'.*cannot be read"):
        _ = lazy.image


def test_the_key_of_a_picture_is_its_bytes_or_pixels(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        picture(seed).save(tmp_path / f"{name}.png")
    one, same, other = (Example("7", tmp_path / f"{name}.png").picture_key for name in "abc")
    assert one == same != other
    assert Example("7", picture()).picture_key == Example("8", picture()).picture_key
    assert Example("7", picture()).picture_key != Example("7", picture(1)).picture_key


def test_a_files_bytes_are_its_key_and_a_missing_one_is_named(tmp_path):
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    assert file_key(tmp_path / "a") == file_key(tmp_path / "b") != file_key(tmp_path / "c")
    os.mkfifo(tmp_path / "pipe")
    for name in ("nothing", ".", "pipe"):
        with pytest.raises(VLMError, match=rf"{tmp_path.name}.*cannot be read"):
            file_key(tmp_path / name)


def test_a_file_that_has_changed_has_another_key(tmp_path, monkeypatch):
    """In one process, too, and by whatever path it is named."""
    file = tmp_path / "a"
    keys = []
    for at, content in enumerate([b"1", b"12", b"21"]):
        file.write_bytes(content)
        os.utime(file, ns=(0, at))
        keys.append(file_key(file))
    assert len(set(keys)) == 3
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "b").write_text(name)
        os.utime(tmp_path / name / "b", ns=(0, 0))
        monkeypatch.chdir(tmp_path / name)
        keys.append(file_key(Path("b")))
    assert len(set(keys)) == 5


# Noise in place of a region.


def changed(before: Image.Image, after: Image.Image) -> np.ndarray:
    return (np.array(before) != np.array(after)).any(-1)


def test_noise_fills_the_box_of_the_region_and_nothing_else():
    image = Image.new("RGB", (SIZE[1], SIZE[0]), (7, 8, 9))
    mask = np.zeros(SIZE, bool)
    mask[3, 5] = mask[20, 2] = True  # a region of two pixels, in opposite corners of its box
    box = np.zeros(SIZE, bool)
    box[3:21, 2:6] = True
    painted = noise_in(image, mask, np.random.default_rng(0))
    assert np.array_equal(changed(image, painted), box)
    assert np.array_equal(np.array(image)[0, 0], [7, 8, 9])
    inside = np.array(painted)[box]
    assert inside.min() < 20
    assert inside.max() > 235


def test_noise_is_decided_by_the_generator():
    image, mask = picture(size=(40, 30)), region()
    one, same, other = (noise_in(image, mask, np.random.default_rng(at)) for at in (0, 0, 1))
    assert not changed(one, same).any()
    assert changed(one, other).any()


def test_no_region_leaves_the_picture_as_it_is():
    image = picture(size=(40, 30))
    painted = noise_in(image, np.zeros(SIZE, bool), np.random.default_rng(0))
    assert not changed(image, painted).any()
    assert painted is not image


def test_noise_of_ones_own_is_asked_for_the_boxs_pixels():
    image, asked = picture(size=(40, 30)), []

    def grey(shape: tuple[int, ...]) -> np.ndarray:
        asked.append(shape)
        return np.full(shape, 128, np.uint8)

    painted = noise_in(image, region(3, 2, 10), np.random.default_rng(0), grey)
    assert asked == [(10, 10, 3)]
    assert (np.array(painted)[region()] == 128).all()
    assert not changed(image, painted)[~region()].any()
