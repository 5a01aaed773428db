"""The rules of the house: arrows between its rooms, the README's map, and what may not stand in the
code."""

import ast
import os
import re
import subprocess
from pathlib import Path

import pytest
import transformers

from tests.neo2025 import NEO2025

ROOT = Path(__file__).parent.parent
ROOMS = ("vlmlib", "claimlib", "fixtures", "claims")
MAY_IMPORT = {
    "vlmlib": {"vlmlib"},
    "claimlib": {"claimlib"},
    "fixtures": {"vlmlib", "claimlib", "fixtures"},
    "claims": {"vlmlib", "claimlib", "fixtures", "claims"},
}
FILES = [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))]
README = (ROOT / "README.md").read_text()


def tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return listed.stdout.splitlines()


def imported(file: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(file.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_arrows_run_one_way(file):
    room = file.relative_to(ROOT).parts[0]
    names = imported(file)
    assert names & {*ROOMS, "tests"} <= MAY_IMPORT[room]
    if file.parent.name == "vlmlib":
        assert not names & {"pytest", "syrupy", "pandas", "pycocotools"}
    if room == "claimlib":
        assert not names & {"torch", "transformers", "PIL", "pandas"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_modules_open_with_what_they_are(file):
    assert ast.get_docstring(ast.parse(file.read_text()))


def test_only_one_module_knows_how_a_model_is_built():
    knowing = {
        file.name for file in (ROOT / "vlmlib").glob("*.py") if "language_model" in file.read_text()
    }
    assert knowing == {"architecture.py"}


@pytest.mark.parametrize(
    "file",
    [
        file
        for file in FILES
        if file.parent.name in ("vlmlib", "claimlib")
        and file.name not in ("errors.py", "oracle.py", "plugin.py", "report.py")
    ],
    ids=lambda file: file.name,
)
def test_every_public_function_of_the_instrument_has_an_example(file):
    defined = [
        node for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)
    ]
    public = [node for node in defined if not node.name.startswith(("_", "pytest_"))]
    assert [node.name for node in public if ">>>" not in (ast.get_docstring(node) or "")] == []


def test_the_readme_map_is_the_tree():
    block = re.search(r"## The house\n.*?```\n(.*?)```", README, flags=re.DOTALL)
    assert block
    drawn = [line.split()[0] for line in block[1].splitlines() if line.strip()]
    folders = {f"{path.split('/')[0]}/" for path in tracked() if "/" in path}
    folders |= {
        "/".join(path.split("/")[:2]) + "/"
        for path in tracked()
        if path.split("/")[0] in ROOMS and path.count("/") > 1
    }
    assert sorted(drawn) == sorted(folders)


def test_the_readmes_example_runs(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    code = re.search(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert code
    exec(code[1], {})
    assert capsys.readouterr().out.startswith("['Yes', 'Yes',")


def test_the_verdict_page_lists_every_claim_and_the_readme_leads_to_it():
    page = (ROOT / "reports" / "emoji-llava.verdicts.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in page.splitlines()]
    assert "(reports/emoji-llava.verdicts.md)" in README
    for claim in NEO2025.values():
        assert [claim.section, f"`{claim.id}`", claim.statement] in rows


def test_ci_runs_what_the_readme_says():
    commands = re.findall(r"^    (make [\w-]+)$", README, flags=re.MULTILINE)
    ci = [
        line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("make")
    ]
    assert [*commands, "make test-oldest"] == ci == ["make claims", "make test", "make test-oldest"]
    assert "`make test-oldest`" in README


def test_the_transformers_under_test_is_the_one_asked_for():
    pins = "oldest.txt" if os.environ.get("VLM_OLDEST") == "1" else "constraints.txt"
    assert f"transformers=={transformers.__version__}" in (ROOT / pins).read_text().splitlines()


def test_nothing_unpickles_or_runs_remote_code():
    for name in tracked():
        if name.endswith(".py") and name != "tests/test_house.py":
            code = (ROOT / name).read_text()
            assert "pickle" not in code, name
            assert "trust_remote_code" not in code, name
            assert code.count("torch.load(") == code.count("weights_only=True"), name
