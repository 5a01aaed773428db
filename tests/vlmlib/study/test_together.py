"""Several units computed in one go, and images that cannot be measured.

Fails if a unit is computed twice or lost, if an interrupted group loses what it had finished, if
one image takes others along, or if a measurement goes on though many fail.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest
from filelock import FileLock

from tests.vlmlib.study.test_store import FIRST, child, collect, ended, rows, units
from vlmlib import ImageError, VLMError
from vlmlib.study import Recording
from vlmlib.study.store import Finished, Row, Store, Unit, content_key
from vlmlib.study.table import Table

TOGETHER = """
def each(units):
    print(len(units), file=sys.stderr)
    for one in units:
        yield one, compute(one)

with closing(Store(folder, share=({number}, 2))) as store:
    asked = [unit(image) for image in range(40)]
    found = store.collect_together(FIRST, asked, each, "x", together=7)
    assert [one.rows for one in found] == [rows(image) for image in range(40)]
"""


@pytest.fixture
def store(tmp_path) -> Iterator[Store]:
    with closing(Store(tmp_path / "store")) as store:
        yield store


class Groups:
    """Computes units in groups, which it remembers; what `fails` says of an image is its error."""

    def __init__(self, **fails: str | BaseException):
        self.groups: list[list[int]] = []
        self.fails = {int(image[1:]): error for image, error in fails.items()}

    def __call__(self, units: Sequence[Unit]) -> Iterator[tuple[Unit, Sequence[Row] | ImageError]]:
        self.groups.append([unit.position for unit in units])
        for unit in units:
            error = self.fails.get(unit.position)
            if isinstance(error, BaseException):
                raise error
            yield unit, ImageError(error) if error else rows(unit.position)


def test_units_are_computed_in_groups_of_the_size_asked(store):
    compute = Groups()
    found = store.collect_together(FIRST, units(*range(10)), compute, "x", together=4)
    assert [each.rows for each in found] == [rows(image) for image in range(10)]
    assert compute.groups == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_one_by_one_or_together_the_rows_are_the_same(store):
    together = store.collect_together(FIRST, units(1, 2, 3), Groups(), "x")
    compute = Groups()
    alone = collect(store, FIRST, units(1, 2, 3), lambda unit: pytest.fail("computed again"), "x")
    assert together == alone
    assert store.collect_together(FIRST, units(3, 1), compute, "x") == [together[2], together[0]]
    assert compute.groups == []


def test_only_what_is_missing_of_a_group_is_computed(store):
    store.collect_together(FIRST, units(2, 5), Groups(), "x")
    compute = Groups()
    store.collect_together(FIRST, units(*range(7)), compute, "x", together=4)
    assert compute.groups == [[0, 1, 3, 4], [6]]


def test_an_interrupted_group_keeps_what_it_had_finished(store):
    with pytest.raises(KeyboardInterrupt):
        store.collect_together(FIRST, units(*range(6)), Groups(i4=KeyboardInterrupt()), "x", 3)
    compute = Groups()
    store.collect_together(FIRST, units(*range(6)), compute, "x", together=3)
    assert compute.groups == [[4, 5]]


def test_a_unit_whose_lock_another_holds_is_left_for_later(store):
    held = content_key("1")[:2]
    alone = [unit for unit in units(*range(6)) if content_key(unit.key)[:2] != held]
    lock = FileLock(store.path.parent / "locks" / f"{store.path.stem}-{held}.lock")
    lock.acquire()
    compute = Groups()

    def letting_go(units: Sequence[Unit]):
        yield from compute(units)
        lock.release()

    found = store.collect_together(FIRST, units(*range(6)), letting_go, "x", together=6)
    assert [each.rows for each in found] == [rows(image) for image in range(6)]
    assert compute.groups[0] == [unit.position for unit in alone]
    assert 1 in compute.groups[1]


def test_units_that_share_a_lock_are_computed_in_one_group(store):
    by_lock: dict[str, list[int]] = {}
    for image in range(100):
        by_lock.setdefault(content_key(str(image))[:2], []).append(image)
    same = max(by_lock.values(), key=len)
    assert len(same) > 1
    compute = Groups()
    store.collect_together(FIRST, units(*same), compute, "x")
    assert compute.groups == [same]


def test_processes_that_compute_groups_share_the_work(tmp_path):
    folder = tmp_path / "store"
    processes = [child(folder, TOGETHER.format(number=number)) for number in (0, 1)]
    computed = [image for process in processes for image in ended(process)]
    assert sorted(computed) == list(range(40))


def test_an_image_that_fails_takes_no_other_along_and_is_not_tried_again(store):
    compute = Groups(i2="its file is broken.")
    found = store.collect_together(FIRST, units(*range(5)), compute, "x")
    assert [each.failed for each in found] == ["", "", "its file is broken.", "", ""]
    assert [each.rows for each in found] == [rows(0), rows(1), [], rows(3), rows(4)]
    again = Groups()
    assert store.collect_together(FIRST, units(*range(5)), again, "x") == found
    assert again.groups == []
    recorded = Recording(store.path).read(("emoji-llava", "eval", "text"), "polling", "ablations")
    assert [(each.failed, each.rows) for each in recorded] == [
        (each.failed, each.rows) for each in found
    ]


def test_an_error_that_is_no_images_ends_the_measurement(store):
    def compute(unit: Unit) -> list[Row]:
        raise VLMError("the design has an arm 'clean'.")

    with pytest.raises(VLMError, match="an arm 'clean'"):
        collect(store, FIRST, units(0, 1, 2), compute, "x")


@pytest.mark.parametrize(
    ("count", "failing", "passes"),
    [(300, 3, True), (300, 4, False), (20, 1, True), (20, 2, False), (1, 1, False), (2, 2, False)],
)
def test_more_than_a_hundredth_that_fail_or_all_end_it(store, count, failing, passes):
    compute = Groups(**{f"i{image}": f"broken {image}." for image in range(failing)})
    if passes:
        store.collect_together(FIRST, units(*range(count)), compute, "x")
        return
    message = rf"lens: {failing} of {count} images could not be measured.*1%.*image 0: broken 0\."
    for _ in range(2):  # and again from the store
        with pytest.raises(VLMError, match=message):
            store.collect_together(FIRST, units(*range(count)), compute, "lens")


def test_a_table_counts_a_failed_image_as_not_asked(store):
    found = store.collect_together(FIRST, units(*range(5)), Groups(i2="broken."), "x")
    clean = [Row("clean", True, detail={"visual": 4})]
    with_visual = [
        Finished(each.example, each.cluster, clean if each.rows else [], each.failed)
        for each in found
    ]
    assert Table.of("polling", with_visual).counts["polling"] == {"asked": 4, "counted": 4}
