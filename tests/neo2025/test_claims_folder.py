"""The real claims as pytest collects them, and how they come out on the paper's own printed
figures.

Fails if a claim has no test or several, if a test runs on a model of which it means nothing, if a
cell of the paper's tables is missing, or if a verdict on the paper as published changes.
"""

import pytest

from claimlib.claims import Claim
from claimlib.plugin import subject_of
from fixtures.models import SHIPPED
from tests.neo2025 import NEO2025 as CLAIMS

pytest_plugins = ["tests.inner"]

CELLS = {"table-1-cell", "table-2-cell"}
# How the claims come out on the paper's printed figures.
LLAVA, PHI, QWEN, BOTH = "llava-1.5-7b", "llava-phi-3", "qwen2-vl-2b", "llava-1.5-7b+llava-phi-3"
PUBLISHED = {
    "object-impairs": {LLAVA: "undecided", PHI: "supported"},
    "object-buffer-70": {LLAVA: "undecided", PHI: "supported"},
    "object-buffer-polling": {LLAVA: "undecided", PHI: "supported"},
    "buffer-order": {LLAVA: "undecided", PHI: "undecided"},
    "object-beats-gradient": {LLAVA: "undecided", PHI: "undecided"},
    "object-beats-gradient-20": {LLAVA: "undecided", PHI: "undecided"},
    "object-beats-random": {LLAVA: "supported", PHI: "supported"},
    "register-negligible": {LLAVA: "undecided", PHI: "supported"},
    "random-negligible": {LLAVA: "undecided", PHI: "undecided"},
    "gradient-increases": {LLAVA: "supported", PHI: "supported"},
    "both-models-agree": {BOTH: "supported"},
    "best-layer-mid-to-late": {LLAVA: "supported", QWEN: "supported"},
    "qwen-lower": {QWEN: "supported"},
    "object-to-last-late": {LLAVA: "supported"},
    "object-to-last-early": {LLAVA: "supported"},
    "context-early": {LLAVA: "supported"},
    "last-visual-row-vqa": {LLAVA: "supported"},
}


def claim_of(item: pytest.Function) -> str:
    return next(item.iter_markers("claim")).args[0]


def label_of(item: pytest.Function) -> str:
    subject = subject_of(item)
    assert subject is not None
    return subject.label


def models_of(claim: Claim) -> list[str]:
    """The paper's models that a claim speaks of."""
    return claim.subjects.get("models") or claim.subjects["architectures"]


def without_a_gpu(claim: Claim) -> list[str]:
    """What a claim is held against beside them."""
    published = claim.subjects.get("published", [])
    shipped = [] if SHIPPED in claim.not_on else [SHIPPED]
    return [f"{model} as published" for model in published] + shipped


def labels(items: list[pytest.Function]) -> dict[str, list[str]]:
    """The names of what each claim runs on; of a table's cells, each name once."""
    found: dict[str, list[str]] = {}
    for item in items:
        label, names = label_of(item), found.setdefault(claim_of(item), [])
        if claim_of(item) not in CELLS or label not in names:
            names.append(label)
    return {name: sorted(each) for name, each in found.items()}


def test_every_claim_has_exactly_one_test_on_every_model_it_speaks_of(inner):
    items = inner.items(inner.claims, "-m", "")
    functions = {(claim_of(item), item.originalname) for item in items}
    assert sorted(name for name, _ in functions) == sorted(CLAIMS)
    assert len({function for _, function in functions}) == len(CLAIMS)
    of_architectures = {"language-model-share", "visual-token-count"}
    assert {
        claim_of(item) for item in items if "architecture" in item.fixturenames
    } == of_architectures
    expected = {
        claim.id: sorted([*models_of(claim), *without_a_gpu(claim)]) for claim in CLAIMS.values()
    }
    assert labels(items) == expected


def test_every_cell_of_both_tables_has_a_test_on_the_papers_models_alone(inner):
    items = [
        item
        for item in inner.items(inner.claims, "-m", "", "-k", "cell_of")
        if claim_of(item) in CELLS
    ]
    cells = [(claim_of(item), label_of(item), *item.callspec.params["cell"]) for item in items]
    assert len(set(cells)) == len(cells) == 108 + 36
    counts = {key: sum(cell[:2] == key for cell in cells) for key in {cell[:2] for cell in cells}}
    assert counts == {
        ("table-1-cell", LLAVA): 54,
        ("table-1-cell", PHI): 54,
        ("table-2-cell", LLAVA): 36,
    }
    assert {task for claim, _, task, _ in cells if claim == "table-2-cell"} == {"VQA"}


def test_by_default_nothing_runs_that_needs_a_gpu_or_a_download(inner):
    items = inner.items(inner.claims)
    assert [item.nodeid for item in items if item.get_closest_marker("gpu")] == []
    assert labels(items) == {
        claim.id: found
        for claim in CLAIMS.values()
        if (found := sorted(without_a_gpu(claim) + claim.subjects.get("architectures", [])))
    }


def test_on_a_gpu_the_papers_own_models_run_and_nothing_else(inner):
    items = inner.items(inner.claims, "-m", "gpu")
    assert {label for each in labels(items).values() for label in each} == {LLAVA, PHI, QWEN, BOTH}


def test_a_model_of_ones_own_is_held_against_what_means_something_on_it(inner):
    items = [
        item
        for item in inner.items(inner.claims, *inner.own)
        if "architecture" not in item.fixturenames
    ]
    assert labels(items) == {
        claim.id: ["my-llava"]
        for claim in CLAIMS.values()
        if not {"models_only", "architectures"} & claim.subjects.keys()
    }


def test_the_paper_as_published_comes_out_as_it_did(inner):
    reports = inner.reports(inner.claims, "-k", "published")
    properties = [
        value for each in reports if each.when == "teardown" for value in each.user_properties
    ]
    found = [value for name, value in properties if name == "claimlib.verdict"]
    outcomes: dict[str, dict[str, str]] = {}
    for each in found:
        outcomes.setdefault(each["claim"], {})[each["label"].removesuffix(" as published")] = each[
            "outcome"
        ]
    assert outcomes == PUBLISHED
    assert len(found) == sum(map(len, PUBLISHED.values()))
    lines = {
        (each["claim"], each["label"].removesuffix(" as published")): each["line"] for each in found
    }
    assert lines["object-buffer-polling", LLAVA].startswith(
        "undecided: 51.3% [34.8%, 67.6%], n = 39, required > 50%"
    )
    assert lines["object-buffer-polling", PHI].startswith(
        "supported: 86.5% [83.1%, 89.4%], n = 488, required > 50%"
    )
    assert lines["last-visual-row-vqa", LLAVA].startswith("supported: 12 of 12 parts supported; ")
    assert not inner.store.exists()
