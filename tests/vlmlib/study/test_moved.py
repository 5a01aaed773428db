"""Is an arm that does nothing seen, whatever the task?

Fails if an arm that changes nothing counts as one that moved the answer, or one that changes it as
dead; if an engine that does nothing is not found out; or if an arm without tokens passes for one
that was run and took nothing away.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny import picture, tiny_qwen, tiny_vlm
from vlmlib import VLM, Ablate, Answer, Block, Description, VLMError, engine, reach
from vlmlib.interventions import Arm
from vlmlib.masks import Masks
from vlmlib.study import Asking, Example, Row, Scene, Store, Table, Task, measure, polling, vqa
from vlmlib.study.moved import moved, near_ties
from vlmlib.study.run import run
from vlmlib.study.store import Finished


@dataclass(frozen=True)
class Saying:
    """A task of one's own, which describes or says a word without asking the model."""

    name: str
    asks: bool

    def read(self, vlm: VLM, example: Example):
        return vlm.read(example.image, "How many dogs?")

    def ask(self, vlm, example, stimulus, arms):
        said = vlm.describe(stimulus, arms, 3) if self.asks else ["three"] * len(arms)
        return [Answer(text, True) for text in said]


generative = Asking("generative", lambda example: Short(example.category))


class Short(Description):
    def ask(self, vlm, stimulus, arms, max_new_tokens=3):
        return super().ask(vlm, stimulus, arms, max_new_tokens)


TASKS = (polling, vqa, generative, Saying("counting", True))
EXAMPLE = Example("7", picture(), category="dog", questions=("What is it?",))


def design(scene: Scene) -> dict[str, Arm]:
    stimulus, layers = scene.stimulus, scene.vlm.layers
    visual, last = stimulus.visual, stimulus.last
    return {
        "blind": [Ablate(visual, scene.mean)],
        "itself": [Ablate(visual, stimulus.embeddings[visual])],
        "nothing": [],
        "to last": [Block(visual, last, layers)],
        "no tokens": [Ablate(visual[:0], scene.mean)],
        "to visual": [Block(visual[:2], visual[2:], layers)],
        "no edges": [Block(visual[:0], last, layers), Block(visual, last, [])],
    }


def rows_of(vlm: VLM, task: Task, arms=design) -> dict[str, Row]:
    mean = torch.zeros(vlm.d_model)
    rows = run(vlm, mean, EXAMPLE, task, arms, lambda clean: True, seed=0)
    return {row.arm: row for row in rows}


@pytest.fixture(scope="module", params=[tiny_vlm, tiny_qwen], ids=["llava", "qwen"])
def vlm(request) -> VLM:
    return request.param()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "store")) as store:
        yield store


def dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """No mask and no ablation has an effect any more."""
    own = Masks._allowed
    monkeypatch.setattr(Masks, "_allowed", lambda self, window, _active: own(self, window, []))
    monkeypatch.setattr(engine, "_replaced", lambda hidden, _layout, _ablations: hidden)


def flags(rows: Mapping[str, Row], name: str) -> dict[str, bool | None]:
    return {arm: getattr(row, name) for arm, row in rows.items()}


EMPTY = ("nothing", "no tokens", "no edges")


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_what_moves_an_answer_is_told_from_what_does_not(vlm, task):
    rows = rows_of(vlm, task)
    expected = {"clean": None, "blind": True, "itself": False, "to last": True, "to visual": True}
    assert flags(rows, "moved") == {**expected, **dict.fromkeys(EMPTY, False)}
    blocks = {"to last": True, "to visual": True}
    ablations = {"blind": True, "itself": False}
    assert flags(rows, "reached") == {**dict.fromkeys(rows), **blocks, **ablations}
    stimulus = task.read(vlm, EXAMPLE)
    mean = torch.zeros(vlm.d_model)
    arms = design(Scene(vlm, stimulus, EXAMPLE, stimulus.visual[:0], mean))
    found = dict(zip(arms, reach(vlm, stimulus, list(arms.values())), strict=True))
    for arm, row in rows.items():
        expected = found[arm].attention if arm in blocks else None
        assert row.attention == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_an_engine_that_does_nothing_moves_nothing(vlm, task, monkeypatch):
    dead(monkeypatch)
    rows = rows_of(vlm, task)
    assert flags(rows, "moved") == {arm: None if arm == "clean" else False for arm in rows}
    acting = ("blind", "itself", "to last", "to visual")
    assert [rows[arm].reached for arm in acting] == [False] * 4


def test_a_task_that_asks_no_model_has_its_blocks_run_once(vlm):
    rows = rows_of(vlm, Saying("guessing", False))
    assert not any(row.moved for row in rows.values())
    assert (rows["to last"].reached, rows["to visual"].reached) == (True, True)


def test_a_text_that_stays_is_moved_where_its_first_token_is_less_likely(vlm):
    def slight(scene):
        embedding = scene.stimulus.embeddings[scene.stimulus.visual[3]]
        return {"slight": [Ablate([int(scene.stimulus.visual[3])], 1.01 * embedding)]}

    row = rows_of(vlm, generative, slight)
    assert row["slight"].answer == row["clean"].answer
    assert row["slight"].moved


def test_an_empty_arm_is_not_run(vlm):
    asked = []

    class Noting(Saying):
        def ask(self, vlm, example, stimulus, arms):
            asked.append(len(arms))
            return super().ask(vlm, example, stimulus, arms)

    def empty(scene):
        return {name: arm for name, arm in design(scene).items() if name in EMPTY}

    rows = rows_of(vlm, Noting("noting", True), empty)
    assert asked == [1]
    assert [rows[name] for name in EMPTY] == [Row(name, tokens=0, moved=False) for name in EMPTY]


def test_an_empty_arm_is_counted_and_left_out_of_all_else(vlm, store):
    def every(clean: Row) -> bool:
        return True

    mean = torch.zeros(vlm.d_model)
    table = measure(vlm, [EXAMPLE], polling, design, store, mean, keep=every)
    assert table.arms == ["clean", *design(scene_of(vlm))]
    for arm in EMPTY:
        assert (table.empty("polling", arm), table.has(arm)) == (1, True)
        for call in (table.lost, table.moved):
            assert call("polling", arm).shape == (0,)
        assert table.tokens(arm).shape == (0,)
        assert table.curves("polling", ["blind", arm]).shape == (0, 2)
        assert table.doubt("polling", [arm]).shape == (0, 1)
        assert table.clusters("polling", ["blind", arm]).shape == (0,)
    assert table.empty("polling", "blind") == 0
    assert table.moved("polling", "blind").tolist() == [True]
    assert table.reached("polling", "to last").tolist() == [True]
    assert 0 < table.attention("polling", "to last")[0] < 1
    assert table.clusters("polling", ["blind", "clean"]).tolist() == ["7"]  # of one category
    assert table.reached("polling", "blind").tolist() == [True]
    with pytest.raises(VLMError, match="polling says no 'attention' of 1 answers"):
        table.attention("polling", "blind")


def scene_of(vlm: VLM) -> Scene:
    stimulus = polling.read(vlm, EXAMPLE)
    assert stimulus is not None
    return Scene(vlm, stimulus, EXAMPLE, stimulus.visual[:0], torch.zeros(vlm.d_model))


# The rule itself.

probabilities = st.floats(0, 1)


@given(clean=probabilities, repeats=st.lists(probabilities, min_size=1), arm=probabilities)
def test_a_probability_moves_beyond_ten_times_what_repeats_do(clean, repeats, arm):
    [found] = moved(
        Answer("a", None, clean), [Answer("b", None, p) for p in repeats], [Answer("c", None, arm)],
        rounding=1e-7,
    )  # fmt: skip
    noise = max(abs(each - clean) for each in repeats)
    step = torch.finfo(torch.float32).eps
    logits = 32 * 1e-7 * clean * (1 - clean)
    assert found == (abs(arm - clean) > max(10 * noise, 10 * step * clean, logits))


@given(probabilities)
def test_rounded_logits_move_nothing(clean):
    """Those of a token and of all others, as large as they come, rounded apart from each other."""
    logit = torch.logit(torch.tensor(clean, dtype=torch.float64)).clamp(-15, 15)
    half = torch.finfo(torch.float16).eps
    p, off = (float(torch.sigmoid(each)) for each in (logit, logit + 16 * half))
    answers = Answer("a", None, p), Answer("a", None, off)
    assert moved(answers[0], [answers[0]], [answers[1]], rounding=half) == [False]


def test_half_precision_sees_what_moves_a_sure_answer():
    """A background of no importance costs 0.002 of 0.97: no rounding does that."""
    sure, less = Answer("a", None, 0.97), Answer("a", None, 0.968)
    half = torch.finfo(torch.float16).eps
    assert moved(sure, [sure], [less], rounding=half) == [True]


def test_a_repeat_itself_never_moves():
    clean, again = Answer("a", None, 0.5), Answer("a", None, 0.5000001)
    assert moved(clean, [again], [again, clean], rounding=0.0) == [False, False]


def test_other_texts_are_no_move_where_a_repeats_text_is_another():
    clean, other = Answer("A dog."), Answer("A cat.")
    assert moved(clean, [clean], [other, clean], rounding=1e-7) == [True, False]
    assert moved(clean, [clean, other], [other, clean], rounding=1e-7) == [False, False]


def leads(*leads: float | None) -> list[Answer]:
    return [Answer("a", None, 0.5, lead) for lead in leads]


@pytest.mark.parametrize(
    ("clean", "repeats", "arms", "near"),
    [
        (3.0, [3.0, 3.0], [0.0, 1e-9, 2.0], 1),  # nothing moves: an exact tie alone
        (3.0, [3.1, 2.8], [0.19, 0.21, 0.2 - 1e-9], 2),
        (3.0, [], [0.0, 0.1], 1),
        (3.0, [3.5], [], 0),
    ],
)
def test_answers_closer_than_a_repeat_moves_them_are_near_ties(clean, repeats, arms, near):
    [first] = leads(clean)
    assert near_ties(first, leads(*repeats), leads(*arms)) == near


def test_texts_have_no_near_ties():
    [clean] = leads(None)
    assert near_ties(clean, leads(None), leads(None, None)) == 0


@pytest.mark.parametrize(("noise", "near"), [(0.0, 0), (1e3, 2)], ids=["exact", "noisy"])
def test_a_run_counts_its_near_ties(noise, near, vlm, monkeypatch):
    """Of all arms that change something, where a repeat's logits are moved by so much."""
    example = Example("7", picture(), category="dog")
    asked = VLM.next_token

    def noisy(self, stimulus, arms, *args):
        logits = asked(self, stimulus, arms, *args)
        is_arms = len(arms) > 1
        logits[1:3] += noise * is_arms * torch.linspace(0, 1, logits.shape[-1])
        return logits

    monkeypatch.setattr(VLM, "next_token", noisy)

    def design(scene):
        one, two = ([Ablate(scene.stimulus.visual[at : at + 3], scene.mean)] for at in (2, 4))
        return {"none": [], "one": one, "two": two}

    mean = torch.zeros(vlm.d_model)
    rows = run(vlm, mean, example, polling, design, lambda clean: True, seed=0)
    assert rows[0].detail["near ties"] == [near, 2]
    table = Table.of("polling", [Finished("7", "7", rows)], lambda clean: True)
    assert Table.joined([table, Table.of("VQA", [])]).near_ties == {
        "polling": (near, 2),
        "VQA": (0, 0),
    }
