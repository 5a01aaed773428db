"""The plugin's options, end to end on tiny models: what each one does, and what bad input is told.

Fails if an option is ignored, or if input that cannot work is met with a traceback or with silence.
"""

from pathlib import Path

import pytest

pytest_plugins = ["tests.inner"]

USAGE = pytest.ExitCode.USAGE_ERROR

SUPPORTED = "trial.check(exceeds(Totals(90, 100), 0.5))"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--vlm-model=llama-1.5", "--vlm-model llama-1.5: there is no model of this name"),
        (
            "--vlm-model=./missing/folder",
            "one of emoji-llava, llava-1.5-7b, llava-phi-3, qwen2-vl-2b, a checkpoint folder",
        ),
        ("--vlm-limit=0", "--vlm-limit 0: expected at least one image"),
        ("--vlm-limit=-3", "--vlm-limit -3: expected at least one image"),
        ("--vlm-limit=some", "--vlm-limit: invalid int value: 'some'"),
    ],
)
def test_an_option_that_cannot_be_meant_is_a_usage_error(inner, told, option, message):
    result = inner.verdict(90, option)
    assert result.ret == USAGE
    assert message in told(result)


def test_a_protocol_that_there_is_not_is_an_error_that_names_those_there_are(inner, told):
    result = inner.verdict(90, "--vlm-protocol=mine")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "--vlm-protocol mine: expected one of text, authors" in told(result)


def test_naming_a_model_asks_for_it_alone(inner):
    items = inner.items(
        inner.claims, *inner.own, "-k", "polling_answers or negligible or hardly_matter"
    )
    assert {item.callspec.id for item in items} == {"my-llava"}
    assert len(items) == 3


def test_a_model_and_its_measurements_run_end_to_end(inner):
    """All that the real claims ask of a subject is there for a model of one's own, whatever comes
    out."""
    chosen = "grows or coarse or hardly_matter or polling_answers or sliding"
    chosen += " or numbers_persist or right_tokens"
    result = inner.run(inner.claims, *inner.own, "-k", chosen)
    assert result.parseoutcomes().keys() == {"undecided", "deselected"}
    result.stdout.fnmatch_lines(
        ["*probability-falls: *", "    my-llava: undecided: no images are left*"]
    )
    assert {task for (task,) in inner.query("SELECT DISTINCT task FROM measurements")} >= {
        "filter 2",
        "logit lens",
        "VQA",
    }


def test_several_models_each_have_their_own_tests(inner):
    second = inner.checkpoint_named("your-llava")
    result = inner.verdict(90, *inner.own, f"--vlm-model={second}")
    assert result.parseoutcomes() == {"passed": 2}
    result.stdout.fnmatch_lines(
        ["    my-llava: supported*", "    your-llava: supported*"], consecutive=True
    )


def test_both_protocols_give_both_columns(inner):
    both = ("--vlm-protocol=text", "--vlm-protocol=authors")
    result = inner.body("trial.check(exceeds(subject.lens.best > 0, 0.5))", *inner.own, *both, "-v")
    assert result.parseoutcomes() == {"undecided": 2}
    result.stdout.fnmatch_lines_random(
        ["*::test_planted[[]my-llava[]] *", "*::test_planted[[]my-llava, authors[]] *"]
    )
    result.stdout.fnmatch_lines(
        ["    my-llava: undecided*", "    my-llava, authors: undecided*"], consecutive=True
    )
    joined = "units JOIN measurements ON measurements.id = units.measurement"
    assert inner.query(f"SELECT protocol, count(*) FROM {joined} GROUP BY protocol") == [
        ("authors", 3),
        ("text", 3),
    ]


def test_the_authors_protocol_alone_is_no_text(inner):
    items = inner.items(inner.claims, *inner.own, "--vlm-protocol=authors", "-k", "polling_answers")
    assert [item.callspec.id for item in items] == ["my-llava, authors"]


def test_the_limit_is_the_number_of_images(inner):
    inner.body("subject.lens", *inner.own, "--vlm-limit=2")
    assert inner.query("SELECT count(DISTINCT example), count(*) FROM units") == [(2, 2)]


def test_the_questions_of_another_file_are_asked(inner, tmp_path: Path):
    questions = tmp_path / "none.json"
    questions.write_text("{}")
    count = "[len([each for each in subject.images.examples if each.questions])]"
    assert inner.body(f"assert {count} == [3]; {SUPPORTED}", *inner.own).parseoutcomes() == {
        "passed": 1
    }
    own = (*inner.own, f"--vlm-questions={questions}")
    assert inner.body(f"assert {count} == [0]; {SUPPORTED}", *own).parseoutcomes() == {"passed": 1}


def test_the_mean_token_comes_from_the_file_that_is_given(inner, mean_file):
    body = f"mean = subject.bench.mean_token(); assert mean.tolist() == [0] * 16; {SUPPORTED}"
    assert inner.body(body, *inner.own).parseoutcomes() == {"passed": 1}
    assert inner.body(body, *inner.without_mean).parseoutcomes() == {"failed": 1}


@pytest.mark.parametrize("measurement", ["ablations", "lens"])
def test_a_mean_token_of_another_width_is_told_where_one_is_used(inner, mean_file, measurement):
    result = inner.body(f"subject.{measurement}", *inner.without_mean, f"--vlm-mean={mean_file(7)}")
    assert result.parseoutcomes() == {"failed": 1}
    result.stdout.no_fnmatch_line("*test_planted(trial, subject)*")  # a traceback would show it
    result.stdout.re_match_lines([r".*\b7\b.*\b16\b|.*\b16\b.*\b7\b"])


def test_a_file_that_is_no_mean_token_is_told(inner, tmp_path: Path):
    file = tmp_path / "mean.safetensors"
    file.write_text("no tensor")
    result = inner.body("subject.bench.mean_token()", *inner.without_mean, f"--vlm-mean={file}")
    assert result.parseoutcomes() == {"failed": 1}
    result.stdout.fnmatch_lines([f"'{file}' could not be read as a mean embedding: *"])


def test_a_store_that_cannot_be_made_is_told(inner, tmp_path: Path):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    result = inner.verdict(90, *inner.own, f"--vlm-store={blocked / 'store'}")
    assert result.parseoutcomes() == {"errors": 1}
    result.stdout.fnmatch_lines(
        [f"Results cannot be kept in '{blocked / 'store'}' *Choose a folder*"]
    )
    result.stdout.no_fnmatch_line("*plugin.py:*")


def test_a_model_without_a_data_set_says_which_option_to_pass(inner):
    result = inner.verdict(90, f"--vlm-model={inner.checkpoint}", "--vlm-device=cpu")
    assert result.parseoutcomes() == {"errors": 1}
    result.stdout.fnmatch_lines(
        ["my-llava needs a data set. Pass --vlm-coco DIR*--vlm-coco *emoji_coco for the shipped*"]
    )
    result.stdout.no_fnmatch_line("*plugin.py:*")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("processor_config.json", "*broken' has no processor*"),
        ("config.json", "*broken' has no configuration*"),
    ],
)
def test_a_checkpoint_folder_that_lacks_a_part_is_named(inner, broken, message):
    folder = inner.checkpoint_named("broken")
    (Path(folder) / broken).unlink()
    result = inner.body("subject.lens", f"--vlm-model={folder}", *inner.on_scenes)
    assert result.parseoutcomes() == {"failed": 1}
    result.stdout.fnmatch_lines([message])


def test_a_folder_that_is_not_coco_is_named(inner, tmp_path: Path):
    result = inner.verdict(90, *inner.own, f"--vlm-coco={tmp_path}")
    assert result.parseoutcomes() == {"errors": 1}
    result.stdout.fnmatch_lines([f"There is no annotations/instances_*.json in '{tmp_path}'*"])


def test_a_claim_whose_test_hands_in_no_verdict_fails(inner):
    result = inner.body("assert subject.name", *inner.own)
    assert result.parseoutcomes() == {"failed": 1}
    result.stdout.fnmatch_lines(["*handed in no verdict: end it with trial.check(verdict)*"])
