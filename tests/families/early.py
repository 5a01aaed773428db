"""Families of the first years."""

from typing import Any

from tokenizers import AddedToken, Regex, normalizers

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
from tests.families.common import gemma3

CODES = 32  # of pictures that are words of the vocabulary
LETTERS = str.maketrans("0123456789", "ABCDEFGHIJ")
VQ: dict[str, Any] = {
    "embed_dim": 4,
    "latent_channels": 4,
    "base_channels": 32,
    "channel_multiplier": [1, 1, 1],
    "num_res_blocks": 1,
}


def chameleon() -> Built:
    """Its language model is given the picture, and no embeddings of it, which are those of words
    of its vocabulary."""
    names = [f"IMGIMG{str(code).translate(LETTERS)}Z" for code in range(CODES)]
    tokenizer = tokenizer_of(*names, "<racm3:break>", "<eoss>", "<reserved08706>", begin="<s>")
    tokenizer.sep_token = "<reserved08706>"
    images = hf.ChameleonImageProcessorPil(
        size={"shortest_edge": TILE}, crop_size={"height": TILE, "width": TILE}
    )
    processor = hf.ChameleonProcessor(images, tokenizer, image_seq_length=16)
    processor.chat_template = tokenizer.chat_template
    settings = text_of("chameleon", tokenizer)
    del settings["model_type"]
    return built(
        "chameleon",
        processor,
        **settings,
        vq_config={**VQ, "num_embeddings": CODES, "resolution": TILE},
        vocabulary_map=tokenizer.get_vocab(),
    )


def emu3() -> Built:
    """The tokens of a picture are words of the vocabulary, and the end of each of its rows is
    one, too."""
    names = [f"<|visual token {code:06d}|>" for code in range(CODES)]
    tokenizer = tokenizer_of(
        *names,
        "<|extra_200|>",
        begin="<|extra_203|>",
        adds_begin=False,
        image_token="<image>",
        boi_token="<|image start|>",
        eoi_token="<|image end|>",
        image_wrapper_token="<|image token|>",
        eof_token="<|extra_201|>",
    )
    # its processor writes the begin itself
    tokenizer.chat_template = tokenizer.chat_template.removeprefix("<|extra_203|>")
    images = hf.Emu3ImageProcessor(min_pixels=16 * 16, max_pixels=48 * 48)
    processor = hf.Emu3Processor(images, tokenizer, tokenizer.chat_template)
    return built(
        "emu3",
        processor,
        text_config=text_of("emu3_text_model", tokenizer),
        vq_config={
            **VQ,
            "codebook_size": CODES,
            "channel_multiplier": [1, 1, 1, 1],
            "attn_resolutions": [],
            "temporal_downsample_factor": 2,
            "hidden_size": 32,
        },
        vocabulary_map=tokenizer.get_vocab(),
    )


def fuyu() -> Built:
    """It has no image encoder: patches go straight into its language model."""
    tokenizer = tokenizer_of("<0x04>", begin="<s>", adds_begin=False)
    tokenizer.chat_template = None
    places = ["|SPEAKER|", "|NEWLINE|"]
    tokenizer.add_tokens([AddedToken(each, normalized=True) for each in places])
    # its processor takes away the space that its tokenizer puts before a picture
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace(Regex(r"^\|(?=SPEAKER\|.)"), " |")
    images = hf.FuyuImageProcessor(  # the one of PIL cannot cut a picture into patches
        size={"height": 32, "width": 32}, patch_size={"height": 8, "width": 8}
    )
    processor = hf.FuyuProcessor(images, tokenizer)
    return built(
        "fuyu",
        processor,
        prompt="<image>{question}",
        text_config=text_of("persimmon", tokenizer, num_key_value_heads=2),
        patch_size=8,
        image_token_id=id_of(tokenizer, "|SPEAKER|"),
    )


def qformer(**more: Any) -> dict[str, Any]:
    """The settings of what turns a picture into a few tokens."""
    return {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "encoder_hidden_size": 16,
        **more,
    }


def instructblip() -> Built:
    """Its tokens of a picture depend on the question."""
    tokenizer, asking = tokenizer_of(), tokenizer_of()
    tokenizer.chat_template = None
    images = hf.BlipImageProcessorPil(size={"height": TILE, "width": TILE})
    processor = hf.InstructBlipProcessor(images, tokenizer, asking, num_query_tokens=6)
    return built(
        "instructblip",
        processor,
        prompt="<image>{question}",
        vision_config=vision_of("instructblip_vision_model"),
        qformer_config=qformer(vocab_size=len(asking)),
        text_config=text_of("opt", tokenizer, ffn_dim=32, word_embed_proj_dim=16),
        num_query_tokens=6,
        image_token_index=id_of(tokenizer, "<image>"),
    )


def instructblipvideo() -> Built:
    """Its processor takes a video, and no picture."""
    tokenizer, asking = tokenizer_of("<video>"), tokenizer_of()
    tokenizer.chat_template = None
    videos = square(hf.InstructBlipVideoVideoProcessor)
    return built(
        "instructblipvideo",
        hf.InstructBlipVideoProcessor(videos, tokenizer, asking, num_query_tokens=6),
        prompt="<image>{question}",
        vision_config=vision_of("instructblipvideo_vision_model"),
        qformer_config=qformer(vocab_size=len(asking)),
        text_config=text_of("opt", tokenizer, ffn_dim=32, word_embed_proj_dim=16),
        num_query_tokens=6,
        video_token_index=id_of(tokenizer, "<video>"),
    )


def idefics() -> Built:
    """It reads the picture through cross-attention: no visual tokens."""
    tokenizer = tokenizer_of("<fake_token_around_image>", begin="<s>", adds_begin=False)
    tokenizer.chat_template = None
    images = hf.IdeficsImageProcessorPil(image_size=TILE)
    settings = text_of("idefics", tokenizer)
    del settings["model_type"]
    return built(
        "idefics",
        hf.IdeficsProcessor(images, tokenizer),
        prompt="<image>{question}",
        alpha_initializer="ones",
        **settings,
        vision_config={
            "embed_dim": 16,
            "image_size": TILE,
            "patch_size": PATCH,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
        },
        use_resampler=False,
    )


def kosmos_settings(tokenizer: Any, **more: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "embed_dim": 16,
        "layers": 4,
        "ffn_dim": 32,
        "attention_heads": 2,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **more,
    }


def kosmos2() -> Built:
    """A picture's places are ids one after the other, and no token of one id."""
    tokenizer = tokenizer_of("</image>", begin="<s>", adds_begin=False)
    tokenizer.chat_template = None
    tokenizer.unk_token = "<s>"
    images = hf.CLIPImageProcessorPil(
        size={"shortest_edge": TILE}, crop_size={"height": TILE, "width": TILE}
    )
    processor = hf.Kosmos2Processor(images, tokenizer, 4)
    processor.num_image_tokens = 6
    return built(
        "kosmos-2",
        processor,
        prompt="<image>{question}",
        vision_config=vision_of("kosmos_2_vision_model"),
        text_config=kosmos_settings(tokenizer),
        latent_query_num=6,
    )


def kosmos2_5() -> Built:
    """Its language model is given the picture, and no embeddings of it."""
    tokenizer = tokenizer_of(
        begin="<s>", adds_begin=False, image_token="<s>", boi_token="<image>", eoi_token="</image>"
    )
    tokenizer.chat_template = None
    images = hf.Kosmos2_5ImageProcessorPil(patch_size={"height": PATCH, "width": PATCH})
    processor = hf.Kosmos2_5Processor(images, tokenizer, num_image_tokens=6)
    processor.images_kwargs = {**processor.images_kwargs, "max_patches": 16}
    return built(
        "kosmos-2.5",
        processor,
        prompt="<image>{question}",
        vision_config={
            "hidden_size": 16,
            "patch_embed_hidden_size": 3 * PATCH**2,
            "intermediate_size": 32,
            "head_dim": 8,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_num_patches": 16,
        },
        text_config=kosmos_settings(tokenizer),
        latent_query_num=6,
    )


def git() -> Built:
    """A picture comes before the text, and has no places in its ids."""
    tokenizer = tokenizer_of(begin="<s>")
    tokenizer.chat_template = None
    images = hf.CLIPImageProcessorPil(
        size={"shortest_edge": TILE}, crop_size={"height": TILE, "width": TILE}
    )
    settings = text_of("git", tokenizer)
    del settings["model_type"]
    return built(
        "git",
        hf.GitProcessor(images, tokenizer),
        prompt="<image>{question}",
        attention="eager",
        **settings,
        vision_config=vision_of("git_vision_model"),
    )


def blip() -> Built:
    """Its layers read the picture through cross-attention."""
    tokenizer = tokenizer_of()
    settings = text_of("blip_text_model", tokenizer, num_attention_heads=2)
    return built(
        "blip",
        hf.BlipProcessor(square(hf.BlipImageProcessorPil), tokenizer),
        prompt="<image>{question}",
        attention="eager",
        text_config=settings,
        vision_config=vision_of("blip_vision_model"),
        projection_dim=16,
    )


def shieldgemma2() -> Built:
    """Its processor writes its prompts itself, one for each of its policies."""
    model, processor, _ = gemma3("shieldgemma2")
    made = hf.ShieldGemma2Processor(
        processor.image_processor,
        processor.tokenizer,
        processor.chat_template,
        image_seq_length=4,
    )
    return model, made, None


def pi0() -> Built:
    """It answers with movements, and has no unembedding."""
    tokenizer = tokenizer_of(begin="<s>", adds_begin=False)
    tokenizer.chat_template = None
    images = square(hf.SiglipImageProcessorPil)
    images.image_seq_length = 16
    processor = hf.PI0Processor(images, tokenizer)
    text = text_of("gemma", tokenizer)
    return built(
        "pi0",
        processor,
        prompt="<image>{question}",
        vlm_config={
            "model_type": "paligemma",
            "vision_config": vision_of("siglip_vision_model", vision_use_head=False),
            "text_config": text,
            "projection_dim": 16,
            "image_token_id": processor.image_token_id,
        },
        dit_config=text,
        chunk_size=4,
        max_state_dim=4,
        max_action_dim=4,
    )


FAMILIES = [
    Family("Chameleon", chameleon, stack="model", refused=True),
    Family("Emu3", emu3, stack="model.text_model"),
    Family("Fuyu", fuyu, VIDEO),
    Family("InstructBLIP", instructblip, stack="language_model.model.decoder"),
    Family("InstructBLIP Video", instructblipvideo, VIDEO, refused=True),
    Family("IDEFICS", idefics, refused=True),
    Family("KOSMOS-2", kosmos2, refused=True),
    Family("KOSMOS-2.5", kosmos2_5, refused=True),
    Family("GIT", git, refused=True),
    Family("BLIP", blip, refused=True),
    Family("ShieldGemma 2", shieldgemma2, refused=True),
    Family("PI0", pi0, refused=True),
]
