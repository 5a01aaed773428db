"""Reading and running a stimulus: does the handle give exactly what the model itself gives?

Fails if the captured embeddings, positions or visual span differ from the model's own, if the clean run is not bit for
bit the model's, or if a checkpoint that cannot be used loads.
"""

import json
from pathlib import Path

import pytest
import torch

from tests.tiny import picture, tiny_processor, tiny_vlm
from vlmlib import VLM, VLMError


def test_the_clean_run_is_bit_for_bit_the_models_own(vlm):
    for seed, size in enumerate([(22, 16), (16, 30), (16, 16), (9, 9)]):
        image = picture(seed, size)
        inputs = vlm.processor(
            images=image, text=vlm.prompt.format(question="What is on the bed?"), return_tensors="pt"
        )
        own = vlm.model(**inputs, logits_to_keep=1).logits[0, -1]
        assert torch.equal(vlm.next_token(vlm.read(image, "What is on the bed?"), [[]])[0], own)


def test_embeddings_are_the_text_table_and_the_adapters_output(vlm, stimulus):
    expected = vlm.model.get_input_embeddings()(stimulus.input_ids)
    pixels = vlm.processor.image_processor(picture(), return_tensors="pt")["pixel_values"]
    hidden = vlm.model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
    expected[stimulus.visual] = vlm.model.model.multi_modal_projector(hidden)[0]
    assert torch.equal(stimulus.embeddings, expected)


def test_the_visual_span_is_one_token_per_cell_and_the_last_position_ends_the_prompt(vlm, stimulus):
    assert stimulus.grid == (4, 4) == vlm.grid
    assert stimulus.visual.tolist() == list(range(stimulus.visual[0], stimulus.visual[0] + 16))
    assert vlm.processor.tokenizer.decode(stimulus.input_ids[stimulus.last]) == ":"
    assert stimulus.image_size == (16, 22)


def test_both_attention_implementations_agree():
    arms = [[]]
    one, other = (tiny_vlm(attention) for attention in ("sdpa", "eager"))
    read = [vlm.next_token(vlm.read(picture(), "Is there a dog in this image?"), arms) for vlm in (one, other)]
    torch.testing.assert_close(*read, rtol=1e-5, atol=1e-5)


def test_a_prefill_follows_the_prompt_with_one_space(vlm):
    stimulus = vlm.read(picture(), "What is on the bed?", prefill="It is a")
    assert stimulus.prompt == "USER: <image>\nWhat is on the bed? ASSISTANT: It is a"
    assert vlm.processor.tokenizer.convert_ids_to_tokens(int(stimulus.input_ids[-1])) == "▁a"


@pytest.mark.parametrize(("answer", "piece"), [("Yes", "▁Yes"), ("traffic light", "▁traffic"), ("donut", "▁don")])
def test_the_first_token_of_an_answer_is_its_leading_space_piece(vlm, stimulus, answer, piece):
    assert vlm.processor.tokenizer.convert_ids_to_tokens(vlm.first_token(stimulus, answer)) == piece


def test_the_first_token_differs_from_the_begin_of_sequence_token(vlm, stimulus):
    assert vlm.first_token(stimulus, "Yes") != vlm.processor.tokenizer.bos_token_id


def test_a_processor_without_patch_size_is_completed(vlm):
    processor = tiny_processor()
    processor.patch_size, processor.vision_feature_select_strategy, processor.num_additional_image_tokens = (
        None,
        None,
        0,
    )
    completed = VLM(vlm.model, processor)
    assert len(completed.read(picture(), "Hi?").visual) == 16


def test_no_hook_is_left_behind(vlm, stimulus):
    vlm.next_token(stimulus, [[]])
    assert not any(module._forward_pre_hooks for module in vlm.model.modules())


def test_a_saved_checkpoint_loads_with_the_same_logits(tmp_path, vlm, stimulus):
    vlm.model.save_pretrained(tmp_path)
    vlm.processor.save_pretrained(tmp_path)
    loaded = VLM.load(tmp_path)
    torch.testing.assert_close(
        loaded.next_token(loaded.read(picture(), "Is there a dog in this image?"), [[]]),
        vlm.next_token(stimulus, [[]]),
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("processor_config.json", "has no processor"),
        ("config.json", "has no configuration"),
        ("model.safetensors", "has no weights"),
        ("tokenizer.json", "has no tokenizer"),
    ],
)
def test_an_incomplete_folder_is_refused_by_name(tmp_path: Path, vlm, missing, message):
    vlm.model.save_pretrained(tmp_path)
    vlm.processor.save_pretrained(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(VLMError, match=message) as error:
        VLM.load(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_another_architecture_is_refused(tmp_path: Path, vlm):
    vlm.model.save_pretrained(tmp_path)
    vlm.processor.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "no-such-type"}))
    with pytest.raises(VLMError, match="could not be loaded"):
        VLM.load(tmp_path)


@pytest.mark.parametrize("source", ["no/such/folder", "nowhere", "./nowhere"])
def test_a_source_that_is_neither_folder_nor_hub_id_is_refused(source):
    with pytest.raises(VLMError, match=r"There is no folder .*llava-hf/llava-1.5-7b-hf"):
        VLM.load(source)


@pytest.mark.parametrize("prompt", ["USER: {question}", "<image> Hello", "<image><image>{question}"])
def test_a_prompt_needs_one_image_and_one_question(vlm, prompt):
    with pytest.raises(VLMError, match="each exactly once"):
        VLM(vlm.model, vlm.processor, prompt=prompt)


def test_a_question_may_not_hold_an_image_token(vlm):
    with pytest.raises(VLMError, match="must not hold <image>"):
        vlm.read(picture(), "What is <image>?")
