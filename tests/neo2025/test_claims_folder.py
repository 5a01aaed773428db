"""The real claims as pytest collects them, and how they come out on the paper's own printed
figures.

Fails if a claim has no test or several, if a test runs on a model or on images of which it means
nothing, or if a verdict on the paper as published changes.
"""

import json
from pathlib import Path

import pytest

from claimlib.claims import Claim
from claimlib.plugin import subject_of
from fixtures.models import SHIPPED
from tests.neo2025 import NEO2025 as CLAIMS

pytest_plugins = ["tests.inner"]

# How the claims come out on the paper's printed figures.
LLAVA, PHI, QWEN = "llava-1.5-7b", "llava-phi-3", "qwen2-vl-2b"
BOTH, LENSES = f"{LLAVA}+{PHI}", f"{LLAVA}+{QWEN}"
PUBLISHED = {
    "object-impairs": {LLAVA: "undecided", PHI: "supported"},
    "object-buffer-70": {LLAVA: "undecided", PHI: "supported"},
    "object-buffer-polling": {LLAVA: "undecided", PHI: "supported"},
    "object-buffer-polling-third": {LLAVA: "supported", PHI: "supported"},
    "buffer-order": {LLAVA: "supported", PHI: "supported"},
    "object-beats-gradient": {LLAVA: "undecided", PHI: "undecided"},
    "object-beats-gradient-20": {LLAVA: "undecided", PHI: "undecided"},
    "object-beats-random": {LLAVA: "supported", PHI: "supported"},
    "register-hardly-matters": {LLAVA: "undecided", PHI: "supported"},
    "register-as-random": {LLAVA: "undecided", PHI: "undecided"},
    "random-hardly-matters": {LLAVA: "undecided", PHI: "supported"},
    "gradient-increases": {LLAVA: "supported", PHI: "supported"},
    "both-models-agree": {BOTH: "supported"},
    "best-layer-mid-to-late": {LLAVA: "supported", QWEN: "supported"},
    "qwen-lower": {LENSES: "supported"},
    "object-to-last-late": {LLAVA: "supported"},
    "object-to-last-early": {LLAVA: "supported"},
    "context-early": {LLAVA: "undecided"},
    "last-visual-row-vqa": {LLAVA: "supported"},
}
OF_THEIR_IMAGES = {"table-2": "others", "table-2-repeat": "the paper's"}


def claim_of(item: pytest.Function) -> str:
    return next(item.iter_markers("claim")).args[0]


def label_of(item: pytest.Function) -> str:
    subject = subject_of(item)
    assert subject is not None
    return subject.label


def architectures_of(claim: Claim) -> list[str]:
    return [f"{model}, architecture" for model in claim.subjects.get("architectures", [])]


def on_others(claim: Claim) -> bool:
    """Whether a claim means something on other images than the paper's own."""
    return OF_THEIR_IMAGES.get(claim.id) != "the paper's"


def without_a_gpu(claim: Claim) -> list[str]:
    """What a claim is held against beside the paper's models."""
    published = claim.subjects.get("published", [])
    shipped = [] if SHIPPED in claim.not_on else [SHIPPED]
    return [f"{model} as published" for model in published] + shipped


def labels(items: list[pytest.Function]) -> dict[str, list[str]]:
    """The names of what each claim runs on."""
    found: dict[str, list[str]] = {}
    for item in items:
        found.setdefault(claim_of(item), []).append(label_of(item))
    return {name: sorted(each) for name, each in found.items()}


@pytest.fixture
def papers_questions(tmp_path: Path) -> str:
    """An option: as many questions as the authors' file has."""
    file = tmp_path / "questions.json"
    file.write_text(json.dumps({str(at): ["What?"] * (at < 100) for at in range(4318)}))
    return f"--vlm-questions={file}"


def test_every_claim_has_exactly_one_test_on_every_model_it_speaks_of(inner):
    items = inner.items(inner.claims, "-m", "")
    functions = {(claim_of(item), item.originalname) for item in items}
    asked = {claim.id: claim for claim in CLAIMS.values() if on_others(claim)}
    assert sorted(name for name, _ in functions) == sorted(asked)
    assert len({function for _, function in functions}) == len(asked)
    of_architectures = {"language-model-share", "visual-token-count"}
    assert {
        claim_of(item) for item in items if "architecture" in item.fixturenames
    } == of_architectures
    assert labels(items) == {
        name: sorted(
            [*claim.subjects.get("models", []), *architectures_of(claim), *without_a_gpu(claim)]
        )
        for name, claim in asked.items()
    }


@pytest.mark.slow
def test_table_2_is_held_against_other_images_or_repeated(inner, papers_questions):
    """Never both: on the paper's own images a second sample there is none."""
    only = ("-m", "", "-k", "table_2")
    assert labels(inner.items(inner.claims, *only)) == {"table-2": [LLAVA]}
    repeated = labels(inner.items(inner.claims, *only, papers_questions))
    assert repeated == {"table-2-repeat": [LLAVA]}
    declared = {claim.id: claim.subjects.get("images") for claim in CLAIMS.values()}
    assert {name: images for name, images in declared.items() if images} == {
        **OF_THEIR_IMAGES,
        "images-left": "all",
    }


def test_images_are_not_counted_where_some_are_left_out(inner):
    chosen = ("-m", "", "-k", "images_are_left")
    assert set(labels(inner.items(inner.claims, *chosen))) == {"images-left"}
    assert inner.items(inner.claims, *chosen, "--vlm-limit", "10") == []


def test_by_default_nothing_runs_that_needs_a_gpu_or_a_download(inner):
    items = inner.items(inner.claims)
    assert [item.nodeid for item in items if item.get_closest_marker("gpu")] == []
    assert labels(items) == {
        claim.id: found
        for claim in CLAIMS.values()
        if (found := sorted(without_a_gpu(claim) + architectures_of(claim)))
    }


def test_on_a_gpu_the_papers_own_models_run_and_nothing_else(inner):
    items = inner.items(inner.claims, "-m", "gpu")
    assert {label for each in labels(items).values() for label in each} == {
        LLAVA,
        PHI,
        QWEN,
        BOTH,
        LENSES,
    }


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
    ended = [each for each in reports if each.when == "teardown"]
    found = [row["data"] for each in ended for row in each.claim_rows]
    outcomes: dict[str, dict[str, str]] = {}
    for each in found:
        label = each["subject"].removesuffix(" as published")
        outcomes.setdefault(each["claim"], {})[label] = each["outcome"]
    assert outcomes == PUBLISHED
    assert len(found) == sum(map(len, PUBLISHED.values()))
    lines = {
        (each["claim"], each["subject"].removesuffix(" as published")): each["sentence"]
        for each in found
    }
    assert lines["object-buffer-polling", LLAVA].startswith(
        "undecided: 51.3% [34.8%, 67.6%], n = 39, required > 50%"
    )
    assert lines["object-buffer-polling", PHI].startswith(
        "supported: 86.5% [83.1%, 89.4%], n = 488, required > 50%"
    )
    assert lines["last-visual-row-vqa", LLAVA].startswith("supported: 12 of 12 parts supported; ")
    assert not inner.store.exists()
