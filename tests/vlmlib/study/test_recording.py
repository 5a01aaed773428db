"""Several stores read as one: shards of one run, whichever of them has an image.

Fails if an image is lost, counted twice or out of order, if two files that disagree pass for one,
if what is missing is not said, or if rows of an older version fill its place.
"""

from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.vlmlib.study.test_store import FIRST, SUBJECT, collect, rows, unit
from vlmlib import VLMError
from vlmlib.study.origin import Origin
from vlmlib.study.recording import Recording
from vlmlib.study.row import Row
from vlmlib.study.store import Store, Unit, origins_of

TABLE = ("polling", "ablations")


class StoppedError(Exception):
    """A shard that was stopped."""


@pytest.fixture
def shard(tmp_path: Path):
    """Makes the store of one shard: asked for all images, it computes some."""

    def shard(
        name: str,
        asked: Sequence[int],
        done: Sequence[int],
        answer: Any = rows,
        card: str = "",
        **other: Any,
    ) -> Path:
        measurement = replace(FIRST, **other)
        units = [replace(unit(image), key=f"{measurement.id} {image}") for image in asked]

        def compute(unit: Unit) -> list[Row]:
            if unit.position not in done:
                raise StoppedError
            return answer(unit.position)

        units.sort(key=lambda unit: unit.position not in done)
        with closing(Store(tmp_path / name)) as store, suppress(StoppedError):
            collect(store, measurement, units, compute, "polling", origin=lambda: Origin(card=card))
        return tmp_path / name / "rows.sqlite"

    return shard


def read(*paths: Path) -> dict[str, list[Row]]:
    return {each.example: each.rows for each in Recording(paths).read(SUBJECT, *TABLE)}


def test_shards_are_read_as_the_one_run_that_they_are(shard):
    """In the data set's order, whatever the order of the files."""
    parts = [range(0, 9, 3), range(1, 9, 3), range(2, 9, 3)]
    files = [shard(f"{at}", range(9), part) for at, part in enumerate(parts)]
    whole = read(shard("whole", range(9), range(9)))
    assert list(whole) == [str(image) for image in range(9)]
    for order in (files, files[::-1]):
        assert list(read(*order).items()) == list(whole.items())
        assert Recording(order).subjects == [SUBJECT]
        assert Recording(order).missing(SUBJECT) == []


def test_an_image_in_two_shards_counts_once(shard):
    assert list(read(shard("a", range(4), [0, 1]), shard("b", range(4), [1, 2]))) == ["0", "1", "2"]


def another_answer(image: int) -> list[Row]:
    return [rows(image)[0], replace(rows(image)[1], probability=0.25)]


def another_arm(image: int) -> list[Row]:
    return rows(image)[:1]


def nothing(image: int) -> list[Row]:
    return []


@pytest.mark.parametrize(
    ("answer", "difference"),
    [
        (another_answer, "probability of arm 'object' is None and 0.25"),
        (another_arm, r"arms \['clean', 'object'\] and \['clean'\]"),
        (nothing, r"arms \['clean', 'object'\] and \[\]"),
    ],
)
def test_shards_that_disagree_are_named_with_the_image(shard, answer, difference):
    one, other = shard("a", range(3), [0, 1]), shard("b", range(3), [1, 2], answer)
    message = f"'{one}' and '{other}' disagree on example 1 of 'polling': {difference}"
    with pytest.raises(VLMError, match=f"{message}.*leave one of the files out"):
        read(one, other)


def test_what_is_missing_in_all_shards_is_said(shard):
    files = shard("a", range(20), range(5)), shard("b", range(20), [7])
    [missing] = Recording(files).missing(SUBJECT)
    assert [*missing.examples] == ["5", "6", *map(str, range(8, 20))]
    assert str(missing) == (
        "14 of 20 images of polling, ablations are missing: 5, 6, 8, 9, 10, 11, 12, 13 and 6 more."
    )


def test_an_interrupted_store_says_what_is_missing_too(shard):
    [missing] = Recording(shard("a", range(3), [0, 1])).missing(SUBJECT)
    assert str(missing) == "1 of 3 images of polling, ablations are missing: 2."


def test_what_was_asked_for_later_counts(shard):
    shard("a", range(2), range(2))
    file = shard("a", range(5), range(4))
    [missing] = Recording(file).missing(SUBJECT)
    assert (missing.asked, missing.examples) == (5, {"4": 4})


@pytest.mark.parametrize("field", ["dtype", "device", "libraries", "code", "mean", "weights"])
def test_a_shard_of_another_version_fills_no_gap_and_is_named(shard, field):
    old = shard("old", range(4), [2, 3], **{field: "another"})
    new = shard("new", range(4), [0, 1])
    for order in ([old, new], [new, old]):
        assert list(read(*order)) == ["0", "1"]
        [missing] = Recording(order).missing(SUBJECT)
        assert [*missing.examples] == ["2", "3"]
        assert str(missing).endswith(f"{old} has rows of some, with another {field}.")


def test_the_newest_version_is_the_one_that_was_begun_last_anywhere(shard):
    """And not the one that another shard took up late."""
    a = shard("a", range(4), [0], code="old")
    shard("a", range(4), [1], code="new")
    b = shard("b", range(4), [2], code="old")
    assert list(read(a, b)) == ["1"]


def test_measurements_of_other_names_stand_beside_one_another(shard):
    files = shard("a", range(2), range(2)), shard("b", range(2), range(2), model="another")
    recording = Recording(files)
    assert recording.subjects == [("another", "eval", "text"), SUBJECT]
    assert len(recording.read(SUBJECT, *TABLE)) == 2


def test_what_no_file_has_names_them(shard):
    files = [shard(name, range(2), range(2)) for name in "abc"]
    with pytest.raises(VLMError, match=rf"no rows of 'vqa' on .* in '{files[0]}' and 2 more\. Mea"):
        Recording(files).read(SUBJECT, "vqa", "")


def test_where_rows_come_from_is_told_of_all_files(shard):
    files = shard("a", range(3), [0, 1], card="A100"), shard("b", range(3), [2], card="H100")
    found = origins_of(Recording(files).read(SUBJECT, *TABLE))
    assert [(made["card"], made["weights"], count) for made, count in found] == [
        ("A100", "w1", 2),
        ("H100", "w1", 1),
    ]


def test_a_damaged_shard_is_named_alone(shard, tmp_path):
    good, bad = shard("good", range(2), range(2)), tmp_path / "bad.sqlite"
    bad.write_text("no database" * 100)
    with pytest.raises(VLMError, match=rf"'{bad}' cannot be used"):
        Recording([good, bad])
