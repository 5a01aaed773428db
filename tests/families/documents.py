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
from tests.families.common import IDEFICS, LINEAR, got_ocr2

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
    """Its encoder answers a picture by 144 or 256 queries, which no setting makes fewer."""
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
    """Its processor has no token for a picture: a text holds one for each part of it already."""
    tokenizer = tokenizer_of(image="<imgpad>")
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


def got_ocr2_asked() -> Built:
    """Its processor takes a text, too; of a chat's nested pictures it takes none."""
    model, processor, _ = got_ocr2()
    processor.chat_template = processor.tokenizer.chat_template = None
    return model, processor, "<image>{question}"


# Encoder-decoders


def encoded(kind: str, tokenizer: Any, processor: Any, **settings: Any) -> Built:
    """An encoder-decoder, which is told with which token an answer begins."""
    return built(
        kind,
        processor,
        prompt="<image>{question}",
        **settings,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        decoder_start_token_id=tokenizer.bos_token_id or tokenizer.pad_token_id,
    )


def bart_of(kind: str, tokenizer: Any) -> dict[str, Any]:
    """The settings of a language model with an encoder, of one with a decoder alone."""
    return {
        "model_type": kind,
        "vocab_size": len(tokenizer),
        "d_model": 16,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "decoder_start_token_id": tokenizer.bos_token_id,
        "forced_eos_token_id": None,
    }


def t5_of(tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "d_kv": 8,
        "d_ff": 32,
        "num_layers": 2,
        "num_heads": 2,
    }


def trocr() -> Built:
    """It reads a picture by an encoder, through cross-attention: no visual tokens."""
    tokenizer = tokenizer_of(begin="<s>")
    processor = hf.TrOCRProcessor(square(hf.ViTImageProcessorPil), tokenizer)
    return encoded(
        "vision-encoder-decoder",
        tokenizer,
        processor,
        attention="eager",
        encoder=vision_of("vit"),
        decoder=bart_of("trocr", tokenizer),
    )


def donut() -> Built:
    """It reads a picture by an encoder, through cross-attention: no visual tokens."""
    tokenizer = tokenizer_of(begin="<s>")
    processor = hf.DonutProcessor(square(hf.DonutImageProcessorPil), tokenizer)
    swin = {"depths": [1, 1], "num_heads": [2, 2], "embed_dim": 8, "window_size": 2}
    return encoded(
        "vision-encoder-decoder",
        tokenizer,
        processor,
        attention="eager",
        encoder={"model_type": "donut-swin", "image_size": TILE, "patch_size": PATCH, **swin},
        decoder=bart_of("mbart", tokenizer),
    )


def florence2() -> Built:
    """Its visual tokens stand in an encoder, which its decoder reads through cross-attention."""
    tokenizer = tokenizer_of(begin="<s>", image_token="<image>")
    images = square(hf.CLIPImageProcessorPil, do_center_crop=False)
    images.image_seq_length = 2
    processor = hf.Florence2Processor(images, tokenizer)
    return encoded(
        "florence2",
        tokenizer,
        processor,
        vision_config={
            "depths": [1, 1],
            "patch_size": [3, 3],
            "patch_stride": [4, 4],
            "patch_padding": [1, 1],
            "patch_prenorm": [False, True],
            "embed_dim": [8, 16],
            "num_heads": [2, 2],
            "num_groups": [2, 2],
            "window_size": 2,
            "projection_dim": 16,
        },
        text_config=bart_of("bart", tokenizer),
        image_token_id=id_of(tokenizer, "<image>"),
    )


def pix2struct() -> Built:
    """It reads a picture by an encoder, through cross-attention: no visual tokens."""
    tokenizer = tokenizer_of(begin="<s>")
    images = hf.Pix2StructImageProcessorPil(
        patch_size={"height": PATCH, "width": PATCH}, max_patches=16
    )
    return encoded(
        "pix2struct",
        tokenizer,
        hf.Pix2StructProcessor(images, tokenizer),
        vision_config={
            "hidden_size": 16,
            "patch_embed_hidden_size": 3 * PATCH**2,
            "d_ff": 32,
            "d_kv": 8,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "seq_len": 64,
        },
        text_config={**t5_of(tokenizer), "hidden_size": 16},
    )


def udop() -> Built:
    """An encoder and a decoder of text; its processor reads a page by OCR."""
    tokenizer = hf.UdopTokenizer()
    images = square(hf.LayoutLMv3ImageProcessorPil, apply_ocr=False)
    return encoded(
        "udop",
        tokenizer,
        hf.UdopProcessor(images, tokenizer),
        **t5_of(tokenizer),
        d_model=16,
        image_size=TILE,
        patch_size=PATCH,
    )


def t5gemma2() -> Built:
    """Its visual tokens stand in an encoder, which its decoder's attention reads beside its own."""
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
    text = {"num_hidden_layers": 2, "sliding_window": 8, "query_pre_attn_scalar": 8}
    return encoded(
        "t5gemma2",
        tokenizer,
        processor,
        encoder={
            "text_config": text_of("t5gemma2_text", tokenizer, **text),
            "vision_config": vision_of("siglip_vision_model", vision_use_head=False),
            "mm_tokens_per_image": 4,
            "boi_token_index": id_of(tokenizer, "<start_of_image>"),
            "eoi_token_index": id_of(tokenizer, "<end_of_image>"),
        },
        decoder=text_of("t5gemma2_decoder", tokenizer, **text),
        image_token_index=id_of(tokenizer, "<image_soft_token>"),
    )


def pp_formulanet() -> Built:
    """It reads a picture by an encoder, through cross-attention: no visual tokens."""
    tokenizer = tokenizer_of(begin="<s>")
    images = hf.PPFormulaNetImageProcessor(size={"height": 64, "width": 64})
    sam = sam_of(64, patch_size=4)
    del sam["downsample_channels"]
    return encoded(
        "pp_formulanet",
        tokenizer,
        hf.PPFormulaNetProcessor(images, tokenizer),
        vision_config={
            **sam,
            "post_conv_in_channels": 8,
            "post_conv_mid_channels": 8,
            "post_conv_out_channels": 8,
            "decoder_hidden_size": 16,
        },
        text_config=bart_of("pp_formulanet_text", tokenizer),
    )


def evolla() -> Built:
    """It reads proteins, and no pictures."""
    tokenizer = tokenizer_of("<|reserved_special_token_0|>", begin="<s>")
    settings = text_of("evolla", tokenizer)
    del settings["model_type"]
    return built(
        "evolla",
        hf.EvollaProcessor(tokenizer_of(), tokenizer),
        prompt="<image>{question}",
        cls=hf.EvollaForProteinText2Text,
        **settings,
        protein_encoder_config={
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
        },
        aligner_num_add_layers=2,
        resampler_depth=1,
        resampler_dim_head=8,
        resampler_heads=2,
        resampler_num_latents=4,
    )


FAMILIES = [
    Family("DeepSeek-OCR 2", deepseek_ocr2),
    Family("Unlimited-OCR", unlimited_ocr, VIDEO),
    Family("Qianfan-OCR", qianfan_ocr),
    Family("MiniCPM-OCR", minicpm_ocr, VIDEO),
    Family("Granite Docling", granite_docling, stack="model.text_model"),
    Family("Granite Docling, fine", lambda: granite_docling(fine=True), stack="model.text_model"),
    Family("GOT-OCR 2 with a prompt", got_ocr2_asked),
    Family("PP-Chart2Table", pp_chart2table, refused=True),
    Family("TrOCR", trocr, refused=True),
    Family("Donut", donut, refused=True),
    Family("Florence-2", florence2, refused=True),
    Family("Pix2Struct", pix2struct, refused=True),
    Family("UDOP", udop, refused=True),
    Family("T5Gemma 2", t5gemma2, refused=True),
    Family("PP-FormulaNet", pp_formulanet, VIDEO, refused=True),
    Family("Evolla", evolla, refused=True),
]
