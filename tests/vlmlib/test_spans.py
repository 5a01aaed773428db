"""Words and parts of a prompt: are they the tokens that hold them, and no others?

Fails if a word is found within another, if the parts of a prompt leave out a position or hold one
twice, if a character of several tokens loses any, or if what the prompt does not hold is found.
"""

from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.texts import tiny_gemma3
from tests.tiny import picture, tiny_qwen, tiny_vlm
from vlmlib import VLM, VLMError, select
from vlmlib.spans import SPANS, Run, found

VLMS = {"sentencepiece": tiny_vlm(), "byte-level": tiny_qwen()}
ENDS = {"sentencepiece": "ASSISTANT:", "byte-level": "assistant"}
QUESTION = "What hat is on the cat, the phone or the telephone?"
WORDS = st.text("abc hW?é漢\N{DOG FACE}", min_size=1, max_size=12)


def said(vlm: VLM, stimulus, tokens) -> str:
    return vlm.processor.tokenizer.decode(stimulus.input_ids[tokens]).strip()


@pytest.fixture(params=VLMS)
def vlm(request) -> VLM:
    return VLMS[request.param]


def test_a_word_is_not_found_within_another(vlm):
    stimulus = vlm.read(picture(), QUESTION)
    for word in ("hat", "phone", "telephone", "What", "the telephone", "cat,"):
        assert said(vlm, stimulus, stimulus.words(word)).startswith(word)
    with pytest.raises(VLMError, match="'hone' is 0 times in the prompt"):
        stimulus.words("hone")


def test_the_occurrence_that_is_asked_for_is_taken(vlm):
    stimulus = vlm.read(picture(), QUESTION)
    first, second, third = (stimulus.words("the", nth) for nth in range(3))
    assert int(first[-1]) < int(second[0]) < int(third[0])
    assert torch.equal(stimulus.words("the", -1), third)
    for nth in (3, -4):
        with pytest.raises(VLMError, match=rf"'the' is 3 times .* number {nth}"):
            stimulus.words("the", nth)


@pytest.mark.parametrize("text", ["", " ", "dog\0"])
def test_what_is_no_word_of_the_prompt_is_refused(vlm, text):
    with pytest.raises(VLMError, match="Ask for whole words as the prompt has them"):
        vlm.read(picture(), QUESTION).words(text)


@pytest.mark.parametrize("text", ["é", "漢", "\N{DOG FACE}"])
def test_all_bytes_of_a_character_belong_to_it(vlm, text):
    stimulus = vlm.read(picture(), f"a {text} b")
    tokens = stimulus.words(text)
    assert said(vlm, stimulus, tokens) == text
    assert len(tokens) > 1


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(sorted(VLMS)), WORDS, WORDS, st.sampled_from(["", "It is a"]))
def test_the_parts_make_up_the_prompt_whatever_is_asked(name, question, suffix, prefill):
    assume(question.strip() and "\n" not in question)
    vlm = VLMS[name]
    stimulus = vlm.read(picture(), question, prefill, f"\n{suffix}")
    spans = stimulus.spans
    assert tuple(spans) == SPANS
    every = torch.cat(list(spans.values()))
    assert sorted(every.tolist()) == list(range(len(stimulus.embeddings)))
    assert set(stimulus.visual.tolist()) <= set(spans["image"].tolist())
    assert question.strip() in said(vlm, stimulus, spans["question"])
    assert said(vlm, stimulus, spans["after"]).endswith(prefill or ENDS[name])


def test_a_suffix_is_a_part_of_its_own(vlm):
    stimulus = vlm.read(picture(), "Is it a dog?", suffix="\nAnswer in a word.")
    assert said(vlm, stimulus, stimulus.spans["question"]) == "Is it a dog?"
    assert said(vlm, stimulus, stimulus.spans["suffix"]) == "Answer in a word."
    assert "Answer" not in said(vlm, stimulus, stimulus.spans["after"])
    assert len(vlm.read(picture(), "Is it a dog?").spans["suffix"]) == 0


def test_a_question_before_the_image_is_found():
    own = tiny_vlm()
    vlm = VLM(own.model, own.processor, "USER: {question} <image> ASSISTANT:")
    spans = vlm.read(picture(), "Is it?").spans
    assert int(spans["question"][-1]) < int(spans["image"][0])
    assert int(spans["before"][-1]) < int(spans["question"][0])
    assert int(spans["after"][0]) > int(spans["image"][-1])


@pytest.mark.filterwarnings("ignore:.*cannot share work:UserWarning")
def test_tiles_and_their_marks_are_the_image():
    vlm = tiny_gemma3()
    stimulus = vlm.read(picture(), "Is it?")
    assert stimulus.image == range(int(stimulus.visual[0]), int(stimulus.visual[-1]) + 1)


def test_a_question_that_the_tokenizer_changes_is_refused():
    stimulus = replace(tiny_vlm().read(picture(), "Is it?"), question="Was it?")
    with pytest.raises(VLMError, match="is not in the prompt as its tokens say it"):
        _ = stimulus.spans


def test_bytes_of_one_character_are_held_together():
    run = Run(5, "a é", (0, 2, 2, 3))
    assert run.holding(2, 3) == [6, 7]
    assert list(found("é", [run])) == [[6, 7]]


def test_sets_of_tokens_are_joined_shared_and_taken_away():
    one, other = torch.tensor([1, 2, 5]), torch.tensor([2, 7])
    assert select.union(other, one).tolist() == [1, 2, 5, 7]
    assert select.intersection(one, other).tolist() == [2]
    assert select.difference(one, other).tolist() == [1, 5]
    assert select.difference(one, other, one).tolist() == []
