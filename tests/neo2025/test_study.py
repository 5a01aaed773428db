"""What a study measures, on planted models (tests/neo2025/planted.py) of which it is known what
must come out; and that recorded rows give the same.

Fails if an image counts that should not, a question is asked that does not exist or passes for
another, the mean token is made from the wrong images, a row says something else than what its arm
did, or a recording gives another array than the measurement that it is of.
"""

import ast
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from claims.neo2025 import sample
from claims.neo2025.arms import ablations, knockout, knockouts, sliding
from claims.neo2025.authors import AUTHORS
from claims.neo2025.protocol import FILTERED, TASKS, TEXT
from claims.neo2025.published import Published
from claims.neo2025.sensitivity import PROTOCOLS
from claims.neo2025.study import (
    PAGES,
    Measured,
    NumberAblations,
    Recorded,
    Study,
    sliding_places,
    visual_tokens,
)
from claims.neo2025.windows import ONE_BASED, RUN
from tests.neo2025 import FOLDER, planted, worlds
from vlmlib import VLM, Ablate, Polling, VLMError, save_mean
from vlmlib.study import Finished, Recording, Row, Store, Table, polling
from vlmlib.study.example import open_image
from vlmlib.windows import named

IMAGES = 6
QUICK = replace(TEXT, steps=2)
ALL = {"asked": IMAGES, "counted": IMAGES}
QUARTER = [at for at in range(IMAGES) if sample.is_unfiltered(str(at))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return planted.write_data(tmp_path_factory.mktemp("planted") / "data")


@pytest.fixture
def study_of(folder, tmp_path):
    """A planted model on the first images."""

    def study(parts, limit=IMAGES, **more) -> Measured:
        vlm = planted.planted(*parts)
        return planted.study_of(vlm, folder, store, limit, limit, **more)

    store = Store(tmp_path / "store")
    yield study
    store.close()


def object_and_background(scene):
    background = scene.stimulus.visual[-1:]
    return {
        "object": [Ablate(scene.object, scene.mean)],
        "corner": [Ablate(background, scene.mean)],
        "nothing": [],
    }


def test_where_the_object_is_read_its_ablation_alone_takes_answers_away(study_of):
    """Every one of them, under every task."""
    study = study_of(planted.LOCAL)
    for task in TASKS:
        table = study.measure(task, object_and_background)
        assert table.counts == {task: ALL}
        lost = [table.lost(task, arm).tolist() for arm in ("object", "corner", "nothing")]
        assert lost == [[True] * IMAGES, [False] * IMAGES, []]
        assert table.moved(task, "object").all()
        assert table.tokens("object").tolist() == [9.0] * IMAGES
        assert (table.tokens("nothing").tolist(), table.empty(task, "nothing")) == ([], IMAGES)


def test_no_image_counts_that_a_model_gets_right_without_the_object(study_of):
    study = study_of(planted.BLIND, protocol=QUICK)
    table = study.measure("polling", object_and_background)
    assert table.counts["polling"] == {"asked": 0, "counted": 0}
    assert len(table.lost("polling", "object")) == 0
    none = {"filter 1": IMAGES, "filter 2": 0, "asked": 0, "counted": 0}
    vqa = {"VQA": {"filter 1": IMAGES} | ALL}
    assert study.ablations.yields == dict.fromkeys(FILTERED, none) | vqa
    assert study.knockouts.yields == vqa


@pytest.mark.slow
def test_what_filter_2_hides_is_seen_without_it(study_of):
    """On a model that says yes whatever it sees nothing is ever lost, and all images count; where
    the object is read, all pass it, and both tables are the same."""
    blind = study_of(planted.BLIND, protocol=QUICK, name="blind").ablations_unfiltered
    asked = dict.fromkeys(("filter 1", "asked", "counted"), len(QUARTER))
    assert blind.yields == dict.fromkeys(FILTERED, asked)
    for task in FILTERED:
        assert blind.lost(task, "+2 buffer").values.tolist() == [False] * len(QUARTER)
    local = study_of(planted.LOCAL, protocol=QUICK)
    for task in FILTERED:
        for arm in ("object", "random 20"):
            tables = local.ablations, local.ablations_unfiltered
            mine, quarter = (each.lost(task, arm).values for each in tables)
            np.testing.assert_array_equal(mine[QUARTER], quarter)
    assert local.ablations.lost("polling", "object").values.all()


def test_both_tables_are_of_the_same_rows_each_measured_once(study_of):
    study = study_of(planted.LOCAL, protocol=QUICK, limit=4, most=2)
    kept = study.ablations.rows
    count = "SELECT count(*) FROM units"
    before = study.bench.store.database.execute(count).fetchall()
    unfiltered = study.ablations_unfiltered.rows
    assert study.bench.store.database.execute(count).fetchall() == before
    of_kept = unfiltered.rows.loc[unfiltered.rows["example"].isin(study.kept)]
    among = kept.rows["task"].isin(FILTERED) & kept.rows["example"].map(sample.is_unfiltered)
    mine = kept.rows.loc[among]
    assert len(mine)
    pd.testing.assert_frame_equal(of_kept.reset_index(drop=True), mine.reset_index(drop=True))


def test_images_without_a_question_are_not_asked_one(study_of, tmp_path):
    questions = tmp_path / "questions.json"
    questions.write_text(json.dumps({"1": ["What is on the plate?"], "4": ["What is it?"]}))
    study = study_of(planted.LOCAL, questions=questions)
    polling, vqa = (study.measure(task, object_and_background) for task in ("polling", "VQA"))
    assert (polling.counts["polling"]["asked"], vqa.counts["VQA"]["asked"]) == (IMAGES, 2)
    assert set(vqa.rows["example"]) == {"1", "4"}
    assert study.knockouts.yields["VQA"] == {"filter 1": IMAGES, "asked": 2, "counted": 2}


def test_two_questions_about_an_image_are_two_examples_of_one_cluster(study_of, tmp_path):
    questions = tmp_path / "questions.json"
    asked = {"1": ["What is on the plate?", "What is it?"], "4": ["What is it?"]}
    questions.write_text(json.dumps(asked))
    table = study_of(planted.LOCAL, questions=questions).knockouts.rows
    assert list(dict.fromkeys(table.rows["example"])) == ["1", "1, question 2", "4"]
    assert list(dict.fromkeys(table.rows["cluster"])) == ["1", "4"]
    assert table.counts["VQA"]["asked"] == len(table.lost("VQA", "O -> LTP, all")) == 3
    assert table.tokens("O -> LTP, all").tolist() == [9.0, 9.0]


def test_an_image_that_is_answered_wrong_does_not_count(study_of):
    """And is asked nothing else."""
    study = study_of(planted.LOCAL)
    vlm = study.bench.model.load()
    prefill_ends_with = vlm.processor.tokenizer.convert_tokens_to_ids("▁a")
    ended = planted.NAMES.index("ended")
    vlm.model.get_input_embeddings().weight[prefill_ends_with, ended] = 5.0
    polling, vqa = (study.measure(task, object_and_background) for task in ("polling", "VQA"))
    assert polling.counts["polling"] == ALL
    assert vqa.counts["VQA"] == {"asked": IMAGES, "counted": 0}
    asked = "SELECT DISTINCT arm FROM results WHERE task = 'VQA'"
    assert study.bench.store.database.execute(asked).fetchall() == [("clean",)]


def test_tables_say_how_many_images_passed_each_filter(study_of):
    study = study_of(planted.LOCAL, limit=3, protocol=QUICK, most=2)
    assert study.kept == study.reached == ["0", "1"]
    two = {"filter 1": 2, "asked": 2, "counted": 2}
    filtered = two | {"filter 2": 2}
    vqa = {"VQA": two}
    unfiltered = dict.fromkeys(two, len([at for at in QUARTER if at < 2]))
    assert study.ablations.yields == dict.fromkeys(FILTERED, filtered) | vqa
    assert study.ablations_unfiltered.yields == dict.fromkeys(FILTERED, unfiltered)
    assert study.knockouts.yields == vqa


def test_the_tasks_name_says_of_which_images_it_is_asked(study_of):
    """Of the four images filter 2 would pass none, and one has no question."""
    study = study_of(planted.BLIND, limit=4)
    study.images.examples[1] = replace(study.images.examples[1], questions=())
    tasks = (*TASKS, polling, Counting())
    asked = [study.measure(each, object_and_background).counts for each in tasks]
    assert [next(iter(counts.values()))["asked"] for counts in asked] == [0, 0, 3, 0, 4]


def test_the_mean_comes_from_images_that_the_filter_leaves_out(study_of):
    study = study_of(planted.LOCAL)
    vlm, others = study.bench.model.load(), study.images.others
    read = [vlm.read(open_image(each.path), "") for each in others]
    expected = torch.cat([each.embeddings[each.visual] for each in read]).mean(0)
    assert len(others) == planted.EMPTY_IMAGES
    torch.testing.assert_close(study.bench.mean_token(), expected)


def test_the_mean_is_that_of_a_file_where_one_is_given(study_of, tmp_path):
    file = tmp_path / "mean.safetensors"
    save_mean(file, planted.poisoned_mean(), made="by hand")
    study = study_of(planted.POISONED, mean=file)
    assert torch.equal(study.bench.mean_token(), planted.poisoned_mean())
    table = study.measure("polling", object_and_background)
    assert table.lost("polling", "corner").tolist() == [True] * IMAGES


def test_the_lens_shows_the_class_from_the_layer_on_that_writes_it(study_of):
    """And numbers after the object."""
    lens = study_of(planted.LOCAL).lens
    assert lens.share.values.tolist() == [[0.0, 0.0, 0.0, 1.0, 1.0]] * IMAGES
    assert lens.absent_share.values.sum() == 0
    assert lens.numbers("last").values.all()
    assert not lens.numbers("first").values.any()
    assert lens.categories == ["Yes"] * IMAGES
    assert {each.of_absent.category for each in lens.images} == {"dog", "cat"}


def test_numbers_count_on_the_background_alone(study_of):
    """All tokens from the object's first one on say a number, its own included."""
    number = planted.Attend(2, "visual", "red", "number")
    lens = study_of((planted.SCENE, planted.READ, number)).lens
    assert [len(each.numbers) for each in lens.images] == [120, 36, 119, 35, 118, 34]


def number_rows(study: Measured) -> list[tuple[Any, ...]]:
    """(arm, answer, right, tokens, still) of each row of ablating numbers."""
    asked = """SELECT arm, answer, right, tokens, json_extract(detail, '$.still') FROM results
        WHERE task = 'ablating numbers'"""
    return study.bench.store.database.execute(asked).fetchall()


def test_numbers_are_ablated_where_there_are_any(study_of):
    study = study_of(planted.LOCAL)
    found = study.numbers
    assert found.changed("numbers").values.tolist() == [False] * IMAGES
    assert found.changed("+1 buffer").values.tolist() == [True] * IMAGES
    assert found.persist("numbers").values.tolist() == [True] * IMAGES
    rows = number_rows(study)
    assert len(rows) == 4 * IMAGES
    for arm, answer, right, tokens, still in rows:
        assert (answer, right) == {"+1 buffer": ("No", 0)}.get(arm, ("Yes", 1))
        assert (still is not None) == ("numbers" in arm)
        assert arm != "numbers" or still == tokens
        assert (tokens is not None and tokens > 0) == ("numbers" in arm)


def test_where_no_token_says_a_number_none_is_ablated(study_of):
    study = study_of(planted.EARLY)
    assert (len(study.numbers.persist("numbers")), number_rows(study)) == (0, [])
    for arm in ("numbers", "random = numbers", "+1 buffer"):
        assert len(study.numbers.changed(arm)) == 0


def test_numbers_that_their_own_tokens_say_do_not_persist(study_of):
    """The last visual row says them, whose place the mean token hardly has."""
    study = study_of((planted.SCENE, planted.READ, planted.Write(2, "bottom", "number")))
    assert study.numbers.persist("numbers").values.tolist() == [False] * IMAGES
    rows = number_rows(study)
    ablated = [(tokens, still) for arm, _, _, tokens, still in rows if arm == "numbers"]
    assert ablated == [(12, 0)] * IMAGES


def test_each_image_counts_once_in_what_ablating_numbers_did():
    rows = [
        [
            Row("clean", True, detail={"category": "dog"}),
            Row("numbers", same, detail={"still": still, "moved": moved}),
            Row("random = numbers", True, detail={"still": int(not still)}),
            Row("+1 buffer", other),
        ]
        for same, still, moved, other in (
            (True, 0, True, False),
            (False, 3, False, False),
            (True, 1, True, True),
        )
    ]
    found = NumberAblations.of([Finished(str(at), "", each) for at, each in enumerate(rows)])
    assert found.changed("numbers").values.tolist() == [False, True, False]
    assert found.changed("+1 buffer").values.tolist() == [True, True, False]
    assert found.persist("numbers").values.tolist() == [False, True, True]
    assert found.persist("random = numbers").values.tolist() == [True, False, False]
    assert found.alive.values.tolist() == [True, False, True]
    assert found.alive.clusters == ["dog"] * 3


@pytest.mark.parametrize("arms", [["object", "random 5"], ["random 5"]])
def test_an_arm_that_was_run_on_no_image_is_named_among_those_there_are(arms, study_of):
    table = study_of(planted.LOCAL).measure("polling", object_and_background)
    message = r"'random 5' for polling\. Measured were: clean, corner, nothing, object"
    with pytest.raises(VLMError, match=message):
        table.curves("polling", arms)


def test_a_task_that_there_is_not_is_named(study_of):
    with pytest.raises(VLMError, match="no task 'counting'"):
        study_of(planted.LOCAL).measure("counting", object_and_background)


def test_a_task_of_ones_own_is_asked_as_it_asks(study_of):
    """Any value with a name, `read` and `ask`."""
    table = study_of(planted.LOCAL).measure(Counting(), object_and_background)
    assert table.counts == {"counting": ALL}
    assert table.lost("counting", "object").tolist() == [True] * IMAGES


class Counting:
    """How many objects there are, of which the model knows one; it says so with "Yes"."""

    name = "counting"

    def read(self, vlm, example):
        return vlm.read(example.image, "How many?")

    def ask(self, vlm, example, stimulus, arms):
        return TEXT.ask(vlm, Polling(example.category), stimulus, arms)


def test_figure_8s_windows_stand_where_their_middles_are(study_of):
    study = study_of(planted.LOCAL, limit=1)
    places = {"L1-1": 0.125, "L2-2": 0.375, "L3-3": 0.625, "L4-4": 0.875}
    assert study.sliding_places == sliding_places(study.knockouts.rows) == places


def test_the_areas_are_those_of_all_images_that_pass_filter_1(study_of):
    """Three patches of twelve on each side, whatever filter 2 makes of them."""
    areas = study_of(planted.BLIND, limit=3).areas
    assert areas.values.tolist() == [pytest.approx(1 / 16)] * 3
    assert areas.clusters == ["Yes"] * 3


def test_a_run_that_is_made_again_flips_no_answer(study_of):
    """Each arm of table 2 is run a second time, and not read from the first."""
    study = study_of(planted.LOCAL, limit=2)
    assert study.flips == 0
    designs = "SELECT DISTINCT design FROM measurements WHERE task = 'VQA'"
    found = {design for (design,) in study.bench.store.database.execute(designs)}
    assert found == {"knockouts", "knockouts_again"}


def test_an_image_has_as_many_visual_tokens_as_its_rows_say(study_of):
    assert study_of(planted.LOCAL, limit=1, protocol=QUICK).visual_tokens == planted.GRID**2
    assert visual_tokens(Table.of("polling", [])) == 1


def test_windows_are_the_protocols_in_a_model_of_this_depth(study_of):
    for name, bounds in (("text", RUN), ("one-based", ONE_BASED)):
        study = study_of(planted.LOCAL, limit=1, protocol=PROTOCOLS[name])
        assert study.windows == named(planted.LAYERS, bounds)
        assert Recorded(
            Recording(study.bench.store.path), ("planted", study.data, name)
        ).windows == named(planted.LAYERS, bounds)
    assert Published("llava-1.5-7b").windows == named(32, RUN)


def test_of_no_images_there_are_the_papers_windows_and_at_most_one_token(study_of):
    """So that claims about windows find no images in them, and are undecided."""
    study = study_of(planted.LOCAL, limit=0, protocol=QUICK)
    assert study.windows == named(32, RUN)
    assert study.visual_tokens == 1
    assert list(study.sliding_places) == list(sliding(32))
    assert (min(study.sliding_places.values()), max(study.sliding_places.values())) == (
        5 / 32,
        27 / 32,
    )
    for window in study.sliding_places:
        assert len(study.knockouts.lost("VQA", knockout("O+1 -> LTP", window))) == 0


@pytest.fixture(scope="module", params=["text", "authors"])
def both(request, folder, tmp_path_factory) -> tuple[Measured, Path]:
    """A study that has measured everything, and the file of its rows, alone in a folder; some of
    its images have two questions, and some none."""
    place = tmp_path_factory.mktemp(request.param)
    asked = {str(at): ["What is on the plate?", "What is it?"][: at % 3] for at in range(IMAGES)}
    (place / "questions.json").write_text(json.dumps(asked))
    study = planted.study_of(
        planted.planted(*planted.LOCAL),
        folder,
        Store(place / "store"),
        IMAGES,
        IMAGES,
        place / "questions.json",
        protocol=replace({"text": TEXT, "authors": AUTHORS}[request.param], steps=2),
    )
    for name in (*PAGES, "ablations_unfiltered", "numbers"):
        assert getattr(study, name) is not None
    study.bench.store.close()
    file = tmp_path_factory.mktemp("recorded") / "rows.sqlite"
    shutil.copy(study.bench.store.path, file)
    return study, file


@pytest.fixture
def stored(both) -> Iterator[Measured]:
    """The same measured once more over its store, where no row is missing and the model refuses to
    be loaded."""

    def refuse() -> VLM:
        raise AssertionError("The model was loaded.")

    study, bench = both[0], both[0].bench
    store = Store(bench.store.path.parent)
    bench = replace(bench, store=store, model=replace(bench.model, load=refuse))
    yield Measured(bench, study.images, study.lens_images, study.protocol)
    store.close()


@pytest.fixture
def recorded(both, monkeypatch) -> Recorded:
    """The same from the file, where there is neither a model nor an image."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("Judging asked for a model or an image.")

    monkeypatch.setattr(VLM, "load", refuse)
    monkeypatch.setattr("vlmlib.study.example.open_image", refuse)
    recording = Recording(both[1])
    [subject] = recording.subjects
    assert subject == ("planted", "data", both[0].protocol.name)
    return Recorded(recording, subject)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ablations", "ablations_unfiltered", "knockouts"])
def test_recorded_tables_are_the_measured_ones(name, both, recorded):
    table, again = getattr(both[0], name).rows, getattr(recorded, name).rows
    pd.testing.assert_frame_equal(again.rows, table.rows)
    assert len(table.rows) > 100
    assert (again.counts, again.arms) == (table.counts, table.arms)
    for task in table.counts:
        for ask in ("curves", "doubt"):
            names = [arm for arm in table.arms if "clean" not in arm]
            if task == "generative" and ask == "doubt":
                continue  # texts have no probability
            mine, its = (getattr(each, ask)(task, names) for each in (table, again))
            np.testing.assert_array_equal(its, mine)


def test_the_recorded_lens_is_the_measured_one(both, recorded):
    assert recorded.lens.images == both[0].lens.images
    assert recorded.lens.share.values.shape == (IMAGES, planted.LAYERS + 1)


def test_recorded_number_ablations_are_the_measured_ones(both, recorded):
    assert recorded.numbers.rows == both[0].numbers.rows
    assert len(recorded.numbers.persist("numbers")) == IMAGES


def test_recorded_windows_and_tokens_are_the_measured_ones(both, recorded):
    assert recorded.sliding_places == both[0].sliding_places
    assert len(recorded.sliding_places) == planted.LAYERS
    assert recorded.visual_tokens == both[0].visual_tokens == planted.GRID**2


def test_recorded_rows_answer_for_the_designs_that_were_measured(both, recorded):
    again = recorded.measure("polling", ablations)
    for arm in ("object", "random 5"):
        measured = both[0].ablations.lost("polling", arm).values
        assert again.lost("polling", arm).tolist() == measured.tolist()
    with pytest.raises(VLMError, match=r"no rows of .polling. under .knockouts. on.*Measure it"):
        recorded.measure("polling", knockouts)
    with pytest.raises(VLMError, match="Nothing can be measured on llava-phi-3 as published"):
        Published("llava-phi-3").measure("polling", ablations)


def test_a_recording_tells_what_it_is_of_and_that_it_is_one(recorded):
    assert (recorded.name, recorded.data, recorded.label) == (
        "planted",
        "data",
        "planted, recorded",
    )


def test_a_recording_keeps_as_many_images_as_it_is_asked_for(recorded):
    """A thousand that pass filter 2 by default, at which the authors' runs stop."""
    assert recorded.ablations.yields["polling"]["asked"] == IMAGES
    assert recorded.most == 1000
    del recorded.ablations
    recorded.most = 2
    yields = recorded.ablations.yields["polling"]
    assert (yields["filter 2"], yields["asked"]) == (2, 2)


@pytest.mark.parametrize("asked", ["ablations", "knockouts", "lens", "numbers", "visual_tokens"])
def test_what_was_not_recorded_is_refused_and_has_no_page(both, asked):
    """And is not taken for measured on no image."""
    study = Recorded(Recording(both[1]), ("another", "data", "text"), "mine")
    assert study.label == "mine"
    with pytest.raises(VLMError, match=r"There are no rows of .* on 'another' in .*Measure it"):
        getattr(study, asked)
    assert study.made == []


@pytest.mark.slow
def test_what_was_measured_on_no_image_is_recorded_as_such(study_of):
    study = study_of(planted.BLIND, protocol=QUICK)
    tables = ("ablations", "ablations_unfiltered", "knockouts")
    counts = [getattr(study, name).yields for name in tables]
    recorded = Recorded(Recording(study.bench.store.path), ("planted", study.data, "text"))
    assert [getattr(recorded, name).yields for name in tables] == counts
    assert counts[0]["polling"] == {
        "filter 1": IMAGES,
        "filter 2": 0,
        "asked": 0,
        "counted": 0,
    }


def test_what_is_in_the_store_is_judged_without_the_model(both, stored):
    for name in ("ablations", "knockouts"):
        stored_rows, own = (getattr(each, name).rows.rows for each in (stored, both[0]))
        pd.testing.assert_frame_equal(stored_rows, own)
    np.testing.assert_array_equal(stored.lens.share.values, both[0].lens.share.values)
    assert stored.numbers.rows == both[0].numbers.rows


def test_the_model_is_loaded_at_the_first_row_that_is_missing(stored):
    assert stored.kept
    with pytest.raises(AssertionError, match="was loaded"):
        stored.measure("polling", object_and_background)


def test_a_study_names_what_it_has_made_and_nothing_else(both, stored):
    recorded = Recorded(Recording(both[1]), ("planted", "data", both[0].protocol.name))
    for each in (stored, recorded):
        assert each.made == []
        assert each.lens is not None
        assert each.made == ["lens"]
        assert each.sliding_places
        assert each.made == ["knockouts", "lens"]
        assert each.visual_tokens
        assert each.numbers is not None
        assert each.made == list(PAGES)
    assert Published("llava-1.5-7b").made == []


def test_claims_ask_nothing_but_what_a_study_answers():
    asked = {
        node.attr
        for file in FOLDER.glob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
        if isinstance(node.value, ast.Name) and node.value.id == "subject"
    }
    assert asked >= {"ablations", "knockouts", "lens", "numbers"}
    assert asked <= set(vars(Study))


def test_measured_recorded_and_printed_are_studies(both):
    """Also for the type checker, which reads the annotation."""
    measured = both[0]
    recorded = Recorded(Recording(both[1]), ("planted", "data", "text"))
    studies: list[Study] = [measured, recorded, Published("llava-1.5-7b")]
    asked = [name for name in vars(Study) if not name.startswith("_")]
    assert set(asked) >= {"name", "label", "data", "made", "ablations", "knockouts", "lens"}
    for study in studies:
        assert [name for name in asked if name not in dir(study)] == []
        assert all(isinstance(getattr(study, name), str) for name in ("name", "label", "data"))
        assert isinstance(study.made, list)


def test_a_table_of_printed_counts_answers_as_one_of_images_does():
    """What the protocol says of `ablations` and `knockouts`."""
    made_up = worlds.world("paper", "llava-1.5-7b").ablations
    for table in (Published("llava-1.5-7b").ablations, made_up):
        assert table.has("object")
        assert len(table.pair("polling", "object", "elsewhere object")) == 2
        for answer in (table.lost("polling", "object"), table.curves("polling", ["object"])):
            assert answer is not None
