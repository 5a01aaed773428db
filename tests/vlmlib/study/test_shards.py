"""Stores of shards: does every example fall into one of them, and does a store that takes them in
hold what one of all would?

Fails if an example is in no shard or in two, if a cluster is torn apart, if processes cannot share
a shard, if rows that disagree are taken, or if a shard forgets what it was asked for.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vlmlib.study.test_store import FIRST, rows, unit, units
from tests.vlmlib.study.test_store import collect as collect_each
from vlmlib import ImageError, VLMError
from vlmlib.study import Recording
from vlmlib.study.store import Finished, Row, Store, Unit

SUBJECT = ("emoji-llava", "eval", "text")
IMAGES = range(40)


@pytest.fixture
def opened(tmp_path: Path):
    """Opens a store in a folder of this name, until the end of the test."""
    with ExitStack() as stack:
        yield lambda folder, **more: stack.enter_context(closing(Store(tmp_path / folder, **more)))


def collect(
    store: Store,
    compute: Callable[[Unit], list[Row] | ImageError] = lambda unit: rows(unit.position),
    asked: list[Unit] | None = None,
) -> list[Finished]:
    return collect_each(store, FIRST, asked or units(*IMAGES), compute, "polling")


def of_shard(opened, number: int, count: int, **more: Any) -> Store:
    shard = (number, count)
    return opened("shards", shard=shard, name=f"{number + 1}-of-{count}.sqlite", **more)


def contents(store: Store) -> list[list[Any]]:
    """All that is stored, but for when and in which run."""
    tables = {
        "measurements": "id",
        "asked": "measurement, example, cluster, position",
        "units": "key, measurement, example, cluster, position, origin",
        "rows": "*",
        "origins": "*",
    }
    return [
        store.database.execute(f"SELECT {columns} FROM {name} ORDER BY 1, 2").fetchall()
        if "," in columns or columns == "*"
        else store.database.execute(f"SELECT {columns} FROM {name}").fetchall()
        for name, columns in tables.items()
    ]


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 3, 16, 100])
def test_every_example_is_in_one_shard_and_in_its_place(opened, count):
    found = [collect(of_shard(opened, number, count)) for number in range(count)]
    examples = [each.example for part in found for each in part]
    assert Counter(examples) == Counter(str(image) for image in IMAGES)
    for part in found:
        order = [int(each.example) for each in part]
        assert order == sorted(order)


@given(st.integers(1, 6), st.lists(st.integers(), min_size=1, max_size=9, unique=True))
@settings(max_examples=8, deadline=None)
def test_a_cluster_is_not_torn_apart(tmp_path_factory, count, clusters):
    clusters = [f"picture {number}" for number in clusters]
    asked = [Unit(f"{name} {at}", f"{name} {at}", name, at) for name in clusters for at in range(3)]
    folder, seen = tmp_path_factory.mktemp("shards"), []
    for number in range(count):
        with closing(Store(folder, shard=(number, count), name=f"{number}.sqlite")) as store:
            seen += [{each.cluster for each in collect(store, asked=asked)}]
    assert sorted(name for part in seen for name in part) == sorted(clusters)


def test_a_shard_is_asked_for_all_and_knows_where_each_stands(opened):
    one = opened("one")
    collect(one)
    for number in range(3):
        shard = of_shard(opened, number, 3)
        collect(shard)
        assert contents(shard)[1] == contents(one)[1]
    files = sorted(one.path.parents[1].glob("shards/*.sqlite"))
    assert len(files) == 3
    recorded = Recording(files)
    assert recorded.read(SUBJECT, "polling", "ablations") == collect(one)
    assert recorded.missing(SUBJECT) == []
    [missing] = Recording(files[1:]).missing(SUBJECT)
    lost = [each.example for each in collect(of_shard(opened, 0, 3))]
    assert ([*missing.examples], missing.asked) == (lost, len(IMAGES))
    assert [*missing.before(20).examples] == [id_ for id_ in lost if int(id_) < 20]


def test_a_shard_that_no_example_falls_into_is_asked_all_the_same(opened):
    shards = [of_shard(opened, number, 50) for number in range(50)]
    [empty, *_] = [shard for shard in shards if not collect(shard)]
    assert len(contents(empty)[1]) == len(IMAGES)
    assert contents(empty)[2] == []


def test_processes_share_a_shard_evenly(opened):
    """It is cut by other digits than their shares."""
    asked = units(*range(400))
    store = of_shard(opened, 1, 2, share=(0, 2))
    mine = [not store._is_anothers(each) for each in asked if store.is_own(each.cluster)]
    assert 150 < len(mine) < 250
    assert 0.35 < sum(mine) / len(mine) < 0.65


def test_shards_of_one_folder_do_not_wait_for_each_other(opened):
    """Not even where one holds all the locks that it can."""
    first, second = of_shard(opened, 0, 2), of_shard(opened, 1, 2)
    many = units(*range(3000))
    with ExitStack() as locks:
        assert first._locked(many, locks) == many
        assert second._locked(many, locks) == many


def test_a_failed_image_counts_against_all_that_were_asked(opened):
    """Not against a shard's few; and when they are judged together."""

    def failing(*images: int):
        def compute(unit: Unit) -> list[Row] | ImageError:
            return ImageError("broken") if unit.position in images else rows(unit.position)

        return compute

    shards = [of_shard(opened, number, 40) for number in range(40)]
    [alone, other] = [shard for shard in shards if len(collect(shard)) == 1][:2]
    places = [int(collect(shard)[0].example) for shard in (alone, other)]
    stores = [
        opened(name, shard=each.shard) for name, each in zip("ab", (alone, other), strict=True)
    ]
    for store in stores:
        [found] = collect(store, failing(*places))
        assert found.failed == "broken"
    with pytest.raises(VLMError, match="2 of 2 images could not be measured"):
        Recording([store.path for store in stores]).read(SUBJECT, "polling", "ablations")


def test_a_store_that_takes_all_shards_holds_what_one_would(opened):
    one, driver = opened("one"), opened("driver")
    collect(one)
    for number in range(4):
        shard = of_shard(opened, number, 4)
        collect(shard)
        for _ in range(2):  # twice is once
            driver.take(shard.path)
    assert contents(driver) == contents(one)

    def never(unit: Unit) -> list[Row]:
        raise AssertionError

    assert collect(driver, never) == collect(one)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE rows SET right = 0 WHERE arm = 'clean'",
        "UPDATE rows SET probability = 0.25",
        "UPDATE rows SET arm = 'another' WHERE arm = 'object'",
        "DELETE FROM rows WHERE arm = 'object'",
        "UPDATE rows SET detail = '[]'",
    ],
)
def test_rows_that_disagree_are_refused_and_nothing_is_taken(opened, tmp_path, change):
    driver, other = opened("driver"), opened("other")
    collect(driver, asked=units(7))
    collect(other, asked=units(6, 7, 8))
    other.close()
    with closing(sqlite3.connect(other.path)) as database, database:
        database.execute(change)
    before = contents(driver)
    told = r"driver/rows\.sqlite' and '.*other/rows\.sqlite' have other rows of .* of example 7"
    with pytest.raises(VLMError, match=told):
        driver.take(other.path)
    assert contents(driver) == before


def test_what_is_no_store_is_not_taken(opened, tmp_path):
    driver, file = opened("driver"), tmp_path / "other.sqlite"
    for content in (b"no database" * 100, b""):
        file.write_bytes(content)
        with pytest.raises(VLMError, match=r"other\.sqlite"):
            driver.take(file)


def test_a_fresh_run_replaces_what_it_takes(opened):
    driver = opened("driver", fresh_run="new")
    old = opened("driver")
    collect(old, lambda unit: [Row("old")])
    fresh = opened("shard", fresh_run="new")
    collect(fresh)
    driver.take(fresh.path)
    assert [row.arm for each in collect(driver) for row in each.rows] == ["clean", "object"] * 40


def test_a_part_is_what_a_shard_need_not_compute_again(opened, tmp_path):
    driver, computed = opened("driver"), []
    collect(driver, asked=units(*range(20)))

    def counting(unit: Unit) -> list[Row]:
        computed.append(unit.position)
        return rows(unit.position)

    for number in range(3):
        folder = tmp_path / f"part {number}"
        driver.part((number, 3), folder)
        with closing(Store(folder, shard=(number, 3))) as part:
            collect(part, counting)
        driver.take(part.path)
    assert sorted(computed) == [*range(20, 40)]
    again = opened("driver", fresh_run="new")
    assert contents(opened(again.part((0, 1), tmp_path / "fresh").parent))[2] == []
    assert collect(driver, asked=[unit(39)])[0].rows == rows(39)
