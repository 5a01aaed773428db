"""Reading and running a stimulus: does the handle give exactly what the model itself gives?

Fails if the captured embeddings, positions or visual span differ from the model's own, if the clean
run is not bit for bit the model's, or if an image that cannot be read passes.
"""

import re
import warnings

import pytest
import torch
from PIL import Image

from tests.families.early import kosmos2
from tests.tiny import ImageTextProcessor, picture, tiny_processor, tiny_qwen, tiny_vlm
from vlmlib import VLM, Ablate, Block, ImageError, VLMError, VLMWarning


def test_the_clean_run_is_bit_for_bit_the_models_own(vlm):
    for seed, size in enumerate([(22, 16), (16, 30), (16, 16), (9, 9)]):
        image = picture(seed, size)
        inputs = vlm.processor(
            images=image,
            text=vlm.prompt.format(question="What is on the bed?"),
            return_tensors="pt",
        )
        own = vlm.model(**inputs, logits_to_keep=1).logits[0, -1]
        assert torch.equal(vlm.next_token(vlm.read(image, "What is on the bed?"), [[]])[0], own)


def test_embeddings_are_the_text_table_and_the_adapters_output(vlm, stimulus):
    expected = vlm.model.get_input_embeddings()(stimulus.input_ids)
    pixels = vlm.processor.image_processor(picture(), return_tensors="pt")["pixel_values"]
    hidden = vlm.model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-2][
        :, 1:
    ]
    expected[stimulus.visual] = vlm.model.model.multi_modal_projector(hidden)[0]
    assert torch.equal(stimulus.embeddings, expected)


def test_the_visual_span_is_one_token_per_cell(vlm, stimulus):
    """The visual span is one token per cell and the last position ends the prompt."""
    assert stimulus.grid == (4, 4) == vlm.read(picture(), "Hi?").grid
    assert stimulus.visual.tolist() == list(range(stimulus.visual[0], stimulus.visual[0] + 16))
    assert vlm.processor.tokenizer.decode(stimulus.input_ids[stimulus.last]) == ":"
    assert stimulus.image_size == (16, 22)


def test_both_attention_implementations_agree():
    arms = [[]]
    one, other = (tiny_vlm(attention) for attention in ("sdpa", "eager"))
    read = [
        vlm.next_token(vlm.read(picture(), "Is there a dog in this image?"), arms)
        for vlm in (one, other)
    ]
    torch.testing.assert_close(*read, rtol=1e-5, atol=1e-5)


def test_a_prefill_follows_the_prompt_with_one_space(vlm):
    stimulus = vlm.read(picture(), "What is on the bed?", prefill="It is a")
    assert stimulus.prompt == "USER: <image>\nWhat is on the bed? ASSISTANT: It is a"
    assert vlm.processor.tokenizer.convert_ids_to_tokens(int(stimulus.input_ids[-1])) == "▁a"


@pytest.mark.parametrize(
    ("answer", "piece"), [("Yes", "▁Yes"), ("traffic light", "▁traffic"), ("donut", "▁don")]
)
def test_the_first_token_of_an_answer_is_its_leading_space_piece(vlm, stimulus, answer, piece):
    assert vlm.processor.tokenizer.convert_ids_to_tokens(vlm.first_token(stimulus, answer)) == piece


def test_the_first_token_differs_from_the_begin_of_sequence_token(vlm, stimulus):
    assert vlm.first_token(stimulus, "Yes") != vlm.processor.tokenizer.bos_token_id


def test_a_processor_without_a_token_for_pictures_is_told(vlm):
    """It may be the model's own, and take texts that have a token for each part of a picture."""
    processor = tiny_processor()
    del processor.image_token
    with pytest.raises(VLMError, match=r"has no image_token, so that .*; if this is it, use ano"):
        VLM(vlm.model, processor)


def test_a_processor_without_patch_size_is_completed(vlm):
    processor = tiny_processor()
    processor.patch_size = processor.vision_feature_select_strategy = None
    processor.num_additional_image_tokens = 0
    completed = VLM(vlm.model, processor)
    assert len(completed.read(picture(), "Hi?").visual) == 16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: setattr(one, "patch_size", 8), "tokens: 4, features"),
        (
            lambda one: setattr(one.image_processor, "crop_size", {"height": 24, "width": 24}),
            "tokens: 36, features|image size",
        ),
        (
            lambda one: setattr(one, "vision_feature_select_strategy", "full"),
            "tokens: 17, features",
        ),
        (lambda one: setattr(one, "image_token", "yes"), "'yes' has the id 584 .* has 583"),
        (lambda one: one.tokenizer.add_tokens(["more"]), "has 587 tokens, .* embeddings of 586"),
    ],
)
def test_a_processor_that_does_not_fit_the_model_is_told(vlm, change, message):
    """How many tokens a picture has, and which, both must agree about."""
    processor = tiny_processor()
    change(processor)
    with pytest.raises(VLMError, match=message) as error:
        VLM(vlm.model, processor)
    assert "saved with this model" in str(error.value)


@pytest.mark.parametrize("part", ["tokenizer", "image_processor"])
def test_what_is_no_processor_of_images_and_text_is_told(vlm, part):
    with pytest.raises(VLMError, match=r"has no .*AutoProcessor.from_pretrained"):
        VLM(vlm.model, getattr(vlm.processor, part))


def test_a_models_own_processor_that_has_no_token_of_images_is_told_so():
    model, processor, prompt = kosmos2()
    with pytest.raises(VLMError, match=r"has no image_token.*if this is it, use another model"):
        VLM(model, processor, prompt)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda model: model.model.vision_tower.half(), "RuntimeError"),
        (lambda model: model.model.language_model.layers[1].half(), "RuntimeError"),
        (lambda model: setattr(model.config, "vision_feature_layer", 99), "IndexError"),
    ],
    ids=["an encoder of another type", "a layer of another type", "no such layer"],
)
def test_a_model_that_cannot_run_says_why(change, reason):
    """Whatever torch raises, in the image encoder or in the language model."""
    vlm = tiny_vlm()
    change(vlm.model)
    with pytest.raises(VLMError, match=rf"cannot run on .* \({reason}: .* in one type, on one"):
        VLM(vlm.model, vlm.processor)


def test_a_model_whose_logits_are_of_other_positions_is_refused():
    """One that denoises a block of tokens after its prompt has no next token."""
    vlm = tiny_vlm()
    vlm.model.register_forward_hook(
        lambda _module, _args, output: setattr(output, "logits", output.logits.repeat(1, 3, 1))
    )
    with pytest.raises(VLMError, match=r"the logits of 3 positions, .* none is its next token"):
        VLM(vlm.model, vlm.processor)


def test_a_model_that_draws_at_random_is_refused():
    vlm = tiny_vlm()
    vlm.model.lm_head.register_forward_pre_hook(
        lambda _module, args: (args[0] * (1 + torch.rand(1)), *args[1:])
    )
    with pytest.raises(VLMError, match=r"gives other logits when the same .* at random"):
        VLM(vlm.model, vlm.processor)


def test_memory_that_ran_out_stays_an_error_of_its_own(vlm, monkeypatch):
    """Smaller passes may mend it."""

    def full(**_: object) -> None:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(vlm.model.model.vision_tower, "forward", lambda *_, **more: full(**more))
    with pytest.raises(torch.OutOfMemoryError):
        vlm.read(picture(), "Hi?")


STEPS = {
    "vlmlib.model.decoder_of": "finding its language model",
    "vlmlib.architecture.image_token_of": "asking its processor for tokens and a prompt",
    "vlmlib.architecture.grids_of": "reading a small picture",
    "vlmlib.architecture.check_runs": "running it",
    "vlmlib.sight.rectangles": "looking at pictures through it",
    "vlmlib.selfcheck.engine.next_token": "running interventions on it",
}


@pytest.mark.slow
@pytest.mark.parametrize(("broken", "step"), STEPS.items(), ids=STEPS.values())
def test_what_is_raised_while_a_model_is_tried_names_the_step(monkeypatch, broken, step):
    """A model that nobody knows, or a slip of ours: never a traceback alone."""
    vlm = tiny_vlm()

    def raising(*_: object, **__: object) -> None:
        raise KeyError("rope_local")

    monkeypatch.setattr(broken, raising)
    message = rf"LlavaFor\w+ cannot be measured: {step} failed \(KeyError: 'rope_local'\)"
    with pytest.raises(VLMError, match=message) as error:
        VLM(vlm.model, vlm.processor)
    assert isinstance(error.value.__cause__, KeyError)


@pytest.mark.parametrize("kept", [VLMError("It is ours."), torch.OutOfMemoryError("full")])
def test_an_error_of_our_own_stays_while_a_model_is_tried(monkeypatch, kept):
    vlm = tiny_vlm()

    def raising(*_: object, **__: object) -> None:
        raise kept

    monkeypatch.setattr("vlmlib.selfcheck.engine.next_token", raising)
    with pytest.raises(type(kept)) as error:
        VLM(vlm.model, vlm.processor)
    assert error.value is kept


def test_a_warning_that_is_an_error_stays_one_while_a_model_is_tried():
    vlm = tiny_vlm()
    vlm.model.register_forward_hook(
        lambda _module, _args, output: setattr(output, "logits", output.logits.tanh())
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # which the suite does to none of vlmlib's own
        with pytest.raises(VLMWarning, match="cannot share work"):
            VLM(vlm.model, vlm.processor)


def test_our_own_small_picture_is_at_fault_in_nothing(vlm):
    """An image that fails alone would go uncounted where there is none."""
    processor = tiny_processor()
    processor.image_processor.size = {"shortest_edge": 0}
    with pytest.raises(VLMError, match="could not be processed") as error:
        VLM(vlm.model, processor)
    assert type(error.value) is VLMError


def test_no_hook_is_left_behind(vlm, stimulus):
    vlm.next_token(stimulus, [[]])
    assert not any(module._forward_pre_hooks for module in vlm.model.modules())


@pytest.mark.parametrize(
    "prompt", ["USER: {question}", "<image> Hello", "<image><image>{question}"]
)
def test_a_prompt_needs_one_image_and_one_question(vlm, prompt):
    with pytest.raises(VLMError, match="each exactly once"):
        VLM(vlm.model, vlm.processor, prompt=prompt)


def test_a_question_may_not_hold_an_image_token(vlm):
    with pytest.raises(VLMError, match="must not hold an image token"):
        vlm.read(picture(), "What is <image>?")


class Renaming(ImageTextProcessor):
    """Writes the model's placeholders in place of another token."""

    def __call__(self, images, text, return_tensors):
        own = ImageTextProcessor(self.image_processor, self.tokenizer, "<|image_pad|>")
        return own(images, text.replace(self.image_token, own.image_token), return_tensors)


def test_a_question_may_not_hold_a_placeholder_of_the_models_own():
    vlm = tiny_qwen()
    parts = vlm.processor.image_processor, vlm.processor.tokenizer
    vlm = VLM(vlm.model, Renaming(*parts, "<picture>"), "<image>{question}")
    assert len(vlm.read(picture(), "What is this?").visual)
    for token in ("<image>", "<picture>", "<|image_pad|>"):
        with pytest.raises(ImageError, match=re.escape(f"must not hold an image token ({token})")):
            vlm.read(picture(), f"What is {token}?")


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1"])
def test_an_image_that_is_not_rgb_is_made_so(vlm, mode):
    image = picture().convert(mode)
    one, other = vlm.read(image, "Hi?"), vlm.read(image.convert("RGB"), "Hi?")
    assert torch.equal(one.embeddings, other.embeddings)


def test_a_truncated_image_is_refused(vlm, tmp_path):
    picture(size=(64, 64)).save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:3000])
    with (
        Image.open(tmp_path / "half.png") as half,
        pytest.raises(VLMError, match="64 x 64 pixels could not be proc"),
    ):
        vlm.read(half, "Hi?")


def test_an_image_without_pixels_is_refused(vlm):
    with pytest.raises(VLMError, match="0 x 5 pixels could not be processed"):
        vlm.read(Image.new("RGB", (0, 5)), "Hi?")


def test_embeddings_that_are_not_finite_are_refused(vlm):
    broken = tiny_vlm()
    broken.model.model.multi_modal_projector.linear_2.bias[0] = float("nan")
    with pytest.raises(VLMError, match="not finite"):
        broken.read(picture(), "Hi?")


def test_qwens_positions_and_prompt_are_its_own():
    """Qwen's positions are the model's own and its prompt the chat template."""
    vlm = tiny_qwen()
    stimulus = vlm.read(picture(size=(16, 40)), "Is there a dog in this image?", prefill="It is a")
    assert vlm.prompt == (
        "<|im_start|>user\n<|vision_start|><image><|vision_end|>{question}<|im_end|>\n<|im_start|>assistant\n"
    )
    assert stimulus.prompt.endswith("assistant\nIt is a")
    assert stimulus.grid == (5, 2)
    rows, cols = (stimulus.position_ids[axis, 0, stimulus.visual] for axis in (1, 2))
    assert (rows - rows[0]).tolist() == [row for row in range(5) for _ in range(2)]
    assert (cols - cols[0]).tolist() == [0, 1] * 5


def test_hidden_states_are_the_models_own_before_any_norm(vlm, stimulus):
    hidden = vlm.hidden_states(stimulus, range(len(stimulus.input_ids)))
    output = vlm.model(**stimulus.inputs, output_hidden_states=True)
    for layer in vlm.layers:
        assert torch.equal(hidden[layer], output.hidden_states[layer][0])
    assert torch.equal(vlm.decoder.norm(hidden[-1]), output.hidden_states[-1][0])
    assert torch.equal(vlm.hidden_states(stimulus, [7, 3]), hidden[:, [3, 7]])


def test_hidden_states_under_an_arm_show_it(vlm, stimulus):
    value = torch.ones(vlm.d_model)
    assert torch.equal(vlm.hidden_states(stimulus, [5], [Ablate([5], value, layer=1)])[1, 0], value)
    with pytest.raises(VLMError, match="position 99"):
        vlm.hidden_states(stimulus, [99])


@pytest.mark.parametrize("image", [None, [picture(), picture()], "photo.jpg"])
def test_what_is_not_one_picture_is_refused(vlm, image):
    with pytest.raises((VLMError, TypeError), match=r"one picture|Type-check error"):
        vlm.read(image, "Hi?")


def test_attention_may_be_switched_after_wrapping():
    vlm = tiny_vlm("sdpa")
    stimulus = vlm.read(picture(), "Is there a dog in this image?")
    arms = [[Block(stimulus.visual, to=stimulus.last, layers=vlm.layers)]]
    before = vlm.next_token(stimulus, arms)
    vlm.model.set_attn_implementation("eager")
    assert vlm.decoder.eager
    torch.testing.assert_close(vlm.next_token(stimulus, arms), before, rtol=1e-4, atol=1e-4)


def test_a_llava_with_its_own_chat_template_is_asked_in_it():
    """A LLaVA with a chat template of its own is asked in it and begins once."""
    processor = tiny_processor()
    processor.chat_template = (
        "{{ bos_token }}<|im_start|>user<image>{{ messages[0].content[1].text }}"
        "<|im_start|>assistant "
    )
    vlm = VLM(tiny_vlm().model, processor, None)
    assert vlm.prompt == "<|im_start|>user<image>{question}<|im_start|>assistant "
    ids = vlm.read(picture(), "Hi?").input_ids.tolist()
    assert ids.count(processor.tokenizer.bos_token_id) == 1
