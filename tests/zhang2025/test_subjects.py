"""The second paper's claims are held against the models that are named: they run, or are left out
with the reason.

Fails if a run without its questions ends with an error, if a model of one's own is not measured, or
if its rows cannot be judged again.
"""

import re

from tests.zhang2025 import CLAIMS, FOLDER
from tests.zhang2025.test_gqa import ONE_OBJECT, TWO_OBJECTS, written

pytest_plugins = ["tests.inner"]

NONE_GIVEN = "needs questions. Pass --vlm-gqa DIR"


def test_without_questions_all_claims_are_left_out(inner, told):
    result = inner.run(str(FOLDER), *inner.without_mean)
    result.assert_outcomes()
    assert f"{len(CLAIMS)} undecided" in told(result)
    assert NONE_GIVEN in told(result)


def test_a_model_that_can_do_no_task_is_asked_and_then_left_out(inner, told, tmp_path):
    written(tmp_path, "QueryAttr", ONE_OBJECT)
    written(tmp_path, "LogicalObj", TWO_OBJECTS)
    result = inner.run(str(FOLDER), *inner.without_mean, f"--vlm-gqa={tmp_path}")
    assert f"{len(CLAIMS)} undecided" in told(result)
    assert re.search(r"is right on 80% of no task's questions: QueryAttr 0%", told(result))
    rows = inner.store / "rows.sqlite"
    again = inner.run(str(FOLDER), f"--vlm-rows={rows}")
    assert f"{len(CLAIMS)} undecided" in told(again)
    assert "QueryAttr 0%" in told(again)


def test_rows_of_another_paper_leave_nothing_to_judge(inner, told):
    inner.run(inner.claims, *inner.own, "-k", "test_filter or polling")
    result = inner.run(str(FOLDER), f"--vlm-rows={inner.store / 'rows.sqlite'}")
    assert "error" not in told(result).lower().replace("errors='", "")
