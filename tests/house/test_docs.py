"""Whether the pages for people tell the truth: every command, example, file and link in them is
tried.

Fails if a page names an option, a target, a path, a heading or a claim's key that there is not, if
an example raises or prints something else, or if a file that a page shows says something else. The
checks themselves are tried on planted faults.
"""

import inspect
import io
import re
import shlex
import sqlite3
from collections.abc import Callable, Container, Iterator
from contextlib import closing, redirect_stdout
from pathlib import Path

import pytest

from claimlib import KINDS, Claim, ClaimError, load_claims
from claimlib.claims import load_refutations
from tests.house import ROOT, tracked
from tests.house.commands import WHY_NOT_RUN, Shell, is_placeholder
from tests.house.markdown import Page
from vlmlib.study import Store

CODE = ("python", "sh")  # which is there to be run
LANGUAGES = {"sh", "python", "toml", ""}  # "": what is printed, and drawings
SECOND_PAPER = "claims/halves2026"  # which docs/a-second-paper.md has a person write
PAPER = '[paper]\ntitle = "A page"\nurl = "https://example.org"\nversion = "1"\n'
PLUGINS = ("-p", "no:cacheprovider", "-p", "no:syrupy", "-p", "no:hypothesispytest")


def page(name: str) -> Page:
    return Page(name, (ROOT / name).read_text())


FILES = tracked()
TOP = {name.split("/")[0] for name in FILES}
MARKDOWN = [page(name) for name in FILES if name.endswith(".md")]
GUIDES = ("README.md", "CONTRIBUTING.md")
PAGES = [each for each in MARKDOWN if each.name in GUIDES or each.name.startswith("docs/")]
TALKING = [each for each in PAGES if each.examples]
COMMANDS = [line for each in PAGES for _, line in each.commands]


@pytest.fixture
def shell(pytestconfig: pytest.Config) -> Shell:
    return Shell(pytestconfig._parser, written=(SECOND_PAPER,))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository's root by links, so that what an example writes stays out of it."""
    for name in TOP:
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def wrong_blocks(page: Page) -> Iterator[str]:
    """Blocks that no check would look at."""
    for block in page.blocks:
        if block.language not in LANGUAGES:
            yield f"{block.where}: {block.language!r} is none of {sorted(LANGUAGES)}"
    yield from (f"{where}: code is indented and not fenced" for where in page.indented)


def wrong_commands(page: Page, shell: Shell) -> Iterator[str]:
    """Commands in blocks, and those in the text that begin as one does."""
    for where, line in page.commands:
        yield from (f"{where}: {line!r}: {each}" for each in shell.complaints(line))
    for where, code in page.code:
        name, _, more = code.partition(" ")
        if more and name in WHY_NOT_RUN:
            yield from (f"{where}: {code!r}: {each}" for each in shell.complaints(code))


def wrong_options(page: Page, known: Container[str]) -> Iterator[str]:
    """Options of measuring and judging that there are not, wherever they are named."""
    for at, line in enumerate(page.text.splitlines()):
        for name in re.findall(r"--(?:vlm|claims)-[a-z-]+\w", line):
            if name not in known:
                yield f"{page.name}:{at + 1}: there is no option {name}"


def wrong_links(page: Page) -> Iterator[str]:
    """Links that lead to no file or heading. Addresses elsewhere need a network."""
    for where, target in page.links:
        path, _, anchor = target.partition("#")
        file = ((ROOT / page.name).parent / path).resolve() if path else ROOT / page.name
        if target.startswith(("https://", "http://")):
            continue
        if not file.exists():
            yield f"{where}: {target!r} leads to no file"
        elif anchor and anchor not in Page(page.name, file.read_text()).anchors:
            yield f"{where}: {target!r} leads to no heading"


def wrong_paths(page: Page) -> Iterator[str]:
    """Paths in the text that are none of this repository."""
    for where, path in page.code:
        ours = path.split("/")[0] in TOP and "/" in path and not re.search(r"[\s*A-Z{]", path)
        if ours and not path.startswith(SECOND_PAPER) and not (ROOT / path).exists():
            yield f"{where}: there is no {path!r}"


def wrong_files(page: Page) -> Iterator[str]:
    """Blocks that show a file of this repository otherwise than it is, or one that nobody has."""
    for block in page.blocks:
        file = ROOT / block.file
        if block.file and file.is_file():
            if block.text.strip("\n") not in file.read_text():
                yield f"{block.where}: {block.file} does not say this"
        elif block.file and block.language in CODE and not block.file.startswith(SECOND_PAPER):
            yield f"{block.where}: there is no {block.file}, and no test writes it"


def wrong_claims(page: Page, folder: Path) -> Iterator[str]:
    """Blocks of TOML that are neither claims nor their known refutations."""
    claims: dict[str, Claim] = {}
    for block in page.blocks:
        if block.language == "toml":
            file = folder / Path(block.file or "a block without a name").name
            own = "[paper]" in block.text or file.name != "claims.toml"
            file.write_text(block.text if own else PAPER + block.text)
            try:
                match file.name:
                    case "claims.toml":
                        claims |= load_claims(file)
                    case "known_refutations.toml":
                        load_refutations(claims, file)
                    case name:
                        yield f"{block.where}: {name} is no file of claims"
            except ClaimError as error:
                yield f"{block.where}: {error}"


def wrong_examples(page: Page) -> Iterator[str]:
    """Examples, one after the other, that print something else than the page says, or raise."""
    known = {"__name__": "__main__"}
    for block in page.examples:
        printed, said = io.StringIO(), page.printed_after(block)
        try:
            with redirect_stdout(printed):
                exec(compile(block.text, block.where, "exec"), known)
        except Exception as error:
            yield f"{block.where}: {type(error).__name__}: {error}"
            continue
        if said is not None and printed.getvalue() != said:
            yield f"{block.where}: prints {printed.getvalue()!r}, and not {said!r}"


@pytest.fixture
def run(pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """Runs pytest on the claims of this repository."""
    ini = ("-c", str(ROOT / "pytest.ini"), "--rootdir", str(ROOT), f"--vlm-store={pytester.path}")

    def run(folder: str, *arguments: str) -> pytest.RunResult:
        return pytester.runpytest_inprocess(*ini, *PLUGINS, str(ROOT / folder), *arguments)

    return run


def complaints(check: Callable[..., Iterator[str]], *more: object) -> list[str]:
    """What a check finds on all pages."""
    return [each for page in PAGES for each in check(page, *more)]


def options(config: pytest.Config) -> dict[str, str]:
    """The options of measuring and judging that pytest knows, with what each takes."""
    listed = [option for group in config._parser._groups for option in group.options]
    takes = {name: option.attrs().get("metavar") for option in listed for name in option.names()}
    return {name: takes[name] or "" for name in takes if name.startswith(("--vlm-", "--claims-"))}


def options_told(page: Page) -> dict[str, str]:
    """The options in a page's tables, with what they take."""
    return dict(re.findall(r"^\| `(--[\w-]+) ?([A-Z]*)` \|", page.text, flags=re.MULTILINE))


def test_every_block_is_one_that_is_checked():
    assert complaints(wrong_blocks) == []


def test_every_command_is_one(shell):
    assert complaints(wrong_commands, shell) == []


def test_every_option_that_is_named_exists(pytestconfig):
    assert complaints(wrong_options, options(pytestconfig)) == []


def test_links_lead_somewhere():
    """Of all pages, those beside the data, the model and the benchmarks included."""
    assert [each for page in MARKDOWN for each in wrong_links(page)] == []


def test_paths_in_the_text_exist():
    assert complaints(wrong_paths) == []


def test_files_that_are_shown_say_what_is_shown():
    assert complaints(wrong_files) == []


def test_claims_that_are_shown_are_claims(tmp_path):
    assert complaints(wrong_claims, tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("page", TALKING, ids=lambda page: page.name)
def test_examples_print_what_the_page_says(page, root):
    assert list(wrong_examples(page)) == []


def test_every_reason_not_to_run_a_command_is_needed(shell):
    """And every command that is looked at has one."""
    told = [*COMMANDS, *(code for page in PAGES for _, code in page.code)]
    used = {word for line in told for word in line.split()}
    assert [name for name in WHY_NOT_RUN if name not in used] == []
    assert sorted(shell._looks) == sorted(WHY_NOT_RUN)


def test_the_tables_of_options_are_those_of_the_plugins(pytestconfig):
    """Options of measuring and of judging, with what each takes."""
    assert options_told(page("docs/your-own-model.md")) == options(pytestconfig)


def test_the_table_of_kinds_is_the_table_of_kinds():
    """Each kind with its bounds, its rule's level by default, what the rule takes, and when it
    supports a claim."""
    row = re.compile(r"^\| `([\w-]+)` \|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\|[^|]*\|$", re.M)
    names = re.compile(r"`(\w+)`")
    told = {
        kind: (names.findall(bounds), level.strip(), names.findall(takes), when.strip())
        for kind, bounds, level, takes, when in row.findall(page("docs/your-own-claim.md").text)
    }
    expected = {}
    for name, kind in KINDS.items():
        takes = inspect.signature(kind.rule).parameters
        needed = [each for each in takes if takes[each].default is inspect.Parameter.empty]
        level = f"{takes['level'].default:.2f}" if kind.sampled else ""
        samples = [each for each in needed if each not in kind.bounds]
        expected[name] = (list(kind.bounds), level, samples, kind.supports)
    assert told == expected


def test_the_table_of_the_store_is_its_schema(tmp_path):
    """Tables and views, as SQLite lists them."""
    told = re.findall(r"^\| `(\w+)`( \(view\))? \|", page("docs/how-it-works.md").text, re.M)
    store = Store(tmp_path)
    store.close()
    with closing(sqlite3.connect(store.path)) as database:
        listed = list(database.execute("SELECT name, type FROM sqlite_master"))
    expected = [(name, " (view)" if kind == "view" else "") for name, kind in listed]
    indices = {name for name, kind in listed if kind == "index"}
    assert sorted(told) == sorted(each for each in expected if each[0] not in indices)


def test_what_pages_select_by_name_is_there(run):
    """Every -k of the pages selects a test of a claim."""
    chosen = {words for line in COMMANDS for words in re.findall(r'-k (?:"(.+?)"|(\w+))', line)}
    for words in map("".join, sorted(chosen)):
        assert run("claims/", "--collect-only", "-q", "-k", words).ret == pytest.ExitCode.OK, words
    assert chosen


@pytest.mark.slow
def test_commands_print_what_the_page_shows_below_them(run):
    """Those of the paper as published, which needs no model; the lines that are shown."""
    shown = [(block.text, page.printed_after(block)) for page in PAGES for block in page.shells]
    for command, said in [(command, said) for command, said in shown if said is not None]:
        name, *arguments = shlex.split(command)
        assert name == "pytest"
        assert "published" in command
        assert [line for line in said.splitlines() if line not in run(*arguments).outlines] == []


@pytest.mark.slow
def test_the_second_paper_runs_as_it_is_told(pytester):
    """Its files, written as the page says; the shipped model on some images; one verdict."""
    told = page("docs/a-second-paper.md")
    shown = [block for block in told.blocks if block.file.startswith(SECOND_PAPER)]
    assert {Path(block.file).suffix for block in shown} == {".py", ".toml"}
    for block in shown:
        file = pytester.path / block.file.removeprefix("claims/")
        file.parent.mkdir(exist_ok=True)
        file.write_text(block.text)
    pytester.makefile(".ini", pytest=(ROOT / "pytest.ini").read_text())
    run = pytester.runpytest_inprocess(
        *("-p", "fixtures.plugin"), *PLUGINS, "--vlm-limit=12", "--vlm-store=store", "halves2026"
    )
    run.assert_outcomes(passed=1, deselected=1)
    run.stdout.fnmatch_lines(["*its-own-half: *", "*emoji-llava: supported: *"])


GOOD = {
    "commands": "```sh\nmake claims\nVLM_REQUIRE_GPU=1 pytest claims/ -m gpu --vlm-coco COCO\n```",
    "text": "`make test`, `pytest claims/ -n 2`, `claims/neo2025/arms.py`, `claims/PAPER`",
    "links": "[a](README.md#the-house) [b](https://example.org/x#y)",
    "example": "```python\nprint(1)\n```\n\n```\n1\n```",
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_a_page_without_faults_is_found_to_have_none(text, shell, pytestconfig, tmp_path):
    planted = Page("planted.md", text)
    known = options(pytestconfig)
    assert [
        *wrong_blocks(planted),
        *wrong_commands(planted, shell),
        *wrong_options(planted, known),
        *wrong_links(planted),
        *wrong_paths(planted),
        *wrong_files(planted),
        *wrong_claims(planted, tmp_path),
        *wrong_examples(planted),
    ] == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("make claim", "no target 'claim'"),
        ("pytest claims/ --vlm-strict", "no option --vlm-strict"),
        ("pytest claims/ --vlm-limit few", "invalid int value"),
        ("pytest claim/", "no 'claim/'"),
        ("pytest claims/neo2025/test_setup.py::test_nothing", "has no test_nothing"),
        ("pytest claims/ --vlm-coco fixtures/coco", "no 'fixtures/coco'"),
        ("pytest claims/ --vlm-model lava", "--vlm-model lava"),
        ("pytest claims/ --vlm-protocol reference", "no protocol 'reference'"),
        ('pip install ".[claims]"', "no extra 'claims'"),
        ("pip install vlm_claims-9.9-py3-none-any.whl", "the wheel is vlm_claims-"),
        ('sqlite3 .vlm_store/rows.sqlite "select image from results"', "no such column"),
        ("sqlite3 store.sqlite 'select 1'", "no 'store.sqlite'"),
        ("ruff lint .", "of ruff"),
        ("git push", "of git"),
        ("ray down", "of ray"),
        ("sbatch examples/none.sh", "no 'examples/none.sh'"),
        ("sbatch --array=3 examples/slurm.sh --vlm-cocoa COCO", "no option --vlm-cocoa"),
        ("python -m claims.neo2025.pictures", "of python"),
        ("cd x && nano README.md", "'nano' is none of"),
        ("pytest 'claims/", "no shell reads it"),
    ],
)
def test_a_planted_wrong_command_is_found(line, told, shell):
    [complaint] = wrong_commands(Page("planted.md", f"```sh\n{line}\n```\n"), shell)
    assert complaint.startswith("planted.md:1: ")
    assert told in complaint


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("```bash\nls\n```\n", "'bash' is none of"),
        ("So:\n\n    pytest claims/\n", "planted.md:3: code is indented"),
    ],
)
def test_a_planted_block_that_nobody_checks_is_found(text, told):
    [complaint] = wrong_blocks(Page("planted.md", text))
    assert told in complaint


def test_a_planted_wrong_command_in_the_text_is_found(shell):
    """Also where a line breaks in it."""
    [complaint] = wrong_commands(Page("planted.md", "So\nrun `make\neverything`.\n"), shell)
    assert complaint == "planted.md:2: 'make everything': the Makefile has no target 'everything'"


def test_a_planted_wrong_option_in_the_text_is_found(pytestconfig):
    planted = Page("planted.md", "Use `--claims-report DIR` and\n`--vlm-report DIR`.\n")
    [complaint] = wrong_options(planted, options(pytestconfig))
    assert complaint == "planted.md:2: there is no option --vlm-report"


@pytest.mark.parametrize(
    ("link", "told"),
    [
        ("[a](docs/nowhere.md)", "leads to no file"),
        ("![a](reports/figures/nothing.png)", "leads to no file"),
        ("[a](README.md#the-hut)", "leads to no heading"),
        ("[a](#two-commands)", "leads to no heading"),
        ("[`a` and\nb](docs/nowhere.md)", "leads to no file"),
    ],
)
def test_a_planted_wrong_link_is_found(link, told):
    [complaint] = wrong_links(Page("CHANGELOG.md", f"# Changelog\n{link}\n"))
    assert told in complaint


def test_a_planted_wrong_path_is_found():
    planted = Page("planted.md", "`vlmlib/statistics.py`, `vlmlib/tasks.py`")
    [complaint] = wrong_paths(planted)
    assert "there is no 'vlmlib/statistics.py'" in complaint


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Makefile", "claims: everything"),
        ("tests/nothing.py", "print(1)"),
    ],
)
def test_a_planted_wrong_file_is_found(name, text):
    [complaint] = wrong_files(Page("planted.md", f"```python {name}\n{text}\n```\n"))
    assert name in complaint


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("claims.toml", '[a]\nkind = "exceeds"\n', "[a]"),
        ("claims.toml", "[a\n", "cannot be read as TOML"),
        ("known_refutations.toml", '[a]\nhere = "because"\n', "no claim of this id"),
        ("pyproject.toml", "[project]\n", "pyproject.toml is no file of claims"),
    ],
)
def test_a_planted_wrong_claim_is_found(name, text, told, tmp_path):
    [complaint] = wrong_claims(Page("planted.md", f"```toml {name}\n{text}```\n"), tmp_path)
    assert told in complaint


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("```python\nprint(2)\n```\n\n```\n1\n```\n", "prints '2\\n', and not '1\\n'"),
        ("```python\nimport vlmlib.statistics\n```\n", "ModuleNotFoundError"),
        ("```python\na = 1\n```\n\n```python\nassert a == 2\n```\n", "planted.md:5: Assertion"),
    ],
)
def test_a_planted_wrong_example_is_found(text, told):
    [complaint] = wrong_examples(Page("planted.md", text))
    assert told in complaint


@pytest.mark.parametrize("word", ["COCO", "git+https://HOST/OWNER/x.git", "path/to/my-llava"])
def test_what_a_person_has_is_a_placeholder(word):
    assert is_placeholder(word)


@pytest.mark.parametrize("word", ["fixtures/emoji_coco", "Makefile", ".vlm_store/rows.sqlite"])
def test_what_is_here_is_no_placeholder(word):
    assert not is_placeholder(word)
