"""Arms that an image cannot have, and images that a model cannot be asked about: is what stands
measured, and what is left out counted with its reason?

Fails if an arm that cannot be made takes the image's other arms along, if it is lost without a
count, if a mistake of a design's author passes for it, or if what all images lack is told as a
fault of theirs.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny import picture, tiny_qwen, tiny_vlm
from vlmlib import Ablate, Block, LackingError, Stimulus, VLMError
from vlmlib.checks import check
from vlmlib.study import (
    Bench,
    Example,
    Object,
    Recording,
    Row,
    Scene,
    Store,
    Table,
    loaded,
    measure,
    polling,
)
from vlmlib.study.store import Finished, check_failed

ZERO = torch.zeros(16)
SMALL, LARGE = (16, 16), (48, 48)  # 4 and 36 visual tokens of Qwen2-VL
REASON = "random was asked for 9 of 4 visual tokens. Choose 0 up to all of them."


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "store")) as store:
        yield store


def every(clean: Row) -> bool:
    return True


def drawn(scene: Scene, k: int) -> list[Ablate]:
    return [Ablate(scene.random(f"random {k}", k), scene.mean)]


def some(scene: Scene) -> dict[str, Any]:
    return {
        "random 2": drawn(scene, 2),
        "random 9": lambda: drawn(scene, 9),
        "all": [Ablate(scene.stimulus.visual, scene.mean)],
        "random 99": lambda: drawn(scene, 99),
    }


def whole(scene: Scene) -> dict[str, Any]:
    return {"all": some(scene)["all"]}


def examples(*sizes: tuple[int, int]) -> list[Example]:
    """Pictures with a dog all over them, of a width and height each."""
    return [
        Example(str(at), picture(at, size), [dog(size)], "dog") for at, size in enumerate(sizes)
    ]


def dog(size: tuple[int, int]) -> Object:
    shape = size[1], size[0]
    return Object("dog", np.ones(shape, bool), shape)


@pytest.mark.slow
def test_an_image_lacks_the_arm_that_it_cannot_have_and_no_other(store):
    """With the reason, whatever its place in the design; the others answer as without it."""
    vlm, asked = tiny_qwen(), examples(SMALL, LARGE, SMALL)
    table = measure(vlm, asked, polling, some, store, ZERO, keep=every)
    assert table.lacking["polling", "random 9"] == (2, REASON)
    assert table.lacking["polling", "random 99"][0] == 3
    assert table.arms == ["clean", "random 2", "all", "random 9"]
    assert [table.has(arm, "polling") for arm in ("random 9", "random 99")] == [True, False]
    assert len(table.curves("polling", ["random 2", "all"])) == 3
    assert len(table.lost("polling", "random 9")) == 1
    assert [len(each) for each in table.pair("polling", "random 2", "random 9")] == [1, 1]
    assert table.empty("polling", "random 9") == 0
    assert not table.failed
    alone = measure(vlm, asked, polling, whole, store, ZERO, keep=every)
    for name in ("lost", "moved", "reached"):
        assert np.array_equal(
            getattr(alone, name)("polling", "all"), getattr(table, name)("polling", "all")
        )


@pytest.mark.slow
def test_what_no_image_has_is_refused_with_the_reason(store):
    """Not so where no image counts at all."""
    vlm, asked = tiny_qwen(), examples(SMALL, LARGE)
    table = measure(vlm, asked, polling, some, store, ZERO, keep=every)
    why = r"^No example has the arm 'random 99' for polling\. random was asked for 99 of 4 visual"
    with pytest.raises(LackingError, match=why):
        table.pair("polling", "all", "random 99")
    with pytest.raises(VLMError, match="No example has the arm 'random 98'"):
        table.lost("polling", "random 98")
    none = measure(vlm, asked, polling, some, store, ZERO, keep=lambda clean: False)
    assert (none.lacking, len(none.lost("polling", "random 99"))) == ({}, 0)


def test_rows_that_are_kept_say_what_an_image_lacks(store):
    bench = Bench(loaded(tiny_qwen(), "tiny"), store, ZERO)
    table = bench.measure(examples(SMALL, LARGE), polling, some, every)
    recording = Recording(store.path)
    [subject] = recording.subjects
    again = Table.of("polling", recording.read(subject, "polling", "some"), every)
    assert again.lacking == table.lacking
    assert again.rows.equals(table.rows)
    found = "SELECT example FROM results WHERE arm = 'random 9' AND detail LIKE '%9 of 4 visual%'"
    assert store.database.execute(found).fetchall() == [("0",)]


def test_tables_of_several_tasks_keep_what_each_lacks():
    clean, lacking = Row("clean", True, detail={"visual": 4}), Row.lacking("random 9", REASON)
    tables = [Table.of(task, [Finished("1", "1", [clean, lacking])]) for task in ("a", "b")]
    assert Table.joined(tables).lacking == {
        ("a", "random 9"): (1, REASON),
        ("b", "random 9"): (1, REASON),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong",
    [
        lambda: [Block([1], to=3, layers=[9])],
        lambda: [Ablate([1], torch.zeros(3))],
        lambda: drawn(None, 3),  # pyright: ignore
    ],
    ids=["no such layer", "another width", "a bug"],
)
@pytest.mark.parametrize("made_by_itself", [True, False])
def test_a_mistake_in_a_design_is_no_lack(store, wrong, made_by_itself):
    def design(scene: Scene) -> dict[str, Any]:
        return {"wrong": wrong if made_by_itself else wrong()}

    with pytest.raises((VLMError, AttributeError)) as raised:
        measure(tiny_vlm(), examples(SMALL), polling, design, store, ZERO, keep=every)
    assert not isinstance(raised.value, LackingError)


def test_an_arm_that_the_model_cannot_run_is_left_out_alone(store, monkeypatch):
    """Such as a block in a layer without attention, which is refused when it is looked at."""

    def refusing(arm: Any, *args: Any, **more: Any) -> None:
        check(arm, *args, **more)
        if any(isinstance(each, Block) for each in arm):
            raise LackingError("Layer 1 has no attention.")

    def design(scene: Scene) -> dict[str, Any]:
        last = scene.stimulus.last
        return some(scene) | {"blocked": [Block(scene.stimulus.visual, to=last, layers=[1])]}

    vlm = tiny_vlm()
    monkeypatch.setattr("vlmlib.model.check", refusing)
    table = measure(vlm, examples(SMALL), polling, design, store, ZERO, keep=every)
    assert table.lacking["polling", "blocked"] == (1, "Layer 1 has no attention.")
    assert table.reached("polling", "random 9").tolist() == [True]


@pytest.mark.parametrize(("lacking", "kind"), [({"0", "1", "2"}, LackingError), ({"1"}, None)])
def test_images_of_which_no_arm_can_be_made_are_left_out(store, monkeypatch, lacking, kind):
    """One of several alone; where all are, that is the model's lack, and no fault of theirs."""
    own = Stimulus.tokens_of

    def refusing(self: Stimulus, mask: np.ndarray) -> torch.Tensor:
        if str(mask.shape[1] - 16) in lacking:
            raise LackingError("Where its tokens look is not known.")
        return own(self, mask)

    monkeypatch.setattr(Stimulus, "tokens_of", refusing)
    asked = examples((16, 16), (17, 16), (18, 16))
    vlm = tiny_vlm()
    if kind is None:
        table = measure(vlm, asked, polling, some, store, ZERO, keep=every)
        assert table.failed == {"1": "Where its tokens look is not known."}
        assert len(table.lost("polling", "all")) == 2
        return
    for _ in range(2):  # as measured, and from the store
        with pytest.raises(LackingError, match="on 3 of 3 images, the first 0: Where its tok"):
            measure(vlm, asked, polling, some, store, ZERO, keep=every)


def test_what_is_wrong_with_images_is_no_lack_of_the_model():
    """Also where some of them lack something, too."""
    broken = Finished("1", "1", [], "It is broken.")
    lacks = replace(broken, failed="It has no places.", lacks=True)
    with pytest.raises(VLMError, match="could not be measured") as raised:
        check_failed([broken, lacks], "polling", asked=2)
    assert not isinstance(raised.value, LackingError)
    with pytest.raises(LackingError, match=r"^polling, on 2 of 2 images, the first 1: It has no"):
        check_failed([lacks, lacks], "polling", asked=2)
    check_failed([lacks], "polling", asked=200)
