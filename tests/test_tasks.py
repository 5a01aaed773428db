"""Polling, VQA and the mean embedding: do they ask in the paper's words, and is right what the text says is right?"""

import pytest
import torch

from tests.tiny import picture
from vlmlib import VQA, Polling, VLMError, mean_embedding


def logits_for(vlm, *pieces: str) -> torch.Tensor:
    ids = vlm.processor.tokenizer.convert_tokens_to_ids(list(pieces))
    return torch.nn.functional.one_hot(torch.tensor(ids), vlm.model.config.text_config.vocab_size).float()


def test_the_questions_are_the_papers(vlm):
    assert Polling("dog").read(vlm, picture()).prompt == "USER: <image>\nIs there a dog in this image? ASSISTANT:"
    asked = VQA("What is on the bed?", "dog").read(vlm, picture()).prompt
    assert asked == "USER: <image>\nWhat is on the bed? ASSISTANT: It is a"


@pytest.mark.parametrize(
    ("present", "right"), [(True, [True, True, False, False, False]), (False, [False, False, True, True, False])]
)
def test_polling_wants_yes_or_no_in_any_case_and_spacing_and_neither_is_wrong(vlm, present, right):
    said = logits_for(vlm, "▁Yes", "yes", "▁No", "NO", "▁book")
    assert Polling("dog", present).correct(vlm, Polling("dog").read(vlm, picture()), said).tolist() == right


def test_vqa_wants_the_first_piece_of_the_answer_and_an_empty_piece_is_never_right(vlm):
    task = VQA("What is on the bed?", "traffic light")
    said = logits_for(vlm, "▁traffic", "▁light", "▁", "</s>")
    assert task.correct(vlm, task.read(vlm, picture()), said).tolist() == [True, False, False, False]


def test_the_mean_embedding_is_the_mean_over_all_visual_tokens_of_all_images(vlm):
    images = [picture(seed) for seed in range(3)]
    rows = [stimulus.embeddings[stimulus.visual] for stimulus in (vlm.read(image, "Hi?") for image in images)]
    torch.testing.assert_close(mean_embedding(vlm, iter(images)), torch.cat(rows).mean(0), rtol=1e-5, atol=1e-6)


def test_the_mean_of_one_image_leaves_its_own_mean_in_place(vlm, stimulus):
    mean = mean_embedding(vlm, [picture()])
    torch.testing.assert_close(mean, stimulus.embeddings[stimulus.visual].mean(0), rtol=1e-5, atol=1e-6)


def test_the_mean_of_no_image_is_an_error(vlm):
    with pytest.raises(VLMError, match="no image"):
        mean_embedding(vlm, [])
