"""Families that are large: mixtures of experts and hybrids."""

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
    text_of,
    tokenizer_of,
    vision_of,
)
from tests.families.common import (
    MLA,
    QWEN,
    ROPE,
    glm,
    qwen,
    qwen3_processor,
    qwen_images,
    qwen_tokenizer,
)

# Built as Qwen3-VL and GLM-4.6V are


def cosmos3_omni() -> Built:
    tokenizer = qwen_tokenizer()
    text = text_of("qwen3_vl_text", tokenizer, rope_parameters=ROPE)
    vision = {"num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]}
    return qwen("cosmos3_omni", qwen3_processor(tokenizer), tokenizer, text, vision)


def cosmos3_edge() -> Built:
    tokenizer = qwen_tokenizer()
    processor = hf.Cosmos3EdgeProcessor(
        qwen_images(hf.Cosmos3EdgeImageProcessorPil, temporal_patch_size=1),
        tokenizer,
        qwen_images(hf.Cosmos3EdgeVideoProcessor, temporal_patch_size=1),
        chat_template=tokenizer.chat_template,
    )
    start, end, video, image = (id_of(tokenizer, each) for each in QWEN)
    return built(
        "cosmos3_edge",
        processor,
        vision_config=vision_of("cosmos3_edge_vision", num_patches=16),
        text_config=text_of("cosmos3_edge_text", tokenizer, rope_parameters=ROPE),
        projector_hidden_size=32,
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )


def glmga() -> Built:
    return glm(
        "glmga",
        hf.Glm46VProcessor,
        hf.GlmgaImageProcessorPil,
        "GlmgaVideoProcessor",
        model_type="glm4v_text",
    )


# Mixtures of experts


def ernie4_5_vl() -> Built:
    """Visual tokens, and what stands around them, have experts of their own."""
    tokenizer = tokenizer_of(
        image="<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>",
        image_token="<|IMAGE_PLACEHOLDER|>",
        image_start_token="<|IMAGE_START|>",
        image_end_token="<|IMAGE_END|>",
        video_token="<|VIDEO_PLACEHOLDER|>",
        video_start_token="<|VIDEO_START|>",
        video_end_token="<|VIDEO_END|>",
    )
    processor = hf.Ernie4_5_VLMoeProcessor(
        qwen_images(hf.Ernie4_5_VLMoeImageProcessorPil, temporal_patch_size=1),
        tokenizer,
        qwen_images(hf.Ernie4_5_VLMoeVideoProcessor),
        chat_template=tokenizer.chat_template,
    )
    return built(
        "ernie4_5_vl_moe",
        processor,
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_heads": 2,
            "patch_size": PATCH,
        },
        text_config=text_of(
            "ernie4_5_vl_moe_text",
            tokenizer,
            rope_parameters={**ROPE, "mrope_section": [1, 1, 2]},
            moe_num_experts=4,
            moe_k=2,
            moe_num_shared_experts=1,
            moe_intermediate_size=[16, 8],
        ),
        image_token_id=tokenizer.image_token_id,
        image_start_token_id=tokenizer.image_start_token_id,
        image_end_token_id=tokenizer.image_end_token_id,
        video_token_id=tokenizer.video_token_id,
        video_start_token_id=tokenizer.video_start_token_id,
        video_end_token_id=tokenizer.video_end_token_id,
    )


def mistral3_of_mistral4() -> Built:
    return _mistral("mistral3", "mistral4", **{**MLA, "head_dim": 12})


def mistral4() -> Built:
    """Its language model alone, to which nothing gives a picture."""
    _, processor, prompt = mistral3_of_mistral4()
    settings = text_of("mistral4", processor.tokenizer, **{**MLA, "head_dim": 12})
    del settings["model_type"]
    return built("mistral4", processor, prompt, **settings)


INDEXED = {"index_topk": 256, "index_head_dim": 8, "index_n_heads": 2}


def mistral_large4() -> Built:
    return _mistral("mistral_large4", "mistral_large4_text", **MLA, **INDEXED)


def mistral_large4_picking() -> Built:
    """Attention that picks fewer positions than a prompt has."""
    few = {**INDEXED, "index_topk": 8}
    return _mistral("mistral_large4", "mistral_large4_text", **MLA, **few)


def _mistral(kind: str, of_text: str, **more: Any) -> Built:
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
        kind,
        processor,
        vision_config=vision_of("pixtral", image_size=48, head_dim=8),
        text_config=text_of(of_text, tokenizer, **more),
        image_token_index=id_of(tokenizer, "[IMG]"),
    )


def minimax_m3_vl() -> Built:
    return _minimax(blocks=16)


def minimax_m3_vl_picking() -> Built:
    """Attention to two blocks of four positions."""
    return _minimax(blocks=2)


def _minimax(blocks: int) -> Built:
    marks = [f"]<]{each}[>[" for each in ("start of image", "end of image", "video", "image")]
    tokenizer = tokenizer_of(*marks, image=marks[-1])
    processor = hf.MiniMaxM3VLProcessor(
        qwen_images(hf.MiniMaxM3VLImageProcessor),
        tokenizer,
        qwen_images(hf.MiniMaxM3VLVideoProcessor),
        chat_template=tokenizer.chat_template,
    )
    return built(
        "minimax_m3_vl",
        processor,
        vision_config=vision_of("minimax_m3_vl_vision", image_size=48),
        text_config=text_of(
            "minimax_m3_vl_text",
            tokenizer,
            rotary_dim=4,
            dense_intermediate_size=32,
            shared_intermediate_size=16,
            intermediate_size=16,
            num_local_experts=4,
            num_experts_per_tok=2,
            mlp_layer_types=["dense", "sparse"] * 2,
            layer_types=["minimax_m3_sparse", "full_attention"] * 2,
            index_n_heads=1,
            index_head_dim=8,
            index_block_size=4,
            index_topk_blocks=blocks,
        ),
        projector_hidden_size=16,
        image_token_index=id_of(tokenizer, marks[-1]),
        video_token_index=id_of(tokenizer, marks[-2]),
    )


def step3p7() -> Built:
    tokenizer = tokenizer_of(
        "<patch_start>",
        "<patch_end>",
        "<patch_newline>",
        "<im_start>",
        "<im_end>",
        image="<im_patch>",
    )
    images = hf.Step3p7ImageProcessor(
        size={"height": 2 * TILE, "width": 2 * TILE}, patch_size=TILE, vision_patch_size=2
    )
    processor = hf.Step3p7Processor(images, tokenizer, tokenizer.chat_template)
    return built(
        "step3p7",
        processor,
        vision_config=vision_of(
            "step3p5_vision",
            image_size=2 * TILE,
            patch_size=2,
            max_position_embeddings=256,
            mlp_ratio=2.0,
        ),
        text_config=text_of(
            "step3p5",
            tokenizer,
            sliding_window=16,
            layer_types=WINDOWS,
            n_routed_experts=4,
            num_experts_per_tok=2,
            moe_intermediate_size=16,
            share_expert_dim=16,
            mlp_layer_types=["dense", "sparse"] * 2,
        ),
        image_token_id=id_of(tokenizer, "<im_patch>"),
    )


# Parts of a stack that take turns


def muse_glimmer() -> Built:
    tokenizer = _muse_tokenizer()
    settings = {"patch_size": PATCH, "max_image_tokens": 16}
    processor = hf.MuseGlimmerProcessor(
        hf.MuseGlimmerImageProcessor(**settings),
        hf.MuseGlimmerVideoProcessor(patch_size=PATCH),
        tokenizer,
        tokenizer.chat_template,
    )
    return _muse("muse_glimmer", processor, tokenizer)


def muse_spark() -> Built:
    tokenizer = _muse_tokenizer()
    settings = {"patch_size": PATCH, "max_image_tokens": 16}
    processor = hf.MuseSparkProcessor(
        hf.MuseGlimmerImageProcessor(**settings),
        hf.MuseGlimmerVideoProcessor(patch_size=PATCH),
        tokenizer,
        hf.MuseSparkFeatureExtractor(),
        tokenizer.chat_template,
    )
    return _muse(
        "muse_spark",
        processor,
        tokenizer,
        {
            "moe_intermediate_size": 16,
            "moe_hidden_size": 8,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "mlp_layer_types": ["dense", "sparse"] * 2,
        },
        audio_config={
            "patch_sizes": [2],
            "hidden_sizes": [8],
            "depths": [1],
            "num_hidden_layers": 1,
            "out_hidden_size": 16,
        },
        audio_token_id=id_of(tokenizer, "<|audio|>"),
    )


def _muse_tokenizer() -> Any:
    return tokenizer_of(
        "<|image_start|>",
        "<|image_end|>",
        "<|video|>",
        "<|vid_frame_separator|>",
        "<|vid_start|>",
        "<|vid_end|>",
        "<|audio|>",
        "<|soft_audio_start|>",
        "<|soft_audio_end|>",
        image="<|patch|>",
        begin="<s>",
    )


def _muse(
    kind: str, processor: Any, tokenizer: Any, text: dict[str, Any] | None = None, **more: Any
) -> Built:
    return built(
        kind,
        processor,
        vision_config=vision_of(f"{kind}_vision", pos_emb_height=8, pos_emb_width=8),
        text_config=text_of(
            f"{kind}_text", tokenizer, sliding_window=16, layer_types=WINDOWS, **(text or {})
        ),
        out_hidden_size=64,
        projector_hidden_size=32,
        image_token_id=id_of(tokenizer, "<|patch|>"),
        video_token_id=id_of(tokenizer, "<|video|>"),
        **more,
    )


def nemotron_h_omni() -> Built:
    """Each layer is either a state space, an attention, or experts."""
    tokenizer = tokenizer_of(
        "<img>", "</img>", "<video>", "<so_start>", "<so_end>", "<so_embedding>"
    )
    settings = {"patch_size": PATCH, "min_num_patches": 16, "max_num_patches": 64}
    processor = hf.NemotronH_Omni_Reasoning_V3Processor(
        hf.NemotronH_Omni_Reasoning_V3ImageProcessor(**settings),
        hf.NemotronH_Omni_Reasoning_V3VideoProcessor(),
        tokenizer,
        hf.ParakeetFeatureExtractor(),
        tokenizer.chat_template,
    )
    text = text_of(
        "nemotron_h",
        tokenizer,
        layers_block_type=["linear_attention", "full_attention", "moe", "full_attention"],
        mamba_num_heads=2,
        mamba_head_dim=8,
        n_groups=1,
        ssm_state_size=4,
        n_routed_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=16,
        moe_shared_expert_intermediate_size=16,
    )
    return built(
        "nemotron_h_omni",
        processor,
        vision_config={
            **vision_of("radio", max_img_size=64, mlp_ratio=2.0),
            "video_temporal_patch_size": 2,
        },
        text_config=text,
        vision_hidden_size=16,
        projector_hidden_size=32,
        image_token_id=id_of(tokenizer, "<image>"),
        video_token_id=id_of(tokenizer, "<video>"),
        audio_token_id=id_of(tokenizer, "<so_embedding>"),
    )


def inkling() -> Built:
    """An encoder without attention, of 40 pixels a token."""
    tokenizer = tokenizer_of(
        "<|content_image|>",
        "<|content_audio_input|>",
        image="<image>",
        image_token="<image>",
        audio_token="<audio>",
    )
    assert isinstance(tokenizer.chat_template, str)
    processor = hf.InklingProcessor(
        hf.InklingFeatureExtractor(),
        hf.InklingImageProcessor(size={"height": 8, "width": 8}),
        tokenizer,
        tokenizer.chat_template,
    )
    return built(
        "inkling_mm_model",
        processor,
        vision_config={"patch_size": 8, "num_hidden_layers": 3},
        audio_config={"n_mel_bins": 4, "mel_vocab_size": 8},
        text_config=text_of(
            "inkling_text", tokenizer, **INKLING, n_shared_experts=1, num_key_value_heads=1
        ),
        image_token_id=tokenizer.image_token_id,
        audio_token_id=tokenizer.audio_token_id,
        image_bos_token_id=id_of(tokenizer, "<|content_image|>"),
        audio_bos_token_id=id_of(tokenizer, "<|content_audio_input|>"),
    )


INKLING: dict[str, Any] = {
    "unpadded_vocab_size": None,
    "swa_num_attention_heads": 2,
    "swa_num_key_value_heads": 1,
    "swa_head_dim": 8,
    "sliding_window_size": 16,
    "d_rel": 4,
    "rel_extent": 64,
    "layer_types": ["hybrid", "hybrid_sliding"] * 2,
    "moe_intermediate_size": 16,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
}


def inkling2() -> Built:
    """Each layer reads a mixture of what layers before it gave."""
    tokenizer = tokenizer_of(image="<image>", image_token="<image>")
    processor = hf.Inkling2Processor(
        hf.Inkling2ImageProcessor(size={"height": 8, "width": 8}),
        tokenizer,
        tokenizer.chat_template,
    )
    text = text_of("inkling2_text", tokenizer, **INKLING, n_layers_per_attn_res_block=2)
    del text["intermediate_size"]
    text["unpadded_vocab_size"] = len(tokenizer)
    return built(
        "inkling2",
        processor,
        attention="eager",
        vision_config={
            **vision_of("inkling2_vision"),
            "posemb_grid_size": 8,
            "projection_hidden_dim": 16,
            "text_hidden_size": 16,
        },
        text_config=text,
        image_token_id=tokenizer.image_token_id,
    )


def dots3_note() -> Built:
    tokenizer = tokenizer_of("<|video_pad|>", "<|audio_comp_pad|>", image="<|imgpad|>")
    processor = hf.Dots3NoteProcessor(
        qwen_images(hf.Qwen2VLImageProcessorPil, temporal_patch_size=1),
        tokenizer,
        qwen_images(hf.Qwen3VLVideoProcessor, temporal_patch_size=1),
        hf.Dots3NoteFeatureExtractor(),
        chat_template=tokenizer.chat_template,
    )
    sliding = {f"swa_{name}": MLA[name] for name in MLA.keys() & {"q_lora_rank", "kv_lora_rank"}}
    text = text_of(
        "dots3_note_text",
        tokenizer,
        **{**MLA, "head_dim": 12},
        **INDEXED,
        shared_experts_intermediate_size=16,
        sliding_window=16,
        layer_types=["indexed_attention", "sliding_attention"] * 2,
        **sliding,
        swa_num_attention_heads=2,
        swa_num_key_value_heads=2,
        swa_head_dim=12,
        swa_qk_nope_head_dim=8,
        swa_v_head_dim=6,
    )
    return built(
        "dots3_note",
        processor,
        vision_config={
            **vision_of("dots3_note_vision_encoder"),
            "mlp_layer_types": ["dense", "sparse"],
            "num_local_experts": 4,
            "moe_intermediate_size": 16,
            "adapter_in_dim": 16,
            "adapter_out_dim": 16,
        },
        audio_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "downsample_hidden_size": 8,
            "adapter_input_size": 16,
            "adapter_out_dim": 16,
        },
        text_config=text,
        image_token_id=id_of(tokenizer, "<|imgpad|>"),
        video_token_id=id_of(tokenizer, "<|video_pad|>"),
        audio_token_id=id_of(tokenizer, "<|audio_comp_pad|>"),
    )


# Hybrids


def glm5_next() -> Built:
    """Four residual streams in each layer, which are no one stream of hidden states."""
    return glm(
        "glm5_next",
        hf.Glm5NextProcessor,
        hf.Glm5NextImageProcessorPil,
        "Glm5NextVideoProcessor",
        **{**MLA, "qk_rope_head_dim": 0, **INDEXED},
        linear_head_dim=8,
        linear_num_heads=2,
        layer_types=["linear_attention", "indexed_attention"] * 2,
    )


FAMILIES = [
    Family("Cosmos 3 Omni", cosmos3_omni, VIDEO),
    Family("Cosmos 3 Edge", cosmos3_edge, VIDEO),
    Family("GLMGA", glmga, VIDEO),
    Family("ERNIE 4.5 VL", ernie4_5_vl, VIDEO),
    Family("Mistral 3 of Mistral 4", mistral3_of_mistral4, VIDEO),
    Family("Mistral 4", mistral4, VIDEO, stack="model", refused=True),
    Family("Mistral Large 4", mistral_large4, VIDEO),
    Family("Mistral Large 4 that picks", mistral_large4_picking, VIDEO),
    Family("MiniMax M3 VL", minimax_m3_vl, VIDEO),
    Family("MiniMax M3 VL that picks", minimax_m3_vl_picking, VIDEO),
    Family("Step 3.7", step3p7, VIDEO),
    Family("Muse Glimmer", muse_glimmer, VIDEO),
    Family("Muse Spark", muse_spark, VIDEO),
    Family("Nemotron-H Omni", nemotron_h_omni, VIDEO, stack="language_model.model"),
    Family("Inkling", inkling, VIDEO),
    Family("Inkling 2", inkling2, VIDEO),
    Family("Dots 3 Note", dots3_note, VIDEO),
    Family("GLM-5 Next", glm5_next, VIDEO, refused=True),
]
