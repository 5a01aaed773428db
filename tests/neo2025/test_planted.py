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

import pytest

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
from claims.neo2025.protocol import TEXT
from claims.neo2025.published import Printed
from claims.neo2025.study import Measured
from tests.neo2025 import NEO2025 as CLAIMS
from tests.neo2025 import planted, worlds
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
CELLS = {"table-1-cell": ("polling", "+1 buffer"), "table-2-cell": ("VQA", "O -> LTP, early")}
CONTROLS = ("beside_negative_control", "beside_positive_control")

# Supported, refuted or undecided in each world. In two of them, whose name says what they lack,
# each claim is run a second time with its control taken away: where that changes the outcome, the
# control alone had decided.
IN_WORLDS = {
    # paper, nothing (without control), everywhere (without control), opposite
    "language-model-share": "S RR SS R",
    "visual-token-count": "S RR SS R",
    "visual-norms": "S RR SS R",
    "mean-token-in-distribution": "S RR SS R",
    "adapter-output": "S US SS R",
    "object-impairs": "S RR US R",
    "object-buffer-70": "S RR US R",
    "object-buffer-polling": "S RR US R",
    "buffer-order": "S UU US R",
    "object-beats-gradient": "S UU UU R",
    "object-beats-gradient-20": "S UU UU R",
    "object-beats-gradient-same-count": "S UU UU R",
    "object-beats-random": "S UU UU R",
    "object-beats-random-same-count": "S UU UU R",
    "register-negligible": "S US RR R",
    "random-negligible": "S US RR R",
    "gradient-increases": "S UU US R",
    "both-models-agree": "S UU UU R",
    "token-counts": "S RR SS R",
    "table-1-cell": "S RR SS R",
    "late-layers-name-the-class": "S UU UU R",
    "lens-share": "S US US R",
    "lens-best-layer": "S UU US R",
    "best-layer-mid-to-late": "S UU US R",
    "alignment-grows": "S UU US R",
    "qwen-lower": "S SS SS R",
    "qwen-early": "S UU UU R",
    "more-specific": "S UU UU R",
    "other-languages": "S UU UU R",
    "coarse-segmentation": "S RR US R",
    "numbers-on-background": "S UU UU R",
    "numbers-do-not-matter": "S US SS R",
    "numbers-persist": "S RR SS R",
    "object-to-last-late": "S UU US R",
    "object-to-last-early": "S US SS R",
    "context-early": "S UU US R",
    "last-visual-row-vqa": "S US SS R",
    "all-layers": "S RR US R",
    "probability-falls": "S UU US R",
    "table-2-cell": "S SS SS R",
    "sliding-peak": "S UU US R",
    "sliding-last-row": "S US SS R",
}
# How many settings, regions, arms and models a claim is made of; the others have one.
PARTS = {
    "object-impairs": 3,
    "object-buffer-70": 3,
    "buffer-order": 3 * 2,
    "object-beats-gradient": 3 * 3,
    "object-beats-gradient-20": 3,
    "object-beats-gradient-same-count": 3 * 3,
    "object-beats-random": 3 * 4,
    "object-beats-random-same-count": 3 * 3,
    "register-negligible": 3,
    "random-negligible": 3 * 5,
    "gradient-increases": 3,
    "both-models-agree": 2 * 3,
    "token-counts": 4,
    "object-to-last-late": 3,
    "object-to-last-early": 3,
    "last-visual-row-vqa": 2 * 6,
    "sliding-last-row": 2 * len(worlds.SLIDING),
}
# The same on planted models; a dot: not asked.
MODELS = ("LOCAL", "EARLY", "ELSEWHERE", "BLIND", "LAST_ROW", "POISONED")
ON_MODELS = {
    "visual-norms": "SSSSSS",
    "mean-token-in-distribution": "SSSSSR",
    "adapter-output": "SRSUUU",
    "object-impairs": "S.UU.U",
    "object-buffer-70": "S.RU.U",
    "object-buffer-polling": "S.RU.U",
    "buffer-order": "U.UU.U",
    "object-beats-gradient": "U.RU.U",
    "object-beats-gradient-20": "U.RU.U",
    "object-beats-gradient-same-count": "U.RU.U",
    "object-beats-random": "S.UU.U",
    "object-beats-random-same-count": "S.UU.U",
    "register-negligible": "S.RU.R",
    "random-negligible": "S.RU.R",
    "gradient-increases": "S.UU.U",
    "late-layers-name-the-class": "SSSUU.",
    "best-layer-mid-to-late": "SRSUU.",
    "alignment-grows": "SRSUU.",
    "coarse-segmentation": "SRRRR.",
    "numbers-on-background": "SUUUU.",
    "numbers-do-not-matter": "SUUUU.",
    "numbers-persist": "SUUUU.",
    "object-to-last-late": "SRUUU.",
    "object-to-last-early": "SRUUU.",
    "context-early": "SRSUS.",
    "last-visual-row-vqa": "SSUUR.",
    "probability-falls": "SRUU..",  # the plate reaches into the last row
    "sliding-peak": "SRUUU.",
    "sliding-last-row": "SSUUR.",
}
# What comes out wrong, so far: whoever mends it takes the entry out, since an unexpected pass
# fails.
NO_WORDS = {"more-specific", "other-languages"}  # which the category "Yes" has none of


def outcome(claim: str, subject: Any, **more: Any) -> tuple[str, list[Verdict]]:
    """S, R or U, as pytest would see it, and the verdict that was handed in."""
    trial = Trial(CLAIMS[claim], Subject("planted"))
    given = {"trial": trial, "subject": subject, "cell": CELLS.get(claim), **more}
    asked = inspect.signature(TESTS[claim]).parameters
    try:
        TESTS[claim](**{name: given[name] for name in asked})
    except ClaimRefuted:
        return "R", trial.verdicts
    except ClaimUndecided:
        return "U", trial.verdicts
    return "S", trial.verdicts


world = cache(worlds.world)


def last_model(claim: str) -> str:
    """The last model that a claim speaks of."""
    subjects = CLAIMS[claim].subjects
    return (subjects.get("models") or subjects["architectures"])[-1]


def in_world(claim: str, name: str) -> tuple[str, list[Verdict]]:
    """In the world "paper" the figures of a claim are those of the last model that it speaks of."""
    made_up = world(name)
    subjects = [
        SimpleNamespace(**vars(made_up), name=model) for model in last_model(claim).split("+")
    ]
    printed = Printed(subjects[-1].name)
    return outcome(
        claim, subjects[-1], subjects=subjects, printed=printed, architecture=made_up.architecture
    )


@pytest.fixture
def without_controls(monkeypatch) -> Callable[[str], None]:
    def take_away(claim: str) -> None:
        for control in CONTROLS:
            if control in TESTS[claim].__globals__:
                monkeypatch.setitem(TESTS[claim].__globals__, control, lambda verdict, *_: verdict)

    return take_away


def test_every_claim_is_planted():
    assert set(IN_WORLDS) == set(TESTS) == set(CLAIMS)
    assert (
        set(ON_MODELS)
        == {
            name
            for name, claim in CLAIMS.items()
            if not {"models_only", "architectures"} & claim.subjects.keys()
        }
        - NO_WORDS
    )
    assert {CLAIMS[claim].kind for claim in IN_WORLDS} == set(KINDS)


@pytest.mark.parametrize("claim", IN_WORLDS)
def test_a_claim_is_supported_where_the_paper_is_right(claim):
    """And refuted where the opposite is true."""
    found, verdicts = in_world(claim, "paper")
    assert (
        (found, in_world(claim, "opposite")[0])
        == (IN_WORLDS[claim][0], IN_WORLDS[claim][-1])
        == ("S", "R")
    )
    assert len(verdicts[0].parts) == PARTS.get(claim, 0)


@pytest.mark.parametrize("claim", IN_WORLDS)
def test_a_claim_is_not_supported_where_nothing_is_there(claim, without_controls):
    """Or where its control does as much."""
    expected = IN_WORLDS[claim].split()[1:3]
    found = [in_world(claim, name)[0] for name in ("nothing", "everywhere")]
    without_controls(claim)
    bare = [in_world(claim, name)[0] for name in ("nothing", "everywhere")]
    assert [
        with_control + without for with_control, without in zip(found, bare, strict=True)
    ] == expected


def test_of_every_kind_with_a_control_some_claim_is_undecided_by_it_alone():
    by_it_alone = {CLAIMS[claim].kind for claim, row in IN_WORLDS.items() if "US" in row.split()}
    # the controls of "exists" and of some "greater" are the other arm itself
    counted = {name for name, kind in KINDS.items() if not kind.sampled}
    assert by_it_alone == set(KINDS) - counted - {"exists"}


def test_two_models_do_not_agree_where_one_of_them_shows_nothing():
    subjects = [SimpleNamespace(**vars(world(each)), name=each) for each in ("paper", "nothing")]
    found, verdicts = outcome("both-models-agree", subjects[0], subjects=subjects)
    assert (found, [part.outcome for _, part in verdicts[0].parts]) == (
        "U",
        ["supported"] * 3 + ["undecided"] * 3,
    )


@pytest.mark.parametrize(
    ("claim", "kind", "other"),
    [("more-specific", 0, 1), ("other-languages", 1, 0)],
    ids=["specific", "languages"],
)
def test_words_of_one_kind_support_no_claim_about_the_other(claim, kind, other):
    lens = world("paper").lens
    found = [
        outcome(
            claim,
            SimpleNamespace(lens=replace(lens, words=[[words[each]] for words in lens.words])),
        )[0]
        for each in (kind, other)
    ]
    assert found == ["S", "U"]


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


@pytest.mark.parametrize(
    ("name", "claim", "expected"),
    [
        (name, claim, expected)
        for at, name in enumerate(MODELS)
        for claim, row in ON_MODELS.items()
        if (expected := row[at]) != "."
    ],
)
def test_a_claim_on_a_planted_model_is_what_its_wiring_makes_it(name, claim, expected, subject_of):
    found, verdicts = outcome(claim, subject_of(name))
    assert found == expected, str(verdicts[0])
    if name == "BLIND" and verdicts[0].n == 0:
        assert "no images are left" in str(verdicts[0])


def test_a_poisoned_mean_token_is_seen_by_the_control_alone(subject_of, without_controls):
    """One that takes the answer away wherever it stands."""
    without_controls("object-impairs")
    assert outcome("object-impairs", subject_of("POISONED"))[0] == "S"
