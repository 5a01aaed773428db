"""Random LLaVAs of a few thousand parameters around language models of other families, each with
one thing that a plain Llama has not; and a Gemma 3 and a PaliGemma, whose positions see later ones.
"""

from typing import Any

import torch
from transformers import (
    AutoConfig,
    CLIPVisionConfig,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    SiglipImageProcessorPil,
)

from tests.tiny import PATCH, SIDE, ImageTextProcessor, randomised, tiny_processor, tiny_vlm
from vlmlib import VLM

PROMPT = "USER: <image>\n{question} ASSISTANT:"
PART: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
# Rotary angles of other rates past position 40.
LONGROPE: dict[str, Any] = {
    "model_type": "phi3",
    "max_position_embeddings": 400,
    "original_max_position_embeddings": 40,
    "rope_parameters": {
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "short_factor": [1.0, 1.0],
        "long_factor": [4.0, 9.0],
        "original_max_position_embeddings": 40,
    },
}
# Positions attend to those of their own chunk of 40.
CHUNKED: dict[str, Any] = {
    "model_type": "llama4_text",
    "attention_chunk_size": 40,
    "intermediate_size_mlp": 32,
    "num_local_experts": 2,
    "head_dim": 4,
    "no_rope_layers": [1, 1],
    "moe_layers": [],
}
# Positions attend to the 40 that an indexer ranks highest.
SPARSE: dict[str, Any] = {
    "model_type": "deepseek_v32",
    "index_topk": 40,
    "index_head_dim": 8,
    "index_n_heads": 2,
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_nope_head_dim": 4,
    "qk_rope_head_dim": 4,
    "v_head_dim": 6,
    "num_key_value_heads": 4,
    "first_k_dense_replace": 2,
    "n_routed_experts": 2,
}
# Keys and values are kept compressed, of different widths.
COMPRESSED: dict[str, Any] = {
    "model_type": "deepseek_v3",
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_nope_head_dim": 4,
    "qk_rope_head_dim": 4,
    "v_head_dim": 6,
    "num_key_value_heads": 4,
    "first_k_dense_replace": 2,
    "n_routed_experts": 2,
}
# Embeddings are multiplied before layer 0.
MULTIPLIED: dict[str, Any] = {"model_type": "granite", "embedding_multiplier": 6.0}
# Attention scores and logits end at soft caps, and every other layer has a window.
CAPPED: dict[str, Any] = {
    "model_type": "gemma2",
    "head_dim": 4,
    "query_pre_attn_scalar": 4,
    "sliding_window": 40,
    "final_logit_softcapping": 1.0,
}
WINDOWED: dict[str, Any] = {"model_type": "mistral", "sliding_window": 40, "head_dim": 4}


def llava_around(text: dict[str, Any], attention: str = "sdpa", seed: int = 0) -> VLM:
    """A random LLaVA whose language model is this one."""
    processor = tiny_processor()
    tokenizer = processor.tokenizer
    vision: dict[str, Any] = PART | {"num_attention_heads": 2}
    settings: dict[str, Any] = PART | {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": False,
        "num_key_value_heads": 2,
    }
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**vision, image_size=SIDE, patch_size=PATCH),
        text_config=AutoConfig.for_model(**settings | text),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=(SIDE // PATCH) ** 2,
        tie_word_embeddings=False,
    )
    config._attn_implementation = attention
    torch.manual_seed(seed)
    return VLM(randomised(LlavaForConditionalGeneration(config)), processor)


# Images of so many tokens, which see all of one another.
SIGLIP: dict[str, Any] = PART | {
    "model_type": "siglip_vision_model",
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": PATCH,
    "vision_use_head": False,
}


class BlockProcessor(ImageTextProcessor):
    """Images of 4 x 4 tokens: of type 0 where all of a prompt sees itself (PaliGemma), else marked
    (Gemma 3)."""

    def __init__(self, tokenizer: Any, marks: bool):
        images = SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE})
        super().__init__(images, tokenizer, "<image>")
        self.marks = marks

    def __call__(self, images: Any, text: str, return_tensors: str) -> Any:
        inputs = self.image_processor(images, return_tensors=return_tensors)
        inputs.update(self.tokenizer(text.replace("<image>", "<image>" * 16), return_tensors="pt"))
        token = self.tokenizer.convert_tokens_to_ids("<image>")
        inputs["token_type_ids"] = ((inputs["input_ids"] == token) & self.marks).long()
        return inputs


def tiny_gemma3(attention: str = "sdpa", seed: int = 0) -> VLM:
    """A random Gemma 3, whose visual tokens see all of one another."""
    tokenizer = tiny_processor().tokenizer
    text = {**_gemma(tokenizer, "gemma3_text"), "sliding_window": 30}
    config = Gemma3Config(
        vision_config=SIGLIP,
        text_config={**text, "layer_types": ["sliding_attention", "full_attention"]},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        mm_tokens_per_image=16,
    )
    config._attn_implementation = attention
    torch.manual_seed(seed)
    model = randomised(Gemma3ForConditionalGeneration(config))
    return VLM(model, BlockProcessor(tokenizer, marks=True), PROMPT)


def tiny_paligemma2(attention: str = "eager", seed: int = 0, cap: float | None = 1.0) -> VLM:
    """A random PaliGemma 2, whose prompts see all of themselves and whose logits end at a soft
    cap."""
    tokenizer = tiny_processor().tokenizer
    text = {**_gemma(tokenizer, "gemma2"), "final_logit_softcapping": cap}
    config = PaliGemmaConfig(
        vision_config=SIGLIP,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        projection_dim=16,
        hidden_size=16,
    )
    config._attn_implementation = attention
    torch.manual_seed(seed)
    model = randomised(PaliGemmaForConditionalGeneration(config))
    return VLM(model, BlockProcessor(tokenizer, marks=False), PROMPT)


def _gemma(tokenizer: Any, kind: str) -> dict[str, Any]:
    return PART | {
        "model_type": kind,
        "vocab_size": len(tokenizer),
        "num_key_value_heads": 2,
        "head_dim": 4,
        "query_pre_attn_scalar": 4,
        "pad_token_id": 0,
    }


def of_pages(attention: str = "sdpa", window: int = 3) -> VLM:
    """A LLaVA whose language model sees all of a prompt, and few of the tokens that it says."""
    from transformers.models.unlimited_ocr import modeling_unlimited_ocr as its

    vlm = tiny_vlm(attention)
    model: Any = vlm.model
    text: Any = AutoConfig.for_model(
        **PART,
        model_type="unlimited_ocr_text",
        vocab_size=vlm.decoder.vocab,
        sliding_window=window,
        num_key_value_heads=4,
        mlp_layer_types=["dense"] * 2,
    )
    text._attn_implementation = attention
    torch.manual_seed(0)
    model.config.text_config = text
    model.model.language_model = its.UnlimitedOcrTextModel(text)
    return VLM(randomised(model), vlm.processor)
