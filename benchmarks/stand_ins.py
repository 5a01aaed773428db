"""Models of the paper's layouts with random weights: whole, or so narrow that a CPU runs them.

Layers, visual tokens and the length of a prompt are those of the real ones, so that what runs on a
narrow one is as many passes over as many positions.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import (
    AddedToken,
    AutoModelForImageTextToText,
    Qwen2VLImageProcessorPil,
    Qwen2VLProcessor,
)

from claims.neo2025.architectures import CONFIGS, PICTURE
from fixtures.emoji_llava.architecture import build_tokenizer, llava_processor
from vlmlib import VLM
from vlmlib.architecture import PHI3_PROMPT, VICUNA_PROMPT
from vlmlib.halves import image_half
from vlmlib.study import Example, Object

QWEN_PROMPT = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
    "<|vision_start|><image><|vision_end|>{question}<|im_end|>\n<|im_start|>assistant\n"
)
PROMPTS = {
    "llava-1.5-7b": VICUNA_PROMPT,
    "llava-phi-3": PHI3_PROMPT,
    "qwen2-vl-2b": QWEN_PROMPT,
}
SPECIAL = ["<|user|>", "<|end|>", "<|assistant|>", "<|im_start|>", "<|im_end|>"]
SPECIAL += ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
WORDS = ["You", "are", "helpful", "assistant", "system", "user"]  # which are one piece each
NARROW = {
    "text": {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2},
    "llava": {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2},
    "qwen2_vl": {"embed_dim": 16, "hidden_size": 16, "num_heads": 2, "mlp_ratio": 1},
}
CATEGORY = "dog"
TARGET = (60, 45)  # width, height in pixels: about the 12.6 visual tokens of the paper


def vlm_like(model: str, whole: bool = False, device: str = "cpu", layers: int = 0) -> VLM:
    """One of the paper's models with random weights.

    **Arguments:** its name; whether it has the real widths, in bfloat16; where it is; of the layers
    of its decoder and its encoder so many, by default all.
    """
    config, processor = deepcopy(CONFIGS[model]), _processor(model)
    words = processor.tokenizer
    config.image_token_id = words.convert_tokens_to_ids(processor.image_token)
    text: Any = config.text_config
    vision: Any = config.vision_config
    if not whole:
        text.update(NARROW["text"])
        text.head_dim = 8
        text.vocab_size = len(words)
        text.num_key_value_heads = 1 if text.num_key_value_heads < 12 else 2
        vision.update(NARROW[config.model_type])
        if config.model_type == "qwen2_vl":
            text.rope_parameters["mrope_section"] = [2, 1, 1]
    if layers:
        text.num_hidden_layers = layers
        vision.update({"num_hidden_layers": layers, "depth": layers})
        if getattr(text, "layer_types", None):
            text.layer_types = text.layer_types[:layers]
    torch.manual_seed(0)
    with torch.device(device):
        made = AutoModelForImageTextToText.from_config(
            config, dtype=torch.bfloat16 if whole else torch.float32
        )
    # nothing ends a text but its length, which is assumed
    made.generation_config.eos_token_id = None
    vlm = VLM(made, processor, PROMPTS[model])
    # what is asked of a model once, of its pictures and of its texts, is no image's
    vlm.describe(vlm.read(Image.new("RGB", PICTURE), ""), [[]], max_new_tokens=1)
    return vlm


def _processor(model: str) -> Any:
    tokenizer = build_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>", *SPECIAL]})
    tokenizer.add_tokens([AddedToken(word, lstrip=True, normalized=False) for word in WORDS])
    vision: Any = CONFIGS[model].vision_config
    if CONFIGS[model].model_type == "llava":
        return llava_processor(tokenizer, vision.image_size, vision.patch_size)
    images = Qwen2VLImageProcessorPil(
        patch_size=vision.patch_size,
        merge_size=vision.spatial_merge_size,
        temporal_patch_size=vision.temporal_patch_size,
        min_pixels=56 * 56,
        max_pixels=3584 * 3584,
    )
    return image_half(Qwen2VLProcessor)(images, tokenizer, None)


def examples(count: int, seed: int = 0) -> Sequence[Example]:
    """Noise of a usual size in COCO, each with a target of the paper's size somewhere in the
    middle."""
    generator = np.random.default_rng(seed)
    width, height = PICTURE
    made = []
    for number in range(count):
        pixels = generator.integers(0, 256, size=(height, width, 3), dtype=np.uint8)
        # LLaVA sees the square in the middle alone
        left = int(generator.integers((width - height) // 2, (width + height) // 2 - TARGET[0]))
        top = int(generator.integers(0, height - TARGET[1]))
        right, bottom = left + TARGET[0], top + TARGET[1]
        outline = [[left, top, right, top, right, bottom, left, bottom]]
        target = Object(CATEGORY, outline, (height, width), area=float(TARGET[0] * TARGET[1]))
        asked = (f"What is on the {CATEGORY} ?",)
        known = {"absent": "cat"}
        example = Example(str(number), Image.fromarray(pixels), [target], CATEGORY, asked)
        made.append(example.knowing(**known))
    return made
