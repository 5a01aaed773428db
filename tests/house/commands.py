"""What is wrong with a command that a page tells a person to type.

Commands are not run: `WHY_NOT_RUN` says why, and whatever can be known without running them is
looked at: options, paths, targets, extras, columns.
"""

import re
import shlex
import sqlite3
import tempfile
import tomllib
from argparse import ArgumentError
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from glob import has_magic
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from claims.neo2025.authors import AUTHORS
from claims.neo2025.protocol import TEXT
from fixtures.models import source_of
from tests.house import ROOT
from vlmlib import VLMError
from vlmlib.study import Store

WHY_NOT_RUN = {
    "cd": "it leads into a clone that is not there",
    "git": "it needs a network",
    "hf": "it needs a network",
    "make": "it takes minutes; CI runs the targets",
    "pip": "it needs a network; `make own-repo` builds and installs the wheel",
    "pyright": "`make test` runs it",
    "pytest": "it takes minutes, and some of it a GPU, a data set or a download",
    "python": "it takes a minute, and writes into the repository",
    "ray": "it starts what does not end; a test runs such a cluster",
    "ruff": "`make test` runs it",
    "sbatch": "it needs a queue; a test runs the script as one would",
    "sqlite3": "there is no store yet; the query is run on an empty one",
    "unzip": "there is nothing downloaded",
    "wget": "it needs a network",
}
MADE = {".vlm_store/rows.sqlite"}  # by a command before
GIVEN = ("vlm_coco", "vlm_questions", "vlm_mean")  # options that name what is there


@dataclass(frozen=True)
class Shell:
    """What commands are held against.

    `parser`: pytest's, with the options of this project; `written`: folders that a page has a
    person write.
    """

    parser: Any
    written: Sequence[str] = ()

    def complaints(self, line: str) -> Iterator[str]:
        """What is wrong with a line of commands."""
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            yield f"no shell reads it: {error}"
            return
        for name, *arguments in _commands(words):
            look = self._looks.get(name)
            if look is None:
                yield f"{name!r} is none of {', '.join(self._looks)}"
            else:
                yield from look(arguments)

    @property
    def _looks(self) -> dict[str, Callable[[list[str]], Iterator[str]]]:
        """A look at the arguments of each command."""
        return {
            "cd": _nothing,
            "git": _git,
            "hf": _nothing,
            "make": _make,
            "pip": _pip,
            "pyright": _paths,
            "pytest": self._pytest,
            "python": _python,
            "ray": _ray,
            "ruff": _ruff,
            "sbatch": self._sbatch,
            "sqlite3": _sqlite,
            "unzip": _nothing,
            "wget": _nothing,
        }

    def _pytest(self, arguments: list[str]) -> Iterator[str]:
        try:
            option, unknown = self.parser.parse_known_and_unknown_args(arguments)
        except (pytest.UsageError, ArgumentError) as error:
            yield str(error)
            return
        yield from (f"pytest has no option {each}" for each in unknown)
        for each in option.file_or_dir:
            yield from self._tests(each)
        rows = [each for each in option.vlm_rows or () if not has_magic(each)]
        yield from _paths([*(getattr(option, name) for name in GIVEN), *rows])
        for each in option.vlm_model or ():
            yield from _model(each)
        for each in option.vlm_protocol or ():
            if each not in (TEXT.name, AUTHORS.name):
                yield f"there is no protocol {each!r}"

    def _sbatch(self, arguments: list[str]) -> Iterator[str]:
        """A script, whose arguments are pytest's."""
        script, *more = [each for each in arguments if not each.startswith("--array=")]
        yield from _paths([script])
        yield from self._pytest(more)

    def _tests(self, node: str) -> Iterator[str]:
        path, _, name = node.partition("::")
        if path.rstrip("/") not in self.written:
            yield from _paths([path])
            if name and (ROOT / path).is_file() and f"def {name}(" not in (ROOT / path).read_text():
                yield f"{path} has no {name}"


def is_placeholder(word: str) -> bool:
    """Whether a word stands for what a person has: COCO, HOST/OWNER, path/to/my-llava."""
    return word.startswith("path/to/") or bool(re.search(r"\b[A-Z]{2,}\b", word))


def targets() -> set[str]:
    """The targets of the Makefile that a person may ask for."""
    [phony] = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    return set(phony.split())


def _commands(words: list[str]) -> Iterator[list[str]]:
    """The commands of a line, without variables that are set before them."""
    command: list[str] = []
    for word in [*words, "&&"]:
        if word == "&&":
            yield command
            command = []
        elif command or not re.fullmatch(r"[A-Z_]+=.*", word):
            command.append(word)


def _nothing(arguments: list[str]) -> Iterator[str]:
    yield from ()


def _paths(paths: Sequence[str | Path | None]) -> Iterator[str]:
    for path in filter(None, map(str, filter(None, paths))):
        if not (path in MADE or is_placeholder(path) or (ROOT / path).exists()):
            yield f"there is no {path!r}"


def _model(model: str) -> Iterator[str]:
    if not is_placeholder(model):
        try:
            source_of(model)
        except VLMError as error:
            yield str(error)


def _git(arguments: list[str]) -> Iterator[str]:
    if arguments[:1] != ["clone"] or not is_placeholder(arguments[-1]):
        yield "of git these pages know `git clone` alone, of an address with placeholders"


def _make(arguments: list[str]) -> Iterator[str]:
    unknown = [each for each in arguments if each not in targets()]
    yield from (f"the Makefile has no target {each!r}" for each in unknown)


def _ray(arguments: list[str]) -> Iterator[str]:
    if arguments[:1] != ["start"]:
        yield "of ray these pages know start alone"


def _ruff(arguments: list[str]) -> Iterator[str]:
    if arguments[:1] not in (["check"], ["format"]):
        yield "of ruff these pages know check and format alone"
    yield from _paths([each for each in arguments[1:] if not each.startswith("-")])


def _pip(arguments: list[str]) -> Iterator[str]:
    """A wheel has the name and version, and an extra is one, of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ours = project["name"].replace("-", "_"), project["version"]
    for word in arguments:
        for extras in re.findall(r"\[([\w,]+)\]", word):
            unknown = set(extras.split(",")) - project["optional-dependencies"].keys()
            yield from (f"pyproject.toml has no extra {each!r}" for each in sorted(unknown))
        wheel = re.search(r"(\w+)-([\d.]+)-py3-none-any\.whl", word)
        if wheel and wheel.groups() != ours:
            yield f"the wheel is {'-'.join(ours)}, not {'-'.join(wheel.groups())}"


def _python(arguments: list[str]) -> Iterator[str]:
    if arguments[:1] != ["-m"] or find_spec(arguments[1]) is None:
        yield f"of python these pages know -m with a module that there is, not {arguments}"


def _sqlite(arguments: list[str]) -> Iterator[str]:
    """The query runs on a store without rows."""
    path, query = arguments
    yield from _paths([path])
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.close()
        with closing(sqlite3.connect(store.path)) as database:
            try:
                database.execute(query)
            except sqlite3.Error as error:
                yield str(error)
