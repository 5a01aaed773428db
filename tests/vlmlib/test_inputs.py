"""What a processor hands over, and what of it reaches the model.

Fails if a model is shown what it is to be trained on, if pictures arrive in another type than the
model's weights, if what else a processor makes is lost, or if a picture of 16 bits turns white.
"""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import LlamaForCausalLM

from tests.families.early import shieldgemma2
from tests.tiny import picture, qwen_processor, tiny_processor, tiny_qwen, tiny_vlm
from vlmlib import VLM, ImageError, VLMError

QUESTION = "Is there a dog in this image?"


class Generous:
    """A processor that makes more than a model needs, as those do that are also trained with."""

    def __init__(self, processor, more):
        self.own, self.more = processor, more

    def __getattr__(self, name):
        if name in ("own", "more"):
            raise AttributeError(name)
        return getattr(self.own, name)

    def __call__(self, **given):
        inputs = self.own(**given)
        inputs.update(self.more(inputs["input_ids"]))
        return inputs


def test_targets_of_training_never_reach_the_model():
    vlm, seen = tiny_vlm(), set()
    expected = vlm.next_token(vlm.read(picture(), QUESTION), [[]])
    generous = Generous(tiny_processor(), lambda ids: {"labels": ids})
    assert "labels" in generous(images=picture(), text="<image>", return_tensors="pt")
    hook = vlm.model.register_forward_pre_hook(
        lambda _module, _args, given: seen.update(given), with_kwargs=True
    )
    wrapped = VLM(vlm.model, generous)
    stimulus = wrapped.read(picture(), QUESTION)
    assert torch.equal(wrapped.next_token(stimulus, [[]]), expected)
    hook.remove()
    assert "pixel_values" in seen
    assert "labels" not in seen | set(stimulus.inputs)


def test_what_else_a_processor_makes_reaches_the_model():
    """A model that reads types of tokens has them from its processor."""
    vlm, seen = tiny_vlm(), []
    own = vlm.model.forward

    def forward(*args, token_type_ids=None, **kwargs):
        seen.append(token_type_ids)
        return own(*args, **kwargs)

    vlm.model.forward = forward
    generous = Generous(tiny_processor(), lambda ids: {"token_type_ids": torch.zeros_like(ids)})
    wrapped = VLM(vlm.model, generous)
    seen.clear()
    stimulus = wrapped.read(picture(), QUESTION)
    assert torch.equal(seen[0], torch.zeros_like(stimulus.inputs["input_ids"]))


@pytest.mark.slow
@pytest.mark.parametrize("make", [tiny_vlm, tiny_qwen])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_pictures_arrive_in_the_models_type_and_tokens_as_whole_numbers(make, dtype):
    vlm = make()
    inputs = VLM(vlm.model.to(dtype), vlm.processor).read(picture(), QUESTION).inputs
    types = {name: value.dtype for name, value in inputs.items()}
    assert types.pop("pixel_values") == dtype
    assert set(types.values()) == {torch.long}


def shades() -> np.ndarray:
    """Grey of 8 bits, dark and light."""
    return np.random.default_rng(0).integers(0, 256, size=(16, 22))


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_a_picture_of_16_bits_is_read_as_the_same_of_8(vlm, mode):
    """Converted as Pillow does, all but the darkest of its pixels were white."""
    grey = shades()
    wide = Image.fromarray((grey * 257).astype("<u2" if mode != "I" else np.int32))
    if mode == "I;16B":
        wide = Image.frombytes(mode, wide.size, (grey * 257).astype(">u2").tobytes())
    assert wide.mode == mode
    one, other = (
        vlm.read(each, "Hi?").embeddings for each in (wide, Image.fromarray(grey.astype(np.uint8)))
    )
    assert torch.equal(one, other)
    white = vlm.read(Image.new("L", wide.size, 255), "Hi?").embeddings
    assert not torch.equal(one, white)


@pytest.mark.parametrize(
    "values", [shades() / 255, shades() * 1.0, shades().astype(np.int32) * 65537, -shades()]
)
def test_pixels_of_which_nobody_knows_the_white_are_refused_alone(vlm, values):
    """Fractions may end at 1, at 255 or anywhere; so may whole numbers beyond 16 bits."""
    kind = np.float32 if values.dtype == float else np.int32
    with pytest.raises(ImageError, match=r"pixels could not be .*not known what is white.*8 bits"):
        vlm.read(Image.fromarray(values.astype(kind)), "Hi?")


class Placing(Generous):
    """Puts an image's placeholders before any text."""

    def __init__(self, processor):
        super().__init__(processor, lambda ids: {})

    def __call__(self, **given):
        return super().__call__(**{**given, "text": f"<image>{given['text']}"})


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_prompt_is_told(side):
    vlm = tiny_vlm()
    tokenizer = vlm.processor.tokenizer
    tokenizer.init_kwargs.update(padding="max_length", max_length=64)
    tokenizer.padding_side = side
    told = r"pads the prompt: [0-9]+ of its 64 positions are masked.* Take padding"
    with pytest.raises(VLMError, match=told):
        VLM(vlm.model, vlm.processor)
    with pytest.raises(VLMError, match=told):
        vlm.read(picture(), "Hi?")


def test_a_processor_may_put_the_image_before_any_text():
    plain = VLM(tiny_vlm().model, tiny_processor(), prompt="<image>{question}")
    vlm = VLM(plain.model, Placing(tiny_processor()), prompt="<image>{question}")
    placed, expected = (each.read(picture(), QUESTION) for each in (vlm, plain))
    assert torch.equal(placed.input_ids, expected.input_ids)
    assert torch.equal(vlm.next_token(placed, [[]]), plain.next_token(expected, [[]]))
    with pytest.raises(VLMError, match="must begin with <image>, since the processor puts"):
        VLM(plain.model, Placing(tiny_processor()), prompt="USER: <image>{question}")


class Naming(Generous):
    """Takes `<image>` in a text for an image, and writes other tokens in its place."""

    image_token = "NO"

    def __init__(self, processor):
        super().__init__(processor, lambda ids: {})


@pytest.mark.parametrize("chat", [None, "USER: <image>\n{{ messages[0].content[1].text }}"])
def test_a_processor_may_take_another_name_of_an_image_than_its_token(chat):
    plain, naming = tiny_vlm(), Naming(tiny_processor())
    naming.own.chat_template = chat
    vlm = VLM(plain.model, naming)
    named, expected = (each.read(picture(), QUESTION) for each in (vlm, plain))
    assert torch.equal(named.input_ids, expected.input_ids)
    assert torch.equal(vlm.next_token(named, [[]]), plain.next_token(expected, [[]]))


def test_embeddings_that_a_model_keeps_to_itself_are_told():
    """Its language model is given ids, and makes the embeddings of the picture itself."""
    model = tiny_vlm().model
    hook = model.model.language_model.register_forward_pre_hook(
        lambda _module, args, given: (args, {**given, "inputs_embeds": None}), with_kwargs=True
    )
    with pytest.raises(VLMError, match="none of its embeddings, so that they cannot be read"):
        VLM(model, tiny_processor())
    hook.remove()


def test_prompts_that_a_processor_writes_itself_are_told():
    """One for each of its policies, and whatever is asked."""
    model, processor, _ = shieldgemma2()
    with pytest.raises(VLMError, match="makes 3 prompts of one image and one text"):
        VLM(model, processor)
    processor.policy_definitions = {"one": "No cats."}
    with pytest.raises(VLMError, match="no question reaches the model"):
        VLM(model, processor, prompt="<image>{question}")


@pytest.mark.newer
def test_kinds_of_tokens_that_a_processor_gives_where_asked_are_asked_for():
    """It names them as an input of the model, which cannot run without."""
    processor: Any = qwen_processor()
    processor.return_mm_token_type_ids = False
    assert "mm_token_type_ids" not in processor(text="Hi?", return_tensors="pt")
    stimulus = VLM(tiny_qwen().model, processor).read(picture(), QUESTION)
    kinds = stimulus.inputs["mm_token_type_ids"][0]
    assert kinds.nonzero()[:, 0].tolist() == stimulus.visual.tolist()


def test_a_language_model_alone_is_told():
    config: Any = tiny_vlm().model.config.get_text_config()
    with pytest.raises(VLMError, match=r"LlamaForCausalLM has no image encoder, or gives its"):
        VLM(LlamaForCausalLM(config), tiny_processor(), "<image>{question}")
