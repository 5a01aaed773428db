"""The paper's claims.toml fits its tests and its models.

Fails if a claim has no test or several, if a test calls another rule than its claim's, if a bound
stands in code, or if a claim names what the paper has not.
"""

import ast
import re
from dataclasses import replace

import pytest

from claimlib import KINDS, ClaimError
from claimlib.claims import REFUTATIONS, load_refutations
from claims.neo2025.runs import check_subjects
from tests.neo2025 import FOLDER, NEO2025


def test_every_claim_has_exactly_one_test_and_every_test_a_claim():
    code = "".join(file.read_text() for file in sorted(FOLDER.glob("test_*.py")))
    ids = re.findall(r'@pytest\.mark\.claim\("([^"]+)"\)\ndef test_', code)
    assert sorted(ids) == sorted(NEO2025)
    assert len(ids) == len(re.findall(r"^def test_", code, flags=re.MULTILINE))


RULES = {kind.rule.__name__ for kind in KINDS.values()}
# What a page says of a single cell decides no claim.
NO_VERDICTS = {"pages.py": {"agrees"}}
# Kinds that this paper has no claim of. `agrees` compares a single share with a printed one; here
# whole tables are compared, but a paper that prints one figure needs it.
OF_OTHER_PAPERS = {"agrees"}


def rules_called(code: str) -> list[ast.Call]:
    """Every call of a rule by its own name."""
    return [
        node
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RULES
    ]


def is_a_control(call: ast.Call) -> bool:
    """Whether a rule is `greater`, at its own level, with a margin out of the claim's entry."""
    own = r"trial\.claim\.(bounds|parameters)\['\w+'\]"
    named = {each.arg: ast.unparse(each.value) for each in call.keywords}
    return (
        ast.unparse(call.func) == "greater"
        and named.keys() == {"margin"}
        and re.fullmatch(own, named["margin"]) is not None
    )


def test_the_papers_own_code_calls_no_rule_but_its_claims():
    """So that no level and no bound stands in code: a control takes its margin from the entry."""
    for file in FOLDER.glob("*.py"):
        allowed = NO_VERDICTS.get(file.name, set())
        calls = [each for each in rules_called(file.read_text()) if not is_a_control(each)]
        assert {ast.unparse(each.func) for each in calls} <= allowed, file.name


@pytest.mark.parametrize(
    ("code", "control"),
    [
        ("greater(a, b, margin=trial.claim.bounds['margin'])", True),
        ("greater(*pair, margin=trial.claim.parameters['positive'])", True),
        ("greater(a, b, margin=0.05)", False),
        ("greater(a, b)", False),
        ("greater(a, b, margin=trial.claim.bounds['margin'], level=0.5)", False),
        ("exceeds(a, margin=trial.claim.bounds['margin'])", False),
    ],
)
def test_a_rule_with_a_bound_of_its_own_is_found(code, control):
    assert [is_a_control(each) for each in rules_called(code)] == [control]


def test_every_kind_is_that_of_some_claim():
    used = {claim.kind for claim in NEO2025.values()}
    assert used | OF_OTHER_PAPERS == KINDS.keys()
    assert not used & OF_OTHER_PAPERS


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
        ({"models": ["llava-phi-3"], "images": "ours"}, "images is 'ours'; expected one of others"),
        ({"models": ["llava-phi-3"]}, r"asks is \[\]; expected what its test asks of the models"),
        ({"models": ["llava-phi-3"], "asks": ["lense"]}, r"asks is \['lense'\]; expected what"),
        ({"models": ["llava-phi-3"], "asks": "lens"}, "asks is 'lens'; expected a list of names"),
        ({"architectures": ["llava-phi-3"], "asks": ["lens"]}, r"asks is \['lens'\]; expected"),
    ],
)
def test_subjects_that_the_paper_has_not_are_refused(subjects, message):
    claim = replace(NEO2025["visual-norms"], subjects=subjects)
    with pytest.raises(ClaimError, match=rf"claims.toml, \[visual-norms\]: subjects: {message}"):
        check_subjects(claim)
