"""The rules of the house: arrows between its rooms, the README's map, and what may not stand in the
code."""

import ast
import os
import re
from pathlib import Path

import pytest
import transformers
from beartype.roar import BeartypeCallHintViolation

from fixtures.models import SHIPPED
from tests import checked
from tests.house import ROOT, tracked
from tests.neo2025 import NEO2025

ROOMS = ("vlmlib", "claimlib", "fixtures", "claims")
MAPPED = (*ROOMS, "tests")  # whose folders are in the README's map, too
MAY_IMPORT = {
    "vlmlib": {"vlmlib"},
    "claimlib": {"claimlib"},
    "fixtures": {"vlmlib", "claimlib", "fixtures"},
    "claims": {"vlmlib", "claimlib", "fixtures", "claims"},
}
MAY_NOT_LOAD = {
    "vlmlib": {"pytest", "syrupy", "pandas", "pycocotools"},
    "claimlib": {"torch", "transformers", "PIL", "pandas"},
}
UNPICKLES = r"import (c?pickle|dill|joblib)|\b(pickle|dill|joblib)\.|read_pickle|allow_pickle=True"
NO_CODE = "trust_remote_code=False"
FILES = [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))]
README = (ROOT / "README.md").read_text()
# What names a model family, by kind; one image token, `<image>`, is vlmlib's own.
ARCHITECTURE = {
    "family": r"(?i:llava|qwen|vicuna|phi-?3|llama|mistral|pixtral|gemma|siglip|idefics|internvl"
    r"|smolvlm|molmo|blip)|CLIP",
    "module": r"\b(language_model|vision_tower|vision_model|multi_modal_projector|merger|lm_head"
    r"|self_attn)\b",
    "configuration": r"\b(vision_config|text_config|image_token_id|image_token_index)\b",
    "processor": r"\b(image_grid_thw|merge_size|mm_token_type_ids)\b",
    "special token": r"<\|\w+\|>",
    "prompt": r"USER:|ASSISTANT:|\[INST\]",
}


def named(file: Path) -> str:
    return str(file.relative_to(ROOT))


def imported(code: str) -> set[str]:
    """The dotted names that a module imports; of `from a import b` both `a` and `a.b`."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Import(names=names):
                found |= {each.name for each in names}
            case ast.ImportFrom(module=module, names=names, level=level):
                home = "." * level + (module or "")
                found |= {home, *(f"{home}.{each.name}" for each in names)}
    return found


def against_the_arrows(file: str, code: str) -> list[str]:
    """What a module imports although the arrows lead the other way. Imports from a dot on are
    refused, since they hide where they lead."""
    room, *inner = Path(file).with_suffix("").parts
    forbidden = {*ROOMS, "tests", ""} - MAY_IMPORT[room]
    if len(inner) == 1:
        forbidden |= MAY_NOT_LOAD.get(room, set())

    def offends(name: str) -> bool:
        head, _, rest = name.partition(".")
        into = rest.partition(".")[0]
        another_paper = head == room == "claims" and into not in ("", inner[0])
        upwards = head == room == "vlmlib" and len(inner) == 1 and into == "study"
        return head in forbidden or another_paper or upwards

    return sorted(filter(offends, imported(code)))


def docstring_of(node: ast.AST) -> ast.AST | None:
    match node:
        case (
            ast.Module(body=[ast.Expr(value=value), *_])
            | ast.ClassDef(body=[ast.Expr(value=value), *_])
            | ast.FunctionDef(body=[ast.Expr(value=value), *_])
        ) if ast.get_docstring(node):
            return value
    return None


def words(code: str) -> list[str]:
    """Every identifier of a module, and every text in it that is no docstring."""
    nodes = list(ast.walk(ast.parse(code)))
    docstrings = {docstring_of(node) for node in nodes}
    found = []
    for node in nodes:
        match node:
            case ast.Constant(value=str(word)) if node not in docstrings:
                found.append(word)
            case ast.Name(id=word) | ast.Attribute(attr=word) | ast.alias(name=word):
                found.append(word)
            case ast.arg(arg=word) | ast.keyword(arg=str(word)):
                found.append(word)
            case ast.ClassDef(name=word) | ast.FunctionDef(name=word):
                found.append(word)
    return found


def architecture_in(code: str, *kinds: str) -> set[tuple[str, str]]:
    """What of a module names an architecture: the kind and the word; all kinds unless some are
    given."""
    return {
        (kind, word)
        for word in words(code)
        for kind in kinds or ARCHITECTURE
        if re.search(ARCHITECTURE[kind], word)
    }


def test_arrows_run_one_way():
    """vlmlib and claimlib know nothing of each other or of what uses them, the instrument nothing
    of its study, and no paper of another."""
    offenders = [
        f"{named(file)} imports {name}"
        for file in FILES
        for name in against_the_arrows(named(file), file.read_text())
    ]
    assert offenders == []


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("vlmlib/select.py", "from vlmlib.study import Store"),
        ("vlmlib/select.py", "from vlmlib import study"),
        ("vlmlib/select.py", "def f():\n    import vlmlib.study.store"),
        ("vlmlib/study/run.py", "from claimlib.kinds import KINDS"),
        ("vlmlib/select.py", "import pandas as pd"),
        ("claimlib/shares.py", "from torch import nn"),
        ("claimlib/plugin.py", "import fixtures.models"),
        ("fixtures/plugin.py", "from claims import neo2025"),
        ("fixtures/plugin.py", "from tests.tiny import tiny_vlm"),
        ("claims/other2026/arms.py", "from claims.neo2025 import arms"),
        ("claims/other2026/arms.py", "from claims import neo2025"),
        ("claims/other2026/arms.py", "from ..neo2025 import arms"),
        ("claims/neo2025/arms.py", "from . import windows"),
    ],
)
def test_a_planted_arrow_the_other_way_is_found(file, code):
    assert against_the_arrows(file, code) != []


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("vlmlib/select.py", "from vlmlib import windows"),
        ("vlmlib/study/run.py", "from vlmlib.study import Row\nimport pandas"),
        ("fixtures/plugin.py", "import claimlib.plugin\nfrom vlmlib.study import Store"),
        ("claims/neo2025/arms.py", "from claims.neo2025 import windows\nimport fixtures.models"),
    ],
)
def test_an_arrow_the_right_way_is_free(file, code):
    assert against_the_arrows(file, code) == []


@pytest.mark.slow
def test_names_of_tests_are_short():
    """Under 70 characters; the sentence stands in the docstring."""
    long = [
        f"{name}: {node.name}"
        for name in tracked()
        if name.endswith(".py")
        for node in ast.walk(ast.parse((ROOT / name).read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        if len(node.name) >= 70
    ]
    assert long == []


def test_modules_open_with_what_they_are():
    without = [named(file) for file in FILES if not ast.get_docstring(ast.parse(file.read_text()))]
    assert without == []


def test_one_module_names_architectures():
    """Families, their modules, settings, tokens and prompts stand in vlmlib/architecture.py."""
    offenders = [
        f"{named(file)}: {kind} {word!r}"
        for file in FILES
        if file.is_relative_to(ROOT / "vlmlib") or file.is_relative_to(ROOT / "claimlib")
        if named(file) != "vlmlib/architecture.py"
        for kind, word in sorted(architecture_in(file.read_text()))
    ]
    assert offenders == []


def test_who_builds_a_model_alone_knows_its_modules_beside_it():
    """Claims and fixtures may name the models that they are about, and reach into none of them."""
    builds = {"claims/neo2025/architectures.py", "fixtures/emoji_llava/architecture.py"}
    trains = {"fixtures/emoji_llava/train.py"}
    knowing = {
        named(file)
        for file in FILES
        if architecture_in(file.read_text(), "module", "configuration", "processor")
    }
    assert knowing == {"vlmlib/architecture.py"} | builds | trains


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("family", "from transformers import Qwen2VLConfig"),
        ("family", "from transformers import CLIPImageProcessor as Images"),
        ("family", 'ID = "llava-hf/llava-1.5-7b-hf"'),
        ("family", 'raise ValueError(f"{name} is no Pixtral")'),
        ("family", "def read_phi3(): ..."),
        ("module", "tower = model.model.vision_tower"),
        ("module", 'adapter = getattr(model, "multi_modal_projector")'),
        ("module", 'weights["language_model.layers.0"]'),
        ("configuration", "at = ids == config.image_token_id"),
        ("configuration", "build(vision_config=small)"),
        ("processor", 'rows = inputs["image_grid_thw"]'),
        ("special token", 'END = "<|im_end|>"'),
        ("prompt", 'PROMPT = "USER: <image> ASSISTANT:"'),
    ],
)
def test_a_planted_name_of_an_architecture_is_found(kind, code):
    assert {found for found, _ in architecture_in(code)} == {kind}


@pytest.mark.parametrize(
    "code",
    [
        '"""As in LLaVA and Qwen2-VL."""',
        'def f():\n    """As CLIP does."""\n    return 1  # llava',
        'PROMPT = "<image>{question}"',
        "values = numpy.clip(values, 0, 1)",
        "share = language_model_share",
    ],
)
def test_words_about_architectures_are_free(code):
    assert architecture_in(code) == set()


def test_every_public_function_of_the_instrument_has_an_example():
    """Of vlmlib and claimlib; pytest's hooks and the slow oracle are nobody's to call."""
    exempt = ("errors.py", "oracle.py", "plugin.py", "report.py")
    lacking = [
        f"{named(file)}: {node.name}"
        for file in FILES
        if file.parent.name in ("vlmlib", "claimlib") and file.name not in exempt
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith(("_", "pytest_"))
        if ">>>" not in (ast.get_docstring(node) or "")
    ]
    assert lacking == []


def test_the_readme_map_is_the_tree():
    """Every folder at the top, and every folder of the rooms and of their tests."""
    block = re.search(r"## The house\n.*?```\n(.*?)```", README, flags=re.DOTALL)
    assert block
    drawn = [line.split()[0] for line in block[1].splitlines() if line.strip()]
    folders = {f"{path.split('/')[0]}/" for path in tracked() if "/" in path}
    folders |= {
        "/".join(path.split("/")[:2]) + "/"
        for path in tracked()
        if path.split("/")[0] in MAPPED and path.count("/") > 1
    }
    assert sorted(drawn) == sorted(folders)


def test_the_verdict_page_lists_every_claim_and_the_readme_leads_to_it():
    """With its words, or with the reason why it means nothing on the shipped model."""
    page = (ROOT / "reports" / "emoji-llava.verdicts.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in page.splitlines()]
    assert "(reports/emoji-llava.verdicts.md)" in README
    for claim in NEO2025.values():
        judged = [claim.section, f"`{claim.id}`", claim.statement] in rows
        assert judged or f"- `{claim.id}`: {claim.not_on[SHIPPED]}" in page


def test_ci_runs_what_the_readme_says():
    """Its two commands first; the others stand in its text."""
    commands = re.findall(r"^(make [\w-]+)", README, flags=re.MULTILINE)
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    ci = [line for line in lines if line.startswith("make")]
    assert ci[: len(commands)] == commands == ["make claims", "make test"]
    assert [line for line in ci[len(commands) :] if f"`{line}`" not in README] == []


def test_pre_commit_runs_what_make_test_runs():
    """Lint, format and types, as the Makefile calls them."""
    hooks = re.findall(r"entry: \.venv/bin/(.*)", (ROOT / ".pre-commit-config.yaml").read_text())
    checks = re.findall(r"\$\(BIN\)/((?:ruff|pyright).*)", (ROOT / "Makefile").read_text())
    assert hooks == [check.removesuffix(" .") for check in checks]


@checked
def half(n: float) -> float:
    return n / 2


def test_checked_signatures_take_whole_numbers_and_refuse_words():
    assert half(3) == half(3.0) == 1.5
    with pytest.raises(BeartypeCallHintViolation):
        half("3")  # pyright: ignore[reportArgumentType]


def test_a_function_inside_another_is_not_checked_anew_at_every_call():
    def inside(n: float) -> float:
        return n

    assert checked(inside) is inside


def test_the_transformers_under_test_is_the_one_asked_for():
    pins = "oldest.txt" if os.environ.get("VLM_OLDEST") == "1" else "constraints.txt"
    assert f"transformers=={transformers.__version__}" in (ROOT / pins).read_text().splitlines()


def test_nothing_unpickles_or_runs_remote_code():
    for name in tracked():
        if name.endswith(".py") and name != "tests/house/test_house.py":
            code = (ROOT / name).read_text()
            assert re.search(UNPICKLES, code) is None, name
            assert code.count("trust_remote_code") == code.count(NO_CODE), name
            assert code.count("torch.load(") == code.count("weights_only=True"), name


def loads_without_saying(code: str) -> list[str]:
    """What a module loads from a checkpoint without saying that its code may not run."""
    return [
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".from_pretrained")
        if not any(f"{each.arg}={ast.unparse(each.value)}" == NO_CODE for each in node.keywords)
    ]


def test_every_load_says_that_no_code_may_run():
    """Else transformers asks whoever sits at the terminal."""
    assert [each for file in FILES for each in loads_without_saying(file.read_text())] == []
    assert loads_without_saying("Auto.from_pretrained(x, dtype=y)") == ["Auto.from_pretrained"]
