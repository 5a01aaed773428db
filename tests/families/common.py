"""Families that many people use, and those that stand for a kind."""

from typing import Any

from transformers import PreTrainedTokenizerFast

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

# LLaVA and what descends from it


def llava() -> Built:
    tokenizer = tokenizer_of(begin="<s>")
    images = hf.CLIPImageProcessorPil(
        size={"shortest_edge": TILE}, crop_size={"height": TILE, "width": TILE}
    )
    processor = hf.LlavaProcessor(
        images,
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )
    return built(
        "llava",
        processor,
        vision_config=vision_of("clip_vision_model"),
        text_config=text_of("llama", tokenizer),
        image_token_index=id_of(tokenizer, "<image>"),
        image_seq_length=16,
    )


def llava_of(kind: str, attention: str = "sdpa", **more: Any) -> Built:
    """A LLaVA with another language model in it."""
    tokenizer = tokenizer_of(begin="<s>")
    images = square(hf.SiglipImageProcessorPil)
    processor = hf.LlavaProcessor(
        images,
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
        chat_template=tokenizer.chat_template,
    )
    return built(
        "llava",
        processor,
        attention=attention,
        vision_config=vision_of("siglip_vision_model"),
        text_config=text_of(kind, tokenizer, **more),
        image_token_index=id_of(tokenizer, "<image>"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        image_seq_length=16,
    )


MLA: dict[str, Any] = {
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 6,
    "num_key_value_heads": 2,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "n_shared_experts": 1,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
    "head_dim": 4,
}


def llava_deepseek() -> Built:
    return llava_of("deepseek_v3", **MLA)


def llava_pixtral() -> Built:
    tokenizer = tokenizer_of("[IMG_BREAK]", "[IMG_END]", image="[IMG]", begin="<s>")
    images = hf.PixtralImageProcessorPil(
        size={"longest_edge": 32}, patch_size={"height": PATCH, "width": PATCH}
    )
    processor = hf.PixtralProcessor(
        images, tokenizer, patch_size=PATCH, chat_template=tokenizer.chat_template
    )
    return built(
        "llava",
        processor,
        vision_config=vision_of("pixtral", image_size=32, head_dim=8),
        text_config=text_of("mistral", tokenizer, sliding_window=None),
        image_token_index=id_of(tokenizer, "[IMG]"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )


PINPOINTS = [[16, 32], [32, 16], [32, 32], [16, 48], [48, 16]]


def llava_next() -> Built:
    tokenizer = tokenizer_of(begin="<s>")
    images = hf.LlavaNextImageProcessorPil(
        size={"shortest_edge": TILE},
        crop_size={"height": TILE, "width": TILE},
        image_grid_pinpoints=PINPOINTS,
    )
    processor = hf.LlavaNextProcessor(
        images,
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )
    return built(
        "llava_next",
        processor,
        vision_config=vision_of("clip_vision_model"),
        text_config=text_of("mistral", tokenizer, sliding_window=None),
        image_token_index=id_of(tokenizer, "<image>"),
        image_grid_pinpoints=PINPOINTS,
        image_seq_length=16,
    )


def llava_onevision() -> Built:
    tokenizer = tokenizer_of("<video>")
    images = square(hf.LlavaOnevisionImageProcessorPil, image_grid_pinpoints=PINPOINTS)
    processor = hf.LlavaOnevisionProcessor(
        images,
        tokenizer,
        square(hf.LlavaOnevisionVideoProcessor),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=tokenizer.chat_template,
    )
    return built(
        "llava_onevision",
        processor,
        vision_config=vision_of("siglip_vision_model", vision_use_head=False),
        text_config=text_of("qwen2", tokenizer),
        image_token_index=id_of(tokenizer, "<image>"),
        video_token_index=id_of(tokenizer, "<video>"),
        image_grid_pinpoints=PINPOINTS,
    )


def vipllava() -> Built:
    tokenizer = tokenizer_of(begin="<s>")
    images = hf.CLIPImageProcessorPil(
        size={"shortest_edge": TILE}, crop_size={"height": TILE, "width": TILE}
    )
    processor = hf.LlavaProcessor(
        images,
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )
    return built(
        "vipllava",
        processor,
        vision_config=vision_of("clip_vision_model"),
        text_config=text_of("llama", tokenizer),
        image_token_index=id_of(tokenizer, "<image>"),
        vision_feature_layers=[-1, -2],
        image_seq_length=16,
    )


def llava_next_video() -> Built:
    tokenizer = tokenizer_of("<video>", begin="<s>")
    settings = {"size": {"shortest_edge": TILE}, "crop_size": {"height": TILE, "width": TILE}}
    processor = hf.LlavaNextVideoProcessor(
        hf.LlavaNextVideoVideoProcessor(**settings),
        hf.LlavaNextImageProcessorPil(**settings, image_grid_pinpoints=PINPOINTS),
        tokenizer,
        tokenizer.chat_template,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    return built(
        "llava_next_video",
        processor,
        vision_config=vision_of("clip_vision_model"),
        text_config=text_of("llama", tokenizer),
        image_token_index=id_of(tokenizer, "<image>"),
        video_token_index=id_of(tokenizer, "<video>"),
        image_grid_pinpoints=PINPOINTS,
    )


def video_llava() -> Built:
    tokenizer = tokenizer_of("<video>", begin="<s>")
    settings = {"size": {"shortest_edge": TILE}, "crop_size": {"height": TILE, "width": TILE}}
    processor = hf.VideoLlavaProcessor(
        hf.VideoLlavaImageProcessor(**settings),
        hf.VideoLlavaVideoProcessor(**settings),
        tokenizer,
        patch_size=PATCH,
        chat_template=tokenizer.chat_template,
    )
    return built(
        "video_llava",
        processor,
        vision_config=vision_of("clip_vision_model"),
        text_config=text_of("llama", tokenizer),
        image_token_index=id_of(tokenizer, "<image>"),
        video_token_index=id_of(tokenizer, "<video>"),
        image_seq_length=16,
    )


def exaone4_5() -> Built:
    tokenizer = qwen_tokenizer()
    processor = hf.Exaone4_5_Processor(
        qwen_images(hf.Qwen2VLImageProcessorPil),
        tokenizer,
        qwen_images(hf.Qwen2VLVideoProcessor),
        chat_template=tokenizer.chat_template,
    )
    text = text_of("exaone4", tokenizer, sliding_window=8, layer_types=WINDOWS)
    vision = {"window_size": 16, "fullatt_block_indexes": [1], "num_key_value_heads": 1}
    return qwen("exaone4_5", processor, tokenizer, text, vision)


def granite4_vision() -> Built:
    tokenizer = tokenizer_of()
    images = square(hf.LlavaNextImageProcessorPil, image_grid_pinpoints=PINPOINTS, crop_size=TILE)
    processor = hf.Granite4VisionProcessor(
        images,
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="full",
        downsample_rate="2/4",
        chat_template=tokenizer.chat_template,
    )
    return built(
        "granite4_vision",
        processor,
        vision_config=vision_of("siglip_vision_model", vision_use_head=False, hidden_size=64),
        text_config=text_of(
            "granite4_vision_text", tokenizer, embedding_multiplier=3.0, logits_scaling=2.0
        ),
        qformer_config={
            "model_type": "blip_2_qformer",
            "num_hidden_layers": 1,
            "intermediate_size": 32,
        },
        image_token_index=id_of(tokenizer, "<image>"),
        image_grid_pinpoints=PINPOINTS,
        vision_feature_select_strategy="full",
        downsample_rate="2/4",
        deepstack_layer_map=[[-1, 0], [-2, 1]],
        spatial_target_layers=[2],
        spatial_vision_layer=-1,
    )


# Qwen


QWEN = ("<|vision_start|>", "<|vision_end|>", "<|video_pad|>", "<|image_pad|>")
QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
ROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}


def qwen_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = tokenizer_of(*QWEN, image="<|image_pad|>")
    assert isinstance(tokenizer.chat_template, str)
    tokenizer.chat_template = tokenizer.chat_template.replace("<|image_pad|>", QWEN_IMAGE)
    return tokenizer


def qwen(
    kind: str,
    processor: Any,
    tokenizer: Any,
    text: dict,
    vision: dict,
    tokens: tuple[str, ...] = QWEN,
    **more: Any,
) -> Built:
    """One that has an encoder of Qwen's kind."""
    start, end, video, image = (id_of(tokenizer, each) for each in tokens)
    return built(
        kind,
        processor,
        text_config=text,
        vision_config={
            "depth": 3,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_heads": 2,
            "patch_size": PATCH,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 16,
            **vision,
        },
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
        **more,
    )


def qwen_images(cls: Any, temporal_patch_size: int = 2) -> Any:
    return cls(
        patch_size=PATCH,
        merge_size=2,
        temporal_patch_size=temporal_patch_size,
        size={"shortest_edge": 16 * 16, "longest_edge": 48 * 48},
    )


def qwen2_vl() -> Built:
    tokenizer = qwen_tokenizer()
    processor = hf.Qwen2VLProcessor(
        qwen_images(hf.Qwen2VLImageProcessorPil),
        tokenizer,
        qwen_images(hf.Qwen2VLVideoProcessor),
        chat_template=tokenizer.chat_template,
    )
    text = text_of("qwen2_vl_text", tokenizer, rope_parameters=ROPE, use_sliding_window=False)
    return qwen("qwen2_vl", processor, tokenizer, text, {"embed_dim": 16, "mlp_ratio": 2})


def qwen2_5_vl() -> Built:
    tokenizer = qwen_tokenizer()
    processor = hf.Qwen2_5_VLProcessor(
        qwen_images(hf.Qwen2VLImageProcessorPil),
        tokenizer,
        qwen_images(hf.Qwen2VLVideoProcessor),
        chat_template=tokenizer.chat_template,
    )
    text = text_of("qwen2_5_vl_text", tokenizer, rope_parameters=ROPE, use_sliding_window=False)
    vision = {"window_size": 16, "fullatt_block_indexes": [1]}
    return qwen("qwen2_5_vl", processor, tokenizer, text, vision)


def qwen3_processor(tokenizer: PreTrainedTokenizerFast) -> Any:
    return hf.Qwen3VLProcessor(
        qwen_images(hf.Qwen2VLImageProcessorPil),
        tokenizer,
        qwen_images(hf.Qwen3VLVideoProcessor),
        chat_template=tokenizer.chat_template,
    )


def qwen3_vl() -> Built:
    tokenizer = qwen_tokenizer()
    text = text_of("qwen3_vl_text", tokenizer, rope_parameters=ROPE)
    vision = {"num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]}
    return qwen("qwen3_vl", qwen3_processor(tokenizer), tokenizer, text, vision)


def qwen3_vl_moe() -> Built:
    tokenizer = qwen_tokenizer()
    text = text_of(
        "qwen3_vl_moe_text",
        tokenizer,
        rope_parameters=ROPE,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=16,
    )
    vision = {"num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]}
    return qwen("qwen3_vl_moe", qwen3_processor(tokenizer), tokenizer, text, vision)


LINEAR = {
    "linear_conv_kernel_dim": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "layer_types": ["linear_attention", "full_attention"] * 2,
    "rope_parameters": {**ROPE, "partial_rotary_factor": 1.0},
}


def qwen3_5() -> Built:
    tokenizer = qwen_tokenizer()
    text = text_of("qwen3_5_text", tokenizer, **LINEAR)
    vision = {"num_position_embeddings": 64}
    return qwen("qwen3_5", qwen3_processor(tokenizer), tokenizer, text, vision)


def qwen3_5_moe() -> Built:
    tokenizer = qwen_tokenizer()
    text = text_of(
        "qwen3_5_moe_text",
        tokenizer,
        **LINEAR,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=16,
        shared_expert_intermediate_size=16,
    )
    vision = {"num_position_embeddings": 64}
    return qwen("qwen3_5_moe", qwen3_processor(tokenizer), tokenizer, text, vision)


# Tiles


def internvl() -> Built:
    return _internvl(tiles=1)


def internvl_tiles() -> Built:
    return _internvl(tiles=4)


def _internvl(tiles: int) -> Built:
    tokenizer = tokenizer_of(
        image="<IMG_CONTEXT>",
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )
    images = square(
        hf.GotOcr2ImageProcessorPil, crop_to_patches=True, min_patches=1, max_patches=tiles
    )
    processor = hf.InternVLProcessor(
        images,
        tokenizer,
        square(hf.InternVLVideoProcessor),
        image_seq_length=4,
        chat_template=tokenizer.chat_template,
    )
    vision = vision_of("internvl_vision", image_size=[TILE, TILE], patch_size=[PATCH, PATCH])
    return built(
        "internvl",
        processor,
        vision_config=vision,
        text_config=text_of("qwen2", tokenizer),
        image_token_id=id_of(tokenizer, "<IMG_CONTEXT>"),
        image_seq_length=4,
    )


IDEFICS = (
    "<fake_token_around_image>",
    "<end_of_utterance>",
    "<global-img>",
    *(f"<row_{row}_col_{col}>" for row in range(1, 7) for col in range(1, 7)),
)


def idefics3() -> Built:
    tokenizer = tokenizer_of(*IDEFICS, begin="<s>")
    images = hf.Idefics3ImageProcessorPil(
        size={"longest_edge": 2 * TILE}, max_image_size={"longest_edge": TILE}
    )
    processor = hf.Idefics3Processor(
        images, tokenizer, image_seq_len=4, chat_template=tokenizer.chat_template
    )
    return built(
        "idefics3",
        processor,
        vision_config=vision_of("idefics3_vision"),
        text_config=text_of("llama", tokenizer),
        image_token_id=id_of(tokenizer, "<image>"),
        scale_factor=2,
    )


def smolvlm() -> Built:
    tokenizer = tokenizer_of(*IDEFICS, "<video>")
    settings = {"size": {"longest_edge": 2 * TILE}, "max_image_size": {"longest_edge": TILE}}
    processor = hf.SmolVLMProcessor(
        hf.SmolVLMImageProcessorPil(**settings),
        tokenizer,
        hf.SmolVLMVideoProcessor(**settings),
        image_seq_len=4,
        chat_template=tokenizer.chat_template,
    )
    return built(
        "smolvlm",
        processor,
        vision_config=vision_of("smolvlm_vision"),
        text_config=text_of("llama", tokenizer),
        image_token_id=id_of(tokenizer, "<image>"),
        scale_factor=2,
    )


def idefics2() -> Built:
    tokenizer = tokenizer_of(*IDEFICS[:2], begin="<s>")
    images = hf.Idefics2ImageProcessorPil(size={"shortest_edge": 16, "longest_edge": 32})
    processor = hf.Idefics2Processor(
        images, tokenizer, image_seq_len=8, chat_template=tokenizer.chat_template
    )
    return built(
        "idefics2",
        processor,
        vision_config=vision_of("idefics2_vision", image_size=32),
        perceiver_config={
            "hidden_size": 16,
            "resampler_n_latents": 8,
            "resampler_depth": 1,
            "resampler_n_heads": 2,
            "resampler_head_dim": 8,
            "num_key_value_heads": 1,
        },
        text_config=text_of("mistral", tokenizer, sliding_window=None),
        image_token_id=id_of(tokenizer, "<image>"),
    )


def cohere2_vision() -> Built:
    tokenizer = tokenizer_of(
        image="<|IMG_PATCH|>",
        begin="<BOS_TOKEN>",
        boi_token="<|START_OF_IMG|>",
        eoi_token="<|END_OF_IMG|>",
        image_token="<|IMG_PATCH|>",
        img_line_break_token="<|IMG_LINE_BREAK|>",
    )
    images = square(hf.Cohere2VisionImageProcessor, max_patches=4, patch_size=2)
    processor = hf.Cohere2VisionProcessor(images, tokenizer, tokenizer.chat_template)
    return built(
        "cohere2_vision",
        processor,
        vision_config=vision_of("siglip_vision_model", vision_use_head=False),
        text_config=text_of("cohere2", tokenizer, sliding_window=8, layer_types=WINDOWS),
        alignment_intermediate_size=32,
        image_token_id=id_of(tokenizer, "<|IMG_PATCH|>"),
    )


def aya_vision() -> Built:
    tokenizer = tokenizer_of(
        "<|START_OF_IMG|>",
        "<|END_OF_IMG|>",
        "<|IMG_LINE_BREAK|>",
        "TILE",
        "TILE_GLOBAL",
        *(f"TILE_{index}" for index in range(1, 9)),
        "<|IMG_PATCH|>",
        begin="<BOS_TOKEN>",
    )
    images = square(hf.GotOcr2ImageProcessorPil, crop_to_patches=True, max_patches=4)
    processor = hf.AyaVisionProcessor(
        images,
        tokenizer,
        patch_size=PATCH,
        img_size=TILE,
        downsample_factor=2,
        chat_template=tokenizer.chat_template,
    )
    return built(
        "aya_vision",
        processor,
        vision_config=vision_of("siglip_vision_model", vision_use_head=False),
        text_config=text_of("cohere2", tokenizer, sliding_window=8, layer_types=WINDOWS),
        image_token_index=id_of(tokenizer, "<|IMG_PATCH|>"),
        alignment_intermediate_size=32,
    )


def lfm2_vl() -> Built:
    tokenizer = tokenizer_of(
        "<|image_start|>",
        "<|image_end|>",
        "<|img_thumbnail|>",
        *(f"<|img_row_{row}_col_{col}|>" for row in range(1, 5) for col in range(1, 5)),
        begin="<s>",
        adds_begin=False,
    )
    images = square(
        hf.Lfm2VlImageProcessor,
        max_tiles=4,
        min_image_tokens=4,
        max_image_tokens=16,
        encoder_patch_size=PATCH,
        tile_size=TILE,
    )
    processor = hf.Lfm2VlProcessor(images, tokenizer, tokenizer.chat_template)
    return built(
        "lfm2_vl",
        processor,
        vision_config=vision_of("siglip2_vision_model", num_patches=16, vision_use_head=False),
        text_config=text_of("lfm2", tokenizer, layer_types=["conv", "full_attention"] * 2),
        image_token_id=id_of(tokenizer, "<image>"),
        projector_hidden_size=32,
    )


# A grid of its own


def mistral3() -> Built:
    tokenizer = tokenizer_of("[IMG_BREAK]", "[IMG_END]", image="[IMG]", begin="<s>")
    images = hf.PixtralImageProcessorPil(
        size={"longest_edge": 40}, patch_size={"height": 2 * PATCH, "width": 2 * PATCH}
    )
    processor = hf.PixtralProcessor(
        images,
        tokenizer,
        patch_size=PATCH,
        spatial_merge_size=2,
        chat_template=tokenizer.chat_template,
    )
    return built(
        "mistral3",
        processor,
        vision_config=vision_of("pixtral", image_size=48, head_dim=8),
        text_config=text_of("mistral", tokenizer, sliding_window=None),
        image_token_index=id_of(tokenizer, "[IMG]"),
    )


def kimi_k25() -> Built:
    tokenizer = tokenizer_of(
        "<|kimi_k25_video_placeholder|>",
        "<|media_begin|>",
        "<|media_end|>",
        "<|media_content|>",
        image="<|media_pad|>",
    )
    settings = {"patch_size": PATCH, "size": {"max_height": 12, "max_width": 12}}
    processor = hf.Kimi_K25Processor(
        hf.Kimi_K25ImageProcessor(**settings),
        tokenizer,
        hf.Kimi_K25VideoProcessor(**settings),
        chat_template=tokenizer.chat_template,
    )
    return built(
        "kimi_k25",
        processor,
        vision_config={
            "patch_size": PATCH,
            "pos_emb_height": 8,
            "pos_emb_width": 8,
            "num_attention_heads": 2,
            "num_hidden_layers": 2,
            "hidden_size": 16,
            "intermediate_size": 32,
        },
        text_config=text_of("deepseek_v3", tokenizer, **MLA),
        projection_hidden_size=16,
        image_token_id=id_of(tokenizer, "<|media_pad|>"),
        video_token_id=id_of(tokenizer, "<|kimi_k25_video_placeholder|>"),
        vision_start_token_id=id_of(tokenizer, "<|media_begin|>"),
        vision_end_token_id=id_of(tokenizer, "<|media_end|>"),
    )


# Positions that see later ones


def gemma3(kind: str = "gemma3") -> Built:
    tokenizer = tokenizer_of(
        image="<start_of_image>",
        begin="<bos>",
        boi_token="<start_of_image>",
        eoi_token="<end_of_image>",
        image_token="<image_soft_token>",
    )
    processor = hf.Gemma3Processor(
        square(hf.Gemma3ImageProcessorPil),
        tokenizer,
        chat_template=tokenizer.chat_template,
        image_seq_length=4,
    )
    text = text_of(
        "gemma3_text",
        tokenizer,
        sliding_window=8,
        query_pre_attn_scalar=8,
        layer_types=WINDOWS,
    )
    return built(
        kind,
        processor,
        vision_config=vision_of("siglip_vision_model", vision_use_head=False),
        text_config=text,
        mm_tokens_per_image=4,
        boi_token_index=id_of(tokenizer, "<start_of_image>"),
        eoi_token_index=id_of(tokenizer, "<end_of_image>"),
        image_token_index=id_of(tokenizer, "<image_soft_token>"),
    )


def paligemma2() -> Built:
    return _paligemma(
        "gemma2",
        attention="eager",
        sliding_window=64,
        query_pre_attn_scalar=8,
        final_logit_softcapping=3.0,
        attn_logit_softcapping=5.0,
    )


def paligemma() -> Built:
    return _paligemma("gemma")


def _paligemma(kind: str, attention: str = "sdpa", **more: Any) -> Built:
    tokenizer = tokenizer_of(begin="<bos>", adds_begin=False)
    tokenizer.chat_template = None
    images = square(hf.SiglipImageProcessorPil)
    images.image_seq_length = 16
    processor = hf.PaliGemmaProcessor(images, tokenizer)
    return built(
        "paligemma",
        processor,
        prompt="<image>{question}",
        attention=attention,
        vision_config=vision_of("siglip_vision_model", vision_use_head=False, projection_dim=16),
        text_config=text_of(kind, tokenizer, **more),
        image_token_index=id_of(tokenizer, "<image>"),
        projection_dim=16,
        hidden_size=16,
    )


def blip2() -> Built:
    tokenizer = tokenizer_of()
    tokenizer.chat_template = None
    processor = hf.Blip2Processor(
        hf.BlipImageProcessorPil(size={"height": TILE, "width": TILE}),
        tokenizer,
        num_query_tokens=6,
    )
    qformer = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "encoder_hidden_size": 16,
    }
    text = text_of("opt", tokenizer, ffn_dim=32, word_embed_proj_dim=16)
    return built(
        "blip-2",
        processor,
        prompt="<image>{question}",
        vision_config=vision_of("blip_2_vision_model"),
        qformer_config=qformer,
        text_config=text,
        num_query_tokens=6,
        image_token_index=id_of(tokenizer, "<image>"),
    )


def llama4() -> Built:
    return _llama4(chunk=8192)


def llama4_chunked() -> Built:
    """Chunks of attention shorter than a prompt."""
    return _llama4(chunk=24)


def _llama4(chunk: int) -> Built:
    tokenizer = tokenizer_of(
        "<|image_start|>",
        "<|image_end|>",
        "<|patch|>",
        "<|tile_x_separator|>",
        "<|tile_y_separator|>",
        image="<|image|>",
        begin="<s>",
    )
    processor = hf.Llama4Processor(
        square(hf.Llama4ImageProcessor, max_patches=4),
        tokenizer,
        patch_size=PATCH,
        chat_template=tokenizer.chat_template,
    )
    return built(
        "llama4",
        processor,
        vision_config=vision_of(
            "llama4_vision_model",
            intermediate_size=64,
            vision_output_dim=16,
            projector_input_dim=16,
            projector_output_dim=16,
        ),
        text_config=text_of(
            "llama4_text",
            tokenizer,
            intermediate_size_mlp=32,
            num_local_experts=2,
            attention_chunk_size=chunk,
            no_rope_layers=[1, 0, 1, 0],
        ),
        boi_token_index=id_of(tokenizer, "<|image_start|>"),
        eoi_token_index=id_of(tokenizer, "<|image_end|>"),
        image_token_index=id_of(tokenizer, "<|patch|>"),
    )


OVIS = ("<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>")


def ovis2() -> Built:
    tokenizer = tokenizer_of(*OVIS, "<IMG_ATOM>")
    processor = hf.Ovis2Processor(
        square(hf.Ovis2ImageProcessorPil, crop_to_patches=True, max_patches=4),
        tokenizer,
        image_seq_length=4,
        chat_template=tokenizer.chat_template,
    )
    return built(
        "ovis2",
        processor,
        vision_config=vision_of("ovis2", vocab_size=32, hidden_stride=2),
        text_config=text_of("qwen2", tokenizer),
        image_token_id=id_of(tokenizer, "<IMG_ATOM>"),
        visual_indicator_token_ids=[id_of(tokenizer, each) for each in OVIS],
        vocab_size=len(tokenizer),
        hidden_size=16,
    )


GLM = (
    "<|begin_of_image|>",
    "<|end_of_image|>",
    "<|begin_of_video|>",
    "<|end_of_video|>",
    "<|video|>",
    "<|image|>",
)


def glm4v() -> Built:
    return glm("glm4v", hf.Glm4vProcessor, hf.Glm4vImageProcessorPil, "Glm4vVideoProcessor")


def glm4v_moe() -> Built:
    return glm(
        "glm4v_moe",
        hf.Glm4vProcessor,
        hf.Glm4vImageProcessorPil,
        "Glm4vVideoProcessor",
        n_routed_experts=4,
        num_experts_per_tok=2,
        n_shared_experts=1,
        n_group=1,
        topk_group=1,
        moe_intermediate_size=16,
        first_k_dense_replace=1,
    )


def glm46v() -> Built:
    return glm("glm46v", hf.Glm46VProcessor, hf.Glm46VImageProcessorPil, "Glm46VVideoProcessor")


def glm_ocr() -> Built:
    return glm("glm_ocr", hf.Glm46VProcessor, hf.Glm46VImageProcessorPil, "Glm46VVideoProcessor")


def glm(kind: str, processor: Any, images: Any, videos: str, **more: Any) -> Built:
    tokenizer = tokenizer_of(*GLM, image="<|image|>")
    assert isinstance(tokenizer.chat_template, str)
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "<|image|>", "<|begin_of_image|><|image|><|end_of_image|>"
    )
    made = processor(
        qwen_images(images),
        tokenizer,
        qwen_images(getattr(hf, videos)),
        chat_template=tokenizer.chat_template,
    )
    begin, end, begin_video, end_video, video, image = (id_of(tokenizer, each) for each in GLM)
    of_text = {"glm46v": "glm4v_text"}.get(kind, f"{kind}_text")
    of_image = {"glm46v": {"model_type": "glm4v_vision"}}.get(kind, {})
    return built(
        kind,
        made,
        vision_config={
            **of_image,
            "depth": 2,
            "hidden_size": 16,
            "num_heads": 2,
            "image_size": 32,
            "patch_size": PATCH,
            "out_hidden_size": 16,
            "intermediate_size": 32,
        },
        text_config=text_of(
            of_text,
            tokenizer,
            rope_parameters={**ROPE, "partial_rotary_factor": 1.0},
            **more,
        ),
        image_token_id=image,
        video_token_id=video,
        image_start_token_id=begin,
        image_end_token_id=end,
        video_start_token_id=begin_video,
        video_end_token_id=end_video,
    )


def gemma4_tokenizer() -> PreTrainedTokenizerFast:
    return tokenizer_of(
        "<|video|>",
        image="<|image|>",
        begin="<bos>",
        image_token="<|image|>",
        boi_token="<|image>",
        eoi_token="<image|>",
        audio_token="<|audio|>",
        boa_token="<|audio>",
        eoa_token="<audio|>",
    )


def gemma4_ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return {
        "image_token_id": id_of(tokenizer, "<|image|>"),
        "video_token_id": id_of(tokenizer, "<|video|>"),
        "boi_token_id": id_of(tokenizer, "<|image>"),
        "eoi_token_id": id_of(tokenizer, "<image|>"),
        "audio_token_id": id_of(tokenizer, "<|audio|>"),
        "boa_token_id": id_of(tokenizer, "<|audio>"),
        "eoa_token_index": id_of(tokenizer, "<audio|>"),
    }


def gemma4(**more: Any) -> Built:
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
    return built(
        "gemma4",
        processor,
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "patch_size": PATCH,
            "position_embedding_size": 256,
        },
        audio_config=None,
        text_config=text_of(
            "gemma4_text",
            tokenizer,
            sliding_window=16,
            global_head_dim=8,
            vocab_size_per_layer_input=len(tokenizer),
            hidden_size_per_layer_input=4,
            use_bidirectional_attention="vision",
            **{"layer_types": WINDOWS} | more,
        ),
        **gemma4_ids(tokenizer),
    )


def gemma4_shared() -> Built:
    """Its last layers take the keys of earlier ones, and run no position but the last."""
    kinds = ["sliding_attention", "full_attention"] * 2
    return gemma4(num_hidden_layers=4, num_kv_shared_layers=2, layer_types=kinds)


def molmo2() -> Built:
    special = ("<im_start>", "<im_end>", "<im_patch>", "<im_col>", "<low_res_im_start>")
    tokenizer = tokenizer_of(
        *special, "<frame_start>", "<frame_end>", "<im_low>", "<|video|>", image="<|image|>"
    )
    settings = {"patch_size": PATCH, "size": {"height": TILE, "width": TILE}}
    processor = hf.Molmo2Processor(
        hf.Molmo2ImageProcessor(**settings, max_crops=3, overlap_margins=[1, 1]),
        hf.Molmo2VideoProcessor(**settings),
        tokenizer,
        chat_template=tokenizer.chat_template,
    )
    return built(
        "molmo2",
        processor,
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "image_size": [TILE, TILE],
            "patch_size": PATCH,
            "num_position_embeddings": 16,
        },
        adapter_config={
            "vision_feature_layer": [-1, -2],
            "hidden_size": 16,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "intermediate_size": 32,
            "text_hidden_size": 16,
        },
        text_config=text_of(
            "molmo2_text", tokenizer, vocab_size=len(tokenizer) - 8, additional_vocab_size=8
        ),
        image_start_token_id=id_of(tokenizer, "<im_start>"),
        image_end_token_id=id_of(tokenizer, "<im_end>"),
        low_res_image_start_token_id=id_of(tokenizer, "<low_res_im_start>"),
        image_patch_id=id_of(tokenizer, "<im_patch>"),
        frame_start_token_id=id_of(tokenizer, "<frame_start>"),
        frame_end_token_id=id_of(tokenizer, "<frame_end>"),
    )


def minicpmv() -> Built:
    return minicpmv_of("minicpmv4_6", hf.MiniCPMV4_6Processor)


def minicpmv_of(kind: str, processor: Any, **tokens: str) -> Built:
    """A MiniCPM-V, whose settings name the ids of some tokens."""
    tokenizer = tokenizer_of(
        image="<|image_pad|>",
        image_token="<|image_pad|>",
        video_token="<|video_pad|>",
        image_start_token="<image>",
        image_end_token="</image>",
        slice_start_token="<slice>",
        slice_end_token="</slice>",
        image_id_start_token="<image_id>",
        image_id_end_token="</image_id>",
    )
    settings = {"patch_size": PATCH, "scale_resolution": 32, "max_slice_nums": 4}
    made = processor(
        hf.MiniCPMV4_6ImageProcessorPil(**settings),
        hf.MiniCPMV4_6VideoProcessor(**settings),
        tokenizer,
        chat_template=tokenizer.chat_template,
    )
    vision = vision_of(f"{kind}_vision", image_size=64)
    ids: dict[str, Any] = {name: id_of(tokenizer, token) for name, token in tokens.items()}
    return built(
        kind,
        made,
        vision_config=vision,
        text_config=text_of("qwen3_5_text", tokenizer, **LINEAR),
        image_token_id=id_of(tokenizer, "<|image_pad|>"),
        video_token_id=id_of(tokenizer, "<|video_pad|>"),
        **ids,
        insert_layer_id=0,
        image_size=64,
    )


def perception_lm() -> Built:
    tokenizer = tokenizer_of(
        image="<|image|>", begin="<s>", image_token="<|image|>", video_token="<|video|>"
    )
    processor = hf.PerceptionLMProcessor(
        hf.PerceptionLMVideoProcessor(size={"height": TILE, "width": TILE}),
        hf.PerceptionLMImageProcessor(tile_size=TILE, max_num_tiles=4),
        tokenizer,
        patch_size=PATCH,
        pooling_ratio=2,
        chat_template=tokenizer.chat_template,
    )
    vision = {
        "model_type": "timm_wrapper",
        "architecture": "vit_pe_core_large_patch14_336",
        "do_pooling": False,
        "num_classes": 0,
        "model_args": {
            "embed_dim": 16,
            "depth": 2,
            "num_heads": 2,
            "img_size": [TILE, TILE],
            "patch_size": PATCH,
            "global_pool": "",
            "use_post_transformer_norm": False,
            "init_values": 0.1,
            "ref_feat_shape": [4, 4],
        },
    }
    return built(
        "perception_lm",
        processor,
        vision_config=vision,
        text_config=text_of("llama", tokenizer),
        vision_use_cls_token=True,
        projector_pooling_ratio=2,
        image_token_id=id_of(tokenizer, "<|image|>"),
        video_token_id=id_of(tokenizer, "<|video|>"),
    )


def paddleocr_vl() -> Built:
    tokenizer = tokenizer_of(
        *QWEN, image="<|IMAGE_PLACEHOLDER|>", image_token="<|IMAGE_PLACEHOLDER|>"
    )
    images = hf.PaddleOCRVLImageProcessorPil(
        patch_size=PATCH, size={"shortest_edge": 16 * 16, "longest_edge": 48 * 48}
    )
    processor = hf.PaddleOCRVLProcessor(images, tokenizer, tokenizer.chat_template)
    start, end, video, _ = (id_of(tokenizer, each) for each in QWEN)
    return built(
        "paddleocr_vl",
        processor,
        vision_config=vision_of("paddleocr_vl_vision", image_size=32),
        text_config=text_of("paddleocr_vl_text", tokenizer, rope_parameters=ROPE),
        image_token_id=id_of(tokenizer, "<|IMAGE_PLACEHOLDER|>"),
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )


def phi4_multimodal() -> Built:
    """Its language model is given the picture, and no embeddings of it."""
    tokenizer = tokenizer_of(image="<|image|>", image_token="<|image|>", audio_token="<|audio|>")
    processor = hf.Phi4MultimodalProcessor(
        hf.Phi4MultimodalImageProcessor(
            size={"height": 64, "width": 64}, patch_size=2, dynamic_hd=2
        ),
        hf.Phi4MultimodalFeatureExtractor(),
        tokenizer,
        chat_template=tokenizer.chat_template,
    )
    settings = text_of("phi4_multimodal", tokenizer)
    del settings["model_type"]
    return built(
        "phi4_multimodal",
        processor,
        cls=hf.Phi4MultimodalForCausalLM,
        **settings,
        vision_config={
            **vision_of("phi4_multimodal_vision", image_size=64, patch_size=2),
            "crop_size": 64,
            "image_token_id": id_of(tokenizer, "<|image|>"),
        },
        audio_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_blocks": 1,
            "num_attention_heads": 2,
            "ext_pw_out_channel": 16,
            "depthwise_separable_out_channel": 16,
            "nemo_conv_channels": 16,
            "audio_token_id": id_of(tokenizer, "<|audio|>"),
        },
    )


def got_ocr2() -> Built:
    """Its processor writes its prompt itself."""
    tokenizer = tokenizer_of("<img>", "</img>", image="<imgpad>")
    processor = hf.GotOcr2Processor(
        hf.GotOcr2ImageProcessorPil(size={"height": 64, "width": 64}),
        tokenizer,
        tokenizer.chat_template,
    )
    return built(
        "got_ocr2",
        processor,
        attention="eager",
        vision_config={
            "hidden_size": 16,
            "output_channels": 8,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 64,
            "patch_size": 1,
            "mlp_dim": 32,
            "window_size": 4,
            "global_attn_indexes": [],
        },
        text_config=text_of("qwen2", tokenizer),
        image_token_index=id_of(tokenizer, "<imgpad>"),
        image_seq_length=256,
    )


def aria() -> Built:
    tokenizer = tokenizer_of(image_token="<image>")
    images = hf.AriaImageProcessorPil(max_image_size=980, min_image_size=16)
    processor = hf.AriaProcessor(
        images, tokenizer, tokenizer.chat_template, size_conversion={980: 4}
    )
    return built(
        "aria",
        processor,
        vision_config=vision_of("idefics3_vision", image_size=980, patch_size=140),
        text_config=text_of(
            "aria_text",
            tokenizer,
            num_key_value_heads=2,
            moe_num_experts=2,
            moe_topk=1,
            moe_num_shared_experts=1,
        ),
        projector_patch_to_query_dict={49: 4},
        image_token_index=id_of(tokenizer, "<image>"),
    )


def janus() -> Built:
    tokenizer = tokenizer_of(
        image="<image_placeholder>",
        image_token="<image_placeholder>",
        boi_token="<begin_of_image>",
        eoi_token="<end_of_image>",
    )
    processor = hf.JanusProcessor(
        square(hf.JanusImageProcessorPil, min_size=4),
        tokenizer,
        tokenizer.chat_template,
        num_image_tokens=16,
    )
    vision = vision_of("janus_vision_model", mlp_ratio=2.0, projection_dim=16)
    return built(
        "janus",
        processor,
        vision_config={**vision, "num_image_tokens": 16},
        vq_config={
            "embed_dim": 4,
            "num_embeddings": 8,
            "latent_channels": 4,
            "base_channels": 32,
            "channel_multiplier": [1, 1],
            "num_res_blocks": 1,
            "num_patches": 4,
            "projection_dim": 16,
            "image_token_embed_dim": 16,
        },
        text_config=text_of("llama", tokenizer),
        image_token_id=id_of(tokenizer, "<image_placeholder>"),
    )


def deepseek_vl() -> Built:
    tokenizer = tokenizer_of(
        image="<image_placeholder>", begin="<s>", image_token="<image_placeholder>"
    )
    processor = hf.DeepseekVLProcessor(
        square(hf.DeepseekVLImageProcessorPil, min_size=4),
        tokenizer,
        tokenizer.chat_template,
        num_image_tokens=16,
    )
    return built(
        "deepseek_vl",
        processor,
        vision_config=vision_of("siglip_vision_model", vision_use_head=False),
        text_config=text_of("llama", tokenizer),
        image_token_id=id_of(tokenizer, "<image_placeholder>"),
    )


def lighton_ocr() -> Built:
    tokenizer = tokenizer_of(
        image="<|image_pad|>",
        image_token="<|image_pad|>",
        image_break_token="<|vision_pad|>",
        image_end_token="<|vision_end|>",
    )
    images = hf.PixtralImageProcessorPil(
        size={"longest_edge": 40}, patch_size={"height": PATCH, "width": PATCH}
    )
    processor = hf.LightOnOcrProcessor(
        images,
        tokenizer,
        patch_size=PATCH,
        spatial_merge_size=2,
        chat_template=tokenizer.chat_template,
    )
    return built(
        "lighton_ocr",
        processor,
        vision_config=vision_of("pixtral", image_size=48, head_dim=8),
        text_config=text_of("qwen3", tokenizer),
        image_token_id=id_of(tokenizer, "<|image_pad|>"),
    )


def video_llama3() -> Built:
    tokenizer = tokenizer_of(*QWEN, image="<|image_pad|>")
    settings = {
        "patch_size": PATCH,
        "merge_size": 2,
        "size": {"shortest_edge": 16 * 16, "longest_edge": 48 * 48},
    }
    processor = hf.VideoLlama3Processor(
        hf.VideoLlama3ImageProcessorPil(**settings),
        tokenizer,
        hf.VideoLlama3VideoProcessor(**settings),
        chat_template=tokenizer.chat_template,
    )
    return built(
        "video_llama_3",
        processor,
        vision_config=vision_of("video_llama_3_vision"),
        text_config=text_of("qwen2", tokenizer),
        image_token_id=id_of(tokenizer, "<|image_pad|>"),
        video_token_id=id_of(tokenizer, "<|video_pad|>"),
    )


def mllama() -> Built:
    """It reads the picture through cross-attention: no visual tokens."""
    tokenizer = tokenizer_of(image="<|image|>", begin="<s>")
    images = square(hf.MllamaImageProcessorPil, max_image_tiles=2)
    processor = hf.MllamaProcessor(images, tokenizer, tokenizer.chat_template)
    text = text_of("mllama_text_model", tokenizer, cross_attention_layers=[1])
    text["rope_parameters"] = {"rope_type": "default", "rope_theta": 1e4}
    return built(
        "mllama",
        processor,
        vision_config={
            **vision_of("mllama_vision_model"),
            "num_global_layers": 1,
            "attention_heads": 2,
            "vision_output_dim": 32,
            "max_num_tiles": 2,
            "intermediate_layers_indices": [0],
            "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
        },
        text_config=text,
        image_token_index=id_of(tokenizer, "<|image|>"),
    )


def llava_falcon_h1() -> Built:
    return llava_of(
        "falcon_h1",
        mamba_d_ssm=16,
        mamba_n_heads=2,
        mamba_d_head=8,
        mamba_d_state=4,
        mamba_n_groups=1,
    )


def llava_longrope() -> Built:
    """Rotary factors that change at a length between the probe's and a prompt's."""
    return llava_of(
        "phi3",
        num_key_value_heads=2,
        original_max_position_embeddings=28,
        max_position_embeddings=256,
        sliding_window=None,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 1e4,
            "short_factor": [1.0] * 4,
            "long_factor": [8.0] * 4,
            "original_max_position_embeddings": 28,
        },
    )


FAMILIES = [
    Family("LLaVA", llava),
    Family("LLaVA of Pixtral", llava_pixtral, VIDEO),
    Family("LLaVA of DeepSeek-V3", llava_deepseek),
    Family("LLaVA-NeXT", llava_next),
    Family("LLaVA-OneVision", llava_onevision, VIDEO),
    Family("ViP-LLaVA", vipllava),
    Family("Granite 4 Vision", granite4_vision),
    Family("Qwen2-VL", qwen2_vl, VIDEO),
    Family("Qwen2.5-VL", qwen2_5_vl, VIDEO),
    Family("Qwen3-VL", qwen3_vl, VIDEO),
    Family("Qwen3-VL-MoE", qwen3_vl_moe, VIDEO),
    Family("Qwen3.5", qwen3_5, VIDEO),
    Family("Qwen3.5-MoE", qwen3_5_moe, VIDEO),
    Family("InternVL", internvl, VIDEO),
    Family("InternVL with tiles", internvl_tiles, VIDEO),
    Family("SmolVLM", smolvlm, ("torchvision", "num2words"), stack="model.text_model"),
    Family("Idefics2", idefics2, stack="model.text_model"),
    Family("Idefics3", idefics3, stack="model.text_model"),
    Family("Mistral 3", mistral3, VIDEO),
    Family("Gemma 3", gemma3),
    Family("PaliGemma", paligemma),
    Family("PaliGemma 2", paligemma2),
    Family("Cohere2 Vision", cohere2_vision, VIDEO),
    Family("Aya Vision", aya_vision),
    Family("Kimi K2.5", kimi_k25, VIDEO),
    Family("LFM2-VL", lfm2_vl, VIDEO),
    Family("LLaVA of GPT-NeoX", lambda: llava_of("gpt_neox")),
    Family("LLaVA of Falcon-H1", llava_falcon_h1),
    Family("LLaVA of Granite", lambda: llava_of("granite", embedding_multiplier=3.0)),
    Family("LLaVA of Gemma 2", lambda: llava_of("gemma2", "eager", final_logit_softcapping=3.0)),
    Family("LLaVA of Phi-3 with longrope", llava_longrope),
    Family("BLIP-2", blip2, stack="language_model.model.decoder"),
    Family("Llama 4", llama4, VIDEO, stack="language_model.model"),
    Family("Llama 4 with short chunks", llama4_chunked, VIDEO, stack="language_model.model"),
    Family("Ovis2", ovis2),
    Family("GLM-4V", glm4v, VIDEO),
    Family("GLM-4V-MoE", glm4v_moe, VIDEO),
    Family("GLM-4.6V", glm46v, VIDEO),
    Family("GLM-OCR", glm_ocr, VIDEO),
    Family("Gemma 4", gemma4, VIDEO),
    Family("Gemma 4 with shared keys", gemma4_shared, VIDEO),
    Family("Molmo2", molmo2, VIDEO),
    Family("MiniCPM-V 4.6", minicpmv, VIDEO),
    Family("Perception LM", perception_lm, (*VIDEO, "timm")),
    Family("PaddleOCR-VL", paddleocr_vl),
    Family("Phi-4 multimodal", phi4_multimodal, VIDEO, stack="model", refused=True),
    Family("GOT-OCR 2", got_ocr2, refused=True),
    Family("Aria", aria),
    Family("Janus", janus),
    Family("DeepSeek-VL", deepseek_vl),
    Family("LightOnOCR", lighton_ocr, VIDEO),
    Family("VideoLLaMA 3", video_llama3, VIDEO),
    Family("Mllama", mllama, refused=True),
    Family("LLaVA-NeXT-Video", llava_next_video, VIDEO),
    Family("Video-LLaVA", video_llava, VIDEO),
    Family("EXAONE 4.5", exaone4_5, VIDEO),
]
