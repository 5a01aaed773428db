"""What a subject measures, on planted models (tests/planted.py) of which it is known what must come
out.

Fails if an image counts that should not, a question is asked that does not exist, the mean token is
made from the wrong images, or a row says something else than what its arm did.
"""

import json

import pytest
import torch

from claims.neo2025.study import Subject
from tests import planted
from vlmlib import Ablate, VLMError, save_mean
from vlmlib.study.coco import LENS, CocoData, open_image
from vlmlib.study.store import Store

IMAGES = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return planted.write_data(tmp_path_factory.mktemp("planted") / "data")


@pytest.fixture
def subject_of(folder, tmp_path):
    """A planted model on the first images; `questions` in another file than the data's own."""

    def subject(parts, questions=None, **more) -> Subject:
        data = CocoData(folder, questions, limit=IMAGES)
        lens_data = CocoData(folder, limit=IMAGES, purpose=LENS)
        return Subject("planted", planted.planted(*parts), data, lens_data, store, **more)

    store = Store(tmp_path / "store")
    yield subject
    store.close()


def object_and_background(scene):
    background = scene.stimulus.visual[-1:]
    return {
        "object": [Ablate(scene.object, scene.mean)],
        "corner": [Ablate(background, scene.mean)],
        "nothing": [],
    }


def test_where_the_object_is_read_its_ablation_alone_takes_every_answer_away(subject_of):
    table = subject_of(planted.LOCAL).measure(
        ("generative", "polling", "VQA"), object_and_background
    )
    for task in ("generative", "polling", "VQA"):
        assert table.images[task] == {
            "filter 1": IMAGES,
            "filter 2": IMAGES,
            "asked": IMAGES,
            "counted": IMAGES,
        }
        lost = [table.lost(task, arm).tolist() for arm in ("object", "corner", "nothing")]
        assert lost == [[True] * IMAGES, [False] * IMAGES, [False] * IMAGES]
    assert table.tokens("object").tolist() == [9.0] * IMAGES
    assert table.tokens("nothing").tolist() == [0.0] * IMAGES


def test_no_image_counts_that_a_model_gets_right_without_the_object(subject_of):
    table = subject_of(planted.BLIND).measure(("polling",), object_and_background)
    assert table.images["polling"] == {"filter 1": IMAGES, "filter 2": 0, "asked": 0, "counted": 0}
    assert len(table.lost("polling", "object")) == 0


def test_images_without_a_question_are_not_asked_one(subject_of, tmp_path):
    questions = tmp_path / "questions.json"
    questions.write_text(json.dumps({"1": ["What is on the plate?"], "4": ["What is it?"]}))
    table = subject_of(planted.LOCAL, questions).measure(("polling", "VQA"), object_and_background)
    asked = {task: found["asked"] for task, found in table.images.items()}
    assert asked == {"polling": IMAGES, "VQA": 2}
    assert set(table.rows.loc[table.rows["task"] == "VQA", "image"]) == {1, 4}


def test_an_image_whose_question_is_answered_wrong_is_asked_nothing_else_and_does_not_count(
    subject_of,
):
    subject = subject_of(planted.LOCAL)
    prefill_ends_with = subject.vlm.processor.tokenizer.convert_tokens_to_ids("▁a")
    subject.vlm.model.get_input_embeddings().weight[
        prefill_ends_with, planted.NAMES.index("ended")
    ] = 5.0
    table = subject.measure(("polling", "VQA"), object_and_background)
    assert table.images["polling"]["counted"] == IMAGES
    assert table.images["VQA"] == {
        "filter 1": IMAGES,
        "filter 2": IMAGES,
        "asked": IMAGES,
        "counted": 0,
    }
    stored = subject.store.database.execute(
        "SELECT DISTINCT arm FROM results WHERE task = 'VQA'"
    ).fetchall()
    assert stored == [("clean",)]


def test_the_mean_comes_from_images_that_the_filter_leaves_out(subject_of):
    subject = subject_of(planted.LOCAL)
    read = [subject.vlm.read(open_image(path), "") for path in subject.data.others]
    expected = torch.cat([each.embeddings[each.visual] for each in read]).mean(0)
    assert len(subject.data.others) == planted.EMPTY_IMAGES
    torch.testing.assert_close(subject.mean, expected)


def test_the_mean_is_that_of_a_file_where_one_is_given(subject_of, tmp_path):
    file = tmp_path / "mean.safetensors"
    save_mean(file, planted.poisoned_mean(), made="by hand")
    subject = subject_of(planted.POISONED, mean_file=file)
    assert torch.equal(subject.mean, planted.poisoned_mean())
    table = subject.measure(("polling",), object_and_background)
    assert table.lost("polling", "corner").tolist() == [True] * IMAGES


def test_the_lens_shows_the_class_from_the_layer_that_writes_it_on_and_numbers_after_the_object(
    subject_of,
):
    lens = subject_of(planted.LOCAL).lens
    assert lens.share.tolist() == [[0.0, 0.0, 0.0, 1.0, 1.0]] * IMAGES
    assert lens.absent_share.sum() == 0
    assert (lens.numbers > 0).all()
    assert (lens.first_numbers == 0).all()
    assert lens.categories == ["Yes"] * IMAGES
    assert set(lens.absent) == {"dog", "cat"}


def test_numbers_count_on_the_background_alone(subject_of):
    """All tokens from the object's first one on say a number, its own included."""
    lens = subject_of(
        (planted.SCENE, planted.READ, planted.Attend(2, "visual", "red", "number"))
    ).lens
    assert lens.numbers.tolist() == [120, 36, 119, 35, 118, 34]


def test_numbers_are_ablated_where_there_are_any(subject_of):
    found = subject_of(planted.LOCAL).numbers
    assert len(found) == IMAGES
    for rows in found:
        assert (
            (rows["numbers"].answer, rows["numbers"].right)
            == (rows["clean"].answer, True)
            == ("Yes", True)
        )
        assert (rows["+1 buffer"].answer, rows["+1 buffer"].right) == ("No", False)
        assert rows["numbers"].detail["still"] == rows["numbers"].tokens > 0
    assert subject_of(planted.EARLY).numbers == []


def test_numbers_that_their_own_tokens_say_do_not_persist(subject_of):
    """The last visual row says them, whose place the mean token hardly has."""
    found = subject_of((planted.SCENE, planted.READ, planted.Write(2, "bottom", "number"))).numbers
    assert [rows["numbers"].tokens for rows in found] == [12] * IMAGES
    assert [rows["numbers"].detail["still"] for rows in found] == [0] * IMAGES


@pytest.mark.parametrize("arms", [["object", "random 5"], ["random 5"]])
def test_an_arm_that_was_run_on_no_image_is_an_error_that_names_those_there_are(arms, subject_of):
    table = subject_of(planted.LOCAL).measure(("polling",), object_and_background)
    with pytest.raises(
        VLMError, match=r"'random 5' for polling\. Measured were: clean, corner, nothing, object"
    ):
        table.curves("polling", arms)
