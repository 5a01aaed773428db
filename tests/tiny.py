"""A random LLaVA of a few thousand parameters, and a Llama forward pass in plain torch to check it against."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import silu
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from fixtures.emoji_llava.architecture import build_tokenizer
from vlmlib import VLM, Ablate, Block

SIDE, PATCH = 16, 4  # 4 x 4 visual tokens


def tiny_processor() -> LlavaProcessor:
    tokenizer = build_tokenizer()
    tokenizer.add_tokens(["yes", "NO"])
    return LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


def tiny_vlm(attention: str = "sdpa", seed: int = 0) -> VLM:
    """The same weights for the same seed under either attention; large enough ones that every edge matters."""
    processor = tiny_processor()
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=SIDE,
            patch_size=PATCH,
        ),
        text_config=LlamaConfig(
            vocab_size=len(processor.tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            pad_token_id=0,
        ),
        image_token_index=processor.tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=(SIDE // PATCH) ** 2,
    )
    config._attn_implementation = attention
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.3 if "language_model" in name else 0.1)
    return VLM(model, processor)


def picture(seed: int = 0, size: tuple[int, int] = (22, 16)) -> Image.Image:
    """Noise of (width, height)."""
    pixels = np.random.default_rng(seed).integers(0, 256, size=(size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def plain_logits(vlm: VLM, embeddings: Tensor, arm: list) -> Tensor:
    """The last position's logits by a Llama forward written out in torch: an independent computation of any arm."""
    weights, config = vlm.model.state_dict(), vlm.model.config.text_config
    hidden, length = embeddings.clone(), len(embeddings)
    for each in arm:
        if isinstance(each, Ablate):
            hidden[list(each.tokens)] = each.value
    heads, shared, width = config.num_attention_heads, config.num_key_value_heads, config.head_dim
    turn = torch.arange(length)[:, None] * config.rope_parameters["rope_theta"] ** (-torch.arange(0, width, 2) / width)
    cos, sin = turn.cos().repeat(1, 2), turn.sin().repeat(1, 2)

    def norm(values: Tensor, weight: Tensor) -> Tensor:
        return weight * values / (values.pow(2).mean(-1, keepdim=True) + config.rms_norm_eps).sqrt()

    def rotate(values: Tensor) -> Tensor:
        first, second = values.chunk(2, -1)
        return values * cos + torch.cat([-second, first], -1) * sin

    for index in range(config.num_hidden_layers):
        part = {
            name.split(".", 4)[4]: weight
            for name, weight in weights.items()
            if name.startswith(f"model.language_model.layers.{index}.")
        }
        mask = torch.ones(length, length).tril().bool()
        for each in arm:
            if isinstance(each, Block) and index in each.layers:
                for target in each.to:
                    for source in each.source:
                        mask[target, source] = False
        normed = norm(hidden, part["input_layernorm.weight"])
        query = rotate((normed @ part["self_attn.q_proj.weight"].T).view(length, heads, width).transpose(0, 1))
        key = rotate((normed @ part["self_attn.k_proj.weight"].T).view(length, shared, width).transpose(0, 1))
        value = (normed @ part["self_attn.v_proj.weight"].T).view(length, shared, width).transpose(0, 1)
        key, value = (each.repeat_interleave(heads // shared, 0) for each in (key, value))
        scores = (query @ key.transpose(1, 2) / width**0.5).masked_fill(~mask, -torch.inf)
        mixed = (scores.softmax(-1) @ value).transpose(0, 1).reshape(length, heads * width)
        hidden = hidden + mixed @ part["self_attn.o_proj.weight"].T
        normed = norm(hidden, part["post_attention_layernorm.weight"])
        gate = silu(normed @ part["mlp.gate_proj.weight"].T) * (normed @ part["mlp.up_proj.weight"].T)
        hidden = hidden + gate @ part["mlp.down_proj.weight"].T
    last = norm(hidden[-1], weights["model.language_model.norm.weight"])
    return weights["lm_head.weight"] @ last
