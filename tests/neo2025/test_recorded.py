"""Shards that were judged together: what do they lack?

Of a run that ends when enough images pass filter 2, each shard goes on until it alone has enough.
Fails if images beyond the run's end are called missing, or if one before it is not.
"""

from contextlib import closing
from pathlib import Path

import pytest

from claims.neo2025.study import FILTER_2, Recorded
from tests.vlmlib.study.test_store import collect
from vlmlib.study import Recording, Row, Store
from vlmlib.study.store import Measurement, Unit

NAMES = ("tiny", "w", "float32", "cpu", "m", "noise", "text")
SUBJECT = ("tiny", "noise", "text")
PASSING = [Row("clean", True), Row("painted out", False)]
IMAGES = 40


def gathered(folder: Path, number: int, task: str, design: str, stop: int) -> None:
    """A shard of three that is asked about the first images, each of which passes."""
    units = [Unit(f"{task} {at}", str(at), str(at), at) for at in range(stop)]
    measurement = Measurement(*NAMES, task, design, "c", "{}", 0)
    with closing(Store(folder, shard=(number, 3), name=f"{number}.sqlite")) as store:
        collect(store, measurement, units, lambda unit: PASSING, task)


@pytest.fixture
def shards(tmp_path) -> list[Path]:
    """The first came to an end before the others."""
    for number, stop in enumerate((20, IMAGES, IMAGES)):
        gathered(tmp_path, number, FILTER_2, "", stop)
        gathered(tmp_path, number, "polling", "ablations", stop)
    return sorted(tmp_path.glob("*.sqlite"))


def missing(files: list[Path], most: int) -> dict[str, list[int]]:
    found = Recorded(Recording(files), SUBJECT, most=most).missing
    return {each.task: sorted(map(int, each.examples)) for each in found}


def test_shards_that_came_equally_far_in_filter_2_alone(tmp_path):
    """Which is asked many at a time."""
    for number, stop in enumerate((12, 24, IMAGES)):
        gathered(tmp_path, number, FILTER_2, "", IMAGES)
        gathered(tmp_path, number, "generative", "ablations", stop)
    assert missing(sorted(tmp_path.glob("*.sqlite")), most=8) == {}


def test_what_lies_beyond_the_end_is_not_missing(shards):
    assert missing(shards, most=8) == {}
    beyond = missing(shards, most=IMAGES)
    assert beyond.keys() == {FILTER_2, "polling"}
    assert all(places and min(places) >= 20 for places in beyond.values())


@pytest.mark.parametrize("lost", range(3))
def test_what_a_lost_shard_had_before_the_end_is_missing(shards, lost):
    """The end is where the images that are there have enough."""
    others = [file for file in shards if file.stem != str(lost)]
    lacking = missing(others, most=8)
    assert lacking.keys() == {FILTER_2, "polling"}
    recorded = Recorded(Recording(others), SUBJECT, most=8)
    last = int(recorded.reached[-1])
    there = {int(each.example) for each in recorded.described}
    assert lacking[FILTER_2] == sorted({*range(last)} - there) != []
