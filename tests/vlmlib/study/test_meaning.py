"""The meaning of code: does whatever a design uses change its key, and nothing else?

Every kind of using is written into files (written.py) and changed in one place, or in nothing that
matters. Fails if a helper can change under old rows, if a comment measures for days again, or if a
key is another one in the next process.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import FunctionType, ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

import vlmlib
from tests.tiny import picture, tiny_vlm
from tests.vlmlib.study import written
from tests.vlmlib.study.written import CHANGES, KINDS, SAME, key_of, other
from vlmlib import VLM
from vlmlib.study import Example, meaning, polling
from vlmlib.study.identity import instrument
from vlmlib.study.meaning import meaning_of, weights_key
from vlmlib.study.run import is_right, run

ROOT = Path(__file__).parents[3]


def key(value: object) -> str:
    return meaning_of(value)[0]


def modules_of(value: object) -> set[str]:
    """The modules whose source is in the key of a value."""
    following = meaning._Meaning()
    following.of(value)
    for each in following.waiting:
        following.followed(each)
    return set(following.modules)


# What a design uses.


@pytest.mark.parametrize("files", KINDS.values(), ids=KINDS)
def test_whatever_a_design_uses_changes_its_key(files, tmp_path):
    """And the same files in another folder, imported anew, have the same key."""
    assert key_of(tmp_path / "here", files) == key_of(tmp_path / "there", files)
    assert key_of(tmp_path / "here", files) != key_of(tmp_path / "other", other(files))


@pytest.mark.parametrize("files", [one for one in KINDS.values() if len(one) > 1], ids=str)
def test_a_change_in_another_file_alone_changes_the_key(files, tmp_path):
    changed = {
        name: other({name: source})[name] if "2" in source else source
        for name, source in files.items()
        if "design" not in name
    }
    assert key_of(tmp_path / "here", files) != key_of(tmp_path / "there", files | changed)


@pytest.mark.parametrize(("files", "old", "new"), CHANGES.values(), ids=CHANGES)
def test_what_a_design_does_otherwise_changes_its_key(files, old, new, tmp_path):
    changed = other(files, old, new)
    assert key_of(tmp_path / "here", files) != key_of(tmp_path / "there", changed)


@pytest.mark.parametrize(("files", "old", "new"), SAME.values(), ids=SAME)
def test_what_means_the_same_has_the_same_key(files, old, new, tmp_path):
    changed = other(files, old, new)
    assert key_of(tmp_path / "here", files) == key_of(tmp_path / "there", changed)


def test_a_module_that_is_changed_and_imported_again_has_another_key(tmp_path):
    """As in a notebook, in one process."""
    files = KINDS["a module"]
    changed = other(files)
    before = key_of(tmp_path, files)
    for name in changed:
        (tmp_path / name).unlink()
    assert key_of(tmp_path, changed) != before


def test_a_global_that_changes_while_the_process_runs_changes_the_key(tmp_path):
    with written.imported(tmp_path, KINDS["a global list that was filled later"]) as design:
        before = key(design)
        design.__globals__["FACTORS"].append(1)
        assert key(design) != before
        design.__globals__["FACTORS"].pop()
        assert key(design) == before


def test_what_was_computed_so_far_is_not_in_the_key(tmp_path):
    """A cache that has filled would measure everything again in the next cell."""
    files = {
        "design.py": "import functools\nclass Times:\n    @functools.cached_property\n"
        "    def factor(self):\n        return 2\n@functools.cache\ndef helper(scene):\n"
        "    return scene * 2\n@functools.singledispatch\ndef of(scene):\n    return scene\n"
        "TIMES = Times()\ndef design(scene):\n    return TIMES.factor * helper(scene), of(scene)\n"
    }
    with written.imported(tmp_path, files) as design:
        before = key(design)
        assert design(3) == (12, 3)
        assert key(design) == before


@pytest.fixture
def in_a_notebook(monkeypatch):
    """There `__main__` is the cells' own, and not a runner's, as under `python -m pytest`."""
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))


@pytest.mark.usefixtures("in_a_notebook")
def test_a_design_of_a_notebook_counts_by_its_code():
    """Cells have no file; in an `exec` not even a module has a name."""
    keys = set()
    for space in ({"__name__": "__main__"}, {"__name__": "nowhere.at_all"}, {}):
        for factor in (2, 3):
            exec(f"def scale(x):\n    return x * {factor}\n{written.USES}", space)
            keys.add((space.get("__name__"), key(space["design"])))
    assert len({found for _, found in keys}) == 2
    assert len(keys) == 6


@pytest.mark.usefixtures("in_a_notebook")
def test_a_class_of_a_notebook_counts_by_its_code():
    found = set()
    for factor in (2, 3):
        space: dict = {"__name__": "__main__"}
        exec(f"class Times:\n    def __call__(self, x):\n        return x * {factor}\n", space)
        found.add(key(space["Times"]()))
    assert len(found) == 2


def with_set(scene):
    return {"some": [scene]} if len(scene) in {0, 8} else {}


def test_the_order_in_which_a_set_lies_in_memory_is_not_in_a_key():
    """For texts it is another in every process: the design would be measured again each time."""
    code, one, other = with_set.__code__, frozenset([0, 8]), frozenset([8, 0])
    assert repr(one) != repr(other)
    assert one in code.co_consts
    consts = [
        tuple(each if const == one else const for const in code.co_consts) for each in (one, other)
    ]
    designs = [FunctionType(code.replace(co_consts=each), globals(), "with_set") for each in consts]
    assert key(designs[0]) == key(designs[1]) == key(with_set)


def test_a_value_counts_by_its_content_and_not_by_its_place():
    for make in (
        lambda: torch.arange(3.0),
        lambda: np.arange(3),
        lambda: {"a": [1, (2, None)]},
        lambda: Example("7", picture(), category="dog"),
        lambda: Image.new("RGB", (2, 2)),
    ):
        assert key(make()) == key(make())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.zeros(2), torch.zeros(2, dtype=torch.float64)),
        (torch.zeros(2, 3), torch.zeros(3, 2)),
        (torch.zeros(2), np.zeros(2, np.float32)),
        (np.zeros(2), np.zeros(2, np.int64)),
        (torch.zeros(2, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.float16)),
        (torch.tensor(1.0), torch.tensor(2.0)),
        (torch.zeros(0), torch.zeros(0, 1)),
        (Path("a"), "PosixPath('a')"),
        (range(3), "range(0, 3)"),
        (torch.float16, torch.bfloat16),
        ([1, 2], [[1, 2]]),
        ({"a": 1}, [["a", 1]]),
        ({1, 2}, [1, 2]),
        (None, "None"),
        (len, max),
        (dict, list),
        (0.0, -0.0),
    ],
    ids=str,
)
def test_other_values_have_other_keys(one, other):
    assert key(one) != key(other)
    assert key([one, other]) != key([other, one])


# Models.


def closing_over(model):
    def design(scene):
        return {"other model": [model, scene]}

    return design


@pytest.mark.slow
def test_a_model_in_a_closure_counts_by_its_weights_and_prompt():
    vlm = tiny_vlm()
    assert key(closing_over(vlm)) == key(closing_over(tiny_vlm()))
    assert key(closing_over(vlm)) != key(closing_over(tiny_vlm(seed=1)))
    reworded = VLM(vlm.model, vlm.processor, vlm.prompt + " ")
    assert key(closing_over(vlm)) != key(closing_over(reworded))
    assert key(closing_over(vlm)) != key(closing_over(vlm.model))


def test_the_lowest_bit_of_a_weight_changes_the_key_of_what_holds_it():
    vlm = tiny_vlm()
    before = key(closing_over(vlm)), key(closing_over(vlm.model)), weights_key(vlm.model)
    vlm.model.lm_head.weight.view(torch.int32)[-1, -1] ^= 1
    after = key(closing_over(vlm)), key(closing_over(vlm.model)), weights_key(vlm.model)
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_using_a_model_changes_nothing():
    vlm = tiny_vlm()
    before = key(closing_over(vlm))
    vlm.describe(vlm.read(picture(), "Hi?"), [[]], 2)
    assert key(closing_over(vlm)) == before


# Libraries.


def test_another_version_of_a_library_changes_the_libraries_only(monkeypatch):
    def design(scene):
        return np.sum(scene), torch.zeros(3)

    found, libraries = meaning_of(design)
    version = meaning.version
    assert {"python", "numpy", "torch"} == set(libraries)
    for library in ("torch", "numpy"):
        newer = {library: f"{version(library)}.9"}
        monkeypatch.setattr(meaning, "version", (libraries | newer).__getitem__)
        assert meaning_of(design) == (found, libraries | newer)
    monkeypatch.setattr(meaning, "version", version)
    assert meaning_of(design) == (found, libraries)


def test_a_design_that_uses_no_library_names_none():
    assert set(meaning_of(with_set)[1]) == {"python"}


def test_of_an_installed_library_no_source_counts():
    def design(scene):
        from scipy.stats import norm

        return norm.cdf(scene), Image.new("RGB", (1, 1))

    assert modules_of(design) == set()
    assert set(meaning_of(design)[1]) == {"python", "scipy", "pillow"}


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages", "laid over"])
def test_a_folder_that_an_installer_writes_into_holds_libraries(folder, tmp_path):
    """As `pip install --target` does: into a folder of any name, with records beside the code."""
    target = tmp_path / folder
    (target / "kit-1.0.dist-info").mkdir(parents=True)
    code = {"design.py": "import kit\ndef design(scene):\n    return kit.CODE\n"}
    with written.imported(target, {"kit.py": "CODE = 1\n"} | code) as design:
        assert modules_of(design) == set()


def test_following_imports_nothing(tmp_path):
    """An import within a function may be of something slow, or of something that is not there."""
    files = {
        "design.py": "def design(scene):\n    import kit.slow.helper\n    import not_there\n"
        "    from kit import slow\n    return kit, slow, not_there\n",
        "kit/__init__.py": "raise AssertionError\n",
        "kit/slow/__init__.py": "raise AssertionError\n",
        "kit/slow/helper.py": "FACTOR = 2\n",
    }
    with written.imported(tmp_path / "here", files) as design:
        assert modules_of(design) >= {"kit.slow.helper", "kit.slow"}
        assert not {"kit", "kit.slow", "kit.slow.helper"} & set(sys.modules)
    assert key_of(tmp_path / "here", files) != key_of(tmp_path / "there", other(files))


def test_what_has_its_modules_name_is_in_no_module_of_its_own(tmp_path):
    """Two such names in a row, of which each would seem to lie in the other."""
    files = {
        "design.py": "def design(scene):\n    from kit.slow import slow\n    return slow(scene)\n",
        "kit/__init__.py": "",
        "kit/slow.py": "from kit.kit import kit\ndef slow(scene):\n    return kit(scene)\n",
        "kit/kit.py": "def kit(scene):\n    return scene\n",
    }
    with written.imported(tmp_path, files) as design:
        assert modules_of(design) == {"kit.slow", "kit.kit"}


# The instrument.

MEASURED_WITH = {"vlmlib.model", "vlmlib.engine", "vlmlib.tasks", "vlmlib.lens", "vlmlib.mean"}
MEASURED_WITH |= {"vlmlib.gradients", "vlmlib.select", "vlmlib.windows", "vlmlib.interventions"}
MEASURED_WITH |= {"vlmlib.geometry", "vlmlib.study.run", "vlmlib.study.scene", "vlmlib.study.task"}
KEEPING = {"vlmlib.study", "vlmlib.study.store", "vlmlib.study.table", "vlmlib.study.measure"}
KEEPING |= {"vlmlib.study.meaning", "vlmlib.study.identity", "vlmlib.study.coco"}


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    """A copy of vlmlib, of which the instrument's key is asked."""
    shutil.copytree(ROOT / "vlmlib", tmp_path / "vlmlib")
    origin = meaning._origin

    def copied(module: str) -> Path | None:
        if module.split(".")[0] != "vlmlib":
            return origin(module)
        path = tmp_path.joinpath(*module.split("."))
        files = [path.with_suffix(".py"), path / "__init__.py"]
        return next((file for file in files if file.is_file()), None)

    monkeypatch.setattr(meaning, "_origin", copied)
    return tmp_path / "vlmlib"


def key_of_instrument() -> str:
    return instrument.__wrapped__()[0]


def test_the_instrument_is_all_that_measures_and_nothing_that_keeps():
    found = modules_of([vlmlib, run])
    assert found >= MEASURED_WITH
    assert not found & KEEPING
    assert {module.split(".")[0] for module in found} == {"vlmlib"}


@pytest.mark.slow
@pytest.mark.parametrize("file", ["model.py", "mean.py", "study/run.py", "study/row.py"])
def test_code_that_measures_changes_the_instruments_key_and_words_do_not(tree, file):
    before, source = key_of_instrument(), (tree / file).read_text()
    documented = source.replace('"""', '"""Other words: ', 1)
    for same in (documented, source + "\n# why\n", ast.unparse(ast.parse(source))):
        (tree / file).write_text(same)
        assert key_of_instrument() == before
    for changed in (source + "\nBOUND = 3\n", source + "\n'text'\n"):
        (tree / file).write_text(changed)
        assert key_of_instrument() != before


def test_a_new_module_is_in_the_key_of_what_imports_it(tree):
    before = key_of_instrument()
    (tree / "another.py").write_text("BOUND = 3\n")
    assert key_of_instrument() == before  # nothing imports it yet
    with (tree / "select.py").open("a") as file:
        file.write("\nfrom vlmlib.another import BOUND\n")
    imported = key_of_instrument()
    (tree / "another.py").write_text("BOUND = 4\n")
    assert len({before, imported, key_of_instrument()}) == 3


@pytest.mark.slow
@pytest.mark.parametrize("module", sorted(KEEPING))
def test_code_that_keeps_or_shows_rows_is_in_no_key(tree, module):
    before = key_of_instrument(), key(polling), key(is_right)
    path = tree.parent.joinpath(*module.split("."))
    file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    with file.open("a") as source:
        source.write("\nBOUND = 3\n")
    assert (key_of_instrument(), key(polling), key(is_right)) == before


def test_every_function_that_a_measurement_runs_through_is_in_the_key():
    """Seen while it runs, whatever imports say."""
    vlm, ran = tiny_vlm(), set()
    example = Example("7", picture(), category="dog")

    def blind(scene):
        return {"blind": [vlmlib.Ablate(scene.stimulus.visual, scene.mean)]}

    def seen(frame, event, _):
        if event == "call":
            ran.add(str(frame.f_globals.get("__name__")))

    sys.setprofile(seen)
    try:
        run(vlm, torch.zeros(16), example, polling, blind, lambda clean: True, seed=0)
    finally:
        sys.setprofile(None)
    ours = {module for module in ran if module.split(".")[0] == "vlmlib"}
    assert {"vlmlib.engine", "vlmlib.study.run", "vlmlib.tasks"} <= ours
    assert ours <= modules_of([vlmlib, run])


# Other processes.

KEYS = """
import json, os, sys
from pathlib import Path
if os.environ.get("VLM_CHECK_SHAPES") == "1":
    from jaxtyping import install_import_hook
    install_import_hook(["claimlib", "vlmlib"], "tests.checked")
from tests.vlmlib.study.test_meaning import measurements
print(json.dumps(measurements(Path(sys.argv[1]))))
"""


def measurements(folder: Path) -> dict[str, str]:
    """The keys of all kinds of designs, of the instrument and of what comes with it."""
    from claims.neo2025 import arms, authors, lens, protocol

    own = [arms.ablations, arms.knockouts, lens.shown, lens.without_numbers, protocol.described]
    parts = [instrument()[0], run, polling, is_right, own, protocol.TEXT, authors.AUTHORS]
    return written.keys(folder) | {str(at): key(part) for at, part in enumerate(parts)}


@pytest.mark.slow
def test_keys_are_the_same_in_other_processes(tmp_path):
    """With another order of sets, and with every function of vlmlib and claimlib wrapped."""
    settings = [{"PYTHONHASHSEED": "1", "VLM_CHECK_SHAPES": ""}]
    settings += [{"PYTHONHASHSEED": "2", "VLM_CHECK_SHAPES": "1"}]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", KEYS, str(tmp_path / str(number))],
            cwd=ROOT,
            env=os.environ | each,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number, each in enumerate(settings)
    ]
    here = measurements(tmp_path / "here")
    assert len(here) == len(KINDS) + 7
    for process in processes:
        out, _ = process.communicate()
        there = json.loads(out.splitlines()[-1])
        assert [name for name in here if here[name] != there[name]] == []


def test_the_module_says_no_name_of_another_one_by_hand():
    """Nobody keeps a list: of this house's modules the rule names its own package alone."""
    source = (ROOT / "vlmlib" / "study" / "meaning.py").read_text()
    assert re.findall(r'"vlmlib[\w.]*"', source) == ['"vlmlib"']
