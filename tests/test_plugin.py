"""The pytest side, end to end on tiny models: options, the GPU policy, verdicts as outcomes, what bad input is told.

Fails if a refuted claim does not fail, if an undecided one passes for supported, or if a missing GPU hides a test.
"""

from pathlib import Path

import pytest
import torch

from tests.tiny import tiny_vlm

ROOT = Path(__file__).parent.parent
SCENES = str(ROOT / "fixtures" / "emoji_coco")
CLAIM = """
import numpy as np, pytest
from vlmlib.statistics import exceeds, negligible

@pytest.mark.claim("object-buffer-polling")
def test_planted(trial, subject):
    trial.check(exceeds({count}, 100, trial.bound))
"""


@pytest.fixture
def tiny_folder(tmp_path: Path) -> str:
    """A checkpoint folder of a random model, with the layout of a real one."""
    vlm, folder = tiny_vlm(), tmp_path / "my-llava"
    vlm.model.save_pretrained(folder)
    vlm.processor.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """Run pytest with the plugin, as on a machine without a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("VLM_REQUIRE_GPU", raising=False)
    pytester.makeini("[pytest]\nmarkers =\n    claim(id): a claim\n    gpu: needs a GPU\n")

    def run(*options: str, code: str = CLAIM.format(count=90)) -> pytest.RunResult:
        pytester.makepyfile(code)
        return pytester.runpytest_inprocess("-p", "fixtures.plugin", "-m", "not gpu", "-rs", *options)

    return run


def own_model(folder: str) -> list[str]:
    return ["--vlm-model", folder, "--vlm-device", "cpu", "--vlm-coco", SCENES, "--vlm-limit", "3"]


@pytest.mark.parametrize(("count", "outcome"), [(90, "passed"), (10, "failed"), (55, "undecided")])
def test_each_verdict_has_its_own_outcome(run, tiny_folder, count, outcome):
    result = run(*own_model(tiny_folder), code=CLAIM.format(count=count))
    assert result.parseoutcomes() == {outcome: 1}
    assert result.ret == (1 if outcome == "failed" else 0)
    verdict = {"passed": "supported", "failed": "refuted", "undecided": "undecided"}[outcome]
    result.stdout.fnmatch_lines(["*= verdicts =*", "object-buffer-polling on my-llava", f"*{verdict}: {count}.0% [[]*"])


def test_a_refuted_claim_says_what_was_found_and_shows_no_traceback(run, tiny_folder):
    result = run(*own_model(tiny_folder), code=CLAIM.format(count=10))
    result.stdout.fnmatch_lines(["object-buffer-polling on my-llava: refuted: 10.0%*n = 100, required > 50%*"])
    result.stdout.fnmatch_lines(["*claimed: Ablating the object's tokens*", "*measured on emoji_coco, seed 0"])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*claims.py:*")


def test_the_claims_run_on_a_model_of_your_own_and_a_blind_one_decides_nothing(run, tiny_folder, monkeypatch):
    result = run(*own_model(tiny_folder), str(ROOT / "claims"))
    assert result.parseoutcomes() == {"undecided": 2}
    result.stdout.fnmatch_lines(["*undecided: no images are left, required < 10%"])


def test_without_a_gpu_the_papers_models_are_skipped_in_one_visible_line(run):
    result = run("-m", "gpu")
    assert result.parseoutcomes() == {"skipped": 2, "deselected": 1}
    lines = [line for line in result.outlines if line.startswith("SKIPPED")]
    assert len(lines) == 1
    assert "needs a GPU and none was found; --vlm-device cpu runs it on the processor" in lines[0]


def test_a_required_gpu_that_is_missing_fails(run, monkeypatch):
    monkeypatch.setenv("VLM_REQUIRE_GPU", "1")
    result = run("-m", "gpu")
    assert result.parseoutcomes() == {"errors": 2, "deselected": 1}
    result.stdout.fnmatch_lines(["*needs a GPU and none was found*VLM_REQUIRE_GPU=1*"])


def test_an_unknown_model_is_a_usage_error_that_lists_the_known_ones(run):
    result = run("--vlm-model", "llama-1.5")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--vlm-model llama-1.5: there is no model of this name*emoji-llava, llava-1.5-7b*"])


def test_a_model_without_a_data_set_says_which_option_to_pass(run, tiny_folder):
    result = run("--vlm-model", tiny_folder, "--vlm-device", "cpu")
    assert result.parseoutcomes() == {"errors": 1}
    result.stdout.fnmatch_lines(["my-llava needs a data set. Pass --vlm-coco DIR*"])
    result.stdout.no_fnmatch_line("*plugin.py:*")


@pytest.mark.parametrize(
    ("broken", "message"),
    [("processor_config.json", "*my-llava' has no processor*"), ("config.json", "*my-llava' has no configuration*")],
)
def test_a_checkpoint_folder_that_lacks_a_part_is_named(run, tiny_folder, broken, message):
    (Path(tiny_folder) / broken).unlink()
    result = run(*own_model(tiny_folder))
    assert result.parseoutcomes() == {"errors": 1}
    result.stdout.fnmatch_lines([message])


def test_a_folder_that_is_not_coco_is_named(run, tiny_folder, tmp_path):
    result = run("--vlm-model", tiny_folder, "--vlm-device", "cpu", "--vlm-coco", str(tmp_path))
    result.stdout.fnmatch_lines(["There is no annotations/instances_*.json in *"])


def test_an_id_that_is_not_in_the_file_is_a_usage_error(run):
    result = run(code=CLAIM.format(count=1).replace("object-buffer-polling", "no-such-claim"))
    result.stdout.fnmatch_lines(["*claims.toml has no claim 'no-such-claim'*"])
    assert result.ret != 0
