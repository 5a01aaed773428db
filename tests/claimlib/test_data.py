"""verdicts.json: is it what was found, and what its schema says?

Fails if a number is another than the verdict's, if what is not finite breaks the file, if a
stand-in passes for verified, or if what was not run is silent.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest

from claimlib import Totals, counted_equal, exceeds, report
from claimlib.claims import CLAIMS, Subject, Trial, load_claims
from claimlib.data import SCHEMA, as_json, document, entry
from claimlib.report import row
from claimlib.verdicts import Verdict, in_every_setting, left_out, no_images
from tests.claimlib import foreign as files
from tests.claimlib.foreign import paper, tossed

VALID = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
HERE = Subject("here")
KNOWN = {"here": [{"table": "tosses", "images": 100, "facts": {"seed": "0"}, "aside": {}}]}


@pytest.fixture
def claims(tmp_path: Path) -> dict[str, Any]:
    file = tmp_path / CLAIMS
    file.write_text(
        paper(
            files.entry("bent"), files.entry("spun", not_on='{ euro = "Its edge is too thick." }')
        )
    )
    return load_claims(file)


def rows(claims: dict[str, Any], *found: tuple[str, Subject, Verdict]) -> list[dict[str, Any]]:
    known = {"here": "not run", "there": "not printed"}
    return [
        row(Trial(claims[id_], subject), verdict, place, known)
        for place, (id_, subject, verdict) in enumerate(found)
    ]


def verdicts() -> Iterator[Verdict]:
    """Of every shape that a verdict has."""
    heads = exceeds(np.arange(100) < 70, threshold=0.5)
    yield heads
    yield replace(heads, effective=12.5, fragile=True, dead=3, control="a control", why="told")
    yield no_images("exceeds", "> 50%")
    yield left_out("exceeds", "It has none.")
    yield counted_equal(576, 575, unit="tokens")
    yield in_every_setting({"a": heads, "b": counted_equal(1, 1)}, on_average=heads)
    yield replace(heads, interval=(0.6, math.inf), estimate=math.nan, unit="points")


@pytest.mark.parametrize("verdict", [*verdicts()])
def test_every_verdict_follows_the_schema(claims, verdict):
    written = as_json(document(rows(claims, ("bent", HERE, verdict)), KNOWN))
    assert [each.message for each in VALID.iter_errors(json.loads(written))] == []
    assert "NaN" not in written
    assert "Infinity" not in written


def test_the_schema_refuses_what_is_not_in_it(claims):
    heads = exceeds(np.arange(100) < 70, threshold=0.5)
    told = document(rows(claims, ("bent", HERE, heads)), KNOWN)
    for broken in (
        {**told, "more": 1},
        {**told, "run": {"id": "1"}},
        {**told, "verdicts": [{**told["verdicts"][0], "outcome": "true"}]},
        {**told, "verdicts": [{**told["verdicts"][0], "estimate": "70%"}]},
        {**told, "papers": [{**told["papers"][0], "claims_sha256": "0"}]},
    ):
        assert not VALID.is_valid(broken)


def test_the_numbers_are_the_verdicts_own(claims):
    verdict = exceeds(np.arange(100) < 70, threshold=0.5)
    told = entry(Trial(claims["bent"], HERE), verdict)
    assert (told["claim"], told["subject"], told["outcome"]) == ("bent", "here", "supported")
    assert told["paper_version"] == "1"
    assert told["interval"] == list(verdict.interval)
    assert (told["estimate"], told["n"], told["bound"]) == (0.7, 100, 0.5)
    assert (told["p"], told["p_against"]) == (verdict.p, verdict.p_against)
    assert (told["unit"], told["worth"]) == ("share", 100)
    assert told["sentence"] == str(verdict)
    assert document([], KNOWN)["measured"] == KNOWN


@pytest.mark.parametrize(
    ("heads", "word"), [(90, "verified"), (10, "falsified"), (52, "inconclusive")]
)
def test_the_words_of_boards_stand_beside_ours(claims, heads, word):
    verdict = exceeds(Totals(heads, 100), threshold=0.5)
    assert entry(Trial(claims["bent"], HERE), verdict)["board"] == word
    assert entry(Trial(claims["bent"], replace(HERE, toy=True)), verdict)["board"] == "toy"


def test_it_says_how_many_images_each_step_left(claims):
    heads = exceeds(np.arange(100) < 70, threshold=0.5)
    steps = [{"of": "tosses", "step": "filter 1", "given": None, "left": 100}]
    trial = Trial(claims["bent"], HERE, chosen={"here": steps})
    told = document([row(trial, heads, 0, {}), *rows(claims, ("bent", HERE, heads))], KNOWN)
    assert told["chosen"] == {"here": steps}
    assert VALID.is_valid(told)
    assert not VALID.is_valid({**told, "chosen": {"here": [{**steps[0], "left": -1}]}})


def test_what_has_no_verdict_says_why(claims):
    found = rows(claims, ("bent", Subject("euro"), exceeds(Totals(90, 100), threshold=0.5)))
    told = {
        (each["claim"], each["subject"]): each["reason"] for each in document(found, {})["not_run"]
    }
    assert told == {
        ("bent", "here"): "not run",
        ("bent", "there"): "not printed",
        ("spun", "euro"): "Its edge is too thick.",
    }


def test_the_paper_has_the_hash_of_its_claims(claims):
    found = document(rows(claims, ("bent", HERE, exceeds(Totals(90, 100), threshold=0.5))), {})
    [told] = found["papers"]
    content = claims["bent"].paper.file.read_bytes()
    assert told["claims_sha256"] == hashlib.sha256(content).hexdigest()
    assert (told["title"], told["version"], told["claims"]) == ("On coins", "1", 2)


def test_every_claim_is_told_with_its_quotation_rule_and_bounds(claims):
    """With a verdict or without one."""
    told = document(rows(claims, ("bent", HERE, exceeds(Totals(90, 100), threshold=0.5))), {})
    assert [each["claim"] for each in told["claims"]] == ["bent", "spun"]
    texts = {"source": "table 1", "bound_source": "The quotation.", "control": "None."}
    assert texts.items() <= told["claims"][1].items()
    assert told["claims"][1]["bounds"] == {"threshold": 0.5}
    when = "the exact interval of a share lies above the threshold"
    assert told["claims"][1]["supported_when"] == when


@pytest.mark.slow
def test_a_run_writes_verdicts_as_data_with_workers_too(foreign):
    foreign.write(claims_toml=paper(), test_coin=tossed(90))
    written, ids = [], set()
    for workers in ([], ["-p", "xdist", "-n", "2"]):
        foreign.run("--claims-report", "report", "--junit-xml", "junit.xml", *workers)
        told = json.loads((foreign.path / "report" / "verdicts.json").read_text())
        VALID.validate(told)
        run = told.pop("run")
        assert run["command"].startswith("pytest ")
        assert "--claims-report report" in run["command"]
        assert datetime.now(UTC) - datetime.fromisoformat(run["started"]) < timedelta(minutes=10)
        assert 0 < run["seconds"] < 600
        ids.add(run["id"])
        written.append(told)
        xml = ElementTree.parse(foreign.path / "junit.xml")
        [property_] = xml.iter("property")
        assert json.loads(property_.attrib["value"]) == told["verdicts"][0]
    assert written[0] == written[1]
    assert len(ids) == 2


def test_a_run_says_where_its_page_is_or_what_draws_one(foreign, monkeypatch):
    foreign.write(claims_toml=paper(), test_coin=tossed(90))
    foreign.run("--claims-report", "report").stdout.fnmatch_lines(["report: report/index.html"])
    monkeypatch.setattr(report, "find_spec", lambda name: None)
    told = "report: other (for index.html: pip install 'vlm-claims[[]page[]]')"
    foreign.run("--claims-report", "other").stdout.fnmatch_lines([told])
    assert (foreign.path / "report" / "index.html").is_file()
    assert not (foreign.path / "other" / "index.html").exists()


def test_a_jobs_summary_gets_the_table(foreign, monkeypatch):
    foreign.write(claims_toml=paper(), test_coin=tossed(90))
    summary = foreign.path / "summary.md"
    summary.write_text("Before.\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    foreign.run()
    assert summary.read_text().startswith("Before.\n# Verdicts\n\n")
    assert "supported<br>90.0%" in summary.read_text()
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(foreign.path / "none" / "summary.md"))
    result = foreign.run()
    result.stdout.fnmatch_lines(["ERROR: The verdicts could not be appended to *summary.md*"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_refutations_of_a_subject_of_ones_own_are_known(foreign):
    foreign.write(claims_toml=paper(), test_coin=tossed(10))
    (foreign.path / "mine.toml").write_text('[coin]\nhere = "It is bent."\n')
    assert foreign.run().parseoutcomes() == {"failed": 1}
    found = foreign.run("--claims-refutations", "mine.toml")
    assert found.parseoutcomes() == {"xfailed": 1}
    result = foreign.run("--claims-refutations", "none.toml")
    result.stdout.fnmatch_lines(["*--claims-refutations 'none.toml': there is no such file.*"])
