"""Families that descend from common ones, and those that also hear."""

from typing import Any

from tests.families.building import (
    PATCH,
    TILE,
    VIDEO,
    Built,
    Family,
    built,
    hf,
    id_of,
    square,
    text_of,
    tokenizer_of,
    vision_of,
)
from tests.families.common import (
    LINEAR,
    QWEN,
    ROPE,
    minicpmv_of,
    qwen,
    qwen3_processor,
    qwen_images,
    qwen_tokenizer,
)

# Qwen's


def hyperclovax() -> Built:
    """HyperCLOVA X that sees as Qwen2.5-VL does."""
    tokenizer = qwen_tokenizer()
    processor = hf.HyperCLOVAXVisionV2Processor(
        qwen_images(hf.Qwen2VLImageProcessorPil),
        tokenizer,
        qwen_images(hf.Qwen2VLVideoProcessor),
        chat_template=tokenizer.chat_template,
    )
    text = text_of(
        "hyperclovax",
        tokenizer,
        embedding_multiplier=3.0,
        logits_scaling=0.5,
        residual_multiplier=0.7,
        attention_multiplier=0.5,
    )
    vision = {"window_size": 16, "fullatt_block_indexes": [1]}
    return qwen("hyperclovax_vision_v2", processor, tokenizer, text, vision)


def cohere_compass() -> Built:
    """Qwen3-VL's picture, in Cohere's blocks of attention beside an MLP."""
    names = ("<|VISION_START|>", "<|VISION_END|>", "<|VIDEO_PAD|>", "<|IMAGE_PAD|>")
    tokenizer = tokenizer_of(*names, image="<|VISION_START|><|IMAGE_PAD|><|VISION_END|>")
    processor = hf.CohereCompassProcessor(
        qwen_images(hf.CohereCompassImageProcessorPil),
        tokenizer,
        qwen_images(hf.CohereCompassVideoProcessor),
        chat_template=tokenizer.chat_template,
    )
    text = text_of("cohere_compass_text", tokenizer, logit_scale=0.5, rope_parameters={"full_attention": ROPE})
    vision = {"num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]}
    return qwen("cohere_compass", processor, tokenizer, text, vision, names)


def qwen4_exp() -> Built:
    """Its layers hold two streams of hidden states, which a mixer joins after the last."""
    tokenizer = qwen_tokenizer()
    text = text_of(
        "qwen4_exp_text",
        tokenizer,
        **LINEAR,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=16,
        shared_expert_intermediate_size=16,
        hc_count=2,
        hc_lowrank=4,
        indexer_n_heads=2,
        indexer_kv_heads=1,
        indexer_head_dim=8,
        indexer_budget=16,
        indexer_compress_ratio=4,
    )
    vision = {"num_position_embeddings": 64}
    return qwen("qwen4_exp", qwen3_processor(tokenizer), tokenizer, text, vision)


def lfm3_vl() -> Built:
    tokenizer = qwen_tokenizer()
    processor = hf.Lfm3VlProcessor(
        qwen_images(hf.Qwen2VLImageProcessorPil),
        tokenizer,
        qwen_images(hf.Qwen3VLVideoProcessor),
        chat_template=tokenizer.chat_template,
    )
    kinds = ["conv", "sliding_attention", "full_attention", "sliding_attention"]
    start, end, video, image = (id_of(tokenizer, each) for each in QWEN)
    return built(
        "lfm3_vl",
        processor,
        vision_config=vision_of("lfm3_vl_vision", num_key_value_heads=1),
        text_config=text_of(
            "lfm3", tokenizer, conv_L_cache=3, sliding_window=8, layer_types=kinds
        ),
        projector_hidden_size=32,
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )


# Tiles and crops


def minicpmv4_7() -> Built:
    """The tokens around its slices have positions of their own on the picture."""
    return minicpmv_of(
        "minicpmv4_7",
        hf.MiniCPMV4_7Processor,
        image_start_id="<image>",
        image_end_id="</image>",
        slice_start_id="<slice>",
        slice_end_id="</slice>",
        newline_id="Ċ",
    )


def deepseek_vl_hybrid() -> Built:
    """Two encoders see the picture, one of them more finely."""
    tokenizer = tokenizer_of(
        image="<image_placeholder>", begin="<s>", image_token="<image_placeholder>"
    )
    processor = hf.DeepseekVLHybridProcessor(
        square(
            hf.DeepseekVLHybridImageProcessorPil,
            min_size=4,
            high_res_size={"height": 2 * TILE, "width": 2 * TILE},
        ),
        tokenizer,
        tokenizer.chat_template,
        num_image_tokens=16,
    )
    fine = {
        "model_type": "sam_vision_model",
        "hidden_size": 16,
        "output_channels": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 2 * TILE,
        "patch_size": PATCH,
        "mlp_dim": 32,
        "window_size": 4,
        "global_attn_indexes": [1],
    }
    return built(
        "deepseek_vl_hybrid",
        processor,
        attention="eager",
        vision_config=vision_of("siglip_vision_model", vision_use_head=False),
        high_res_vision_config=fine,
        text_config=text_of("llama", tokenizer),
        image_token_id=id_of(tokenizer, "<image_placeholder>"),
    )


def fast_vlm() -> Built:
    """An encoder of convolutions, of whose last map the cells are the tokens."""
    tokenizer = tokenizer_of(begin="<s>")
    side = 4 * 64
    images = hf.CLIPImageProcessorPil(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )
    processor = hf.LlavaProcessor(
        images,
        tokenizer,
        patch_size=64,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
        chat_template=tokenizer.chat_template,
    )
    vision = {
        "model_type": "timm_wrapper",
        "architecture": "fastvit_mci3",
        "hidden_size": 64,
        "do_pooling": True,
        "model_args": {
            "inference_mode": True,
            "layers": [1, 1, 1, 1, 1],
            "embed_dims": [8, 8, 16, 32, 32],
            "mlp_ratios": [2, 2, 2, 2, 2],
            "lkc_use_act": True,
        },
    }
    return built(
        "fast_vlm",
        processor,
        vision_config=vision,
        text_config=text_of("qwen2", tokenizer),
        image_token_index=id_of(tokenizer, "<image>"),
        image_seq_length=16,
    )


FAMILIES = [
    Family("HyperCLOVA X Vision", hyperclovax, VIDEO),
    Family("Cohere Compass", cohere_compass, VIDEO),
    Family("Qwen4-Exp", qwen4_exp, VIDEO, refused=True),
    Family("LFM3-VL", lfm3_vl, VIDEO),
    Family("MiniCPM-V 4.7", minicpmv4_7, VIDEO),
    Family("DeepSeek-VL hybrid", deepseek_vl_hybrid),
    Family("FastVLM", fast_vlm, ("timm",)),
]
