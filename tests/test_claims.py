"""Claims as data: what claims.toml may hold, and what a finding says.

Fails if a broken entry is accepted or met with anything but its name and what is wrong with it, if
a claim has no test or several, or if a finding lacks a part.
"""

import itertools
import re
from pathlib import Path

import pytest

from claimlib.shares import Totals, exceeds
from claimlib.verdicts import in_every_setting
from fixtures.claims import (
    CLAIMS_FILE,
    NUMBERS,
    ClaimRefuted,
    ClaimUndecided,
    Trial,
    load_claims,
    load_refutations,
)
from vlmlib import VLMError

CLAIMS = load_claims()
GOOD = """
[a-claim]
statement = "s"
section = "3"
source = "table 1"
kind = "exceeds"
threshold = 0.5
bound_source = "the paper"
control = "none"
models = ["llava-1.5-7b"]
published = []
shipped = true
"""
# The bounds of each kind, as vlmlib's rules take them.
BOUNDS = {
    "exceeds": [{"threshold"}],
    "negligible": [{"margin"}],
    "greater": [set()],
    "agrees": [{"margin"}],
    "exists": [{"at_least"}],
    "increases": [set()],
    "peaks": [{"low", "high"}],
    "within": [{"low", "high"}, {"margin"}],
    "fact": [{"threshold"}],
}
VALUES = {"threshold": 0.5, "margin": 0.1, "at_least": 3, "low": 0.25, "high": 0.75}


def load(folder: Path, text: str):
    file = folder / "claims.toml"
    file.write_text(text)
    return load_claims(file)


def with_bounds(kind: str, bounds: dict[str, object]) -> str:
    """The good entry with another kind and bounds."""
    lines = "".join(f"{name} = {value}\n" for name, value in bounds.items())
    return GOOD.replace('kind = "exceeds"\nthreshold = 0.5\n', f'kind = "{kind}"\n{lines}')


def test_every_claim_has_exactly_one_test_and_every_test_a_claim():
    code = "".join(file.read_text() for file in sorted(CLAIMS_FILE.parent.glob("test_*.py")))
    ids = re.findall(r'@pytest\.mark\.claim\("([^"]+)"\)\ndef test_', code)
    assert sorted(ids) == sorted(CLAIMS)
    assert len(ids) == len(re.findall(r"^def test_", code, flags=re.MULTILINE))


def test_a_claim_that_means_nothing_on_other_models_does_not_run_on_the_shipped_one():
    assert {
        claim.id for claim in CLAIMS.values() if claim.models_only and not claim.not_shipped
    } == set()


def test_published_figures_are_those_of_the_models_that_a_claim_speaks_of():
    assert {
        claim.id for claim in CLAIMS.values() if not set(claim.published) <= set(claim.models)
    } == set()


def test_known_refutations_are_of_claims_that_there_are():
    assert {claim for claim, _ in load_refutations(CLAIMS)} <= CLAIMS.keys()


def test_an_entry_becomes_a_claim(tmp_path: Path):
    claim = load(tmp_path, GOOD)["a-claim"]
    assert (claim.id, claim.kind, claim.threshold, claim.models) == (
        "a-claim",
        "exceeds",
        0.5,
        ("llava-1.5-7b",),
    )
    assert (claim.published, claim.not_shipped, claim.models_only) == ((), "", False)
    text = GOOD.replace("shipped = true", 'not_shipped = "why"\nmodels_only = true')
    assert (
        load(tmp_path, text)["a-claim"].not_shipped,
        load(tmp_path, text)["a-claim"].models_only,
    ) == ("why", True)
    both = load(tmp_path, GOOD.replace('["llava-1.5-7b"]', '["llava-1.5-7b+llava-phi-3"]'))
    assert both["a-claim"].models == ("llava-1.5-7b+llava-phi-3",)


@pytest.mark.parametrize("kind", BOUNDS)
def test_a_kind_has_its_own_bounds_and_no_others(tmp_path: Path, kind):
    for count in range(len(NUMBERS) + 1):
        for names in itertools.combinations(sorted(VALUES), count):
            text = with_bounds(kind, {name: VALUES[name] for name in names})
            if set(names) in BOUNDS[kind]:
                assert load(tmp_path, text)["a-claim"].kind == kind
            else:
                with pytest.raises(
                    VLMError, match=rf"\[a-claim\]: bounds are .*; a claim of kind {kind} has "
                ):
                    load(tmp_path, text)


@pytest.mark.parametrize(
    ("kind", "bounds", "message"),
    [
        *(
            ("exceeds", {"threshold": each}, "threshold is .*expected a share")
            for each in (50, -0.1, "true", '"1"', "nan")
        ),
        ("negligible", {"margin": 1.5}, "margin is 1.5; expected a share"),
        ("agrees", {"margin": -1}, "margin is -1; expected a share"),
        ("within", {"low": 0.2, "high": 75}, "high is 75; expected a share"),
        ("within", {"low": 0.8, "high": 0.2}, "low"),
        ("peaks", {"low": -0.2, "high": 0.7}, "low is -0.2; expected a share"),
        *(
            ("exists", {"at_least": each}, "at_least is .*expected a positive")
            for each in (0, -3, 2.5, "true", '"3"')
        ),
        *(
            ("fact", {"threshold": each}, "threshold is .*expected a positive")
            for each in (0, -1, "false", '"576"', "nan")
        ),
    ],
)
def test_a_bound_that_is_none_is_refused(tmp_path: Path, kind, bounds, message):
    with pytest.raises(VLMError, match=rf"claims.toml, \[a-claim\]: {message}"):
        load(tmp_path, with_bounds(kind, bounds))


@pytest.mark.parametrize("share", [0, 0.0, 1, 1.0])
def test_the_ends_are_shares_too(tmp_path: Path, share):
    assert (
        load(tmp_path, with_bounds("exceeds", {"threshold": share}))["a-claim"].threshold == share
    )


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
        (GOOD, "a-claim = 3", r"\[a-claim\]: kind is 3; expected one of"),
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
        ('models = ["llava-1.5-7b"]\n', "", r"\[a-claim\]: key 'models' is missing"),
        ("published = []\n", "", r"\[a-claim\]: key 'published' is missing"),
        ("shipped = true", "shipped = true\nnote = 1", r"\[a-claim\]: key 'note' is unknown"),
        ('"table 1"', '" "', r"\[a-claim\]: source is ' '; expected some text"),
        ('"table 1"', "1", r"\[a-claim\]: source is 1; expected some text"),
        ("shipped = true", "", r"\[a-claim\]: needs either shipped = true or not_shipped"),
        (
            "shipped = true",
            "shipped = false",
            r"\[a-claim\]: needs either shipped = true or not_shipped",
        ),
        (
            "shipped = true",
            "shipped = 1",
            r"\[a-claim\]: needs either shipped = true or not_shipped",
        ),
        (
            "shipped = true",
            'shipped = true\nnot_shipped = "no"',
            r"\[a-claim\]: needs either shipped = true or",
        ),
        (
            "shipped = true",
            'not_shipped = ""',
            r"\[a-claim\]: not_shipped is ''; expected some text",
        ),
        (
            "shipped = true",
            "not_shipped = true",
            r"\[a-claim\]: not_shipped is True; expected some text",
        ),
        (
            "shipped = true",
            'shipped = true\nmodels_only = "no"',
            r"\[a-claim\]: models_only is 'no'",
        ),
        (
            '["llava-1.5-7b"]',
            '["gpt"]',
            r"\[a-claim\]: model 'gpt' is none of emoji-llava, llava-1.5-7b",
        ),
        ('["llava-1.5-7b"]', '["llava-1.5-7b+gpt"]', r"\[a-claim\]: model 'gpt' is none of"),
        ("published = []", 'published = ["gpt"]', r"\[a-claim\]: model 'gpt' is none of"),
        ('["llava-1.5-7b"]', "[]", r"\[a-claim\]: models is empty"),
        ('["llava-1.5-7b"]', '"llava-1.5-7b"', r"\[a-claim\]: models? "),
        ('["llava-1.5-7b"]', "7", r"\[a-claim\]: models? "),
        ('["llava-1.5-7b"]', "[7]", r"\[a-claim\]: models? "),
        ("published = []", "published = 7", r"\[a-claim\]: published "),
        ("[a-claim]", "[a-claim", r"claims.toml' cannot be read as TOML"),
        ("shipped = true", f"shipped = true\n{GOOD}", r"claims.toml' cannot be read as TOML"),
    ],
)
def test_a_broken_entry_is_named_with_what_is_wrong(tmp_path: Path, old, new, message):
    assert GOOD.count(old) == 1
    with pytest.raises(VLMError, match=message):
        load(tmp_path, GOOD.replace(old, new))


def test_a_file_that_is_missing_or_no_text_is_named(tmp_path: Path):
    with pytest.raises(VLMError, match=r"missing\.toml' cannot be read as TOML"):
        load_claims(tmp_path / "missing.toml")
    (tmp_path / "claims.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(VLMError, match=r"claims\.toml' cannot be read as TOML"):
        load_claims(tmp_path / "claims.toml")


def trial() -> Trial:
    return Trial(CLAIMS["object-buffer-polling"], "my-llava", "measured somewhere")


@pytest.mark.parametrize(("count", "error"), [(10, ClaimRefuted), (55, ClaimUndecided)])
def test_a_finding_names_claim_model_figures_bound_and_source(count, error):
    tried, verdict = trial(), exceeds(Totals(count, 100), 0.5)
    with pytest.raises(error) as raised:
        tried.check(verdict)
    assert str(raised.value).splitlines() == [
        f"object-buffer-polling on my-llava: {verdict}",
        f"  claimed: {tried.claim.statement} (section 3: {tried.claim.source})",
        f"  bound: {tried.claim.bound_source}",
        "  measured somewhere",
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
