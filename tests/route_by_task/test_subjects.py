"""The claims are held against the models that are named: they run, or tell the reason.

Fails if a run without data does not say what is missing, if a model that is never right cannot be
reported, if its rows cannot be judged again, or if shards do not make up the whole.
"""

import json

import pandas as pd
import pytest

from tests.route_by_task import CLAIMS, FOLDER

pytest_plugins = ["tests.inner"]

COUNT = f"{len(CLAIMS)} undecided"


@pytest.mark.parametrize(("shard", "errors"), [((), len(CLAIMS)), (("--vlm-shard=1/2",), 1)])
def test_without_data_a_run_says_what_is_missing(inner, told, shard, errors):
    given = f"--vlm-model={inner.checkpoint}", "--vlm-device=cpu", *shard
    result = inner.run(str(FOLDER), *given)
    assert result.parseoutcomes()["errors" if errors > 1 else "failed"] == errors
    assert "needs a data set. Pass --vlm-coco DIR" in told(result)


@pytest.mark.slow
def test_a_model_that_is_never_right_is_asked_and_then_left_out(inner, told, tmp_path):
    result = inner.run(str(FOLDER), *inner.without_mean, f"--claims-report={tmp_path}")
    result.assert_outcomes()
    assert COUNT in told(result)
    assert "is right in every task on no image: naming 0 of 3" in told(result)
    [page] = tmp_path.glob("*.routes.md")
    assert "in every task: 0 images" in page.read_text()
    [file] = tmp_path.glob("*.routes.rows.parquet")
    rows = pd.read_parquet(file)
    assert {*rows["measurement"]} >= {"naming, routes", "polling, object shown, early"}
    assert not rows["counts"].to_numpy(bool).any()
    steps = json.loads((tmp_path / "verdicts.json").read_text())["chosen"]
    [last] = [each for each in steps["my-llava, route_by_task"] if each["of"] == "every task"]
    assert (last["given"], last["left"]) == (3, 0)
    again = inner.run(str(FOLDER), f"--vlm-rows={inner.store / 'rows.sqlite'}")
    again.assert_outcomes()
    assert COUNT in told(again)
    assert "naming 0 of 3" in told(again)


@pytest.mark.slow
def test_shards_are_measured_apart_and_judged_together(inner, told):
    for part in ("1/2", "2/2"):
        result = inner.run(str(FOLDER), *inner.without_mean, f"--vlm-shard={part}")
        result.assert_outcomes(passed=1)
    files = [f"--vlm-rows={each}" for each in inner.store.glob("*.sqlite")]
    assert len(files) == 2
    assert "naming 0 of 3" in told(inner.run(str(FOLDER), *files))
