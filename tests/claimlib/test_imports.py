"""What is loaded by whom: the plugin loads nothing, the rules load no model.

Each is tried in a process of its own. Fails if whoever has this package installed pays for it, or
if a judge of coins needs a model.
"""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

import claimlib

HEAVY = ("numpy", "scipy", "statsmodels", "jaxtyping")
MODELS = ("torch", "transformers", "PIL", "vlmlib", "fixtures", "claims")


def loaded_by(code: str) -> set[str]:
    """The packages that are loaded once this code has run."""
    names = "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    command = [sys.executable, "-c", f"import sys\n{code}\n{names}"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_the_plugin_loads_pytest_and_nothing_heavy():
    loaded = loaded_by("import claimlib.plugin")
    assert {"pytest", "claimlib"} <= loaded
    assert not loaded & {*HEAVY, *MODELS}


@pytest.mark.slow
def test_kinds_and_rules_load_no_model():
    loaded = loaded_by("import claimlib.kinds, claimlib.claims, claimlib.report, claimlib.controls")
    assert "numpy" in loaded
    assert not loaded & {*MODELS}


def test_the_plugin_is_installed_under_its_name():
    [point] = entry_points(group="pytest11", name="claimlib")
    assert point.value == "claimlib.plugin"


def test_every_public_name_is_there():
    assert claimlib.KINDS
    names = [name for name in claimlib.__all__ if name != "KINDS"]
    assert [getattr(claimlib, name).__name__ for name in names] == names


def test_another_name_is_none():
    with pytest.raises(AttributeError, match="module 'claimlib' has no attribute 'coin'"):
        _ = claimlib.coin  # type: ignore[attr-defined]
