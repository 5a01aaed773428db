"""Every claim is run where it is known to be true, and where it is not, and must come out so.

Each claim's own test is called with worlds, whose results are made up (worlds.py), and with planted
models, whose weights are set by hand and which are measured like any other model (planted.py).
Fails if a claim compares the wrong arms, in the wrong direction or with the wrong bound, leaves a
setting out, or passes without its control.
"""

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from claimlib import Clustered
from claimlib.claims import Subject, Trial
from claimlib.errors import ClaimRefuted, ClaimUndecided
from claimlib.kinds import KINDS
from claimlib.verdicts import Verdict
from claims.neo2025 import (
    test_attention_flow,
    test_global_features,
    test_localization,
    test_logit_lens,
    test_setup,
)
from claims.neo2025.lens import LensResults
from claims.neo2025.protocol import TEXT
from claims.neo2025.published import Published
from claims.neo2025.study import Measured
from tests.neo2025 import FOLDER, planted, worlds
from tests.neo2025 import NEO2025 as CLAIMS
from vlmlib import save_mean
from vlmlib.study import Store

ROOMS = (test_setup, test_localization, test_logit_lens, test_global_features, test_attention_flow)
TESTS: dict[str, Callable[..., None]] = {
    marker.args[0]: function
    for room in ROOMS
    for function in vars(room).values()
    for marker in getattr(function, "pytestmark", ())
    if marker.name == "claim"
}
CONTROLS = ("beside_another", "beside_negative_control", "beside_positive_control", "where_alive")


def read_table(about: str) -> dict[str, dict[str, str]]:
    """A table of claims/neo2025/planted.md: how each claim must come out, by claim and column."""
    section = (FOLDER / "planted.md").read_text(encoding="utf-8").split(f"## {about}\n")[1]
    lines = [line for line in section.split("\n## ")[0].splitlines() if line.startswith("|")]
    head, _, *rows = ([cell.strip(" `") for cell in line[1:-1].split("|")] for line in lines)
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}


ANNOTATED = {"object-area", "lens-object-area", "images-left"}  # decided without a model
LEFT_OPEN = {"object-beats-gradient-20", "register-as-random"}
IN_WORLDS = read_table("In made-up worlds")
ON_MODELS = read_table("On planted models")
MODELS = tuple(next(iter(ON_MODELS.values())))
# The planted category, "Yes", has no words in the lexicon.
NO_WORDS = {"more-specific", "other-languages"}


def outcome(claim: str, subject: Any, **more: Any) -> tuple[str, list[Verdict]]:
    """What pytest would see, and the verdicts that were handed in."""
    trial = Trial(CLAIMS[claim], Subject("planted"))
    given = {"trial": trial, "subject": subject, **more}
    asked = inspect.signature(TESTS[claim]).parameters
    try:
        TESTS[claim](**{name: given[name] for name in asked})
    except ClaimRefuted:
        return "refuted", trial.verdicts
    except ClaimUndecided:
        return "undecided", trial.verdicts
    return "supported", trial.verdicts


world = cache(worlds.world)


def last_model(claim: str) -> str:
    """The last model that a claim speaks of."""
    subjects = CLAIMS[claim].subjects
    return (subjects.get("models") or subjects["architectures"])[-1]


def in_world(claim: str, name: str) -> tuple[str, list[Verdict]]:
    """In the world "paper" the figures of a claim are those of the last model that it speaks of."""
    again = (90, True) if claim == "table-2-repeat" else ()
    subjects = [world(name, model, *again) for model in last_model(claim).split("+")]
    last = subjects[-1]
    return outcome(
        claim,
        last,
        subjects=subjects,
        printed=Published(last.name),
        architecture=last.architecture,
    )


def _leave_alone(verdict: Verdict, *_: Any, **__: Any) -> Verdict:
    return verdict


@pytest.fixture
def without_controls(monkeypatch) -> Callable[[str], None]:
    def take_away(claim: str) -> None:
        for control in CONTROLS:
            if control in TESTS[claim].__globals__:
                monkeypatch.setitem(TESTS[claim].__globals__, control, _leave_alone)

    return take_away


def test_every_claim_is_planted():
    assert set(IN_WORLDS) == set(TESTS) - ANNOTATED
    assert set(TESTS) == set(CLAIMS)
    assert (
        set(ON_MODELS)
        == {
            name
            for name, claim in CLAIMS.items()
            if not {"models_only", "architectures"} & claim.subjects.keys()
        }
        - NO_WORDS
    )
    assert {CLAIMS[claim].kind for claim in IN_WORLDS} == set(KINDS) - {"agrees"}


@pytest.mark.slow
@pytest.mark.parametrize("claim", IN_WORLDS)
def test_a_claim_is_supported_where_the_paper_is_right(claim):
    """And refuted where the opposite is true. Two claims the paper's own figures leave open."""
    expected = IN_WORLDS[claim]
    found, verdicts = in_world(claim, "paper")
    assert found == expected["paper"] == ("undecided" if claim in LEFT_OPEN else "supported")
    assert in_world(claim, "opposite")[0] == expected["opposite"] == "refuted"
    assert (len(verdicts[0].parts) or 1) == int(expected["parts"])


@pytest.mark.slow
@pytest.mark.parametrize("claim", IN_WORLDS)
def test_a_claim_is_not_supported_where_nothing_is_there(claim, without_controls):
    """Or where its control does as much."""
    found = {name: in_world(claim, name)[0] for name in ("nothing", "everywhere")}
    without_controls(claim)
    bare = {f"{name}, no control": in_world(claim, name)[0] for name in found}
    assert (found | bare).items() <= IN_WORLDS[claim].items()


def test_of_every_kind_with_a_control_some_claim_is_undecided_by_it_alone():
    by_it_alone = {
        CLAIMS[claim].kind
        for claim, row in IN_WORLDS.items()
        for name in ("nothing", "everywhere")
        if (row[name], row[f"{name}, no control"]) == ("undecided", "supported")
    }
    # other kinds need an effect, or have their control in themselves
    assert by_it_alone == {"exceeds", "negligible", "no-more", "increases", "peaks", "within"} | {
        "near",
        "within-factor",
        "above-another",
    }


@pytest.mark.parametrize(
    ("claim", "found", "expected"),
    [
        ("object-area", 0.03, "supported"),
        ("object-area", 0.005, "refuted"),
        ("lens-object-area", 0.17, "supported"),
        ("lens-object-area", 0.08, "refuted"),
        ("images-left", 4318, "supported"),
        ("images-left", 1140, "refuted"),
    ],
)
def test_annotations_decide_what_they_say(claim, found, expected):
    areas = Clustered(np.full(60, found) * np.linspace(0.9, 1.1, 60), np.arange(60) % 30)
    yields = {"generative": {"filter 1": 5000, "filter 2": found}}
    subject = SimpleNamespace(
        areas=areas,
        lens=SimpleNamespace(areas=areas),
        ablations=SimpleNamespace(yields=yields),
    )
    assert outcome(claim, subject)[0] == expected


def test_two_models_do_not_agree_where_one_of_them_shows_nothing():
    subjects = [world(each, "llava-phi-3") for each in ("paper", "nothing")]
    subjects[1].name = "another"
    found, verdicts = outcome("both-models-agree", subjects[0], subjects=subjects)
    assert (found, [part.outcome for _, part in verdicts[0].parts]) == (
        "undecided",
        ["supported"] * 3 + ["undecided"] * 3,
    )


@pytest.mark.parametrize(
    ("claim", "kind", "other"),
    [("more-specific", 0, 1), ("other-languages", 1, 0)],
    ids=["specific", "languages"],
)
def test_words_of_one_kind_support_no_claim_about_the_other(claim, kind, other):
    images = world("paper", "llava-1.5-7b").lens.images
    found = [
        outcome(
            claim,
            SimpleNamespace(
                lens=LensResults([replace(each, words=each.words[at : at + 1]) for each in images])
            ),
        )[0]
        for at in (kind, other)
    ]
    assert found == ["supported", "undecided"]


@pytest.fixture(scope="module")
def subject_of(tmp_path_factory):
    """Planted models by name; of most, fewer images are enough."""
    folder = tmp_path_factory.mktemp("planted")
    data = planted.write_data(folder / "data")
    mean = folder / "mean.safetensors"
    save_mean(mean, planted.poisoned_mean(), made="by hand")
    quick = replace(TEXT, steps=6)  # of integrated gradients, which take longest

    @cache
    def subject(name: str) -> Measured:
        adapter = {"red": "yes"} if name == "EARLY" else None
        vlm = planted.planted(*getattr(planted, name), adapter=adapter)
        limit = 12 if name in ("ELSEWHERE", "LAST_ROW", "POISONED") else None
        own_mean = mean if name == "POISONED" else None
        return planted.study_of(vlm, data, store, limit, mean=own_mean, protocol=quick, name=name)

    store = Store(folder / "store")
    yield subject
    store.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "claim", "expected"),
    [(name, claim, row[name]) for name in MODELS for claim, row in ON_MODELS.items() if row[name]],
)
def test_a_claim_on_a_planted_model_is_what_its_wiring_makes_it(name, claim, expected, subject_of):
    found, verdicts = outcome(claim, subject_of(name))
    assert found == expected, str(verdicts[0])
    if name == "BLIND" and verdicts[0].n == 0:
        assert "no images are left" in str(verdicts[0])


def test_a_poisoned_mean_token_is_seen_by_the_control_alone(subject_of, without_controls):
    """One that takes the answer away wherever it stands."""
    without_controls("object-impairs")
    assert outcome("object-impairs", subject_of("POISONED"))[0] == "supported"
