"""The plugin in a repository that knows this project as an installed package alone, end to end.

Fails if a claim is held against anything but what the nearest files say, if an outcome passes for
another, if a mistake in a claim's files is met with a traceback or with silence, or if workers lose
a verdict.
"""

import json

import pytest

from tests.claimlib.foreign import body_of, entry, paper, tossed
from tests.pages import without_the_run

INTERRUPTED = pytest.ExitCode.INTERRUPTED
SUBJECTS = """
import pytest
from claimlib import Subject

def pytest_claim_subjects(config, claim):
    return [{}]
"""
HEADS = "claim_subject.value"


def subjects(*answer: str) -> str:
    """A conftest that answers with these."""
    return SUBJECTS.format(", ".join(answer))


def test_a_claim_of_a_few_lines_needs_no_conftest(foreign):
    foreign.write(claims_toml=paper(), test_coin=tossed(90))
    result = foreign.run("-v", "--strict-markers", "-W", "error")
    assert result.parseoutcomes() == {"passed": 1}
    result.stdout.fnmatch_lines(
        [
            "test_coin.py::test_coin[[]here[]] PASSED*",
            "*= verdicts =*",
            "section 1",
            "  coin: The coin shows heads more often than 50%.",
            "    here: supported: 90.0% [[]82.4%, 95.1%[]], n = 100, required > 50%*",
        ]
    )


@pytest.mark.parametrize(
    ("heads", "options", "outcome", "ending"),
    [
        (90, [], "passed", 0),
        (10, [], "failed", 1),
        (55, [], "undecided", 0),
        (90, ["--claims-strict"], "passed", 0),
        (10, ["--claims-strict"], "failed", 1),
        (55, ["--claims-strict"], "failed", 1),
    ],
)
def test_each_verdict_has_its_own_outcome(foreign, heads, options, outcome, ending):
    foreign.write(claims_toml=paper(), test_coin=tossed(heads))
    result = foreign.run(*options)
    assert (result.parseoutcomes(), result.ret) == ({outcome: 1}, ending)
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_finding_stands_alone_where_its_subject_has_no_source(foreign):
    foreign.write(claims_toml=paper(), test_coin=tossed(10))
    foreign.run().stdout.fnmatch_lines(
        [
            "coin on here: refuted: 10.0%*",
            "  claimed: The coin shows heads more often than 50%. (section 1: table 1)",
            "  bound: The quotation.",
            "*= verdicts =*",
        ],
        consecutive=True,
    )


def two_papers(foreign) -> None:
    """One claim id and one name of a file in both; only their bounds differ."""
    foreign.package("coins", "dice")
    for folder, threshold in (("coins", 0.5), ("dice", 0.9)):
        text = paper(entry(threshold=threshold), title=f"On {folder}")
        foreign.write(**{f"{folder}__claims_toml": text, f"{folder}__test_coin": tossed(80)})


def test_two_papers_may_have_claims_and_files_of_one_name(foreign):
    two_papers(foreign)
    result = foreign.run()
    assert result.parseoutcomes() == {"passed": 1, "failed": 1}
    result.stdout.fnmatch_lines(
        [
            "On coins",
            "section 1",
            "  coin: The coin shows heads more often than 50%.",
            "    here: supported*",
            "On dice",
            "section 1",
            "  coin: The coin shows heads more often than 90%.",
            "    here: refuted*",
        ]
    )
    page = foreign.report()["verdicts.md"]
    assert page.index("## On coins") < page.index("supported") < page.index("## On dice")
    assert page.index("## On dice") < page.index("refuted")


def test_a_known_refutation_holds_in_its_own_paper_alone(foreign):
    two_papers(foreign)
    foreign.write(dice__known_refutations_toml='[coin]\nhere = "A die is no coin."')
    assert foreign.run().parseoutcomes() == {"passed": 1, "xfailed": 1}
    foreign.write(coins__known_refutations_toml='[coin]\nhere = "A die is no coin."')
    result = foreign.run()
    assert result.parseoutcomes() == {"failed": 1, "xfailed": 1}
    result.stdout.fnmatch_lines(["[[]XPASS(strict)[]] A die is no coin."])


def test_the_nearest_claims_are_those_of_a_test(foreign):
    foreign.package("near", "near/deep", "far")
    foreign.write(
        claims_toml=paper(entry(threshold=0.9)),
        near__claims_toml=paper(entry("coin", threshold=0.5), title="On near coins"),
        near__deep__test_near=tossed(80),
        far__test_far=tossed(80),
    )
    result = foreign.run("-v")
    result.stdout.fnmatch_lines_random(
        ["near/deep/test_near.py::*PASSED*", "far/test_far.py::*FAILED*"]
    )


def test_the_nearest_conftest_says_what_a_claim_is_held_against(foreign):
    foreign.package("own", "shared")
    foreign.write(
        claims_toml=paper(entry("a"), entry("b")),
        conftest=subjects("Subject('shared')"),
        own__conftest=subjects("Subject('own')"),
        own__test_a=tossed(90, "a"),
        shared__conftest="def pytest_claim_subjects(config, claim): return None",
        shared__test_b=tossed(90, "b"),
    )
    foreign.run().stdout.fnmatch_lines(
        ["  a: *", "    own: supported*", "  b: *", "    shared: supported*"], consecutive=True
    )


def test_a_claim_runs_on_the_subjects_that_are_asked_for(foreign):
    foreign.write(
        claims_toml=paper(entry(subjects='{ coins = ["euro", "yen"] }')),
        conftest="from claimlib import Subject\n\n"
        "def pytest_claim_subjects(config, claim):\n"
        "    named = [Subject(each, 90) for each in claim.subjects['coins']]\n"
        "    return [*named, Subject('franc', 10, asked=False)]",
        test_coin=tossed(HEADS, fixtures=", claim_subject"),
    )
    result = foreign.run("-v")
    assert result.parseoutcomes() == {"passed": 2}
    result.stdout.fnmatch_lines(["*test_coin[[]euro[]] PASSED*", "*test_coin[[]yen[]] PASSED*"])


@pytest.mark.parametrize("answer", ["", "Subject('here', asked=False)"])
@pytest.mark.parametrize("option", ["skip", "xfail", "fail_at_collect"])
def test_a_claim_that_is_held_against_nothing_is_left_out_and_not_skipped(foreign, answer, option):
    foreign.write(claims_toml=paper(), conftest=subjects(answer), test_coin=tossed(90))
    result = foreign.run("-o", f"empty_parameter_set_mark={option}")
    assert result.parseoutcomes() == {"deselected": 1}
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_labels_stand_first_in_a_tests_id(foreign):
    test = body_of("trial.check(trial.claim.rule(Totals(heads, 100)))", fixtures=", heads")
    parametrized = test.replace(
        "@pytest", "@pytest.mark.parametrize('heads', [90, 95])\n@pytest", 1
    )
    foreign.write(
        claims_toml=paper(),
        conftest=subjects("Subject('a/b, c')", "Subject('d')"),
        test_coin=parametrized,
    )
    result = foreign.run("-v")
    assert result.parseoutcomes() == {"passed": 4}
    assert [
        line.split("::")[1].split(" PASSED")[0] for line in result.outlines if "::" in line
    ] == [
        *("test_coin[a/b, c-90]", "test_coin[a/b, c-95]", "test_coin[d-90]", "test_coin[d-95]"),
    ]
    assert foreign.report().keys() == {"findings.md", "verdicts.md"}
    assert "2 supported" in foreign.report()["verdicts.md"]


def test_marks_of_a_subject_are_those_of_its_tests(foreign):
    foreign.write(
        pytest_ini="[pytest]\nmarkers = slow",
        claims_toml=paper(),
        conftest=subjects("Subject('a')", "Subject('b', marks=(pytest.mark.slow,))"),
        test_coin=tossed(90),
    )
    assert foreign.run("-m", "slow").parseoutcomes() == {"passed": 1, "deselected": 1}


MADE = """
import pytest
from claimlib import Subject

ANSWER = [{}]

def pytest_claim_subjects(config, claim):
    return ANSWER if claim.id == "a" else ANSWER[::-1]

@pytest.fixture(scope="session")
def model(claim_subject):
    print(f"made {{claim_subject.label}}")
    return claim_subject.value
"""


@pytest.mark.parametrize(
    "answer",
    [
        "Subject('x', 90), Subject('y', 80), Subject('x+y', 70, order=1)",
        "Subject('x', [90]), Subject('y', [80]), Subject('x+y', [70], order=1)",
        "Subject('x', np.ones(3)), Subject('y', np.ones(3)), Subject('x+y', np.ones(3), order=1)",
    ],
    ids=["hashed", "unhashable", "arrays"],
)
def test_what_a_subject_needs_is_made_once_and_those_of_several_come_last(foreign, answer):
    """The claims name their subjects in opposite orders, and other tests stand between."""
    foreign.write(
        claims_toml=paper(*map(entry, "abc")),
        conftest=f"import numpy as np\n{MADE.format(answer)}",
        test_a=tossed(90, "a", fixtures=", model") + "\ndef test_other(): assert True",
        test_b=tossed(90, "b", fixtures=", model"),
        test_c=tossed(90, "c", fixtures=", model"),
    )
    result = foreign.run("-s", "-v")
    assert result.parseoutcomes() == {"passed": 10}
    made = [line.split()[-1] for line in result.outlines if "] made " in line]
    ran = [line.partition("[")[2].partition("]")[0] for line in result.outlines if "::" in line]
    assert made == ["x", "y", "x+y"]
    assert [label for label in ran if label] == ["x"] * 3 + ["y"] * 3 + ["x+y"] * 3


def test_other_tests_keep_their_places(foreign):
    code = "\ndef test_first(): assert True\n" + tossed(90, "a") + "\ndef test_last(): assert True"
    foreign.write(
        claims_toml=paper(entry("a"), entry("b")),
        conftest=subjects("Subject('x')", "Subject('y')"),
        test_a=code,
        test_b=tossed(90, "b"),
    )
    result = foreign.run("-v")
    ran = [line.split("::")[1].split(" ")[0] for line in result.outlines if "::" in line]
    claims = ["test_a[x]", "test_b[x]", "test_a[y]", "test_b[y]"]
    assert ran == ["test_first", *claims, "test_last"]


WORKERS = ["-p", "xdist", "-n", "2"]


@pytest.mark.slow
def test_workers_report_what_one_process_does(foreign):
    notes = "Subject('y', 10, note='Bent.', beside='x'), Subject('x', 90, note='Fair.')"
    foreign.package("coins", "dice")
    for folder in ("coins", "dice"):
        foreign.write(
            **{
                f"{folder}__claims_toml": paper(*map(entry, "abcd"), title=f"On {folder}"),
                f"{folder}__conftest": subjects(notes),
                f"{folder}__known_refutations_toml": '[b]\ny = "Bent."',
            }
        )
        for name in "abcd":
            heads = "55" if name == "c" else HEADS
            page = f"trial.pages['{folder} {name}'] = '# {name}'; "
            check = f"trial.check(trial.claim.rule(Totals({heads}, 100)))"
            test = body_of(page + check, name, fixtures=", claim_subject")
            foreign.write(**{f"{folder}__test_{name}": test})
    alone = foreign.run()
    together = foreign.run(*WORKERS)
    expected = {"passed": 6, "failed": 4, "xfailed": 2, "undecided": 4}
    assert alone.parseoutcomes() == together.parseoutcomes() == expected
    pages, page = foreign.report(), foreign.path / "report" / "index.html"
    whole = without_the_run(page.name, page.read_text())
    assert pages == foreign.report(*WORKERS)
    assert whole == without_the_run(page.name, page.read_text())
    assert len(pages) == 2 + 8
    found = [line for line in together.outlines if line.startswith("    ")]
    assert len(found) == 16
    assert found == [line for line in alone.outlines if line.startswith("    ")]


def test_pages_of_a_test_go_into_the_report(foreign):
    pages = "trial.pages |= {'x, counts/all': '# Counts\\n'}; "
    check = "trial.check(trial.claim.rule(Totals(55, 100)))"
    foreign.write(claims_toml=paper(), test_coin=body_of(pages + check))
    report = foreign.report()
    assert report.keys() == {"findings.md", "verdicts.md", "x.counts-all.md"}
    assert report["x.counts-all.md"] == "# Counts\n"


KNOWN = '[coin]\nhere = "It is bent."'
ORPHAN = '[coin]\neuro = "It is bent."'


@pytest.mark.parametrize(
    ("heads", "options", "outcome"),
    [
        (10, [], "xfailed"),
        (10, ["--claims-strict"], "xfailed"),
        (90, [], "failed"),
        (55, [], "undecided"),
        (55, ["--claims-strict"], "failed"),
        ("1 / 0", [], "failed"),
    ],
)
def test_a_known_refutation_excuses_being_refuted_and_nothing_else(
    foreign, heads, options, outcome
):
    foreign.write(claims_toml=paper(), test_coin=tossed(heads), known_refutations_toml=KNOWN)
    assert foreign.run(*options).parseoutcomes() == {outcome: 1}


@pytest.mark.parametrize(
    ("heads", "outcomes"),
    [(10, {"xfailed": 2}), (90, {"failed": 1, "xpassed": 1}), (55, {"undecided": 2})],
)
def test_what_is_known_of_a_subject_is_no_surprise_beside_it(foreign, heads, outcomes):
    """A refutation may show there, too, and need not."""
    foreign.write(
        claims_toml=paper(),
        conftest=subjects("Subject('here')", "Subject('x', beside='here')"),
        test_coin=tossed(heads),
        known_refutations_toml=KNOWN,
    )
    assert foreign.run("--claims-strict" if heads == 10 else "-v").parseoutcomes() == outcomes


def test_what_a_subject_is_known_as_holds_beside_it(foreign):
    one, other = "Subject('a', known_as='here')", "Subject('x', beside='a')"
    foreign.write(
        claims_toml=paper(),
        conftest=subjects(one, other),
        test_coin=tossed(10),
        known_refutations_toml=KNOWN,
    )
    assert foreign.run().parseoutcomes() == {"xfailed": 2}


def test_a_known_refutation_of_no_subject_is_a_warning(foreign):
    foreign.write(claims_toml=paper(), test_coin=tossed(90), known_refutations_toml=ORPHAN)
    result = foreign.run()
    assert result.parseoutcomes() == {"passed": 1, "warnings": 1}
    result.stdout.fnmatch_lines(
        [
            "*test_coin.py:*ClaimWarning: known_refutations.toml, [[]coin[]]: 'euro' is no subject "
            "of this claim, which has here. Take the entry out, or give it a label of these."
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [["--claims-strict"], ["-W", "error"], ["-W", "error", *WORKERS]]
)
def test_a_known_refutation_of_no_subject_is_an_error_where_asked(foreign, options):
    foreign.write(claims_toml=paper(), test_coin=tossed(90), known_refutations_toml=ORPHAN)
    result = foreign.run(*options)
    assert result.ret in (INTERRUPTED, pytest.ExitCode.TESTS_FAILED)
    assert result.parseoutcomes() == {"errors": 1}
    result.stdout.fnmatch_lines(["*known_refutations.toml, [[]coin[]]: 'euro' is no subject*"])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize("euro", ["Subject('euro', asked=False)", "Subject('x', known_as='euro')"])
def test_a_label_that_exists_is_no_orphan(foreign, euro):
    foreign.write(
        claims_toml=paper(),
        conftest=subjects("Subject('here')", euro),
        test_coin=tossed(10),
        known_refutations_toml=ORPHAN,
    )
    outcomes = foreign.run("--claims-strict").parseoutcomes()
    assert outcomes == ({"failed": 1, "xfailed": 1} if "known_as" in euro else {"failed": 1})


MISTAKES = {
    "no such claim": (
        {"test_coin": tossed(90, "penny")},
        "test_coin.py::test_penny: claims.toml has no claim 'penny'. It has coin, dime.",
    ),
    "two tests of one claim": (
        {"test_coin": tossed(90), "test_more": tossed(80)},
        "test_more.py::test_coin: test_coin.py::test_coin tests the claim 'coin' already. Put both "
        "into one test, as parts of in_every_setting, or give this one a claim of its own.",
    ),
    "no id": (
        {"test_coin": tossed(90).replace('claim("coin")', "claim")},
        "test_coin.py::test_coin: the mark claim takes one id: @pytest.mark.claim(id).",
    ),
    "an id by name": (
        {"test_coin": tossed(90).replace('claim("coin")', 'claim(id="coin")')},
        "test_coin.py::test_coin: the mark claim takes one id: @pytest.mark.claim(id).",
    ),
    "no trial": (
        {"test_coin": body_of("pass").replace("trial", "tmp_path")},
        "test_coin.py::test_coin tests a claim but does not ask for the fixture trial, *",
    ),
    "no claim": (
        {"test_coin": "def test_coin(trial): pass"},
        "test_coin.py::test_coin asks for trial but tests no claim: mark it with *",
    ),
    "no list": (
        {"conftest": subjects().replace("[]", "'euro'"), "test_coin": tossed(90)},
        "test_coin.py::test_coin: pytest_claim_subjects answered 'euro'; expected a list of *",
    ),
    "no subject": (
        {"conftest": subjects("'euro'"), "test_coin": tossed(90)},
        "test_coin.py::test_coin: pytest_claim_subjects answered [[]'euro'[]]; expected *",
    ),
    "two subjects of one label": (
        {"conftest": subjects("Subject('a', 1)", "Subject('a', 2)"), "test_coin": tossed(90)},
        "test_coin.py::test_coin: pytest_claim_subjects answered with two subjects of the label "
        "'a'. *",
    ),
    "a broken entry": (
        {"claims_toml": paper(entry(threshold=5)), "test_coin": tossed(90)},
        "test_coin.py::test_coin: claims.toml, [[]coin[]]: threshold is 5; expected a share *",
    ),
    "no TOML": (
        {"claims_toml": "[paper", "test_coin": tossed(90)},
        "test_coin.py::test_coin: '*claims.toml' cannot be read as TOML: *",
    ),
    "a refutation of no claim": (
        {"known_refutations_toml": '[penny]\nhere = "why"', "test_coin": tossed(90)},
        "test_coin.py::test_coin: known_refutations.toml, [[]penny[]]: claims.toml has no claim *",
    ),
    "input that the conftest refuses": (
        {
            "conftest": "from claimlib import ClaimError\n"
            "def pytest_claim_subjects(config, claim): raise ClaimError('Pass a coin.')",
            "test_coin": tossed(90),
        },
        "test_coin.py::test_coin: Pass a coin.",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_at_its_test_without_a_traceback(foreign, mistake):
    files, message = MISTAKES[mistake]
    foreign.write(**({"claims_toml": paper(entry(), entry("dime"))} | files))
    result = foreign.run()
    assert (result.parseoutcomes(), result.ret) == ({"errors": 1}, INTERRUPTED)
    result.stdout.fnmatch_lines([message])
    result.stdout.no_fnmatch_line("E  *")


def test_a_method_of_unittest_cannot_test_a_claim(foreign):
    foreign.write(
        claims_toml=paper(),
        test_coin="import pytest, unittest\n"
        "class TestCoin(unittest.TestCase):\n"
        "    @pytest.mark.claim('coin')\n"
        "    def test_coin(self): pass",
    )
    result = foreign.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: test_coin.py::TestCoin::test_coin tests a claim but does not ask for *"]
    )


def test_a_test_without_a_claims_file_above_it_says_so(foreign):
    foreign.write(test_coin=tossed(90))
    result = foreign.run()
    assert result.ret == INTERRUPTED
    result.stdout.fnmatch_lines(
        ["test_coin.py::test_coin: there is no claims.toml beside this test, nor in a folder*"]
    )


def test_a_mistake_in_a_conftests_own_code_shows_where(foreign):
    foreign.write(
        claims_toml=paper(),
        conftest="def pytest_claim_subjects(config, claim): return [1 / 0]",
        test_coin=tossed(90),
    )
    result = foreign.run()
    assert result.ret == INTERRUPTED
    result.stdout.fnmatch_lines(["*conftest.py:1: *", "E * ZeroDivisionError*"])


SWALLOWED = """try:
        trial.check(trial.claim.rule(Totals({heads}, 100)))
    except BaseException:
        pass"""


@pytest.mark.parametrize(("heads", "outcome"), [(90, "passed"), (20, "failed"), (52, "undecided")])
def test_a_test_that_swallows_its_verdict_passes_no_claim(foreign, heads, outcome):
    foreign.write(claims_toml=paper(), test_coin=body_of(SWALLOWED.format(heads=heads)))
    result = foreign.run()
    assert f"1 {outcome}" in result.stdout.str()


def test_a_claim_is_not_run_on_a_subject_that_it_does_not_apply_to(foreign):
    reason = '{ euro = "Its edge is too thick." }'
    subjects = "from claimlib import Subject\n\ndef pytest_claim_subjects(config, claim):\n"
    subjects += "    return [Subject('dime'), Subject('euro')]"
    foreign.write(
        claims_toml=paper(entry("coin", not_on=reason), entry("other")),
        conftest=subjects,
        test_coin=tossed(90),
        test_other=tossed(90, id="other"),
    )
    page = foreign.report()["verdicts.md"]
    rows = [line for line in page.splitlines() if "| `" in line]
    assert "not applicable" in rows[0]
    assert "not applicable" not in rows[1]


def test_a_claim_whose_test_hands_in_no_verdict_fails(foreign):
    foreign.write(claims_toml=paper(), test_coin=body_of("assert trial.claim.id"))
    result = foreign.run()
    assert result.parseoutcomes() == {"failed": 1}
    result.stdout.fnmatch_lines(
        ["The test of a claim handed in no verdict: end it with trial.che*"]
    )


TOLD = """
class CoinError(Exception):
    told = {told}

def raised():
    raise CoinError("Pass a coin.")
"""


@pytest.mark.parametrize("told", [True, False])
def test_only_an_error_that_says_so_is_told_without_a_traceback(foreign, told):
    code = body_of("raised()") + TOLD.format(told=told)
    foreign.write(claims_toml=paper(), test_coin=code)
    result = foreign.run()
    assert result.parseoutcomes() == {"failed": 1}
    result.stdout.fnmatch_lines(["*Pass a coin."])
    assert any("raise CoinError" in line for line in result.outlines) is not told


LACKING = """
class NoCoin(Exception):
    told, lacking = True, {lacking}

def toss():
    raise NoCoin("There is no coin.")

@pytest.fixture
def coin():
    toss()
"""


@pytest.mark.slow
@pytest.mark.parametrize("order", [("coin", "trial"), ("trial", "coin")])
@pytest.mark.parametrize("lacking", [True, False])
def test_a_claim_that_lacks_what_it_needs_is_left_out(foreign, lacking, order):
    """In its test or in a fixture, with the reason; any other error fails."""
    in_test = body_of("toss()", "a") + LACKING.format(lacking=lacking)
    in_fixture = body_of("assert False", "b").replace("(trial)", f"({', '.join(order)})")
    foreign.write(
        claims_toml=paper(entry("a"), entry("b"), entry("c")),
        known_refutations_toml='[a]\nhere = "Bent."',
        test_a=in_test,
        test_b=in_fixture + LACKING.format(lacking=lacking),
        test_c=tossed(90, "c"),
    )
    result = foreign.run("-rs")
    if not lacking:
        assert result.parseoutcomes() == {"passed": 1, "failed": 1, "errors": 1}
        return
    assert (result.parseoutcomes(), result.ret) == ({"passed": 1, "undecided": 2}, 0)
    reason = "Left out on here, as what they need is not there: a, b: There is no coin."
    result.stdout.fnmatch_lines([reason])
    page = foreign.report()["verdicts.md"]
    assert page.count("undecided (left out)<br>not measured") == 2
    assert foreign.run("--claims-strict").parseoutcomes() == {
        "passed": 1,
        "failed": 1,
        "errors": 1,
    }


def test_an_error_of_another_test_keeps_its_traceback(foreign):
    foreign.write(
        test_other="from claimlib import ClaimError\ndef test_other(): raise ClaimError('No.')"
    )
    foreign.run().stdout.fnmatch_lines(["*def test_other(): raise ClaimError('No.')"])


def test_a_report_folder_that_cannot_be_made_is_a_usage_error(foreign):
    foreign.write(claims_toml=paper(), test_coin=tossed(90))
    (foreign.path / "blocked").write_text("no folder")
    result = foreign.run("--claims-report=blocked")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: The report could not be written to 'blocked': *"])


LOADED = """
import sys
def pytest_unconfigure(config):
    heavy = {"numpy", "scipy", "statsmodels", "pandas", "torch", "transformers", "PIL"}
    print("loaded:", sorted(heavy & set(sys.modules)), "claimlib.kinds" in sys.modules)
"""


@pytest.mark.slow
def test_a_run_without_claims_loads_no_rule(foreign):
    """In a process of its own: an entry point is imported in every run of an environment."""
    foreign.write(conftest=LOADED, test_other="def test_other(): assert True")
    result = foreign.pytester.runpytest_subprocess(
        "-p", "no:jaxtyping", "-p", "no:hypothesispytest"
    )
    assert result.parseoutcomes() == {"passed": 1}
    result.stdout.fnmatch_lines(["loaded: [[][]] False"])
    foreign.write(claims_toml=paper(), test_coin=tossed(90))
    result = foreign.pytester.runpytest_subprocess(
        "-p", "no:jaxtyping", "-p", "no:hypothesispytest"
    )
    assert result.parseoutcomes() == {"passed": 2}
    result.stdout.fnmatch_lines(["loaded: [[]'numpy', 'pandas', 'scipy', 'statsmodels'[]] True"])


def test_a_test_that_breaks_is_told_as_that(foreign):
    """Not as one that nobody selected; whether or not the claim has a verdict elsewhere."""
    raises = body_of("raise RuntimeError('It broke.\\nHere.')", id="coin")
    foreign.write(claims_toml=paper(entry("coin"), entry("spun")), test_coin=raises)
    foreign.write(test_spun=tossed(90, id="spun"))
    foreign.report()
    told = json.loads((foreign.path / "report" / "verdicts.json").read_text())
    assert [(each["claim"], each["reason"]) for each in told["not_run"]] == [
        ("coin", "its test ended with an error: It broke.")
    ]
