"""Claims as data: what claims.toml may hold, and what a finding says.

Fails if a broken entry is accepted or met with anything but its name and what is wrong with it, if
a claim has no test or several, or if a finding lacks a part.
"""

import math
from pathlib import Path

import numpy as np
import pytest

from claimlib.claims import (
    CLAIMS,
    Claim,
    Paper,
    Subject,
    Trial,
    load_claims,
)
from claimlib.errors import ClaimError, ClaimRefuted, ClaimUndecided
from claimlib.kinds import KINDS
from claimlib.samples import Totals
from claimlib.shares import exceeds
from claimlib.verdicts import in_every_setting

HEAD = """
[paper]
title = "t"
url = "u"
version = "1"
"""
GOOD = """
[a-claim]
statement = "s"
section = "3"
source = "table 1"
kind = "exceeds"
threshold = 0.5
level = 0.95
bound_source = "the paper"
control = "none"
"""
# What each kind has in numbers.
NUMBERS = {
    "exceeds": {"threshold", "level"},
    "negligible": {"margin", "level"},
    "greater": {"margin", "level"},
    "no-more": {"margin", "level"},
    "minor": {"part", "level"},
    "above-another": {"margin", "level"},
    "reproduces": {"margin", "level"},
    "repeats": {"margin", "level"},
    "agrees": {"margin", "level"},
    "exists": {"at_least", "level"},
    "increases": {"margin", "level"},
    "peaks": {"low", "high", "level"},
    "within": {"low", "high", "level"},
    "near": {"margin", "level"},
    "within-factor": {"factor", "level"},
    "counted-above": {"threshold"},
    "counted-equal": {"expected"},
}
VALUES = {
    "threshold": 0.5,
    "margin": 0.1,
    "part": 0.5,
    "factor": 2.0,
    "at_least": 3,
    "low": 0.25,
    "high": 0.75,
    "expected": 576,
    "level": 0.95,
}


def load(folder: Path, text: str):
    file = folder / CLAIMS
    file.write_text(HEAD + text)
    return load_claims(file)


def with_numbers(kind: str, **numbers: object) -> str:
    """The good entry with another kind and numbers, as TOML has them."""
    lines = "".join(f"{name} = {value}\n" for name, value in numbers.items())
    good = 'kind = "exceeds"\nthreshold = 0.5\nlevel = 0.95\n'
    assert good in GOOD
    return GOOD.replace(good, f'kind = "{kind}"\n{lines}')


def test_an_entry_becomes_a_claim(tmp_path: Path):
    claim = load(tmp_path, GOOD)["a-claim"]
    assert (claim.id, claim.kind, claim.level) == ("a-claim", "exceeds", 0.95)
    assert claim.bounds == {"threshold": 0.5}
    assert (claim.parameters, claim.subjects, claim.not_on) == ({}, {}, {})
    assert (claim.paper.title, claim.paper.url, claim.paper.version) == ("t", "u", "1")
    assert claim.paper.file == tmp_path / CLAIMS
    tables = "parameters = { factor = 2.0 }\nsubjects = { coins = [1] }\nnot_on = { mine = 'why' }"
    claim = load(tmp_path, GOOD + tables)["a-claim"]
    assert (claim.parameters, claim.subjects) == ({"factor": 2.0}, {"coins": [1]})
    assert claim.not_on == {"mine": "why"}


@pytest.mark.parametrize("kind", NUMBERS)
def test_a_kind_has_its_own_numbers_and_no_others(tmp_path: Path, kind):
    numbers = {name: VALUES[name] for name in NUMBERS[kind]}
    claim = load(tmp_path, with_numbers(kind, **numbers))["a-claim"]
    bounds = {name: value for name, value in numbers.items() if name != "level"}
    assert (claim.level, claim.bounds) == (numbers.get("level"), bounds)
    for missing in numbers:
        rest = {name: value for name, value in numbers.items() if name != missing}
        with pytest.raises(ClaimError, match=rf"\[a-claim\]: key '{missing}' is missing; expected"):
            load(tmp_path, with_numbers(kind, **rest))
    for other in VALUES.keys() - numbers.keys():
        more = numbers | {other: VALUES[other]}
        with pytest.raises(ClaimError, match=rf"\[a-claim\]: key '{other}' is unknown; expected"):
            load(tmp_path, with_numbers(kind, **more))


def test_every_kind_is_tried_here():
    assert NUMBERS.keys() == KINDS.keys()


NO_SHARE = ("50", "-0.1", "true", '"1"', "nan", "[0.5]")
NO_NUMBER = ('"576"', "true", "nan", "inf", "{ a = 1 }")


@pytest.mark.parametrize(
    ("kind", "key", "value", "expected"),
    [
        *(("exceeds", "threshold", value, "a share between 0 and 1") for value in NO_SHARE),
        ("negligible", "margin", "1.5", "a share between 0 and 1"),
        ("agrees", "margin", "-1", "a share between 0 and 1"),
        *(
            ("exists", "at_least", value, "a whole number above zero")
            for value in ("0", "-3", "2.5", "true", '"3"', "inf")
        ),
        *(("within", "low", value, "a finite number") for value in NO_NUMBER),
        *(("peaks", "high", value, "a finite number") for value in NO_NUMBER),
        *(
            ("near", "margin", value, "a number above zero")
            for value in ("0", "-0.1", "inf", '"1"')
        ),
        *(
            ("within-factor", "factor", value, "a number above one")
            for value in ("1", "0.5", "inf", '"2"')
        ),
        *(("minor", "part", value, "a share above 0 and up to 1") for value in ("0", "1.5", "nan")),
        ("greater", "margin", "-0.1", "a share between 0 and 1"),
        *(("increases", "margin", value, "a finite number") for value in NO_NUMBER),
        *(("counted-above", "threshold", value, "a finite number") for value in NO_NUMBER),
        *(("counted-equal", "expected", value, "a finite number") for value in NO_NUMBER),
        *(
            ("greater", "level", value, "a level strictly between 0 and 1")
            for value in ("0", "1", "95", "-0.1", "true", '"0.95"', "nan")
        ),
    ],
)
def test_a_number_that_cannot_be_meant_is_refused(tmp_path: Path, kind, key, value, expected):
    numbers = {name: VALUES[name] for name in NUMBERS[kind]} | {key: value}
    with pytest.raises(
        ClaimError, match=rf"claims.toml, \[a-claim\]: {key} is .*; expected {expected}"
    ):
        load(tmp_path, with_numbers(kind, **numbers))


@pytest.mark.parametrize("kind", ["within", "peaks"])
@pytest.mark.parametrize("low", [0.75, 0.8])
def test_ends_in_the_wrong_order_are_refused(tmp_path: Path, kind, low):
    with pytest.raises(ClaimError, match=rf"low is {low}; expected less than high, 0.75"):
        load(tmp_path, with_numbers(kind, low=low, high=0.75, level=0.95))


@pytest.mark.parametrize("share", [0, 0.0, 1, 1.0])
def test_the_ends_are_shares_too(tmp_path: Path, share):
    claim = load(tmp_path, with_numbers("exceeds", threshold=share, level=0.95))["a-claim"]
    assert claim.bounds["threshold"] == share


def samples_for(kind: str) -> tuple[list, dict]:
    """What the rule of a kind takes beside what claims.toml holds."""
    hits, values = np.arange(60) % 3 == 0, np.linspace(0.2, 0.8, 60)
    curves = np.stack([values, values + 0.1], axis=1)
    return {
        "exceeds": ([hits], {}),
        "negligible": ([hits], {}),
        "greater": ([hits, ~hits], {}),
        "no-more": ([hits, ~hits], {}),
        "minor": ([hits, ~hits], {}),
        "above-another": ([values, values / 2], {}),
        "reproduces": ([[hits], [Totals(20, 60)]], {}),
        "repeats": ([[hits], [Totals(20, 60)]], {"flips": 0.01}),
        "agrees": ([hits, Totals(20, 60)], {}),
        "exists": ([hits, hits], {}),
        "increases": ([curves, [0, 1]], {}),
        "peaks": ([curves, [0, 0.5]], {"unit": "layers"}),
        "within": ([values], {"bounds": (0, 2)}),
        "near": ([values, 0.5], {"scale": 0.5}),
        "within-factor": ([values, 0.5], {}),
        "counted-above": ([0.7], {}),
        "counted-equal": ([576], {"unit": "tokens"}),
    }[kind]


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("level", [0.90, 0.97])
def test_the_rule_of_a_claim_is_its_kinds_with_its_own_level_and_bounds(
    tmp_path: Path, kind, level
):
    bounds = {name: VALUES[name] for name in NUMBERS[kind] - {"level"}}
    given = {"level": level} if "level" in NUMBERS[kind] else {}
    claim = load(tmp_path, with_numbers(kind, **bounds, **given))["a-claim"]
    samples, more = samples_for(kind)
    verdict = claim.rule(*samples, **more)
    assert verdict == KINDS[kind].rule(*samples, **bounds, **given, **more)
    assert (verdict.kind, verdict.sampled) == (kind, bool(given))
    assert verdict.level == (level if given else 1.0)


INF = math.inf
RANGES = {
    "exceeds": (0.5, INF),
    "negligible": (-INF, 0.1),
    "greater": (0.1, INF),
    "no-more": (-INF, 0.1),
    "minor": (-INF, 0.0),
    "above-another": (0.1, INF),
    "reproduces": (-INF, 0.1),
    "repeats": (-INF, 0.1),
    "agrees": (-0.1, 0.1),
    "exists": (3 / 60, INF),
    "increases": (0.1, INF),
    "peaks": (0.25, 0.75),
    "within": (0.25, 0.75),
    "near": (0.45, 0.55),
    "within-factor": (0.25, 1.0),
    "counted-above": (0.5, INF),
    "counted-equal": (576, 576),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_kind_requires_is_told_in_numbers(kind):
    """Between them the estimate supports, and `threshold` is one of them."""
    samples, more = samples_for(kind)
    bounds = {name: VALUES[name] for name in KINDS[kind].bounds}
    verdict = KINDS[kind].rule(*samples, **bounds, **more)
    assert verdict.required_range == pytest.approx(RANGES[kind])
    assert verdict.threshold is None or verdict.threshold in verdict.required_range


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'kind = "exceeds"',
            'kind = "is nice"',
            r"\[a-claim\]: kind is 'is nice'; expected one of exceeds, negligible",
        ),
        (
            'kind = "exceeds"',
            'kind = ["exceeds"]',
            r"\[a-claim\]: kind is \['exceeds'\]; expected one of",
        ),
        ('kind = "exceeds"\n', "", r"\[a-claim\]: kind is None; expected one of"),
        (GOOD, "[a-claim.b]\nc = 3", r"\[a-claim\]: kind is None; expected one of"),
        *(
            (f'{key} = "{text}"\n', "", rf"\[a-claim\]: key '{key}' is missing")
            for key, text in {
                "statement": "s",
                "section": "3",
                "source": "table 1",
                "bound_source": "the paper",
            }.items()
        ),
        ('control = "none"\n', "", r"\[a-claim\]: key 'control' is missing"),
        ('control = "none"', 'control = "none"\nnote = 1', r"\[a-claim\]: key 'note' is unknown"),
        ('"table 1"', '" "', r"\[a-claim\]: source is ' '; expected some text"),
        ('"table 1"', "1", r"\[a-claim\]: source is 1; expected some text"),
        *(
            ('control = "none"', f'control = "none"\n{key} = 3', rf"\[a-claim\]: {key} is 3")
            for key in ("parameters", "subjects", "not_on")
        ),
        (
            'control = "none"',
            'control = "none"\nnot_on = { mine = "" }',
            r"\[a-claim\]: not_on, 'mine' is ''; expected some text",
        ),
        ("[a-claim]", "[a-claim", r"claims.toml' cannot be read as TOML"),
        ('control = "none"', f'control = "none"\n{GOOD}', r"claims.toml' cannot be read as TOML"),
    ],
)
def test_a_broken_entry_is_named_with_what_is_wrong(tmp_path: Path, old, new, message):
    assert GOOD.count(old) == 1
    with pytest.raises(ClaimError, match=message):
        load(tmp_path, GOOD.replace(old, new))


def test_a_file_that_is_missing_or_no_text_is_named(tmp_path: Path):
    with pytest.raises(ClaimError, match=r"missing\.toml' cannot be read as TOML"):
        load_claims(tmp_path / "missing.toml")
    (tmp_path / "claims.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ClaimError, match=r"claims\.toml' cannot be read as TOML"):
        load_claims(tmp_path / "claims.toml")


@pytest.mark.parametrize("content", ["", " \n\n", "# soon", HEAD])
def test_a_file_without_a_claim_is_told_what_one_is(tmp_path: Path, content):
    (tmp_path / CLAIMS).write_text(content)
    with pytest.raises(
        ClaimError, match=r"claims\.toml' has no claim\. Write one as a table of its"
    ):
        load_claims(tmp_path / CLAIMS)


@pytest.mark.parametrize("name", ["a\\nclaim", "a\\tclaim", "\\u001b[31m", "a\\u0000", "", " "])
def test_an_id_that_is_more_than_a_line_is_refused(tmp_path: Path, name):
    """It would tear reports and terminals apart."""
    with pytest.raises(ClaimError, match=r"is no id of a claim\. Expected some text in one line"):
        load(tmp_path, GOOD.replace("[a-claim]", f'["{name}"]'))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("", r"\[paper\]: is None; expected a table with title, url and version"),
        ("paper = 3", r"\[paper\]: is 3; expected a table"),
        ("[paper]\ntitle = 't'\nurl = 'u'", r"\[paper\]: key 'version' is missing"),
        (f"{HEAD}year = 3", r"\[paper\]: key 'year' is unknown"),
        (HEAD.replace('"t"', "3"), r"\[paper\]: title is 3; expected some text"),
    ],
)
def test_a_paper_without_its_title_or_with_more_is_refused(tmp_path: Path, head, message):
    file = tmp_path / CLAIMS
    file.write_text(head + GOOD)
    with pytest.raises(ClaimError, match=rf"claims.toml, {message}"):
        load_claims(file)


def trial() -> Trial:
    claim = Claim(
        id="coin",
        statement="s",
        section="3",
        source="t",
        kind="exceeds",
        bound_source="b",
        control="c",
        paper=Paper("On coins", "u", "1", Path(CLAIMS)),
    )
    return Trial(claim, Subject("euro", source="tossed somewhere"))


@pytest.mark.parametrize(("count", "error"), [(10, ClaimRefuted), (55, ClaimUndecided)])
def test_a_finding_names_claim_model_figures_bound_and_source(count, error):
    tried, verdict = trial(), exceeds(Totals(count, 100), 0.5)
    with pytest.raises(error) as raised:
        tried.check(verdict)
    assert str(raised.value).splitlines() == [
        f"coin on euro: {verdict}",
        "  claimed: s (section 3: t)",
        "  bound: b",
        "  tossed somewhere",
    ]
    assert tried.verdicts == [verdict]


def test_a_supported_claim_ends_in_silence_and_is_kept():
    tried, verdict = trial(), exceeds(Totals(90, 100), 0.5)
    tried.check(verdict)
    assert tried.verdicts == [verdict]


def test_a_finding_lists_its_parts_in_order_below_the_verdict():
    parts = {
        name: exceeds(Totals(count, 100), 0.5)
        for name, count in {"b": 90, "a": 10, "c": 55}.items()
    }
    with pytest.raises(ClaimRefuted) as raised:
        trial().check(in_every_setting(parts))
    assert str(raised.value).splitlines()[1:4] == [
        f"    {name}: {part}" for name, part in parts.items()
    ]


def test_only_a_refutation_is_an_assertion():
    """What a known refutation expects: an undecided claim, or any other error, must not pass for
    one."""
    assert issubclass(ClaimRefuted, AssertionError)
    assert not issubclass(ClaimUndecided, AssertionError)
