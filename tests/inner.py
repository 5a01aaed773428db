"""An inner pytest run with the plugin, as on a machine without a GPU: fixtures for the tests of the
pytest side."""

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from claimlib.claims import CLAIMS, REFUTATIONS
from fixtures import filtered
from tests.neo2025 import FOLDER
from tests.tiny import tiny_vlm
from vlmlib import save_mean

ROOT = Path(__file__).parent.parent
# An inner run forgets what it imports, and pandas may tell pyarrow only once what it has to tell.
pd.DataFrame().to_parquet()
SCENES = ROOT / "fixtures" / "emoji_coco"
OTHER_PLUGINS = (
    "syrupy",
    "cacheprovider",
    "hypothesispytest",
    "jaxtyping",
    "anyio",
)  # each run would import them anew
CLAIM = """
import pytest
from vlmlib import VLMError
from claimlib.shares import Totals, exceeds
from claimlib.verdicts import in_every_setting

@pytest.mark.claim("{claim}")
def test_planted(trial, subject):
    {body}
"""


class Inner:
    """Runs of pytest, under this project's pytest.ini, in a folder of their own, with the
    first paper's claims and subjects, and on one store.

    - `own`: options for a tiny random model of one's own on three scenes, with a mean token that
        needs no computing.
    - `folder`: for a test's files, apart from what pytest looks at. `claims`: the folder of the
        first paper's claims.
    """

    claims, scenes = str(ROOT / "claims" / "neo2025"), str(SCENES)

    def __init__(
        self, pytester: pytest.Pytester, folder: Path, checkpoint: Path, mean: Path, scenes: Path
    ):
        self.pytester, self.folder, self.checkpoint = pytester, folder, checkpoint
        self.on_scenes = ("--vlm-device=cpu", f"--vlm-coco={scenes}", "--vlm-limit=3")
        self.without_mean = (f"--vlm-model={checkpoint}", *self.on_scenes)
        self.own = (*self.without_mean, f"--vlm-mean={mean}")
        self.store = folder / "store"

    def checkpoint_named(self, name: str) -> str:
        """A copy of the checkpoint in a folder of this name."""
        return str(shutil.copytree(self.checkpoint, self.folder / name))

    def verdict(self, count: int, *options: str) -> pytest.RunResult:
        """Run a claim of more than 50 % that this many of 100 images speak for."""
        return self.body(f"trial.check(exceeds(Totals({count}, 100), 0.5))", *options)

    def body(
        self, body: str, *options: str, claim: str = "object-buffer-polling"
    ) -> pytest.RunResult:
        """Run a claim whose test has this body."""
        return self.code(CLAIM.format(body=body, claim=claim), *options)

    def code(self, code: str, *options: str) -> pytest.RunResult:
        """Run a file of this code."""
        return self.run(str(self.pytester.makepyfile(code)), *options)

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run pytest."""
        common = ["-p", "fixtures.plugin", f"--vlm-store={self.store}"]
        common += [part for name in OTHER_PLUGINS for part in ("-p", f"no:{name}")]
        return self.pytester.runpytest_inprocess(*common, *arguments, no_reraise_ctrlc=True)

    def items(self, *arguments: str) -> list[pytest.Function]:
        """What pytest would run."""
        [collected] = _hooks(self.run("--collect-only", "-q", *arguments)).getcalls(
            "pytest_collection_finish"
        )
        return collected.session.items

    def reports(self, *arguments: str) -> list[pytest.TestReport]:
        """What pytest reports of every phase of every test."""
        return _hooks(self.run(*arguments)).getreports("pytest_runtest_logreport")

    def query(self, sql: str) -> list[tuple]:
        """What an SQL query finds in the store."""
        with contextlib.closing(sqlite3.connect(self.store / "rows.sqlite")) as database:
            return database.execute(sql).fetchall()


def _hooks(result: pytest.RunResult) -> Any:
    """The calls of pytest's hooks in a run within this process."""
    return result.reprec  # pyright: ignore[reportAttributeAccessIssue]


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder of a random model, with the layout of a real one."""
    vlm, folder = tiny_vlm(), tmp_path_factory.mktemp("checkpoints") / "my-llava"
    vlm.model.save_pretrained(folder)
    vlm.processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def three_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the shipped data, three images that pass filter 1, three that the lens takes, and ten that
    neither does."""
    asked, shown = (
        [each.id for each in filtered.filter_1(SCENES, purpose).examples]
        for purpose in (filtered.IDENTIFICATION, filtered.LENS)
    )
    chosen = asked[:3]
    chosen += [each for each in shown if each not in asked][: 3 - len({*shown} & {*chosen})]
    folder = tmp_path_factory.mktemp("few") / SCENES.name
    annotations = Path("annotations", "instances_eval.json")
    content = json.loads((SCENES / annotations).read_text())
    neither = [each["id"] for each in content["images"] if str(each["id"]) not in {*asked, *shown}]
    kept = {*map(int, chosen), *neither[:10]}
    content["images"] = [each for each in content["images"] if each["id"] in kept]
    content["annotations"] = [each for each in content["annotations"] if each["image_id"] in kept]
    for part in ("annotations", "eval"):
        (folder / part).mkdir(parents=True)
    for each in content["images"]:
        shutil.copy(SCENES / "eval" / each["file_name"], folder / "eval")
    for each in ("filter.json", "lens_filter.json", "questions.json"):
        shutil.copy(SCENES / each, folder)
    (folder / annotations).write_text(json.dumps(content))
    return folder


@pytest.fixture
def mean_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Makes a file with a mean token of some width."""

    def made(width: int) -> Path:
        file = tmp_path_factory.mktemp("mean") / "mean.safetensors"
        save_mean(file, torch.zeros(width), model="my-llava")
        return file

    return made


@pytest.fixture
def inner(
    pytester: pytest.Pytester,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    tiny_checkpoint: Path,
    mean_file: Callable[[int], Path],
    three_scenes: Path,
) -> Inner:
    """Runs of pytest with the plugin, on a machine without a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("VLM_REQUIRE_GPU", raising=False)
    pytester.makefile(".ini", pytest=(ROOT / "pytest.ini").read_text())
    pytester.makeconftest('pytest_plugins = ["claims.neo2025.conftest"]')
    shutil.copy(FOLDER / CLAIMS, pytester.path)
    width = tiny_vlm().model.config.text_config.hidden_size
    mean, folder = mean_file(width), tmp_path_factory.mktemp("inner")
    return Inner(pytester, folder, tiny_checkpoint, mean, three_scenes)


@pytest.fixture
def known(inner: Inner) -> Callable[[str], None]:
    """Puts this text into known_refutations.toml."""

    def known(text: str) -> None:
        (inner.pytester.path / REFUTATIONS).write_text(text)

    return known


@pytest.fixture
def told() -> Callable[[pytest.RunResult], str]:
    """Everything that a run printed, errors included."""
    return lambda result: "\n".join([*result.outlines, *result.errlines])
