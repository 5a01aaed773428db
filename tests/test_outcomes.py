"""Verdicts as outcomes of pytest, end to end on a tiny model: refuted, undecided, known
refutations, the GPU policy.

Fails if a refuted claim does not fail or shows a traceback, if undecided passes for supported or
for skipped, if a known refutation excuses anything but that refutation, or if a missing GPU hides a
test without saying so.
"""

import pytest

pytest_plugins = ["tests.inner"]

ON_TINY = "object-buffer-polling on my-llava"
KNOWN = '[object-buffer-polling]\n"my-llava" = "It is random."\n'
NO_GPU = "needs a GPU and none was found; --vlm-device cpu runs it on the processor"


@pytest.mark.parametrize(
    ("count", "outcome", "ending", "word"),
    [
        (90, "passed", 0, "supported"),
        (10, "failed", 1, "refuted"),
        (55, "undecided", 0, "undecided"),
    ],
)
def test_each_verdict_has_its_own_outcome(inner, count, outcome, ending, word):
    result = inner.verdict(count, *inner.own)
    assert result.parseoutcomes() == {outcome: 1}
    assert result.ret == ending
    lines = [
        "*= verdicts =*",
        "section 3",
        "  object-buffer-polling: *",
        f"    my-llava: {word}: {count}.0% [[]*",
    ]
    result.stdout.fnmatch_lines(lines, consecutive=True)


def test_a_refuted_claim_tells_its_whole_finding_and_shows_no_traceback(inner):
    result = inner.verdict(10, *inner.own)
    result.stdout.fnmatch_lines(
        [
            f"{ON_TINY}: refuted: 10.0% [[]4.9%, 17.6%[]], n = 100, required > 50% (95% interval, "
            "p < 0.001 against)*",
            "  claimed: Ablating the object's tokens with a buffer of one*(section 3: Table 1, "
            "row*51.28 for *)",
            "  bound: The largest round figure*",
            f"  measured on emoji_coco, seed 0; rows: {inner.store / 'rows.sqlite'}",
        ],
        consecutive=True,
    )
    for sign_of_a_traceback in ("*Traceback*", "*.py:*: *", ">*", "E  *"):
        result.stdout.no_fnmatch_line(sign_of_a_traceback)


def test_a_finding_in_several_settings_lists_every_one(inner):
    counts = "{'polling': 90, 'VQA': 10}"
    parts = f"{{name: exceeds(Totals(count, 100), 0.5) for name, count in {counts}.items()}}"
    result = inner.body(f"trial.check(in_every_setting({parts}))", *inner.own)
    assert result.parseoutcomes() == {"failed": 1}
    lines = [
        f"{ON_TINY}: refuted: 1 of 2*",
        "    polling: supported: 90.0%*",
        "    VQA: refuted: 10.0%*",
        "  claimed: *",
    ]
    result.stdout.fnmatch_lines(lines, consecutive=True)


def test_undecided_is_a_word_of_its_own(inner):
    result = inner.verdict(55, *inner.own, "-v")
    result.stdout.fnmatch_lines(["*::test_planted[[]my-llava[]] UNDECIDED*"])
    result.stdout.fnmatch_lines(["*= 1 undecided in *"])
    result.stdout.no_fnmatch_line("*skipped*")


def test_strictly_an_undecided_claim_fails_and_says_why(inner):
    result = inner.verdict(55, *inner.own, "--claims-strict")
    assert (result.parseoutcomes(), result.ret) == ({"failed": 1}, 1)
    result.stdout.fnmatch_lines(
        [f"{ON_TINY}: undecided: 55.0%*", "  --claims-strict makes an undecided claim fail"]
    )
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize(("count", "outcome"), [(90, "passed"), (10, "failed")])
def test_strictness_leaves_decided_claims_alone(inner, count, outcome):
    assert inner.verdict(count, *inner.own, "--claims-strict").parseoutcomes() == {outcome: 1}


@pytest.mark.parametrize(
    ("body", "option", "outcome", "ending"),
    [
        ("trial.check(exceeds(Totals(10, 100), 0.5))", "-rx", "xfailed", 0),
        ("trial.check(exceeds(Totals(90, 100), 0.5))", "-rx", "failed", 1),
        ("trial.check(exceeds(Totals(55, 100), 0.5))", "-rx", "undecided", 0),
        ("trial.check(exceeds(Totals(55, 100), 0.5))", "--claims-strict", "failed", 1),
        ("raise RuntimeError", "-rx", "failed", 1),
        ("raise AssertionError", "-rx", "failed", 1),
        ("raise VLMError", "-rx", "failed", 1),
    ],
)
def test_a_known_refutation_excuses_being_refuted_and_nothing_else(
    inner, known, body, option, outcome, ending
):
    known(KNOWN)
    result = inner.body(body, *inner.own, option)
    assert (result.parseoutcomes(), result.ret) == ({outcome: 1}, ending)


def test_a_known_refutation_shows_its_reason_and_still_its_verdict(inner, known):
    known(KNOWN)
    result = inner.verdict(10, *inner.own, "-rx")
    result.stdout.fnmatch_lines(
        ["    my-llava: refuted: 10.0%*", "XFAIL *test_planted[[]my-llava[]] - It is random."]
    )


def test_a_known_refutation_that_is_refuted_no_longer_says_so(inner, known):
    known(KNOWN)
    result = inner.verdict(90, *inner.own)
    result.stdout.fnmatch_lines(
        ["[[]XPASS(strict)[]] It is random.", "    my-llava: supported: 90.0%*"]
    )


def test_a_known_refutation_holds_for_its_label_only(inner, known):
    known(KNOWN.replace("my-llava", "my-llava, authors"))
    both = ("--vlm-protocol=text", "--vlm-protocol=authors")
    assert inner.verdict(10, *inner.own, *both).parseoutcomes() == {"failed": 1, "xfailed": 1}
    known(KNOWN.replace("my-llava", "llava-phi-3"))
    assert inner.verdict(10, "-k", "phi and published").parseoutcomes() == {
        "failed": 1,
        "deselected": 4,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[no-such-claim]\n"my-llava" = "why"',
            "[no-such-claim]: claims.toml has no claim of this id",
        ),
        (
            '[object-buffer-polling]\n"my-llava" = " "',
            "[object-buffer-polling]: the reason for 'my-llava' is ' '",
        ),
        (
            '[object-buffer-polling]\n"my-llava" = true',
            "[object-buffer-polling]: the reason for 'my-llava' is True",
        ),
        ('object-buffer-polling = "It is random."', "[object-buffer-polling]"),
        ("[object-buffer-polling", "known_refutations.toml' cannot be read as TOML"),
    ],
)
def test_a_bad_entry_among_the_known_refutations_is_an_error_that_names_it(
    inner, known, told, text, message
):
    known(text)
    result = inner.verdict(10, "-k", "published")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert message in told(result)
    assert "Traceback" not in told(result)


def test_bad_input_is_told_without_a_traceback_and_an_error_of_ours_with_one(inner):
    result = inner.body('raise VLMError("Pass a larger image.")', *inner.own)
    result.stdout.fnmatch_lines(["Pass a larger image."])
    result.stdout.no_fnmatch_line("*test_planted(trial, subject)*")
    result = inner.body('raise RuntimeError("a mistake")', *inner.own)
    result.stdout.fnmatch_lines(["*test_planted(trial, subject)*", "E * RuntimeError: a mistake"])


def test_without_a_gpu_the_papers_models_are_skipped_with_the_reason_in_one_line(inner):
    result = inner.run(inner.claims, "-m", "gpu", "-k", "buffer or row or numbers")
    outcomes = result.parseoutcomes()
    assert outcomes.keys() == {"skipped", "deselected"}
    assert outcomes["skipped"] > 20
    [line] = [line for line in result.outlines if line.startswith("SKIPPED")]
    assert line.startswith(f"SKIPPED [{outcomes['skipped']}]")
    assert line.endswith(NO_GPU)


def test_a_required_gpu_that_is_missing_is_an_error(inner, monkeypatch):
    monkeypatch.setenv("VLM_REQUIRE_GPU", "1")
    result = inner.verdict(90, "-m", "gpu")
    assert (result.parseoutcomes(), result.ret) == ({"errors": 2, "deselected": 3}, 1)
    assert result.outlines.count(f"{NO_GPU} (VLM_REQUIRE_GPU=1 makes this a failure)") == 2


def test_a_gpu_that_is_required_is_no_matter_to_what_needs_none(inner, monkeypatch):
    monkeypatch.setenv("VLM_REQUIRE_GPU", "1")
    assert inner.verdict(90, "-k", "published").parseoutcomes() == {"passed": 2, "deselected": 3}
    assert inner.verdict(90, *inner.own).parseoutcomes() == {"passed": 1}
