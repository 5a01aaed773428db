"""Rows as one table, for pandas and whatever reads Parquet."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from vlmlib.study.row import FIELDS, FIGURES
from vlmlib.study.store import Finished

# How pandas holds what may be missing.
KINDS = {
    str: "string",
    str | None: "string",
    bool | None: "boolean",
    int | None: "Int64",
    float | None: "Float64",
}
COLUMNS = {
    "measurement": "string",
    "example": "string",
    "cluster": "string",
    **{name: KINDS[FIELDS[name]] for name in FIGURES},
    "detail": "string",
    "failed": "string",
}


def frame(found: Mapping[str, Sequence[Finished]]) -> pd.DataFrame:
    """Measurements as one table, a line for each arm of each example; one of an example that could
    not be measured says why (`failed`), and nothing else.

    **Arguments:** by its name, what each measurement found.

    **Returns:** the columns of `Row` after those that say of what; `detail` is JSON. What a row
    does not tell is missing, not 0 or false.

    !!! example

        >>> from vlmlib.study import Row
        >>> rows = [Row("clean", True, detail={"visual": 16}), Row("object", False, tokens=3)]
        >>> found = frame({"polling": [Finished("7", "7", rows)]})
        >>> found[["measurement", "example", "arm", "right"]].values.tolist()
        [['polling', '7', 'clean', True], ['polling', '7', 'object', False]]
        >>> found["detail"].tolist()
        ['{"visual": 16}', <NA>]
    """
    lines = [
        {"measurement": name, "example": each.example, "cluster": each.cluster} | told
        for name, every in found.items()
        for each in every
        for told in _told(each)
    ]
    return pd.DataFrame(lines, columns=pd.Index(COLUMNS)).astype(COLUMNS)


def _told(each: Finished) -> list[dict[str, Any]]:
    if each.failed:
        return [{"failed": each.failed}]
    return [
        vars(row) | {"detail": None if row.detail is None else json.dumps(row.detail)}
        for row in each.rows
    ]
