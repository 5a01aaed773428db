"""Families that read documents, and encoder-decoders."""

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
from tests.families.common import IDEFICS, LINEAR

# Readers of pages


def sam_of(image: int, **more: Any) -> dict[str, Any]:
    """The settings of an image encoder in windows, which makes one number of 4 x 4 patches."""
    return {
        "hidden_size": 16,
        "output_channels": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": image,
        "mlp_dim": 32,
        "window_size": 4,
        "global_attn_indexes": [],
        "downsample_channels": [8, 16],
        **more,
    }


def mixture_of(kind: str, tokenizer: Any, **more: Any) -> dict[str, Any]:
    return text_of(
        kind,
        tokenizer,
        num_key_value_heads=2,
        n_routed_experts=4,
        num_experts_per_tok=2,
        n_group=1,
        topk_group=1,
        n_shared_experts=1,
        moe_intermediate_size=16,
        mlp_layer_types=["dense", *["sparse"] * 3],
        **more,
    )


def deepseek_ocr2() -> Built:
    """Its encoder asks 144 or 256 queries of a picture, which no setting makes fewer."""
    tokenizer = tokenizer_of(begin="<s>")
    images = hf.DeepseekOcr2ImageProcessorPil(
        size={"height": 64, "width": 64}, tile_size=48, max_patches=2
    )
    processor = hf.DeepseekOcr2Processor(images, tokenizer, tokenizer.chat_template, patch_size=1)
    encoder = text_of("deepseek_ocr2_encoder", tokenizer, num_hidden_layers=2)
    return built(
        "deepseek_ocr2",
        processor,
        vision_config={"sam_config": sam_of(64, patch_size=1), "encoder_config": encoder},
        text_config=mixture_of("deepseek_ocr2_text", tokenizer),
        image_token_id=id_of(tokenizer, "<image>"),
    )


def unlimited_ocr() -> Built:
    """What it says sees the prompt and the last two tokens said."""
    tokenizer = tokenizer_of(begin="<s>")
    images = hf.UnlimitedOcrImageProcessor(
        size={"height": 32, "width": 32}, tile_size=32, max_patches=4, maximum_pad_value=16
    )
    processor = hf.UnlimitedOcrProcessor(images, tokenizer, tokenizer.chat_template, patch_size=2)
    encoder = vision_of("unlimited_ocr_vision_encoder")
    return built(
        "unlimited_ocr",
        processor,
        vision_config={"sam_config": sam_of(32, patch_size=2), "encoder_config": encoder},
        text_config=mixture_of("unlimited_ocr_text", tokenizer, sliding_window=2),
        image_token_id=id_of(tokenizer, "<image>"),
    )


def qianfan_ocr() -> Built:
    """Its text names a picture by another token than those it is read as."""
    tokenizer = tokenizer_of(
        start_image_token="<img>", end_image_token="</img>", context_image_token="<IMG_CONTEXT>"
    )
    images = square(hf.GotOcr2ImageProcessorPil, crop_to_patches=True, min_patches=1, max_patches=4)
    processor = hf.QianfanOCRProcessor(
        images, tokenizer, image_seq_length=4, chat_template=tokenizer.chat_template
    )
    return built(
        "qianfan_ocr",
        processor,
        vision_config=vision_of(
            "qianfan_ocr_vision", image_size=[TILE, TILE], patch_size=[PATCH, PATCH]
        ),
        text_config=text_of("qwen3", tokenizer),
        image_token_id=id_of(tokenizer, "<IMG_CONTEXT>"),
        image_seq_length=4,
    )


def minicpm_ocr() -> Built:
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
    processor = hf.MiniCPMOcrProcessor(
        hf.MiniCPMOcrImageProcessor(**settings),
        hf.MiniCPMOcrVideoProcessor(**settings),
        tokenizer,
        chat_template=tokenizer.chat_template,
    )
    return built(
        "minicpm_ocr",
        processor,
        vision_config=vision_of("minicpm_ocr_vision", image_size=64),
        text_config=text_of("qwen3_5_text", tokenizer, **LINEAR),
        image_token_id=id_of(tokenizer, "<|image_pad|>"),
        video_token_id=id_of(tokenizer, "<|video_pad|>"),
        insert_layer_id=0,
    )


def granite_docling(fine: bool = False) -> Built:
    """More of the picture is added after its first two layers."""
    tokenizer = tokenizer_of(*IDEFICS)
    images = square(hf.GraniteDoclingImageProcessorPil, max_patches=4, fine_route=fine)
    processor = hf.GraniteDoclingProcessor(
        images, tokenizer, image_seq_len=4, chat_template=tokenizer.chat_template
    )
    return built(
        "granite_docling",
        processor,
        vision_config=vision_of(
            "granite_docling_vision",
            out_hidden_size=16,
            scale_factor=2,
            deepstack_visual_indexes=[0, 1],
        ),
        text_config=text_of("granite_docling_text", tokenizer, embedding_multiplier=3.0),
        image_token_id=id_of(tokenizer, "<image>"),
        pad_token_id=tokenizer.pad_token_id,
    )


def pp_chart2table() -> Built:
    """Its processor writes its prompt itself."""
    tokenizer = tokenizer_of("<img>", "</img>", image="<imgpad>")
    images = hf.PPChart2TableImageProcessorPil(size={"height": 64, "width": 64})
    processor = hf.PPChart2TableProcessor(images, tokenizer, tokenizer.chat_template)
    sam = sam_of(64, patch_size=1)
    del sam["downsample_channels"]
    return built(
        "pp_chart2table",
        processor,
        attention="eager",
        vision_config=sam,
        text_config=text_of("qwen2", tokenizer),
        image_token_index=id_of(tokenizer, "<imgpad>"),
        image_seq_length=256,
    )


FAMILIES = [
    Family("DeepSeek-OCR 2", deepseek_ocr2),
    Family("Unlimited-OCR", unlimited_ocr, VIDEO),
    Family("Qianfan-OCR", qianfan_ocr),
    Family("MiniCPM-OCR", minicpm_ocr, VIDEO),
    Family("Granite Docling", granite_docling, stack="model.text_model"),
    Family("Granite Docling, fine", lambda: granite_docling(fine=True), stack="model.text_model"),
    Family("PP-Chart2Table", pp_chart2table, refused=True),
]
