"""What a claim is held against: models by name, the labels of runs, and which runs the options ask
for.

Fails if a claim runs on a model or on images of which it means nothing, or under a name that stands
for something else.
"""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from claims.neo2025.runs import recorded_runs_of, runs_of, subject_of
from fixtures import filtered
from fixtures.models import MODELS, SHIPPED, Run, label_of, pinned, source_of
from fixtures.plugin import RECORDING
from tests.neo2025 import NEO2025 as CLAIMS
from vlmlib import VLMError

LENSES = "llava-1.5-7b+qwen2-vl-2b"


def test_a_model_is_a_name_a_folder_or_a_hub_id(tmp_path: Path):
    assert source_of("llava-1.5-7b") == "llava-hf/llava-1.5-7b-hf"
    assert source_of(str(tmp_path)) == str(tmp_path)
    assert source_of("me/my-llava") == "me/my-llava"
    named = [label_of(each) for each in (SHIPPED, str(tmp_path), "me/my-llava")]
    assert named == [SHIPPED, tmp_path.name, "me/my-llava"]
    assert Path(MODELS[SHIPPED]).is_dir()


def test_a_folder_is_told_from_others_of_its_name(tmp_path: Path):
    """By as few of the folders above it as that takes; itself twice is one."""
    names = ["one/a/llava", "one/b/llava", "two/b/llava", "two/other"]
    folders = [str(tmp_path / name) for name in names]
    for folder in folders:
        Path(folder).mkdir(parents=True)
    assert [label_of(each, folders) for each in folders] == [
        "a/llava",
        "one/b/llava",
        "two/b/llava",
        "other",
    ]
    assert label_of(folders[0], [folders[0], f"{tmp_path}/one/../one/a/llava", SHIPPED]) == "llava"
    assert Run(folders[1], "authors", beside=tuple(folders)).label == "one/b/llava, authors"
    assert Run(folders[1], beside=tuple(folders)) == Run(folders[1])


def test_a_name_may_pin_a_version_of_its_model(tmp_path: Path):
    folder = tmp_path / "llava@home"
    folder.mkdir()
    assert pinned(f"me/my-llava@{'a' * 40}") == ("me/my-llava", "a" * 40)
    assert pinned("me/my-llava") == ("me/my-llava", None)
    assert pinned(str(folder)) == (str(folder), None)


@pytest.mark.parametrize("model", ["llama", "a/b/c", "./a/b", "~/a", "/a/b", ""])
def test_what_is_no_model_is_refused(model):
    with pytest.raises(
        VLMError, match=f"--vlm-model {re.escape(model)}: there is no model of this name"
    ):
        source_of(model)


def test_a_label_tells_model_protocol_and_whether_it_is_published(tmp_path: Path):
    (tmp_path / "my-llava").mkdir()
    folder = str(tmp_path / "my-llava")
    both = Run("llava-1.5-7b+llava-phi-3", kind="published")
    labels = [
        each.label
        for each in (
            Run(folder),
            Run(folder, "authors"),
            Run("mine", "text", "recorded", "emoji_coco"),
            Run("mine", "authors", "recorded", "emoji_coco", one_of_several=True),
            Run("llava-phi-3", kind="published"),
            both,
        )
    ]
    assert labels == [
        "my-llava",
        "my-llava, authors",
        "mine, recorded",
        "mine, authors, emoji_coco, recorded",
        "llava-phi-3 as published",
        "llava-1.5-7b+llava-phi-3 as published",
    ]
    assert [each.label for each in both.each()] == [
        "llava-1.5-7b as published",
        "llava-phi-3 as published",
    ]
    assert Run("llava-1.5-7b+llava-phi-3", "authors").each()[1] == Run("llava-phi-3", "authors")


@pytest.mark.parametrize(
    ("claim", "models", "protocols", "expected"),
    [
        ("visual-norms", None, None, ["emoji-llava", "llava-1.5-7b", "llava-phi-3"]),
        ("numbers-persist", None, None, ["llava-1.5-7b"]),  # not shipped
        ("qwen-early", None, None, ["qwen2-vl-2b"]),
        ("qwen-lower", None, None, [f"{LENSES} as published", LENSES]),
        ("sliding-peak", None, ["authors"], ["emoji-llava, authors", "llava-phi-3, authors"]),
        (
            "both-models-agree",
            None,
            ["authors", "text", "text"],
            [
                "llava-1.5-7b+llava-phi-3 as published",
                "llava-1.5-7b+llava-phi-3, authors",
                "llava-1.5-7b+llava-phi-3",
            ],
        ),
        ("sliding-peak", ["me/mine"], None, ["me/mine"]),
        ("numbers-persist", ["me/mine", "qwen2-vl-2b"], None, ["me/mine", "qwen2-vl-2b"]),
        ("qwen-lower", ["me/mine"], None, []),
        ("qwen-lower", ["me/mine", "qwen2-vl-2b"], None, []),  # one of the two
        (
            "qwen-early",
            ["me/mine", "qwen2-vl-2b"],
            ["text", "authors"],
            ["qwen2-vl-2b", "qwen2-vl-2b, authors"],
        ),
    ],
)
def test_what_a_claim_is_held_against(claim, models, protocols, expected):
    assert [run.label for run in runs_of(CLAIMS[claim], models, protocols)] == expected


def recorded(claim: str, *subjects: tuple[str, str, str], named: list[str] | None = None):
    """(model, data, protocol) of the recorded runs that a claim is held against."""
    recording: Any = SimpleNamespace(subjects=subjects)
    runs = recorded_runs_of(CLAIMS[claim], recording, named)
    return [(run.model, run.data, run.protocol) for run in runs]


@pytest.mark.parametrize(
    ("protocol", "recorded", "beside"),
    [
        ("text", ["text"], ""),
        ("zero", ["text", "zero"], "mine, recorded"),
        ("zero", ["zero"], "mine"),
    ],
)
def test_a_recorded_protocol_stands_beside_the_texts(protocol, recorded, beside):
    """By its label, if that was recorded, too."""
    subjects = [("mine", "coco", each) for each in recorded]
    recording = Mock(subjects=subjects, paths=[], missing=lambda subject: [])
    option = SimpleNamespace(vlm_limit=None)
    config: Any = SimpleNamespace(stash={RECORDING: recording}, option=option)
    assert subject_of(Run("mine", protocol, "recorded", "coco"), config).beside == beside


OTHERS, OWN = (("llava-1.5-7b", data, "text") for data in ("coco", f"coco{filtered.THE_PAPERS}"))


@pytest.mark.parametrize(
    ("claim", "expected"),
    [("table-2", [OTHERS]), ("table-2-repeat", [OWN]), ("visual-norms", [OTHERS, OWN])],
)
def test_recorded_images_are_the_papers_or_others_by_their_name(claim, expected):
    """A claim that does not say of which images it speaks is asked about both."""
    assert recorded(claim, OTHERS, OWN) == expected


def test_two_models_are_compared_on_the_same_recorded_data():
    qwen = ("qwen2-vl-2b", "coco", "text")
    assert recorded("qwen-lower", OTHERS, qwen) == [(LENSES, "coco", "text")]
    assert recorded("qwen-lower", OWN, qwen) == []
    assert recorded("qwen-lower", OTHERS, qwen, named=["qwen2-vl-2b"]) == []


def test_a_recorded_protocol_that_there_is_not_is_left_out():
    assert recorded("visual-norms", ("llava-1.5-7b", "coco", "mine")) == []
