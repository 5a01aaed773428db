"""The paper's claims.toml fits its tests and its models.

Fails if a claim has no test or several, if a test calls another rule than its claim's, or if a
claim names what the paper has not.
"""

import ast
import re
from dataclasses import replace

import pytest

from claimlib import KINDS, ClaimError
from claimlib.claims import REFUTATIONS, load_refutations
from claims.neo2025.conftest import check_subjects
from tests.neo2025 import FOLDER, NEO2025


def test_every_claim_has_exactly_one_test_and_every_test_a_claim():
    code = "".join(file.read_text() for file in sorted(FOLDER.glob("test_*.py")))
    ids = re.findall(r'@pytest\.mark\.claim\("([^"]+)"\)\ndef test_', code)
    assert sorted(ids) == sorted(NEO2025)
    assert len(ids) == len(re.findall(r"^def test_", code, flags=re.MULTILINE))


def test_the_papers_own_code_calls_no_rule_but_its_claims():
    """So that no level and no bound stands in code."""
    rules = {kind.rule.__name__ for kind in KINDS.values()}
    for file in FOLDER.glob("*.py"):
        imported = [
            alias.name
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("claimlib")
            for alias in node.names
        ]
        assert not rules & set(imported), file.name


def test_every_kind_is_that_of_some_claim():
    assert {claim.kind for claim in NEO2025.values()} == KINDS.keys()


def test_a_claim_about_its_own_models_does_not_run_on_the_shipped_one():
    only = {name for name, claim in NEO2025.items() if "models_only" in claim.subjects}
    assert {name for name in only if "emoji-llava" not in NEO2025[name].not_on} == set()


def test_published_figures_are_those_of_the_models_that_a_claim_speaks_of():
    assert [
        claim.id
        for claim in NEO2025.values()
        if not set(claim.subjects.get("published", [])) <= set(claim.subjects.get("models", []))
    ] == []


def test_known_refutations_are_of_claims_that_there_are():
    assert {claim for claim, _ in load_refutations(NEO2025, FOLDER / REFUTATIONS)} <= NEO2025.keys()


@pytest.mark.parametrize(
    ("subjects", "message"),
    [
        ({"models": ["gpt"]}, "models: model 'gpt' is none of emoji-llava, llava-1.5-7b"),
        ({"models": ["llava-1.5-7b+gpt"]}, "models: model 'gpt' is none of"),
        ({"models": ["llava-phi-3"], "published": ["gpt"]}, "published: model 'gpt' is none of"),
        ({"architectures": ["gpt"]}, "architectures: model 'gpt' is none of"),
        ({"models": []}, "has neither models nor architectures"),
        ({"models": "llava-1.5-7b"}, "models is 'llava-1.5-7b'; expected a list of names"),
        ({"models": [7]}, r"models is \[7\]; expected a list of names"),
        ({"models": ["llava-phi-3"], "published": 7}, "published is 7; expected a list of names"),
        ({"models": ["llava-phi-3"], "models_only": "no"}, "models_only is 'no'; expected true"),
        ({"model": ["llava-phi-3"]}, "key 'model' is unknown"),
    ],
)
def test_subjects_that_the_paper_has_not_are_refused(subjects, message):
    claim = replace(NEO2025["visual-norms"], subjects=subjects)
    with pytest.raises(ClaimError, match=rf"claims.toml, \[visual-norms\]: subjects: {message}"):
        check_subjects(claim)
