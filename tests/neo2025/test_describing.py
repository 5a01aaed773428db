"""Filter 2 asks many images at once, and nothing twice.

Fails if its rows are not those of asking image by image, if a picture is painted out that the model
does not name, if a kept image's clean text is decoded again, if more images are described than a
run needs, or if one picture that cannot be read takes others along.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch

from claims.neo2025.authors import AUTHORS
from claims.neo2025.pages import page
from claims.neo2025.protocol import TEXT, described
from claims.neo2025.study import FILTER_2, TOGETHER, Measured
from fixtures import filtered
from tests.neo2025 import planted
from tests.spoiled import spoiled
from vlmlib import VLM, Description, ImageError
from vlmlib.study import Example, Row, Store

QUICK = replace(TEXT, steps=2)
IMAGES = 6


class Counting(VLM):
    """What it was asked to describe: how many texts at once, and under which arms."""

    each: list[int]
    arms: list[int]

    def describe_each(self, stimuli, *args, **kwargs):
        self.each.append(len(stimuli))
        return super().describe_each(stimuli, *args, **kwargs)

    def describe(self, stimulus, arms, *args, **kwargs):
        self.arms += [len(arm) for arm in arms]
        return super().describe(stimulus, arms, *args, **kwargs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return planted.write_data(tmp_path_factory.mktemp("planted") / "data")


@pytest.fixture
def study_of(folder, tmp_path) -> Iterator:
    with closing(Store(tmp_path / "store")) as store:

        def study(parts=planted.LOCAL, limit=IMAGES, **more) -> tuple[Measured, Counting]:
            vlm = planted.planted(*parts)
            counting = object.__new__(Counting)
            counting.__dict__ |= vlm.__dict__ | {"each": [], "arms": []}
            made = planted.study_of(counting, folder, store, limit, limit, protocol=QUICK, **more)
            return made, counting

        yield study


def one_by_one(vlm: VLM, example: Example, protocol, seed: int) -> list[Row]:
    """The rows as they are defined: a text of the picture, and of the picture painted out."""
    question = protocol.question("generative", example)
    assert isinstance(question, Description)
    clean = protocol.read(vlm, question, example.image)
    generator = np.random.default_rng([seed, example.number])
    painted = protocol.painted_out(clean, example, generator)
    [said] = protocol.ask(vlm, question, clean, [[]])
    about = {"category": example.category, "area": float(example.mask.mean())}
    rows = [Row("clean", said.right, answer=said.text, detail=about)]
    if said.right:
        [again] = protocol.ask(vlm, question, protocol.read(vlm, question, painted), [[]])
        rows.append(Row("painted out", again.right, answer=again.text))
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("protocol", [TEXT, AUTHORS], ids=["text", "authors"])
@pytest.mark.parametrize("parts", [planted.LOCAL, planted.BLIND, ()], ids=["local", "blind", "no"])
def test_the_rows_are_those_of_asking_image_by_image(protocol, parts, folder):
    vlm = planted.planted(*parts)
    examples = filtered.filter_1(folder, filtered.IDENTIFICATION, limit=IMAGES).examples
    together = described(vlm, torch.zeros(vlm.d_model), examples, protocol, seed=3)
    assert [(example.id, rows) for example, rows in together] == [
        (example.id, one_by_one(vlm, example, protocol, 3)) for example in examples
    ]


@pytest.mark.slow
def test_only_what_is_named_is_painted_out(study_of):
    study, vlm = study_of(())  # a model that names nothing
    assert study.kept == []
    assert vlm.each == [IMAGES, 0]
    study, vlm = study_of(planted.LOCAL, name="local")
    assert len(study.kept) == IMAGES
    assert vlm.each == [IMAGES, IMAGES]


@pytest.mark.slow
def test_a_clean_text_is_decoded_once(study_of):
    study, vlm = study_of()
    assert len(study.ablations.lost("generative", "object")) == IMAGES
    assert sum(vlm.each) == 2 * IMAGES
    assert Counter(vlm.arms)[0] == 0
    assert len(vlm.arms) > 20 * IMAGES


@pytest.mark.slow
def test_the_clean_row_is_what_filter_2_read(study_of):
    study, _ = study_of()
    texts = {each.example: each.rows[0].answer for each in study.described}
    rows = study.ablations.rows.rows
    clean = rows.loc[(rows["task"] == "generative") & (rows["arm"] == "clean")]
    assert dict(zip(clean["example"], clean["answer"], strict=True)) == texts


def test_no_more_is_described_than_is_needed(folder, tmp_path, monkeypatch):
    """All images pass: a run that needs two asks about two, where a batch may hold one."""
    monkeypatch.setattr("claims.neo2025.study.TOGETHER", 1)
    vlm = planted.planted(*planted.LOCAL)
    for most, expected in ((2, 2), (IMAGES, IMAGES), (50, IMAGES)):
        with closing(Store(tmp_path / str(most))) as store:
            study = planted.study_of(vlm, folder, store, IMAGES, protocol=QUICK, most=most)
            assert len(study.described) == expected
            assert len(study.kept) == min(most, IMAGES)
            # at the places that they have in the data set
            places = "SELECT example, position FROM units JOIN measurements ON measurement = id "
            found = store.database.execute(f"{places} WHERE task = ?", (FILTER_2,)).fetchall()
            ids = [example.id for example in study.examples]
            assert sorted(found) == sorted((ids[at], at) for at in range(expected))
    assert TOGETHER == 64


@pytest.mark.slow
def test_a_run_that_needs_more_later_goes_on(study_of):
    few, vlm = study_of(most=2)
    assert len(few.ablations.lost("polling", "object")) == 2
    asked = sum(vlm.each)
    more, vlm = study_of(most=IMAGES)
    assert len(more.ablations.lost("polling", "object")) == IMAGES
    assert asked + sum(vlm.each) == 2 * IMAGES


def test_vqa_and_the_lens_take_as_many_at_most(study_of):
    study, _ = study_of(most=2)
    assert len(study.asked("VQA")) == 2
    assert len(study.lens_examples) == 2


@pytest.mark.slow
@pytest.mark.parametrize("when", ["clean", "painted out"])
def test_a_picture_that_cannot_be_read_fails_alone(when, study_of, monkeypatch):
    study, _ = study_of()
    examples, read, seen = study.examples, Counting.read, Counter()

    def refuse(self, image, question, prefill=""):
        seen.update([question])
        if "escribe" in question and seen[question] == (3 if when == "clean" else IMAGES + 3):
            raise ImageError("An image of 1 x 400 pixels could not be processed: too thin.")
        return read(self, image, question, prefill)

    monkeypatch.setattr(Counting, "read", refuse)
    failed = [each for each in study.described if each.failed]
    assert [each.example for each in failed] == [examples[2].id]
    assert "too thin" in failed[0].failed
    assert len(study.kept) == IMAGES - 1
    assert len(study.ablations.lost("generative", "object")) == IMAGES - 1
    assert len(study.areas.values) == IMAGES - 1


@pytest.mark.slow
@pytest.mark.parametrize("when", ["clean", "painted out"])
def test_a_picture_on_which_the_head_gives_no_numbers_fails_alone(when, study_of):
    study, vlm = study_of()
    third = study.examples[2]
    clean = VLM.read(vlm, third.image, "Describe the image.")
    painted = QUICK.painted_out(
        clean, third, np.random.default_rng([study.bench.seed, third.number])
    )
    stimulus = clean if when == "clean" else VLM.read(vlm, painted, "Describe the image.")
    with spoiled(vlm, vlm.next_token(stimulus, [[]])[0]):
        failed = [each for each in study.described if each.failed]
        assert [each.example for each in failed] == [third.id]
        assert "The logits of description 1 of 1 are not finite" in failed[0].failed
        assert len(study.kept) == IMAGES - 1


@pytest.mark.slow
def test_a_page_says_what_was_left_out_and_what_rounding_may_decide(study_of, monkeypatch):
    study, _ = study_of()
    third, read = study.examples[2].id, Counting.read
    assert len(study.described) == IMAGES

    def refuse(self, image, question, prefill=""):
        if question.startswith("Is there") and image == study.examples[2].image:
            raise ImageError("too thin for <this> model.")
        return read(self, image, question, prefill)

    monkeypatch.setattr(Counting, "read", refuse)
    told = page(study, "ablations")
    assert "Rounding may decide 0 of " in told
    assert f"could not be asked about them: {third} (" in told
    assert "too thin for \\<this> model." in told
