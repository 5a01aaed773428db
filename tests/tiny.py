"""Random models of a few thousand parameters of each family, and a Llama in plain torch to check
one against."""

from collections.abc import Mapping
from itertools import product
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from torch.nn.functional import silu
from transformers import (
    BatchFeature,
    LlamaConfig,
    LlavaProcessor,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
    Qwen2VLProcessor,
)

from fixtures.emoji_llava.architecture import Sizes, build_tokenizer, llava, llava_processor
from vlmlib import VLM, Ablate, Block
from vlmlib.halves import image_half

SIDE, PATCH = 16, 4  # 4 x 4 visual tokens
Model = TypeVar("Model", bound=PreTrainedModel)


def tiny_processor(side: int = SIDE) -> LlavaProcessor:
    tokenizer = build_tokenizer()
    tokenizer.add_tokens(["yes", "NO"])
    return llava_processor(tokenizer, side, PATCH)


def tiny_vlm(attention: str = "sdpa", seed: int = 0, side: int = SIDE) -> VLM:
    """The same weights for the same seed under either attention; large enough ones that every edge
    matters."""
    processor = tiny_processor(side)
    vision = Sizes(width=16, mlp=32, layers=2, heads=2)
    text = Sizes(width=16, mlp=32, layers=2, heads=4)
    torch.manual_seed(seed)
    model = llava(processor, vision, text, attention, num_key_value_heads=2)
    return VLM(randomised(model), processor)


def deep_vlm(layers: int) -> VLM:
    """One of more layers."""
    processor = tiny_processor(SIDE)
    vision = Sizes(width=16, mlp=32, layers=2, heads=2)
    text = Sizes(width=16, mlp=32, layers=layers, heads=4)
    torch.manual_seed(0)
    return VLM(randomised(llava(processor, vision, text, "sdpa", num_key_value_heads=2)), processor)


def randomised(model: Model) -> Model:
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.3 if "language_model" in name else 0.1)
    return model


CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ "
    "part.text }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% "
    "endif %}"
)
SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
]


def byte_level_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE as Qwen's: a word's piece holds the space before it, and nothing is added to a
    text."""
    words = [
        "\u0120dog",
        "\u0120is",
        "\u0120a",
        "\u0120Yes",
        "\u0120book",
        "Yes",
        "yes",
        "No",
        "dog",
        "It",
    ]
    vocabulary = {
        piece: index
        for index, piece in enumerate([*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())])
    }
    merges = []
    for word in words:
        for stop in range(2, len(word) + 1):
            vocabulary.setdefault(word[:stop], len(vocabulary))
            if (pair := (word[: stop - 1], word[stop - 1])) not in merges:
                merges.append(pair)
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        additional_special_tokens=SPECIAL,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHAT,
    )


class ImageTextProcessor:
    """An image processor and a tokenizer as one, written out.

    The image token of the text is repeated once per visual token, which a merge of `merge_size` x
    `merge_size` patches becomes, as in Qwen2-VL.
    """

    def __init__(self, image_processor: Any, tokenizer: Any, image_token: str):
        self.image_processor = image_processor
        self.tokenizer = tokenizer
        self.image_token = image_token

    def __call__(self, images: Image.Image, text: str, return_tensors: str) -> BatchFeature:
        inputs = self.image_processor(images, return_tensors=return_tensors)
        count = int(inputs["image_grid_thw"].prod()) // self.image_processor.merge_size**2
        text = text.replace(self.image_token, self.image_token * count)
        inputs.update(self.tokenizer(text, return_tensors="pt"))
        of_image = inputs["input_ids"] == self.tokenizer.convert_tokens_to_ids(self.image_token)
        inputs["mm_token_type_ids"] = of_image.long()
        return inputs

    def apply_chat_template(self, conversation: list[dict], add_generation_prompt: bool) -> str:
        return self.tokenizer.apply_chat_template(
            conversation, add_generation_prompt=add_generation_prompt, tokenize=False
        )


def qwen_processor() -> Qwen2VLProcessor:
    images = Qwen2VLImageProcessorPil(
        patch_size=PATCH,
        merge_size=2,
        temporal_patch_size=2,
        min_pixels=16 * 16,
        max_pixels=48 * 48,
    )
    # without videos, for which torchvision is needed
    return image_half(Qwen2VLProcessor)(images, byte_level_tokenizer(), None, chat_template=CHAT)


PLAIN_ROPE = {"rope_type": "default"}


def tiny_qwen(
    attention: str = "sdpa",
    seed: int = 0,
    layers: int = 2,
    window: int | None = None,
    rope: Mapping[str, Any] = PLAIN_ROPE,
) -> VLM:
    """A random Qwen2-VL; with `window`, its last layer attends to so many positions only; with
    rotary values of its own."""
    processor = qwen_processor()
    ids = {token: processor.tokenizer.convert_tokens_to_ids(token) for token in SPECIAL}
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": len(processor.tokenizer),
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": layers,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "rope_parameters": {"rope_theta": 1e4, "mrope_section": [2, 1, 1], **rope},
            "use_sliding_window": window is not None,
            "sliding_window": window,
            "max_window_layers": layers - 1,
            "bos_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
        },
        vision_config={
            "depth": 2,
            "embed_dim": 16,
            "hidden_size": 16,
            "num_heads": 2,
            "mlp_ratio": 2,
            "patch_size": PATCH,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|endoftext|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    config._attn_implementation = attention
    torch.manual_seed(seed)
    return VLM(randomised(Qwen2VLForConditionalGeneration(config)), processor)


def picture(seed: int = 0, size: tuple[int, int] = (22, 16)) -> Image.Image:
    """Noise of (width, height)."""
    pixels = np.random.default_rng(seed).integers(
        0, 256, size=(size[1], size[0], 3), dtype=np.uint8
    )
    return Image.fromarray(pixels)


def plain_logits(vlm: VLM, embeddings: Tensor, arm: list) -> Tensor:
    """The last position's logits by a Llama forward written out in torch: an independent
    computation of any arm."""
    weights, config = vlm.model.state_dict(), vlm.model.config.text_config
    hidden, length = embeddings.clone(), len(embeddings)
    for index in range(config.num_hidden_layers):
        part = {
            name.split(".", 4)[4]: weight
            for name, weight in weights.items()
            if name.startswith(f"model.language_model.layers.{index}.")
        }
        for each in arm:
            if isinstance(each, Ablate) and index == each.layer:
                hidden[list(each.tokens)] = each.value
        blocks = [each for each in arm if isinstance(each, Block) and index in each.layers]
        mask = plain_mask(blocks, config.num_attention_heads, length)
        normed = plain_norm(hidden, part["input_layernorm.weight"], config)
        hidden = hidden + plain_attention(normed, part, mask, config)
        normed = plain_norm(hidden, part["post_attention_layernorm.weight"], config)
        gate = silu(normed @ part["mlp.gate_proj.weight"].T)
        up = normed @ part["mlp.up_proj.weight"].T
        hidden = hidden + (gate * up) @ part["mlp.down_proj.weight"].T
    last = plain_norm(hidden[-1], weights["model.language_model.norm.weight"], config)
    return weights["lm_head.weight"] @ last


def plain_mask(blocks: list[Block], heads: int, length: int) -> Tensor:
    mask = torch.ones(heads, length, length).tril().bool()
    for block in blocks:
        of_heads = range(heads) if block.heads is None else block.heads
        for head, target, source in product(of_heads, block.targets, block.source):
            mask[head, target, source] = False
    return mask


def plain_norm(values: Tensor, weight: Tensor, config: LlamaConfig) -> Tensor:
    return weight * values / (values.pow(2).mean(-1, keepdim=True) + config.rms_norm_eps).sqrt()


def plain_attention(
    normed: Tensor, part: dict[str, Tensor], mask: Tensor, config: LlamaConfig
) -> Tensor:
    heads, length = len(mask), len(normed)
    shared, width, rope = config.num_key_value_heads, config.head_dim, config.rope_parameters
    assert shared is not None
    assert width is not None
    assert rope is not None
    base = rope.get("rope_theta")
    assert base is not None
    rates = base ** (-torch.arange(0, width, 2) / width)
    turn = torch.arange(length)[:, None] * rates
    cos, sin = turn.cos().repeat(1, 2), turn.sin().repeat(1, 2)

    def projected(name: str, count: int) -> Tensor:
        weight = part[f"self_attn.{name}_proj.weight"]
        return (normed @ weight.T).view(length, count, width).transpose(0, 1)

    def rotated(values: Tensor) -> Tensor:
        first, second = values.chunk(2, -1)
        return values * cos + torch.cat([-second, first], -1) * sin

    query, key = rotated(projected("q", heads)), rotated(projected("k", shared))
    value = projected("v", shared)
    key, value = (each.repeat_interleave(heads // shared, 0) for each in (key, value))
    scores = (query @ key.transpose(1, 2) / width**0.5).masked_fill(~mask, -torch.inf)
    mixed = (scores.softmax(-1) @ value).transpose(0, 1).reshape(length, heads * width)
    return mixed @ part["self_attn.o_proj.weight"].T
