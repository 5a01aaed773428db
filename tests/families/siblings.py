"""Families that descend from common ones, and those that also hear."""

from typing import Any

from tests.families.building import (
    PATCH,
    TILE,
    VIDEO,
    WINDOWS,
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
    gemma4_ids,
    gemma4_tokenizer,
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
    text = text_of(
        "cohere_compass_text", tokenizer, logit_scale=0.5, rope_parameters={"full_attention": ROPE}
    )
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
        text_config=text_of("lfm3", tokenizer, conv_L_cache=3, sliding_window=8, layer_types=kinds),
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


def hunyuan_vl() -> Built:
    """Tokens that show nothing begin and end a picture, and each of its rows."""
    names: dict[str, Any] = {
        "image_token": "<img>",
        "image_start_token": "<img_start>",
        "image_end_token": "<img_end>",
    }
    tokenizer = tokenizer_of(image="<img_start><img><img_end>", **names)
    images = hf.HunYuanVLImageProcessorPil(
        patch_size=PATCH, size={"shortest_edge": 16 * 16, "longest_edge": 48 * 48}
    )
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 1, 1]}
    return built(
        "hunyuan_vl",
        hf.HunYuanVLProcessor(images, tokenizer, tokenizer.chat_template),
        vision_config=vision_of("hunyuan_vl_vision", out_hidden_size=16, max_image_size=48),
        text_config=text_of("hunyuan_vl_text", tokenizer, rope_parameters=rope),
        image_token_id=id_of(tokenizer, "<img>"),
        im_start_id=id_of(tokenizer, "<img_start>"),
        im_end_id=id_of(tokenizer, "<img_end>"),
    )


# Gemma's


# The middle layer, in which edges are cut, sees all before it; the last always does.
GEMMA_WINDOWS = ["sliding_attention"] * 2 + ["full_attention"] * 2


def gemma4_unified() -> Built:
    """No encoder: patches are projected to tokens."""
    tokenizer = gemma4_tokenizer()
    settings = {"patch_size": PATCH, "max_soft_tokens": 70, "pooling_kernel_size": 3}
    processor = hf.Gemma4UnifiedProcessor(
        hf.Gemma4UnifiedAudioFeatureExtractor(),
        hf.Gemma4UnifiedImageProcessor(**settings),
        tokenizer,
        hf.Gemma4UnifiedVideoProcessor(**settings),
        chat_template=tokenizer.chat_template,
        image_seq_length=70,
    )
    return built(
        "gemma4_unified",
        processor,
        vision_config={
            "patch_size": PATCH,
            "mm_embed_dim": 16,
            "mm_posemb_size": 64,
            "output_proj_dims": 16,
        },
        audio_config=None,
        text_config=text_of(
            "gemma4_unified_text",
            tokenizer,
            sliding_window=16,
            layer_types=GEMMA_WINDOWS,
            global_head_dim=8,
        ),
        **gemma4_ids(tokenizer),
    )


def diffusion_gemma() -> Built:
    """It writes a block of tokens at once, which see one another: nothing is the next token."""
    tokenizer = gemma4_tokenizer()
    settings = {"patch_size": PATCH, "max_soft_tokens": 70, "pooling_kernel_size": 3}
    processor = hf.Gemma4Processor(
        hf.Gemma4AudioFeatureExtractor(),
        hf.Gemma4ImageProcessorPil(**settings),
        tokenizer,
        hf.Gemma4VideoProcessor(**settings),
        chat_template=tokenizer.chat_template,
        image_seq_length=70,
    )
    ids = gemma4_ids(tokenizer)
    return built(
        "diffusion_gemma",
        processor,
        vision_config={
            "model_type": "gemma4_vision",
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "patch_size": PATCH,
            "position_embedding_size": 256,
        },
        text_config=text_of(
            "diffusion_gemma_text",
            tokenizer,
            sliding_window=16,
            layer_types=GEMMA_WINDOWS,
            global_head_dim=8,
            num_experts=4,
            top_k_experts=2,
            moe_intermediate_size=16,
        ),
        canvas_length=4,
        **{name: ids[name] for name in ("image_token_id", "boi_token_id", "eoi_token_id")},
    )


def gemma3n() -> Built:
    """Its layers hold several streams of hidden states, stacked along an axis of their own."""
    tokenizer = tokenizer_of(
        image="<image_soft_token>",
        begin="<bos>",
        image_token="<image_soft_token>",
        boi_token="<start_of_image>",
        eoi_token="<end_of_image>",
        audio_token="<audio_soft_token>",
        boa_token="<start_of_audio>",
        eoa_token="<end_of_audio>",
    )
    processor = hf.Gemma3nProcessor(
        hf.Gemma3nAudioFeatureExtractor(),
        hf.SiglipImageProcessorPil(size={"height": 64, "width": 64}),
        tokenizer,
        tokenizer.chat_template,
        image_seq_length=16,
    )
    return built(
        "gemma3n",
        processor,
        vision_config={
            "architecture": "mobilenetv5_300m_enc",
            "model_args": {"channel_multiplier": 0.02, "msfa_output_resolution": 4},
            "vocab_size": 8,
            "vocab_offset": len(tokenizer),
        },
        audio_config={
            "vocab_size": 8,
            "vocab_offset": len(tokenizer) + 8,
            "hidden_size": 16,
            "conf_num_attention_heads": 2,
            "conf_num_hidden_layers": 1,
            "sscp_conv_channel_size": [4, 4],
        },
        text_config=text_of(
            "gemma3n_text",
            tokenizer,
            vocab_size_per_layer_input=len(tokenizer),
            hidden_size_per_layer_input=4,
            sliding_window=16,
            layer_types=WINDOWS,
            num_kv_shared_layers=0,
            laurel_rank=4,
            altup_num_inputs=2,
        ),
        vision_soft_tokens_per_image=16,
        image_token_id=id_of(tokenizer, "<image_soft_token>"),
        audio_token_id=id_of(tokenizer, "<audio_soft_token>"),
        boi_token_id=id_of(tokenizer, "<start_of_image>"),
        eoi_token_id=id_of(tokenizer, "<end_of_image>"),
    )


# Those that also hear


def qwen2_5_omni() -> Built:
    vision = {"window_size": 16, "fullatt_block_indexes": [1]}
    hearing = {"model_type": "qwen2_5_omni_audio_encoder"}
    text = {"use_sliding_window": False}
    return _omni("qwen2_5_omni", hf.Qwen2_5OmniProcessor, vision, hearing, text)


def qwen3_omni_moe() -> Built:
    vision = {"num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]}
    hearing = {"model_type": "qwen3_omni_moe_audio_encoder", "downsample_hidden_size": 4}
    text = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    return _omni("qwen3_omni_moe", hf.Qwen3OmniMoeProcessor, vision, hearing, text)


def _omni(kind: str, cls: Any, vision: dict, hearing: dict, text: dict) -> Built:
    """The part of an omni model that reads pictures and sounds, and writes text."""
    names: dict[str, Any] = {
        "image_token": "<|IMAGE|>",
        "audio_token": "<|AUDIO|>",
        "video_token": "<|VIDEO|>",
        "vision_bos_token": "<|vision_bos|>",
        "vision_eos_token": "<|vision_eos|>",
        "audio_bos_token": "<|audio_bos|>",
        "audio_eos_token": "<|audio_eos|>",
    }
    tokenizer = tokenizer_of(
        *names.values(), image="<|vision_bos|><|IMAGE|><|vision_eos|>", **names
    )
    processor = cls(
        qwen_images(hf.Qwen2VLImageProcessorPil),
        qwen_images(hf.Qwen2VLVideoProcessor),
        hf.WhisperFeatureExtractor(feature_size=8),
        tokenizer,
        tokenizer.chat_template,
    )
    heard = {
        "num_mel_bins": 8,
        "d_model": 16,
        "encoder_layers": 1,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "output_dim": 16,
    }
    seen = ("<|vision_bos|>", "<|vision_eos|>", "<|VIDEO|>", "<|IMAGE|>")
    text = text_of(f"{kind}_text", tokenizer, rope_parameters=ROPE, **text)
    return qwen(
        f"{kind}_thinker",
        processor,
        tokenizer,
        text,
        {"model_type": f"{kind}_vision_encoder", **vision},
        seen,
        audio_config={**heard, **hearing},
        audio_token_id=id_of(tokenizer, "<|AUDIO|>"),
        audio_start_token_id=id_of(tokenizer, "<|audio_bos|>"),
    )


FAMILIES = [
    Family("HyperCLOVA X Vision", hyperclovax, VIDEO),
    Family("Cohere Compass", cohere_compass, VIDEO),
    Family("Qwen4-Exp", qwen4_exp, VIDEO, refused=True),
    Family("LFM3-VL", lfm3_vl, VIDEO),
    Family("MiniCPM-V 4.7", minicpmv4_7, VIDEO),
    Family("DeepSeek-VL hybrid", deepseek_vl_hybrid),
    Family("FastVLM", fast_vlm, ("timm",)),
    Family("HunYuan-VL", hunyuan_vl),
    Family("Gemma 4 unified", gemma4_unified, VIDEO),
    Family("DiffusionGemma", diffusion_gemma, VIDEO, refused=True),
    Family("Gemma 3n", gemma3n, ("timm",), refused=True),
    Family("Qwen2.5-Omni", qwen2_5_omni, VIDEO),
    Family("Qwen3-Omni-MoE", qwen3_omni_moe, VIDEO),
]
