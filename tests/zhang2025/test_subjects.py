"""The second paper's claims are held against the models that are named: they run, or are left out
with the reason.

Fails if a run without its questions ends with an error, if a model of one's own is not measured, or
if its rows cannot be judged again.
"""

import json
import re
import sqlite3
from contextlib import closing

import pandas as pd
import pytest

from tests.zhang2025 import CLAIMS, FOLDER
from tests.zhang2025.test_gqa import ONE_OBJECT, TWO_OBJECTS, written

pytest_plugins = ["tests.inner"]

NONE_GIVEN = "needs questions. Pass --vlm-gqa DIR"


def test_without_questions_all_claims_are_left_out(inner, told):
    result = inner.run(str(FOLDER), *inner.without_mean)
    result.assert_outcomes()
    assert f"{len(CLAIMS)} undecided" in told(result)
    assert NONE_GIVEN in told(result)


@pytest.mark.slow
def test_a_model_that_can_do_no_task_is_asked_and_then_left_out(inner, told, tmp_path):
    written(tmp_path, "QueryAttr", ONE_OBJECT)
    written(tmp_path, "LogicalObj", TWO_OBJECTS)
    given = f"--vlm-gqa={tmp_path}", f"--claims-report={tmp_path / 'report'}"
    result = inner.run(str(FOLDER), *inner.without_mean, *given)
    result.assert_outcomes()
    assert f"{len(CLAIMS)} undecided" in told(result)
    [file] = (tmp_path / "report").glob("*.flow.rows.parquet")
    kept = pd.read_parquet(file)
    assert {*kept["measurement"]} >= {"QueryAttr, flow", "LogicalObj, flow"}
    assert not kept["counts"].to_numpy(bool).any()
    chosen = json.loads((tmp_path / "report" / "verdicts.json").read_text())["chosen"]
    steps = chosen["my-llava, zhang2025"]
    assert [each["left"] for each in steps if each["of"] == "QueryAttr"] == [1, 0]
    assert re.search(r"is right on 80% of no task's questions: QueryAttr 0%", told(result))
    rows = inner.store / "rows.sqlite"
    again = inner.run(str(FOLDER), f"--vlm-rows={rows}")
    again.assert_outcomes()
    assert f"{len(CLAIMS)} undecided" in told(again)
    assert "QueryAttr 0%" in told(again)


@pytest.mark.slow
def test_rows_of_another_paper_leave_nothing_to_judge(inner):
    inner.run(inner.claims, *inner.own, "-k", "test_filter or polling")
    result = inner.run(str(FOLDER), f"--vlm-rows={inner.store / 'rows.sqlite'}")
    result.assert_outcomes()
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.slow
def test_shards_are_measured_apart_and_judged_together(inner, told, tmp_path):
    rows = [ONE_OBJECT | {"question_id": f"{at}", "img_id": f"{at}"} for at in range(1, 9)]
    written(tmp_path, "QueryAttr", *rows)
    given = *inner.without_mean, f"--vlm-gqa={tmp_path}", "--vlm-limit=8"
    for part in ("1/2", "2/2"):
        result = inner.run(str(FOLDER), *given, f"--vlm-shard={part}")
        result.assert_outcomes(passed=1)
    files = [f"--vlm-rows={each}" for each in inner.store.glob("*.sqlite")]
    assert len(files) == 2
    again = inner.run(str(FOLDER), *files)
    assert "QueryAttr 0%" in told(again)
    whole = sqlite3.connect(f"file:{inner.store / '1-of-2.sqlite'}?mode=ro", uri=True)
    with closing(whole) as database:
        [(count,)] = database.execute("SELECT count(*) FROM units WHERE example LIKE 'QueryAttr%'")
    assert 0 < count < 16


def test_a_shard_without_questions_measures_the_other_papers(inner):
    result = inner.run(str(FOLDER), *inner.without_mean, "--vlm-shard=1/2")
    result.assert_outcomes()
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
