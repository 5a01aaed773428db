"""Measuring many examples over a store: is everything measured once, and nothing that is old shown?

On tiny random models, whose answers are right as planted. Fails if a model is loaded or run for
rows that are there, if a row is kept that something else has made, if two examples pass for one, or
if a task or a design of one's own needs anything but itself.
"""

import functools
import importlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.tiny import picture, tiny_qwen, tiny_vlm
from vlmlib import (
    VLM,
    Ablate,
    Answer,
    Block,
    ImageError,
    Polling,
    Stimulus,
    VLMError,
    load_mean,
    made_from,
    save_mean,
)
from vlmlib.interventions import Arm, touched
from vlmlib.mean import publish_mean
from vlmlib.study import (
    Asking,
    Bench,
    Design,
    Example,
    Finished,
    Handle,
    MeanOf,
    Object,
    Recording,
    Row,
    Scene,
    Store,
    Table,
    Task,
    identity,
    loaded,
    measure,
    polling,
    vqa,
)
from vlmlib.study.measure import check_ids, name_of
from vlmlib.study.run import run

SIZE = (16, 22)  # height and width of a picture
ZERO = torch.zeros(16)
module = importlib.import_module("vlmlib.study.measure")  # whose name the function has taken
FAMILIES = {"llava": tiny_vlm, "qwen": tiny_qwen}


@dataclass(frozen=True)
class Planted:
    """Right unless an arm touches 5 tokens or more: what that takes to answer is the model's
    own."""

    name: str = "planted"
    bound: int = 5

    def read(self, vlm: VLM, example: Example) -> Stimulus | None:
        return vlm.read(example.image, "Is there a dog in this image?")

    def ask(
        self, vlm: VLM, example: Example, stimulus: Stimulus, arms: Sequence[Arm]
    ) -> list[Answer]:
        said = Polling("dog").ask(vlm, stimulus, arms)
        rights = [len(touched(arm)) < self.bound for arm in arms]
        return [replace(each, right=right) for each, right in zip(said, rights, strict=True)]


def regions(scene: Scene) -> dict[str, Arm]:
    tokens = {
        "object": scene.object,
        "everything": scene.stimulus.visual,
        "random 3": scene.random("random 3", 3),
    }
    return {name: [Ablate(chosen, scene.mean)] for name, chosen in tokens.items()}


def nothing(scene: Scene) -> dict[str, Arm]:
    return {"nothing": []}


def every(clean: Row) -> bool:
    return True


def region(top: int = 0, left: int = 0, side: int = 8) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def example(number: int, **more: Any) -> Example:
    """Noise with a dog in it."""
    objects = [Object("dog", region(), SIZE)]
    return Example(str(number), picture(number), objects, "dog", **more)


def examples(*numbers: int) -> list[Example]:
    return [example(number) for number in numbers]


@pytest.fixture(scope="module")
def vlm() -> VLM:
    return tiny_vlm()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "store")) as store:
        yield store


class Counted:
    """A model by its handle: how often it was loaded, and how often it ran since."""

    def __init__(self, vlm: VLM, name: str = "tiny", **more: Any):
        self.vlm, self.loads, self.runs = vlm, 0, 0
        self.handle: Handle = replace(loaded(vlm, name), load=self._load, **more)
        self._hook = vlm.decoder.stack.register_forward_pre_hook(self._run, with_kwargs=True)

    def _load(self) -> VLM:
        self.loads += 1
        return self.vlm

    def _run(self, *_: Any) -> None:
        self.runs += 1

    def __enter__(self) -> "Counted":
        return self

    def __exit__(self, *_: Any) -> None:
        self._hook.remove()


@pytest.fixture
def counted(vlm: VLM) -> Iterator[Counted]:
    with Counted(vlm) as counted:
        yield counted


def units(store: Store) -> int:
    return store.database.execute("SELECT count(*) FROM units").fetchone()[0]


def rows_of(table: Table) -> list[tuple[str, ...]]:
    return [tuple(map(str, row)) for row in table.rows.itertuples(index=False, name=None)]


# What a table holds.


@pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES)
def test_a_table_holds_what_every_arm_did_on_every_example(make, store):
    vlm, asked = make(), examples(3, 1, 2)
    table = measure(vlm, asked, Planted(), regions, store, torch.zeros(vlm.d_model))
    assert table.counts == {"planted": {"asked": 3, "counted": 3}}
    assert list(dict.fromkeys(table.rows["example"])) == ["3", "1", "2"]
    assert table.arms == ["clean", "object", "everything", "random 3"]
    for each in asked:
        stimulus = vlm.read(each.image, "")
        counts = [0, len(stimulus.tokens_of(each.mask)), len(stimulus.visual), 3]
        rows = table.rows[table.rows["example"] == each.id]
        assert rows["tokens"].tolist() == counts
        assert rows["right"].tolist() == [count < 5 for count in counts]
        assert set(rows["visual"]) == {len(stimulus.visual)}
    assert table.lost("planted", "everything").tolist() == [True] * 3
    assert table.lost("planted", "random 3").tolist() == [False] * 3


def test_an_answer_is_the_models_own_under_each_arm(vlm, store):
    [one] = examples(1)
    table = measure(vlm, [one], polling, regions, store, ZERO, keep=every)
    stimulus = polling.read(vlm, one)
    assert stimulus is not None
    object_, random = stimulus.tokens_of(one.mask), scene_of(vlm, one).random("random 3", 3)
    arms = [[], *([Ablate(each, ZERO)] for each in (object_, stimulus.visual, random))]
    for row, answer in zip(
        table.rows.to_dict("records"), polling.ask(vlm, one, stimulus, arms), strict=True
    ):
        assert (row["right"], row["answer"]) == (answer.right, answer.text)
        assert row["probability"] == pytest.approx(answer.probability, rel=1e-5)


def scene_of(vlm: VLM, one: Example, seed: int = 0) -> Scene:
    stimulus = vlm.read(one.image, "Is there a dog in this image?")
    return Scene(vlm, stimulus, one, stimulus.visual[:0], ZERO, (seed, one.number))


def test_two_questions_about_one_picture_are_two_examples(vlm, store):
    """Of one cluster; neither takes the other's place."""
    first = example(1, questions=("What is on the bed?",))
    second = replace(first, id="1, question 2", questions=("What is it?",), cluster="1")
    table = measure(vlm, [first, second], vqa, regions, store, ZERO, keep=every)
    assert table.counts == {"VQA": {"asked": 2, "counted": 2}}
    assert list(dict.fromkeys(table.rows["example"])) == ["1", "1, question 2"]
    assert set(table.rows["cluster"]) == {"1"}
    assert len(table.curves("VQA", ["object", "everything"])) == 2
    found = store.database.execute("SELECT DISTINCT example, cluster FROM results").fetchall()
    assert found == [("1", "1"), ("1, question 2", "1")]


def test_two_examples_of_one_id_are_refused(vlm, store):
    twice = [*examples(1, 2), example(1)]
    with pytest.raises(VLMError, match=r"Two examples have the id '1'.*Give each question"):
        measure(vlm, twice, polling, nothing, store, ZERO)
    assert units(store) == 0
    check_ids(examples(1, 2))
    check_ids([])


def test_no_examples_give_an_empty_table(counted, store):
    table = measure(counted.handle, [], polling, regions, store, ZERO)
    assert table.counts == {"polling": {"asked": 0, "counted": 0}}
    assert table.lost("polling", "object").shape == (0,)
    assert counted.loads == 0


def test_an_example_that_a_task_does_not_ask_is_asked_nothing(vlm, store):
    asked = [example(1), example(2, questions=("What is it?",)), example(3)]
    table = measure(vlm, asked, vqa, regions, store, ZERO, keep=every)
    assert table.counts == {"VQA": {"asked": 1, "counted": 1}}
    assert set(table.rows["example"]) == {"2"}
    with Counted(vlm, type(vlm.model).__name__) as again:
        measure(again.handle, asked, vqa, regions, store, ZERO, keep=every)
    assert (again.loads, units(store)) == (0, 3)  # that it is not asked is known, too


def test_of_a_wrong_clean_run_no_arm_is_run(vlm, store):
    table = measure(vlm, examples(1), Planted(bound=0), regions, store, ZERO)
    assert table.counts == {"planted": {"asked": 1, "counted": 0}}
    stored = store.database.execute("SELECT arm FROM results").fetchall()
    assert stored == [("clean",)]


def test_which_clean_runs_count_can_be_said(vlm, store):
    def likely(clean: Row) -> bool:
        return (clean.probability or 0) > found[1]

    asked = examples(1, 2, 3)
    everything = measure(vlm, asked, polling, regions, store, ZERO, keep=every)
    clean = everything.rows[everything.rows["arm"] == "clean"]
    found = sorted(clean["probability"])
    table = measure(vlm, asked, polling, regions, store, ZERO, keep=likely)
    [kept] = clean["example"][clean["probability"] == found[2]]
    assert table.counts == {"polling": {"asked": 3, "counted": 1}}
    assert set(table.rows["example"]) == {kept}


def test_what_counts_is_asked_of_rows_when_measured_and_when_read(vlm, store):
    """Of the same kind, so that one function of it does for both."""
    seen: list[Any] = []

    def keep(clean: Row) -> bool:
        seen.append(clean)
        return clean.answer != ""

    for _ in range(2):
        measure(vlm, examples(1), polling, nothing, store, ZERO, keep=keep)
    assert {type(each) for each in seen} == {Row}
    assert {(each.arm, each.answer) for each in seen} == {("clean", seen[0].answer)}


def test_an_arm_that_is_called_clean_is_refused(vlm, store):
    def design(scene):
        return {"clean": [Ablate(scene.object, scene.mean)]}

    with pytest.raises(VLMError, match=r"design of planted has an arm 'clean'.* another name"):
        measure(vlm, examples(1), Planted(), design, store, ZERO)


# Tasks and designs of one's own.


class Counting:
    """How many dogs there are: nothing that anybody says of it is right or wrong."""

    name = "counting"

    def read(self, vlm: VLM, example: Example) -> Stimulus | None:
        several = len(example.objects) > 1
        return vlm.read(example.image, f"How many {example.category}s?") if several else None

    def ask(self, vlm, example, stimulus, arms):
        return [Answer(text) for text in vlm.describe(stimulus, arms, max_new_tokens=2)]


def test_a_task_of_ones_own_is_measured_as_any(vlm, store):
    pair = replace(example(1), objects=[Object("dog", region(), SIZE)] * 2)
    task = Counting()
    assert isinstance(task, Task)
    table = measure(vlm, [pair, example(2)], task, regions, store, ZERO, keep=every)
    assert table.counts == {"counting": {"asked": 1, "counted": 1}}
    stimulus = vlm.read(pair.image, "How many dogs?")
    texts = vlm.describe(stimulus, [[], [Ablate(stimulus.visual, ZERO)]], max_new_tokens=2)
    answers = dict(zip(table.rows["arm"], table.rows["answer"], strict=True))
    assert [answers["clean"], answers["everything"]] == texts
    assert table.rows[["right", "probability"]].isna().to_numpy().all()
    with pytest.raises(VLMError, match="counting says no 'right' of 1 answers"):
        table.lost("counting", "everything")
    by_default = measure(vlm, [pair], task, regions, store, ZERO)
    assert by_default.counts == {"counting": {"asked": 1, "counted": 0}}  # nothing is right


def test_a_task_of_a_question_is_one(vlm, store):
    absent = Asking("absent", lambda each: Polling("cat", present=False))
    assert isinstance(absent, Task)
    table = measure(vlm, examples(1), absent, regions, store, ZERO, keep=every)
    assert table.counts == {"absent": {"asked": 1, "counted": 1}}


def test_a_target_that_is_not_shown_has_no_tokens(vlm, store):
    """As where it is asked about what is absent."""
    table = measure(
        vlm, [replace(example(1), category="cat")], polling, regions, store, ZERO, keep=every
    )
    tokens = dict(zip(table.rows["arm"], table.rows["tokens"], strict=True))
    assert (tokens["object"], tokens["random 3"]) == (0, 3)


@pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES)
def test_the_clean_row_tells_which_part_of_the_image_the_object_is(make):
    """Of a dog at the left above, and of an image without one."""
    vlm, arms = make(), {"clean", "object", "everything", "random 3"}
    rows = run(vlm, ZERO, example(1), polling, regions, every, seed=0)
    assert {row.arm for row in rows} == arms
    places = np.array(rows[0].detail["object"])
    tokens = next(row.tokens for row in rows if row.arm == "object")
    assert places.shape == (tokens, 4)
    assert places.min() >= 0
    assert (places[:, :2] <= np.array([8, 8]) / [SIZE[1], SIZE[0]]).all()
    assert (places[:, 2:] > places[:, :2]).all()
    beside = [tuple(each) for each in rows[0].detail["buffer"]]
    assert beside
    assert not {*beside} & {*map(tuple, places.tolist())}
    right, below = places[:, 2].max(), places[:, 3].max()
    for left, top, *_ in beside:  # at most a token away
        assert left < right + 0.01
        assert top < below + 0.01
    none = run(vlm, ZERO, replace(example(1), category="cat"), polling, regions, every, seed=0)
    assert "object" not in none[0].detail


def test_the_clean_row_tells_what_was_asked_and_in_which_words(vlm):
    [clean] = run(vlm, ZERO, example(1), polling, regions, lambda row: False, seed=0)
    question = "Is there a dog in this image?"
    assert clean.detail["question"] == question
    assert question in clean.detail["prompt"] != question


def test_a_design_of_ones_own_may_block_and_ablate(vlm, store):
    def design(scene):
        block = Block(scene.object, scene.stimulus.last, scene.vlm.layers)
        both = [block, Ablate(scene.stimulus.visual[-2:], scene.mean)]
        return {"blocked": [block], "both": both, "nothing": []}

    [one] = examples(1)
    table = measure(vlm, [one], polling, design, store, ZERO, keep=every)
    touched_ = dict(zip(table.rows["arm"], table.rows["tokens"], strict=True))
    count = len(vlm.read(one.image, "").tokens_of(one.mask))
    assert touched_ == {"clean": 0, "blocked": count, "both": count + 2, "nothing": 0}
    p = dict(zip(table.rows["arm"], table.rows["probability"], strict=True))
    assert np.isnan(p["nothing"])
    assert len({p["clean"], p["blocked"], p["both"]}) == 3


def test_a_design_goes_by_its_own_name():
    class Sized:
        def __call__(self, scene):
            return {}

        def arms(self, scene):
            return {}

    named = [regions, functools.partial(regions), Sized(), Sized().arms, lambda scene: {}]
    here = "test_a_design_goes_by_its_own_name.<locals>."
    assert [name_of(each) for each in named] == [
        "regions",
        "regions",
        f"{here}Sized",
        f"{here}Sized.arms",
        f"{here}<lambda>",
    ]


def test_random_draws_come_from_the_seed_the_example_and_the_arm(vlm, store):
    drawn: dict[Any, list[tuple[int, ...]]] = {}

    def collect(seed: int, design: Design) -> None:
        handle = loaded(vlm, "tiny")
        Bench(handle, store, ZERO, seed=seed).measure(examples(1, 2), Planted(), design, every)

    def draws(scene):
        return {name: [Ablate(scene.random(name, 3), scene.mean)] for name in ("a", "b")}

    def with_another_arm_before(scene):
        return {"c": [Ablate(scene.random("c", 5), scene.mean)]} | draws(scene)

    def seen(design: Callable[[Scene], dict[str, list[Ablate]]], label: Any) -> Design:
        def noted(scene):
            arms = design(scene)
            drawn.setdefault(label, []).extend(
                tuple(each.tokens) for name in ("a", "b") for each in arms[name]
            )
            return arms

        return noted

    for label, seed, design in (
        ("first", 0, draws),
        ("again", 0, draws),
        ("more arms", 0, with_another_arm_before),
        ("another seed", 1, draws),
    ):
        collect(seed, seen(design, label))
    assert drawn["first"] == drawn["again"] == drawn["more arms"] != drawn["another seed"]
    assert len(set(drawn["first"])) == 4  # two examples, two arms


# Measured once.


@pytest.mark.slow
@pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES)
def test_what_is_asked_twice_loads_and_runs_no_model(make, store):
    tables, counts = [], []
    for _ in range(2):
        with Counted(make()) as counted:
            for task in (Planted(), polling, Counting()):
                mean = torch.zeros(counted.vlm.d_model)
                tables.append(
                    measure(counted.handle, examples(1, 2, 3), task, regions, store, mean)
                )
            counts.append((counted.loads, counted.runs > 10))
    assert counts == [(3, True), (0, False)]
    assert list(map(rows_of, tables[:3])) == list(map(rows_of, tables[3:]))
    assert [each.counts for each in tables[:3]] == [each.counts for each in tables[3:]]


def test_a_model_is_loaded_at_the_first_row_that_is_missing(counted, store):
    """And once for all that are."""
    bench = Bench(counted.handle, store, ZERO)
    bench.measure(examples(1, 2, 3), Planted(), regions)
    assert counted.loads == 1
    bench.measure(examples(3, 1), Planted(), regions)
    assert counted.loads == 1
    found = bench.measure(examples(1, 4, 2, 5), Planted(), regions)
    assert counted.loads == 2
    assert list(dict.fromkeys(found.rows["example"])) == ["1", "4", "2", "5"]


def test_before_a_row_is_missing_nothing_of_a_model_is_needed(counted, store):
    """Its weights' key is known without it."""
    bench = Bench(counted.handle, store, ZERO)
    bench.measure(examples(1), Planted(), regions)
    before = rows_of(bench.measure(examples(1), Planted(), regions))

    def broken() -> VLM:
        raise AssertionError

    away = Bench(replace(counted.handle, load=broken), store, ZERO)
    assert rows_of(away.measure(examples(1), Planted(), regions)) == before
    with pytest.raises(AssertionError):
        away.measure(examples(1, 2), Planted(), regions)


def test_a_recording_gives_the_table_that_was_measured(vlm, store):
    asked = examples(3, 1, 2)
    bench = Bench(loaded(vlm, "tiny"), store, ZERO, data="noise", protocol="text")
    table = bench.measure(asked, Planted(), regions)
    recording = Recording(store.path)
    assert recording.subjects == [("tiny", "noise", "text")]
    found = recording.read(("tiny", "noise", "text"), "planted", "regions")
    assert rows_of(Table.of("planted", found)) == rows_of(table)


def test_an_interrupted_measurement_keeps_what_it_had(counted, store, monkeypatch):
    bench = Bench(counted.handle, store, ZERO)
    next_token, calls = VLM.next_token, []

    def interrupted(*given, **named):
        calls.append(1)
        if len(calls) == 5:  # the arms of the second example; each has three calls
            raise KeyboardInterrupt
        return next_token(*given, **named)

    monkeypatch.setattr(VLM, "next_token", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench.measure(examples(1, 2, 3), Planted(), regions)
    assert units(store) == 1
    before = store.database.execute("SELECT * FROM results").fetchall()
    table = bench.measure(examples(1, 2, 3), Planted(), regions)
    assert len(calls) == 5 + 2 * 3
    assert set(before) < set(store.database.execute("SELECT * FROM results").fetchall())
    with closing(Store(store.path.parent.parent / "whole")) as whole:
        assert rows_of(
            measure(counted.vlm, examples(1, 2, 3), Planted(), regions, whole, ZERO)
        ) == (rows_of(table))


def test_any_function_of_a_model_can_be_collected(counted, store):
    """Of a model, a mean token and an example."""

    def widths(vlm: VLM, mean: Tensor, each: Example, factor: int) -> list[Row]:
        return [Row("width", tokens=vlm.d_model * factor, detail=[len(mean), each.id])]

    bench = Bench(counted.handle, store, ZERO)
    for factor in (1, 2, 1):
        compute = functools.partial(widths, factor=factor)
        assert bench.collect(examples(2, 1), "width", compute, "any") == [
            Finished(name, name, [Row("width", tokens=16 * factor, detail=[16, name])])
            for name in ("2", "1")
        ]
    assert (units(store), counted.loads) == (4, 2)


# Measured anew.


class Measured:
    """Counts the examples that a measurement computes, of one and the same to begin with."""

    def __init__(self, store: Store, vlm: VLM):
        self.store, self.vlm = store, vlm
        self.bench = Bench(loaded(vlm, "tiny"), store, ZERO, data="noise", protocol="text")
        assert self() == 2
        assert self() == 0

    def __call__(
        self,
        asked: Sequence[Example] = tuple(examples(1, 2)),
        task: Task = Planted(),
        design: Design = nothing,
        keep: Callable[[Row], bool | None] = every,
        **bench: Any,
    ) -> int:
        before = units(self.store)
        replace(self.bench, **bench).measure(asked, task, design, keep)
        return units(self.store) - before


@pytest.fixture
def measured(store, vlm) -> Measured:
    return Measured(store, vlm)


@pytest.mark.slow
def test_what_is_asked_otherwise_is_measured_anew(measured):
    others: list[dict[str, Any]] = [
        {"design": regions},
        {"design": lambda scene: {"nothing": []}},
        {"task": Planted("another name")},
        {"task": Planted(bound=4)},
        {"task": polling},
        {"keep": lambda clean: clean.right is not None},
        {"seed": 1},
        {"data": "another"},
        {"protocol": "another"},
        {"mean": torch.ones(16)},
        {"mean": ZERO.double()},
        {"model": loaded(measured.vlm, "another name")},
        {"model": loaded(tiny_vlm(seed=1), "tiny")},
        {"model": loaded(tiny_vlm("eager"), "tiny")},
        {"model": replace(loaded(measured.vlm, "tiny"), dtype="float16")},
        {"model": replace(loaded(measured.vlm, "tiny"), devices=["cuda"])},
    ]
    assert [measured(**other) for other in others] == [2] * len(others)
    assert [measured(**other) for other in others] == [0] * len(others)
    assert measured() == 0


def test_what_is_the_same_is_not_measured_anew(measured):
    assert measured(model=loaded(tiny_vlm(), "tiny")) == 0
    assert measured(task=Planted(), mean=torch.zeros(16), label="in a progress bar") == 0
    assert measured(asked=examples(2)) == 0
    assert measured(asked=[replace(each, cluster="one") for each in examples(1, 2)]) == 0
    with closing(Store(measured.store.path.parent)) as reopened:
        assert measured(store=reopened) == 0


def helper(scene: Scene) -> dict[str, Arm]:
    return {}


def with_helper(scene: Scene) -> dict[str, Arm]:
    return helper(scene)


def test_a_helper_that_changes_is_measured_anew(measured, monkeypatch):
    def changed(scene: Scene) -> dict[str, Arm]:
        return {"nothing": []}

    assert measured(design=with_helper) == 2
    assert measured(design=with_helper) == 0
    monkeypatch.setitem(globals(), "helper", changed)
    assert measured(design=with_helper) == 2
    shown = measured.store.database.execute(
        "SELECT DISTINCT arm FROM results WHERE design = 'with_helper' ORDER BY 1"
    ).fetchall()
    assert shown == [("clean",), ("nothing",)]


def test_the_instruments_code_and_libraries_are_in_what_is_measured(measured, monkeypatch):
    key, libraries = module.instrument()
    monkeypatch.setattr(module, "instrument", lambda: ("another", libraries))
    assert measured() == 2
    monkeypatch.setattr(module, "instrument", lambda: (key, libraries | {"tokenizers": "9.9"}))
    assert measured() == 2
    monkeypatch.setattr(module, "instrument", lambda: (key, dict(libraries)))
    assert measured() == 0


@pytest.mark.parametrize("there", [True, False])
def test_torchvision_is_known_where_it_makes_pictures_smaller(there, monkeypatch):
    monkeypatch.setattr(identity, "find_spec", lambda name: there or None)
    monkeypatch.setattr(identity, "version", lambda name: f"{name} 9")
    _, libraries = identity.instrument.__wrapped__()
    assert libraries.get("torchvision") == ("torchvision 9" if there else None)


@pytest.mark.slow
def test_an_example_of_which_anything_is_another_is_measured_anew(measured, tmp_path):
    first, second = examples(1, 2)
    file = tmp_path / "picture.png"
    picture(7).save(file)
    others = [
        replace(first, source=picture(3)),
        replace(first, source=file),
        replace(first, category="cat"),
        replace(first, questions=("What is it?",)),
        replace(first, objects=[Object("dog", region(1), SIZE)]),
        replace(first, objects=[*first.objects, Object("cat", region(4), SIZE)]),
        replace(first, known={"absent": "cup"}),
        replace(first, id="9"),
    ]
    assert [measured([each, second]) for each in others] == [1] * len(others)
    picture(8).save(file)
    assert measured([replace(first, source=file)]) == 1
    assert [measured([each, second]) for each in [first, others[0], *others[2:]]] == [0] * 8


def test_of_an_example_that_was_changed_the_last_is_shown(measured):
    [first] = examples(1)
    measured([replace(first, source=picture(3), known={"as": "changed"})])
    recording = Recording(measured.store.path)
    found = recording.read(("tiny", "noise", "text"), "planted", "nothing")
    assert [each.example for each in found] == ["1", "2"]
    assert [[row.arm for row in each.rows] for each in found] == [["clean", "nothing"]] * 2


# Where rows come from.


def origins(store: Store) -> list[tuple[str, ...]]:
    return store.database.execute(
        "SELECT card, attention, suite, annotations FROM origins"
    ).fetchall()


def test_rows_are_stored_with_what_computed_them(counted, store, monkeypatch):
    monkeypatch.setattr(module, "card_of", lambda device: "H100")
    monkeypatch.setattr(module, "suite", lambda: "1a2b")
    bench = Bench(counted.handle, store, ZERO, data="noise", annotations="a1")
    bench.measure(examples(1, 2), Planted(), regions)
    assert origins(store) == [("H100", counted.vlm.model.config._attn_implementation, "1a2b", "a1")]
    [(made, count)] = bench.made["planted, regions"]
    assert count == 2
    weights = counted.handle.weights(store.file_key)
    told = {"card": "H100", "suite": "1a2b", "data": "noise", "seed": 0, "device": "cpu"}
    assert made.items() >= {**told, "model": "tiny", "weights": weights}.items()
    assert counted.loads == 1


@pytest.mark.parametrize("fact", ["card_of", "suite", "system"])
def test_another_card_commit_or_machine_is_no_reason_to_measure_again(
    counted, store, monkeypatch, fact
):
    """But is recorded with what it computes, and told."""
    bench = Bench(counted.handle, store, ZERO)
    bench.measure(examples(1, 2), Planted(), regions)
    runs = counted.runs
    monkeypatch.setattr(module, fact, lambda *_: "another")
    bench.measure(examples(1, 2), Planted(), regions)
    assert counted.runs == runs
    bench.measure(examples(1, 2, 3), Planted(), regions)
    assert [count for _, count in bench.made["planted, regions"]] == [2, 1]


def test_another_annotation_file_is_none_either(counted, store):
    """An example counts by its own picture and outlines."""
    for file in ("a1", "a2"):
        Bench(counted.handle, store, ZERO, annotations=file).measure(
            examples(1), Planted(), regions
        )
    assert [each[-1] for each in origins(store)] == ["a1"]


def test_progress_tells_the_model_the_table_and_what_was_left_out(vlm, store, pictures, capsys):
    bench = Bench(loaded(vlm, "tiny"), store, MeanOf(pictures=pictures), label="mine", bad=3)
    bench.measure(examples(1, 2), Planted(), regions)
    told = capsys.readouterr().err.splitlines()
    ends = [line for line in told if "image 3 of 3" in line or "image 2 of 2" in line]
    assert [line.split(":")[0] for line in ends] == ["mine, mean token", "mine, planted, regions"]
    assert all(line.endswith(", 3 bad images left out") for line in ends)


def test_a_gpus_memory_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (64.1e9, 80e9))
    assert module.memory_of(["cuda:1"]) == "GPU 15.9 of 80.0 GB"
    assert module.memory_of(["cuda:0", "cuda:1"]) == "GPU 15.9 of 80.0, 15.9 of 80.0 GB"
    assert module.memory_of(["cpu"]) == ""


def test_a_card_goes_by_its_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"NVIDIA {device.index}")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    assert module.card_of(torch.device("cuda:1")) == "NVIDIA 1, CUDA 12.8"
    assert module.card_of(torch.device("mps")) == "mps"
    both = [torch.device("cuda:0"), torch.device("cuda:1")]
    assert module.cards_of(both) == "NVIDIA 0, CUDA 12.8 and NVIDIA 1, CUDA 12.8"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA")
    assert module.cards_of(both) == "2 x NVIDIA, CUDA 12.8"


# The mean token.


@pytest.fixture
def pictures(tmp_path) -> list[Path]:
    files = [tmp_path / f"{number}.png" for number in range(3)]
    for number, file in enumerate(files):
        picture(number).save(file)
    return files


@pytest.fixture
def made(monkeypatch) -> list[int]:
    """Of how many pictures a mean was computed, each time."""
    counts, mean_embedding = [], module.mean_embedding

    def counting(vlm, images, refused):
        given = list(images)
        counts.append(len(given))
        return mean_embedding(vlm, given, refused)

    monkeypatch.setattr(module, "mean_embedding", counting)
    return counts


def test_a_mean_is_made_once_and_read_from_its_file_after_that(counted, store, pictures, made):
    means = [
        Bench(counted.handle, store, MeanOf(pictures=pictures), data="noise").mean_token()
        for _ in range(2)
    ]
    assert torch.equal(*means)
    assert made == [3]
    stimuli = [counted.vlm.read(picture(number), "") for number in range(3)]
    own = torch.cat([each.embeddings[each.visual] for each in stimuli]).mean(0)
    torch.testing.assert_close(means[0], own)
    [file] = store.path.parent.glob("mean-*.safetensors")
    assert torch.equal(load_mean(file), means[0])


def test_a_measurement_makes_its_mean_once_whatever_it_measures(counted, store, pictures, made):
    bench = Bench(counted.handle, store, MeanOf(pictures=pictures))
    assert made == []
    for asked in (examples(1, 2), examples(1, 2, 3)):
        bench.measure(asked, Planted(), regions)
        bench.measure(asked, polling, regions)
    assert made == [3]


def test_a_mean_that_is_not_needed_is_not_made(counted, store, pictures, made):
    bench = Bench(counted.handle, store, MeanOf(pictures=pictures))
    bench.measure([], Planted(), regions)
    assert (made, counted.loads) == ([], 0)


def test_a_mean_of_other_pictures_or_another_model_is_another(vlm, store, pictures, made):
    def mean(vlm: VLM, pictures: list[Path]) -> Tensor:
        return Bench(loaded(vlm), store, MeanOf(pictures=pictures)).mean_token()

    first = mean(vlm, pictures)
    others = [mean(vlm, pictures[:2]), mean(tiny_vlm(seed=1), pictures)]
    assert not any(torch.equal(first, other) for other in others)
    picture(9).save(pictures[0])
    assert not torch.equal(first, mean(vlm, pictures))
    assert made == [3, 2, 3, 3]


def test_a_mean_of_other_pictures_is_measured_with_anew(measured, pictures):
    assert measured(mean=MeanOf(pictures=pictures)) == 2
    assert measured(mean=MeanOf(pictures=pictures)) == 0
    assert measured(mean=MeanOf(pictures=pictures[:2])) == 2
    picture(9).save(pictures[0])
    assert measured(mean=MeanOf(pictures=pictures)) == 2


def test_a_damaged_mean_is_named_and_a_lost_one_is_made_again(vlm, store, pictures, made):
    def read() -> Tensor:
        return Bench(loaded(vlm), store, MeanOf(pictures=pictures)).mean_token()

    mean = read().clone()  # the file lies under it
    [file] = store.path.parent.glob("mean-*.safetensors")
    whole = file.read_bytes()
    for damage in (whole[:-4], b"", b"no tensor"):
        file.write_bytes(damage)
        with pytest.raises(VLMError, match=rf"{file.name}', a mean .*Delete it: it is made again"):
            read()
    file.unlink()
    save_mean(file, torch.zeros(7), model="another")
    with pytest.raises(VLMError, match=r"it has 7 numbers for 16\. Delete it: it is made again"):
        read()
    file.unlink()
    assert torch.equal(read(), mean)
    assert made == [3, 3]


def test_a_mean_of_nothing_says_what_to_give(vlm, store):
    bench = Bench(loaded(vlm), store, MeanOf(), data="noise")
    with pytest.raises(VLMError, match=r"no picture of 'noise' .*Give MeanOf pictures, or a file"):
        bench.mean_token()
    assert not list(store.path.parent.glob("mean-*"))


def test_a_mean_of_ones_own_is_taken_as_it_is(vlm, store, tmp_path):
    mine, file = torch.linspace(0, 1, 16), tmp_path / "mine.safetensors"
    save_mean(file, mine, model="tiny")
    for mean in (MeanOf(file), MeanOf(file, pictures=[tmp_path / "none.png"]), mine):
        assert torch.equal(Bench(loaded(vlm), store, mean).mean_token(), mine)
    assert not list(store.path.parent.glob("mean-*"))


def test_a_mean_in_a_file_counts_by_its_content(measured, tmp_path):
    file = tmp_path / "mine.safetensors"
    save_mean(file, torch.ones(16), model="tiny")
    assert measured(mean=MeanOf(file)) == 2
    assert measured(mean=MeanOf(file.rename(tmp_path / "moved.safetensors"))) == 0
    save_mean(file, torch.ones(16), model="said to be another")
    assert measured(mean=MeanOf(file)) == 0
    assert measured(mean=torch.ones(16)) == 0
    save_mean(file, torch.full([16], 2.0), model="tiny")
    assert measured(mean=MeanOf(file)) == 2


def test_a_mean_comes_in_the_models_type(store):
    vlm = tiny_vlm()
    vlm.model.to(torch.bfloat16)  # pyright: ignore[reportArgumentType]
    assert Bench(loaded(vlm), store, ZERO).mean_token().dtype == torch.bfloat16


def test_a_mean_of_another_width_is_refused_and_its_file_named(vlm, store, tmp_path):
    file = tmp_path / "wide.safetensors"
    save_mean(file, torch.zeros(17), model="another")
    bench = Bench(loaded(vlm, "tiny"), store, MeanOf(file))
    message = (
        r"mean token has 17 numbers \(.*wide\.safetensors\), but tiny's visual tokens have 16\. "
        "Pass one"
    )
    for call in (bench.mean_token, lambda: bench.measure(examples(1), Planted(), regions)):
        with pytest.raises(VLMError, match=message):
            call()
    with pytest.raises(VLMError, match="has 15 numbers, but tiny's visual tokens have 16"):
        replace(bench, mean=torch.zeros(15)).mean_token()
    assert units(store) == 0


def test_a_mean_is_made_by_one_process_for_all(vlm, store, pictures, made):
    """The others wait for its file."""

    def read() -> Tensor:
        return Bench(loaded(vlm), store, MeanOf(pictures=pictures)).mean_token()

    mean = read().clone()
    [file] = store.path.parent.glob("mean-*.safetensors")
    content = file.read_bytes()
    file.unlink()
    with closing(Store(store.path.parent)) as other:
        held = threading.Event()

        def making() -> None:
            with other.alone(file.name):
                held.set()
                time.sleep(0.3)
                file.write_bytes(content)

        thread = threading.Thread(target=making)
        thread.start()
        held.wait()
        assert torch.equal(read(), mean)
        thread.join()
    assert made == [3]


def test_a_mean_is_everybodys_who_comes_later_also_without_locks(counted, store, pictures, capsys):
    """As between machines whose file system does not lock: the bits of the first are all's."""
    benches = [
        Bench(counted.handle, store, MeanOf(pictures=pictures), seed=seed) for seed in (0, 1)
    ]
    file = benches[0].mean_file
    assert file is not None
    publish_mean(file, torch.full([16], 0.5), model="another card's")
    means = [bench._make(file, pictures) for bench in benches]
    assert [each.tolist() for each in means] == [[0.5] * 16] * 2
    assert list(store.path.parent.glob("*mean*")) == [file]


def test_a_mean_that_is_lost_is_made_again_and_its_rows_found(counted, store, pictures, capsys):
    """Those of another mean stay, which is said."""

    def measure_once() -> int:
        before = units(store)
        bench = Bench(counted.handle, store, MeanOf(pictures=pictures))
        bench.measure(examples(1, 2), Planted(), regions)
        file = bench.mean_file
        assert file is not None
        file.unlink()
        return units(store) - before

    assert [measure_once() for _ in range(2)] == [2, 0]
    assert "another mean token" not in capsys.readouterr().err
    file = Bench(counted.handle, store, MeanOf(pictures=pictures)).mean_file
    assert file is not None
    publish_mean(file, torch.full([16], 0.5), model="another card's")
    assert measure_once() == 2
    assert "another mean token" not in capsys.readouterr().err  # it was there
    assert measure_once() == 0
    assert f"{file.name} was not there and was made. Rows that were" in capsys.readouterr().err


def test_a_store_that_is_only_read_makes_no_mean(counted, store, pictures, monkeypatch):
    monkeypatch.setattr(store, "read_only", True)
    with pytest.raises(VLMError, match=r"mean-\w+\.safetensors', the mean token of tiny.* Put it"):
        measure(counted.handle, examples(1), Planted(), regions, store, MeanOf(pictures=pictures))
    assert counted.loads == 0


def test_pictures_that_cannot_be_opened_are_left_out_of_the_mean(
    counted, store, pictures, monkeypatch, capsys
):
    opened = module.open_image

    def refusing(path: Path):
        if path == pictures[1]:
            raise ImageError("It is too thin.")
        return opened(path)

    monkeypatch.setattr(module, "open_image", refusing)
    bench = Bench(counted.handle, store, MeanOf(pictures=pictures))
    mean = bench.mean_token()
    assert "1 of 3 images of the mean token are left out, the first: It is too" in (
        capsys.readouterr().err
    )
    assert bench.mean_file is not None
    told = made_from(bench.mean_file)
    assert (told["count"], told["left_out"]) == ("2", "1")
    without = Bench(counted.handle, store, MeanOf(pictures=[pictures[0], pictures[2]]))
    assert torch.equal(without.mean_token(), mean)


def test_a_picture_that_is_lost_before_its_turn_fails_alone(
    counted, store, pictures, tmp_path, monkeypatch
):
    """And is measured once it is there again."""
    monkeypatch.setattr("vlmlib.study.store.MOST_BAD", 1)
    objects = [Object("dog", region(), SIZE)]
    asked = [Example(str(at), path, objects, "dog") for at, path in enumerate(pictures)]
    lost = pictures[1].rename(tmp_path / "elsewhere.png")

    def run_all() -> list[str]:
        bench = Bench(counted.handle, store, ZERO)
        return [each.failed for each in bench.run(asked, Planted(), regions, every)]

    first, failed, third = run_all()
    assert (first, third) == ("", "")
    assert str(pictures[1]) in failed
    assert run_all() == [first, failed, third]
    lost.rename(pictures[1])
    asked = [replace(each) for each in asked]  # of another run
    assert run_all() == ["", "", ""]
