"""Which images count: the paper's two filters, and one example for each question.

Oracles: hand-made annotations, and filter 1 written out on the annotation file itself. Fails if an
image passes that should not or in another order, if another object than the paper's becomes the
target, if an absent category is shown, if two questions about an image become one example, or if
other images pass for the paper's own.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from claims.neo2025 import sample
from fixtures import filtered
from fixtures.emoji_coco.questions import target
from fixtures.emoji_coco.scenes import NAMES as CATEGORIES
from fixtures.filtered import IDENTIFICATION, LENS, Images, filter_1
from fixtures.models import SHIPPED_DATA
from vlmlib import VLMError
from vlmlib.study import Example, Finished, Row, coco

NAMES = ["dog", "cat", "bed", "cup"]


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


def write(
    folder: Path, annotations: list[dict], split: str = "train2017", images=range(1, 6), **size: int
) -> None:
    """An annotation file with its images, by default of 400 x 300."""
    size = {"width": 400, "height": 300} | size
    content = {
        "images": [{"id": k, "file_name": f"{k}.png", **size} for k in images],
        "annotations": annotations,
        "categories": [{"id": 18 + k, "name": name} for k, name in enumerate(NAMES)],
    }
    (folder / "annotations").mkdir(exist_ok=True)
    (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    (folder / split).mkdir(exist_ok=True)
    for k in images:
        picture = Image.new("L", (size["width"], size["height"]))
        picture.save(folder / split / f"{k}.png", compress_level=1)


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
    write(tmp_path, annotations, width=100, height=80)
    (tmp_path / "questions.json").write_text(json.dumps({"1": ["What is on the bed?"], "5": []}))
    return tmp_path


def ids(images: Images) -> list[str]:
    return [each.id for each in images.examples]


def others(images: Images) -> list[str]:
    return [each.path.stem for each in images.others]


def test_filter_1_keeps_what_the_paper_keeps(folder):
    images = filter_1(folder, IDENTIFICATION)
    assert [(each.id, each.category) for each in images.examples] == [("1", "dog"), ("5", "cat")]
    assert others(images) == ["2", "3", "4"]
    assert [each.questions for each in images.examples] == [("What is on the bed?",), ()]
    assert images.data == folder.name
    assert images.categories == NAMES


def test_the_mask_is_the_targets_alone(folder):
    write(folder, [box(1, 1, 18, 40), box(2, 1, 19, 60)])
    [example] = filter_1(folder, IDENTIFICATION).examples
    assert (example.category, example.mask.sum()) == ("dog", 40 * 40)
    assert example.shown.sum() == 60 * 60


def test_questions_may_stand_in_a_file_of_their_own(folder, tmp_path_factory):
    file = tmp_path_factory.mktemp("questions") / "mine.json"
    file.write_text(json.dumps({"5": ["What is it?", "What is on the plate?"]}))
    images = filter_1(folder, IDENTIFICATION, questions=file)
    assert [each.questions for each in images.examples] == [
        (),
        ("What is it?", "What is on the plate?"),
    ]


def questions_file(folder: Path, images: int, asked: int) -> Path:
    """A file of questions as the authors': most images have an empty list."""
    file = folder / "asked.json"
    file.write_text(json.dumps({str(at): ["What is it?"] * (at < asked) for at in range(images)}))
    return file


@pytest.mark.parametrize(
    ("images", "asked", "own"),
    [(4318, 100, True), (4318, 101, False), (4317, 100, False), (100, 100, False), (0, 0, False)],
)
def test_the_papers_own_questions_are_known_by_their_number(tmp_path, images, asked, own):
    """4,318 images of which 100 are asked about."""
    assert filtered.are_the_papers(questions_file(tmp_path, images, asked)) is own


def test_without_a_file_of_questions_the_images_are_others():
    assert not filtered.are_the_papers(None)


@pytest.mark.parametrize(("images", "suffix"), [(4318, ", the paper's questions"), (3, "")])
def test_the_data_bears_the_name_of_the_papers_questions(folder, tmp_path, images, suffix):
    """So that rows of the one are never taken for those of the other."""
    file = questions_file(tmp_path, images, 100)
    assert filter_1(folder, IDENTIFICATION, questions=file).data == folder.name + suffix
    assert filtered.THE_PAPERS == ", the paper's questions"


def test_bounds_can_be_shares_of_the_image(folder):
    bounds = {"area": "share", "above": 0.001, "below": 0.004, "annotations_below": 4}
    (folder / "filter.json").write_text(json.dumps(bounds))
    images = filter_1(folder, IDENTIFICATION)
    assert [(each.id, each.category) for each in images.examples] == [("5", "dog")]


def test_for_the_lens_targets_are_of_20000_to_30000_pixels(folder):
    """Both ends are out."""
    sides = [20000**0.5, 141.5, 160, 173.2, 30000**0.5]
    write(folder, [box(k, k, 18, side) for k, side in enumerate(sides, 1)])
    assert ids(filter_1(folder, LENS)) == ["2", "3", "4"]
    assert ids(filter_1(folder, IDENTIFICATION)) == []
    assert others(filter_1(folder, LENS)) == ["1", "5"]


def test_each_purpose_prefers_the_split_that_the_paper_took(folder):
    assert filter_1(folder, LENS).others[0].path.parent.name == "train2017"
    write(folder, [box(1, 1, 18, 150)], split="val2017")
    write(folder, [], split="another")
    images = filter_1(folder, LENS)
    assert ids(images) == ["1"]
    assert images.examples[0].source == folder / "val2017" / "1.png"
    identification = filter_1(folder, IDENTIFICATION)
    assert ids(identification) == ["1", "5"]
    assert identification.others[0].path.parent.name == "train2017"


def test_each_purpose_has_bounds_of_its_own_in_a_file(folder):
    (folder / "lens_filter.json").write_text(
        json.dumps({"area": "share", "above": 0.1, "below": 0.3, "annotations_below": 3})
    )
    assert ids(filter_1(folder, LENS)) == ["1", "4", "5"]
    assert ids(filter_1(folder, IDENTIFICATION)) == ["1", "5"]
    (folder / "filter.json").write_text(
        json.dumps({"area": "pixels", "above": 20, "below": 30, "annotations_below": 4})
    )
    assert ids(filter_1(folder, IDENTIFICATION)) == ["5"]
    assert ids(filter_1(folder, LENS)) == ["1", "4", "5"]


def absent(images: Images) -> list[str]:
    return [each.known["absent"] for each in images.examples]


def test_the_absent_category_is_not_shown_and_turns_with_the_image(folder):
    first, fifth = ["cat", "bed", "cup"], ["bed", "cup"]
    assert absent(filter_1(folder, IDENTIFICATION)) == [first[1 % 3], fifth[5 % 2]]
    write(folder, [box(k, k, 18, 40) for k in range(1, 6)])
    assert absent(filter_1(folder, IDENTIFICATION)) == ["bed", "cup", "cat", "bed", "cup"]


def test_where_an_image_shows_every_category_none_is_absent(folder):
    (folder / "filter.json").write_text(
        json.dumps({"area": "pixels", "above": 1000, "below": 2000, "annotations_below": 9})
    )
    write(folder, [box(1 + k, 1, 18 + k, 40) for k in range(4)])
    assert absent(filter_1(folder, IDENTIFICATION)) == [""]


def test_a_limit_keeps_the_first_and_leaves_the_others_alone(folder):
    images = filter_1(folder, IDENTIFICATION, limit=1)
    assert (ids(images), others(images)) == (["1"], ["2", "3", "4"])


def test_a_folder_without_annotations_is_named(tmp_path):
    with pytest.raises(VLMError, match=r"There is no annotations/instances_\*\.json"):
        filter_1(tmp_path, IDENTIFICATION)


def plain_filter_1(content: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Target and absent category by image, from the annotation file: the text's bounds."""
    names = {each["id"]: each["name"] for each in content["categories"]}
    found = {}
    for image in content["images"]:
        mine = [each for each in content["annotations"] if each["image_id"] == image["id"]]
        shown = [names[each["category_id"]] for each in mine]
        unshown = [names[each] for each in sorted(names) if names[each] not in shown]
        fitting = [
            (each["id"], names[each["category_id"]])
            for each in mine
            if 1000 < each["area"] < 2000 and shown.count(names[each["category_id"]]) == 1
        ]
        if len(mine) < 4 and fitting:
            chosen = unshown[image["id"] % len(unshown)] if unshown else ""
            found[str(image["id"])] = (min(fitting)[1], chosen)
    return dict(sorted(found.items(), key=lambda each: int(each[0])))


annotated = st.tuples(
    st.integers(1, 6),
    st.integers(0, 3),
    st.sampled_from([900.0, 1000.0, 1000.5, 1500.0, 1999.0, 2000.0, 2500.0]),
)


@settings(deadline=None, max_examples=100)
@given(
    objects=st.lists(annotated, max_size=16),
    numbers=st.permutations(range(100, 116)),
    images=st.permutations(range(1, 7)),
)
def test_filter_1_is_what_a_plain_search_finds(objects, numbers, images):
    annotations = [
        box(number, image, 18 + category, area**0.5) | {"area": area}
        for number, (image, category, area) in zip(numbers, objects, strict=False)
    ]
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), annotations, images=images)
        file = Path(name) / "annotations" / "instances_train2017.json"
        expected = plain_filter_1(json.loads(file.read_text()))
        found = filter_1(Path(name), IDENTIFICATION)
    kept = {each.id: (each.category, each.known["absent"]) for each in found.examples}
    assert list(kept.items()) == list(expected.items())
    assert others(found) == [str(k) for k in range(1, 7) if str(k) not in expected]


def test_the_shipped_datas_targets_are_those_that_its_script_asks_about():
    """`target` of fixtures/emoji_coco/questions.py, which knows nothing of this filter."""
    kept = {each.id: each.category for each in filter_1(SHIPPED_DATA, IDENTIFICATION).examples}
    asked = {}
    for example in coco.read(SHIPPED_DATA).examples:
        shares = [
            (each.category, each.area / (each.size[0] * each.size[1])) for each in example.objects
        ]
        asked[example.id] = target(shares)
    assert len(kept) == 294
    assert kept == {name: category for name, category in asked.items() if category}
    questions = json.loads((SHIPPED_DATA / "questions.json").read_text())
    assert set(questions) == set(kept)


@pytest.mark.parametrize("purpose", [IDENTIFICATION, LENS], ids=["identification", "lens"])
def test_every_shipped_target_has_a_category_that_its_image_does_not_show(purpose):
    for example in filter_1(SHIPPED_DATA, purpose).examples:
        assert example.known["absent"] in CATEGORIES
        assert example.known["absent"] not in {each.category for each in example.objects}


def described(example: str, clean: bool | None, painted_out: bool | None) -> Finished:
    rows = [Row("clean", clean), Row("painted out", painted_out)]
    return Finished(example, example, rows)


@pytest.mark.parametrize("clean", [True, False, None])
@pytest.mark.parametrize("painted_out", [True, False])
def test_filter_2_needs_the_target_to_be_named_and_then_not(clean, painted_out):
    found = [described("7", clean, painted_out), described("9", True, False)]
    passes = clean is True and painted_out is False
    assert sample.filter_2(found) == (["7", "9"] if passes else ["9"])
    assert sample.needs_its_target(found[0]) is passes


@given(passing=st.lists(st.booleans(), max_size=9), most=st.integers(0, 9))
def test_a_run_ends_with_the_last_image_that_it_may_keep(passing, most):
    """And comes to all where there are fewer of them."""
    found = [described(str(at), passes, False) for at, passes in enumerate(passing)]
    reached = sample.reached(found, most)
    assert reached == found[: len(reached)]
    kept = sample.filter_2(reached)
    assert kept == sample.filter_2(found)[:most]
    if len(reached) < len(found):
        assert len(kept) == most
        assert most == 0 or kept[-1] == reached[-1].example


def test_an_image_counts_for_a_task_where_the_clean_run_is_right():
    assert [bool(sample.counts(Row("clean", right))) for right in (True, False, None)] == [
        True,
        False,
        False,
    ]


def test_two_questions_about_an_image_are_two_examples_of_one_cluster():
    """The first keeps the image's id; an image without a question is one that is not asked."""
    asked = Example("7", Path("7.png"), category="dog", questions=("On?", "Under?"), cluster="c")
    silent = Example("8", Path("8.png"), category="cat")
    single = Example("9", Path("9.png"), category="cup", questions=("On?",))
    found = sample.by_question([asked, silent, single])
    assert [(each.id, each.cluster, each.questions) for each in found] == [
        ("7", "c", ("On?",)),
        ("7, question 2", "c", ("Under?",)),
        ("8", "8", ()),
        ("9", "9", ("On?",)),
    ]
    assert [(each.source, each.category) for each in found[:2]] == [(Path("7.png"), "dog")] * 2


@given(counts=st.lists(st.integers(0, 4), max_size=6))
def test_there_are_as_many_examples_as_questions_each_of_its_own_id(counts):
    """And one of each image that has none; asked for once more they are the same."""
    examples = [
        Example(str(at), Path("a.png"), questions=tuple(f"{k}?" for k in range(count)))
        for at, count in enumerate(counts)
    ]
    found = sample.by_question(examples)
    assert len({each.id for each in found}) == len(found) == sum(max(count, 1) for count in counts)
    assert [(each.cluster, *each.questions) for each in found if each.questions] == [
        (each.id, question) for each in examples for question in each.questions
    ]
    assert [each.id for each in sample.by_question(found)] == [each.id for each in found]
