"""Protocols that change one thing: does each change its own thing, and nothing else?

Every hook of a protocol is asked on the same image and held against the text's answer.
Fails if a protocol changes more than its name says, or nothing at all.
"""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from claims.neo2025 import arms
from claims.neo2025.authors import AUTHORS
from claims.neo2025.protocol import TASKS, TEXT, Text
from claims.neo2025.sensitivity import ONE_CHANGED, PROTOCOLS
from claims.neo2025.tables import MeasuredTable
from claims.neo2025.windows import ONE_BASED
from fixtures.filtered import Images
from tests.tiny import picture, tiny_qwen, tiny_vlm
from vlmlib import Description, VLMError
from vlmlib.interventions import touched
from vlmlib.study import Example, Finished, Object, Row, Scene, Table
from vlmlib.study.scene import made

BY_NAME = {each.name: each for each in ONE_CHANGED}
# What each changes, by the names of `answers`.
CHANGES = {
    "one-based": {"windows"},
    "zero": {"ablated"},
    "another-image": {"ablated", "known"},
    "three-draws": {"draws", "arms"},
    "rewording": {"prompts", "gradients"},
    "word": {"known", "judged"},
}


def example(number: int, category: str = "dog", size: tuple[int, int] = (24, 24)) -> Example:
    width, height = size
    mask = np.zeros((height, width), bool)
    mask[6:13, 6:13] = True
    shown = [Object(category, mask, (height, width))]
    asked = ("What is on the bed?",)
    return Example(str(number), picture(number, size), shown, category, asked)


IMAGES = Images("data", [example(1), example(2), example(3, "cat")], [], ["cat", "dog"])


def answers(protocol: Text) -> dict[str, Any]:
    """All that a protocol decides about an image, as plain values."""
    vlm = tiny_vlm()
    prepared = protocol.prepared(IMAGES)[0]
    known = {name: value for name, value in prepared.known.items() if name != "attributions"}
    shown = prepared.knowing(attributions=np.arange(16.0).tolist())
    asked: list[Any] = [protocol.question(task, shown) for task in TASKS]
    stimuli = [protocol.read(vlm, question, shown.image) for question in asked]
    scene = Scene(vlm, stimuli[1], shown, stimuli[1].visual[:0], torch.ones(vlm.d_model))
    rows, _ = made(arms.ablations(scene, protocol))
    blocked = arms.knockouts(scene, replace(protocol, windows=TEXT.windows))
    said = ["It is a dogged day.", "A dog.", "A cat."]
    gradients = [protocol.asked_for_gradients(vlm, shown, task) for task in ("", "VQA")]
    painted = protocol.painted_out(stimuli[0], shown, np.random.default_rng(0))
    ablated: Any = rows["object"][0]
    return {
        "windows": protocol.windows,
        "draws": protocol.draws,
        "others": [
            getattr(protocol, each.name) for each in fields(Text)[2:] if each.name != "draws"
        ],
        "known": known,
        "questions": [type(question) for question in asked],
        "judged": asked[0].correct(said).tolist(),
        "prompts": [stimulus.prompt for stimulus in stimuli],
        "gradients": [stimulus.prompt for stimulus in gradients],
        "painted": painted.tobytes(),
        "object": protocol.object_tokens(stimuli[0], shown).tolist(),
        "most attributed": protocol.most_attributed(
            stimuli[0], np.arange(16.0).tolist(), 3
        ).tolist(),
        "arms": {name: sorted(touched(arm)) for name, arm in {**rows, **blocked}.items()},
        "ablated": ablated.value.tolist(),
    }


def test_all_protocols_go_by_their_names():
    assert list(PROTOCOLS) == ["text", "authors", *CHANGES]
    assert list(BY_NAME) == list(CHANGES)
    assert all(name == each.name for name, each in PROTOCOLS.items())
    assert (PROTOCOLS["text"], PROTOCOLS["authors"]) == (TEXT, AUTHORS)


@pytest.mark.parametrize("name", CHANGES)
def test_a_protocol_changes_its_own_thing_and_nothing_else(name):
    texts, own = answers(TEXT), answers(BY_NAME[name])
    assert {part for part in texts if texts[part] != own[part]} == CHANGES[name]


def test_one_based_has_the_headings_windows():
    assert BY_NAME["one-based"] == replace(TEXT, name="one-based", windows=ONE_BASED)


def test_zero_ablates_by_zeros():
    assert not any(answers(BY_NAME["zero"])["ablated"])


@pytest.mark.parametrize("family", [tiny_vlm, tiny_qwen], ids=["llava", "qwen"])
def test_another_image_lends_each_place_its_own_token(family):
    """Also where it has another size, and so another grid."""
    vlm, protocol = family(), BY_NAME["another-image"]
    lender = example(3, "cat", (48, 24))
    [shown, _] = protocol.prepared(Images("data", [example(1), lender], []))
    assert shown.known["other"] is lender
    stimulus = vlm.read(shown.image, "Hi?")
    value = protocol.stand_in(Scene(vlm, stimulus, shown, stimulus.visual, torch.ones(16)))
    lent = vlm.read(lender.image.resize((24, 24)), "Who?")
    torch.testing.assert_close(value[stimulus.visual], lent.embeddings[lent.visual])
    text = torch.ones(len(value), dtype=torch.bool)
    text[stimulus.visual] = False
    assert torch.equal(value[text], stimulus.embeddings[text])
    assert not torch.equal(value[stimulus.visual], stimulus.embeddings[stimulus.visual])


def test_the_other_image_is_the_next_without_the_category_and_in_the_key():
    protocol = BY_NAME["another-image"]
    first, second, third = prepared = protocol.prepared(IMAGES)
    assert [each.known["other"].id for each in prepared] == ["3", "3", "1"]
    lent = replace(IMAGES.examples[2], source=picture(9))
    [again, *_] = protocol.prepared(replace(IMAGES, examples=[*IMAGES.examples[:2], lent]))
    assert again.content != first.content
    assert len({str(each.content) for each in (first, second, third)}) == 3
    alike = replace(IMAGES, examples=IMAGES.examples[:2])
    with pytest.raises(VLMError, match=r"No other image is without 'dog', which image 1 shows"):
        protocol.prepared(alike)
    vlm = tiny_vlm()
    stimulus = vlm.read(picture(), "Hi?")
    with pytest.raises(VLMError, match=r"image beside '1'.*knowing\(other="):
        protocol.stand_in(Scene(vlm, stimulus, example(1), stimulus.visual, torch.ones(16)))


def test_three_draws_are_the_texts_own_and_two_more():
    texts, own = (answers(each)["arms"] for each in (TEXT, BY_NAME["three-draws"]))
    assert own.items() >= texts.items()
    more = own.keys() - texts.keys()
    drawn = [name for name in texts if name.startswith("random ")]
    assert len(more) == 2 * len(drawn) > 0
    for name in drawn:
        others = [own[f"draw {draw} of {name}"] for draw in (2, 3)]
        assert {len(each) for each in others} == {len(texts[name])}
    assert len({str(own[f"{draw}random 5"]) for draw in ("", "draw 2 of ", "draw 3 of ")}) == 3


@pytest.mark.slow
@given(rights=st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=5))
def test_of_an_arms_draws_the_mean_counts(rights):
    names = ["random 5", "draw 2 of random 5", "draw 3 of random 5"]
    found = [
        Finished(
            str(at),
            str(at),
            [
                Row("clean", True, 0.9, detail={"visual": 16}),
                Row("object", False, 0.2, 3, reached=True),
                *(
                    Row(name, each, each / 2, 5, reached=each, attention=each / 4)
                    for name, each in zip(names, of_draws, strict=True)
                ),
            ],
        )
        for at, of_draws in enumerate(rights)
    ]
    table, kept = MeasuredTable(Table.of("VQA", found)), np.mean(rights, axis=1)
    assert table.arms == ["clean", "object", "random 5"]
    assert table.lost("VQA", "random 5").values == pytest.approx(1 - kept)
    assert table.lost("VQA", "object").values.dtype == bool
    first, second = table.pair("VQA", "object", "random 5")
    assert (first.values.tolist(), second.values.tolist()) == (
        [1.0] * len(rights),
        pytest.approx(1 - kept),
    )
    curves = table.curves("VQA", ["random 5", "object"]).values
    assert curves == pytest.approx(np.stack([1 - kept, np.ones(len(rights))], axis=1))
    [doubt] = table.doubts("VQA", ["random 5"])
    assert doubt.values == pytest.approx(1 - kept / 2)
    assert table.attention("VQA", "random 5") == pytest.approx(kept / 4)
    assert table.alive("VQA", "random 5").values.tolist() == [any(each) for each in rights]
    assert set(table.tokens("random 5").values) == {5}


def test_a_random_arm_of_no_tokens_is_empty_in_every_draw():
    names = ["random = register", "draw 2 of random = register"]
    rows = [Row("clean", True, 0.9, detail={"visual": 16})]
    rows += [Row(name, tokens=0, moved=False) for name in names]
    table = MeasuredTable(Table.of("VQA", [Finished("7", "7", rows)]))
    assert table.empty("VQA", names[0]) == 1
    assert len(table.lost("VQA", names[0])) == 0


def test_other_words_keep_the_users_question_and_the_prefill():
    texts, own = (answers(each)["prompts"] for each in (TEXT, BY_NAME["rewording"]))
    assert all(mine != other for mine, other in zip(own, texts, strict=True))
    assert "dog" in own[1]
    assert own[2].endswith("What is on the bed? ASSISTANT: It is a")


def test_a_word_is_no_part_of_another():
    shown = BY_NAME["word"].prepared(replace(IMAGES, categories=["bed", "dog", "hot dog"]))[0]
    question = BY_NAME["word"].question("generative", shown)
    assert isinstance(question, Description)
    said = ["A dog.", "A dogged day.", "A hot dog.", "It is described."]
    assert question.correct(said).tolist() == [True, False, False, False]
    assert BY_NAME["word"].question("polling", shown) == TEXT.question("polling", shown)
