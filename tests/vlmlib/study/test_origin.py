"""Where rows come from: is it told truly, and without ever failing?

Fails if another repository's commit passes for this suite's, or if a machine without git, or with
one that hangs, ends a run.
"""

import subprocess
from importlib import metadata
from pathlib import Path

import pytest

import vlmlib.study.origin as module
from vlmlib.study.origin import processor, suite, system

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def anew():
    for each in (suite, system, processor):
        each.cache_clear()
    yield
    for each in (suite, system, processor):
        each.cache_clear()


def git(folder: Path, *command: str) -> None:
    who = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    subprocess.run(["git", "-C", folder, *who, *command], check=True, capture_output=True)


def a_checkout(folder: Path, *tracked: str) -> None:
    git(folder, "init", "-q")
    (folder / "origin.py").touch()
    (folder / "another.py").touch()
    git(folder, "add", *tracked)
    git(folder, "commit", "-qm", "first")


def test_a_checkout_is_known_by_its_commit(tmp_path, monkeypatch):
    a_checkout(tmp_path, "origin.py")
    monkeypatch.setattr(module, "HERE", tmp_path)
    described = subprocess.run(
        ["git", "-C", tmp_path, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True
    )
    assert suite() == described.stdout.strip() != ""
    (tmp_path / "origin.py").write_text("changed")
    suite.cache_clear()
    assert suite() == f"{described.stdout.strip()}-dirty"


def test_an_installed_copy_in_another_repository_is_known_by_its_version(tmp_path, monkeypatch):
    a_checkout(tmp_path, "another.py")
    monkeypatch.setattr(module, "HERE", tmp_path)
    assert suite() == f"vlm-claims {metadata.version('vlm-claims')}"


def raising(error: Exception):
    def run(*_, **__):
        raise error

    return run


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError("git"),
        PermissionError("git"),
        subprocess.TimeoutExpired("git", 10),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"),
    ],
)
def test_git_that_fails_ends_nothing(monkeypatch, error):
    monkeypatch.setattr(module.subprocess, "run", raising(error))
    assert suite() == f"vlm-claims {metadata.version('vlm-claims')}"


def test_a_suite_that_is_not_installed_is_unknown(monkeypatch):
    monkeypatch.setattr(module.subprocess, "run", raising(FileNotFoundError("git")))
    monkeypatch.setattr(module.metadata, "version", raising(metadata.PackageNotFoundError("x")))
    assert suite() == "unknown"


def test_the_machine_is_named():
    assert system().startswith("Python 3.")
    assert processor() != ""


def test_a_platform_that_tells_no_processor_is_known_by_its_architecture(monkeypatch):
    monkeypatch.setattr(module.Path, "read_text", raising(OSError("no /proc")))
    monkeypatch.setattr(module.platform, "processor", lambda: "")
    monkeypatch.setattr(module.platform, "machine", lambda: "arm64")
    assert processor() == "arm64"
