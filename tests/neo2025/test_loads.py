"""How often is a model loaded? As often as there are models, and not at all where all rows are
there.

The paper's three models are made-up checkpoints under their names. Fails if tests of one model do
not follow each other, if a model is loaded before a row of it is missing, or if one is kept or
asked for beside another.
"""

import pytest

from fixtures.models import MODELS
from tests.neo2025 import NEO2025
from vlmlib import VLM

pytest_plugins = ["tests.inner"]
OWN = ("llava-1.5-7b", "llava-phi-3", "qwen2-vl-2b")


@pytest.fixture
def loads(inner, monkeypatch) -> list[str]:
    """The sources of all models that are loaded, in their order; the paper's are made up."""
    for name in OWN:
        monkeypatch.setitem(MODELS, name, inner.checkpoint_named(name))
    load, found = VLM.load, []

    def counting(source, **options):
        found.append(str(source).rpartition("/")[2])
        return load(source, **options)

    monkeypatch.setattr(VLM, "load", counting)
    return found


@pytest.mark.slow
def test_each_model_is_loaded_once_and_never_where_all_rows_are_there(inner, loads):
    options = ("-m", "gpu", *inner.on_scenes)
    first = inner.run(inner.claims, *options).parseoutcomes()
    asked = [
        model
        for claim in NEO2025.values()
        if claim.subjects.get("images") not in ("the paper's", "all")  # of a part of the images
        for model in claim.subjects.get("models", [])
    ]
    assert sum(first.values()) - first["deselected"] == len(asked) > 70
    assert "errors" not in first
    assert sorted(loads) == sorted(OWN)
    loads.clear()
    second = inner.run(inner.claims, *options).parseoutcomes()
    assert (second, loads) == (first, [])


BOTH = """
import pytest
from claimlib import Totals

@pytest.mark.claim("both-models-agree")
def test_both(trial, subjects):
    assert [each.lens.states for each in subjects] == [3, 3]
    trial.check(trial.claim.rule(Totals(90, 100), Totals(10, 100)))
"""


def test_a_claim_over_two_models_alone_loads_each_once(inner, loads):
    run = inner.code(BOTH, "-m", "gpu", *inner.on_scenes)
    assert run.parseoutcomes() == {"passed": 1, "deselected": 1}
    assert sorted(loads) == sorted(OWN[:2])
