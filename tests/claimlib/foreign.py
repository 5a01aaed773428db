"""A repository that knows this project as an installed package alone, for tests of the plugin."""

import re
from pathlib import Path

import pytest

OTHER_PLUGINS = ("syrupy", "cacheprovider", "hypothesispytest", "jaxtyping", "anyio")  # slow
PAPER = """
[paper]
title = "{title}"
url = "https://example.org/{title}"
version = "1"
"""
ENTRY = """
[{id}]
statement = "The coin shows heads more often than {threshold:.0%}."
section = "{section}"
source = "table 1"
kind = "exceeds"
threshold = {threshold}
level = 0.95
bound_source = "The quotation."
control = "None."
"""
TOSSED = """
import numpy as np
import pytest
from claimlib import Totals

@pytest.mark.claim("{id}")
def test_{name}(trial{fixtures}):
    {body}
"""


def entry(id: str = "coin", threshold: float = 0.5, section: str = "1", **tables: str) -> str:
    """A claim in claims.toml; `tables`: more of its keys, as TOML."""
    more = "".join(f"{key} = {value}\n" for key, value in tables.items())
    return ENTRY.format(id=id, threshold=threshold, section=section) + more


def paper(*entries: str, title: str = "On coins") -> str:
    """A claims.toml of these claims."""
    return PAPER.format(title=title) + "".join(entries or [entry()])


def tossed(heads: str | int, id: str = "coin", fixtures: str = "") -> str:
    """A file with the test of a claim on so many heads of 100; text is an expression."""
    body = f"trial.check(trial.claim.rule(Totals({heads}, 100)))"
    return body_of(body, id=id, fixtures=fixtures)


def body_of(body: str, id: str = "coin", fixtures: str = "") -> str:
    """A file with the test of a claim that has this body."""
    return TOSSED.format(id=id, name=id.replace("-", "_"), body=body, fixtures=fixtures)


class Foreign:
    """Runs of pytest in a folder of its own, which has files that a test writes."""

    def __init__(self, pytester: pytest.Pytester):
        self.pytester, self.path = pytester, pytester.path

    def write(self, **files: str) -> None:
        """Write files by their names: `a__claims_toml` is a/claims.toml, and `test_a` test_a.py."""
        for name, text in files.items():
            path = self.path / re.sub(r"_(toml|ini)$", r".\1", name.replace("__", "/"))
            path = path if path.suffix else path.with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def package(self, *folders: str) -> None:
        """Make folders that are packages, so that two may hold files of one name."""
        for folder in folders:
            (self.path / folder).mkdir(parents=True, exist_ok=True)
            (self.path / folder / "__init__.py").write_text("")

    def run(self, *options: str) -> pytest.RunResult:
        """Run pytest; that warnings are errors in this project is no rule there."""
        quick = [part for name in OTHER_PLUGINS for part in ("-p", f"no:{name}")]
        imported = ("-W", "ignore:Module already imported")  # in this process
        return self.pytester.runpytest_inprocess(*quick, "-W", "default", *options, *imported)

    def report(self, *options: str) -> dict[str, str]:
        """Run pytest, and read the pages that it writes."""
        folder = self.path / "report"
        self.run(*options, f"--claims-report={folder}")
        return {file.name: file.read_text() for file in sorted(Path(folder).glob("*.md"))}
