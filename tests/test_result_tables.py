"""Regression: the shipped model still gives the committed result tables and verdicts.

A count may differ by one image between machines. What makes a claim true is its rule, never this comparison.
"""

from pathlib import Path

import pytest

from fixtures.models import SHIPPED, STAND_IN
from fixtures.tables import TableSnapshot, markdown, same_table

ROOT = Path(__file__).parent.parent


class Rows:
    """A pytest plugin that collects the result rows of the claims."""

    def __init__(self):
        self.rows: list[dict] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":
            self.rows += [row for name, rows in report.user_properties if name == "table" for row in rows]


def test_the_shipped_model_gives_the_committed_tables(pytester: pytest.Pytester, snapshot):
    collected = Rows()
    options = ["-c", str(ROOT / "pytest.ini"), "-p", "no:syrupy"]  # the inner run must not take over the snapshots
    pytester.runpytest_inprocess(str(ROOT / "claims"), *options, plugins=[collected])
    page = markdown(f"{SHIPPED} on emoji_coco", STAND_IN, sorted(collected.rows, key=lambda row: row["claim"]))
    assert page == snapshot(name=SHIPPED, extension_class=TableSnapshot)


TABLE = "| arm | lost | images |\n|:---|---:|---:|\n| O+1 | 90 | 100 |"


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (TABLE, True),
        (TABLE.replace("90", "91"), True),
        (TABLE.replace("90", " 90"), True),
        (TABLE.replace("90", "92"), False),
        (TABLE.replace("arm", "row"), False),
        (TABLE + "\n| O+2 | 95 | 100 |", False),
    ],
)
def test_tables_are_the_same_up_to_one_image_per_cell(other, same):
    assert same_table(TABLE, other) is same
