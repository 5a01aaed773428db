"""Rows as one table, and as Parquet: is every row there, with all that it tells?

Fails if an arm or an example is lost, if what is not known becomes false or 0, or if a file that is
read again tells something else.
"""

import json
from dataclasses import fields
from io import BytesIO

import pandas as pd
import pytest

from vlmlib.study import Finished, Row, frame
from vlmlib.study.frame import COLUMNS

CLEAN = Row("clean", True, 0.9, 0, "Yes", {"visual": 16, "prompt": "Is it?"})
UNDER = Row("object", False, 0.1, 4, "No", moved=True, reached=False)
BARE = Row("filter 2")
FOUND = {
    "polling, ablations": [Finished("7", "7", [CLEAN, UNDER]), Finished("8", "8", [CLEAN])],
    "filter 2": [Finished("7", "7", [BARE]), Finished("9", "9", [], failed="It is no picture.")],
}


def test_every_row_has_a_line_with_all_that_it_tells():
    found = frame(FOUND)
    places = found[["measurement", "example"]].to_numpy().tolist()
    assert places == [
        ["polling, ablations", "7"],
        ["polling, ablations", "7"],
        ["polling, ablations", "8"],
        ["filter 2", "7"],
        ["filter 2", "9"],
    ]
    for line, row in zip(found.itertuples(), (CLEAN, UNDER, CLEAN, BARE), strict=False):
        for field in fields(Row):
            told, known = getattr(line, field.name), getattr(row, field.name)
            if known is None:
                assert told is pd.NA
            else:
                assert (json.loads(told) if field.name == "detail" else told) == known


def test_an_example_that_failed_says_why_and_nothing_else():
    last = frame(FOUND).iloc[-1].dropna()
    assert last.to_dict() == {
        "measurement": "filter 2",
        "example": "9",
        "cluster": "9",
        "failed": "It is no picture.",
    }


@pytest.mark.parametrize("found", [FOUND, {}, {"filter 2": []}], ids=["some", "none", "empty"])
def test_a_file_of_parquet_is_read_as_it_was(found):
    table = frame(found)
    again = pd.read_parquet(BytesIO(table.to_parquet(index=False)))
    assert list(again) == list(COLUMNS)
    pd.testing.assert_frame_equal(again, table, check_dtype=False)
    assert {*COLUMNS} > {field.name for field in fields(Row)}
