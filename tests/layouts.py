"""Checkpoint folders as they lie on the hub: each of the paper's models with the files, the JSON
and the names of tensors of its repository, and random weights of tiny dimensions.

Written by hand, not by `save_pretrained`: each repository was written by the transformers of its
time, and what today's writes is another layout.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from fixtures.emoji_llava.architecture import Sizes, build_tokenizer, llava, llava_processor
from tests.tiny import CHAT, PATCH, SIDE, randomised, tiny_qwen

MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
VICUNA_CHAT = (
    "{% for message in messages %}{% if message['role'] != 'system' %}"
    "{{ message['role'].upper() + ': '}}{% endif %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ content['text'] + ' '}}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
PHI3_CHAT = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '<|user|>\n' + message['content'] + '<|end|>\n<|assistant|>\n' }}{% else %}"
    "{{ message['content'] + '<|end|>\n' }}{% endif %}{% endfor %}"
)
PHI3_SPECIAL = ["<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>"]


def llava_1_5(folder: Path, side: int = SIDE, patch: int = PATCH) -> PreTrainedModel:
    """`llava-hf/llava-1.5-7b-hf`: float16 in three shards, `processor_config.json` beside
    `preprocessor_config.json`, the chat template in a JSON file of its own.

    **Arguments:** `side` of the square that a picture is cropped to, and of a `patch` of it.

    **Returns:** the model in memory.
    """
    tokenizer = build_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    special = {name: _id_of(tokenizer, name) for name in ("<image>", "<pad>")}
    model = _llava(tokenizer, side, patch)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, "config.json", _llava_config(model, "<pad>", tokenizer))
    _write(folder, "generation_config.json", _generation(1, 2, special["<pad>"], "4.36.0.dev0"))
    _write(folder, "preprocessor_config.json", _clip(side))
    _write(
        folder,
        "processor_config.json",
        {
            "image_token": "<image>",
            "num_additional_image_tokens": 1,
            "patch_size": patch,
            "processor_class": "LlavaProcessor",
            "vision_feature_select_strategy": "default",
        },
    )
    _write(folder, "chat_template.json", {"chat_template": VICUNA_CHAT})
    _write_llama_tokenizer(folder, tokenizer, special, padding_side="left")
    _write_weights(folder, _as_on_the_hub(model, LLAVA), torch.float16, shards=3)
    return model


def llava_phi_3(folder: Path, side: int = SIDE, patch: int = PATCH) -> PreTrainedModel:
    """`xtuner/llava-phi-3-mini-hf`: float16 in two shards, the image processor's settings alone, no
    chat template that takes pictures (see `llava_1_5`)."""
    tokenizer = build_tokenizer()
    special_tokens = [AddedToken(token, rstrip=True, special=True) for token in PHI3_SPECIAL]
    tokenizer.backend_tokenizer.add_special_tokens(special_tokens)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    names = ["<image>", *PHI3_SPECIAL, "<pad>"]
    special = {name: _id_of(tokenizer, name) for name in names}
    model = _llava(tokenizer, side, patch)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, "config.json", _llava_config(model, "<pad>", tokenizer))
    _write(
        folder,
        "generation_config.json",
        _generation(1, special["<|end|>"], special["<pad>"], "4.40.1"),
    )
    _write(folder, "preprocessor_config.json", _clip(side))
    _write_llama_tokenizer(folder, tokenizer, special, padding_side="left", chat_template=PHI3_CHAT)
    _write_weights(folder, _as_on_the_hub(model, LLAVA), torch.float16, shards=2)
    return model


def qwen2_vl(folder: Path) -> PreTrainedModel:
    """`Qwen/Qwen2-VL-2B-Instruct`: bfloat16 in two shards with tied embeddings, one flat
    configuration, `vocab.json` and `merges.txt` beside `tokenizer.json`, the chat template in a
    JSON file and in the tokenizer's (see `llava_1_5`)."""
    vlm = tiny_qwen()
    vlm.model.lm_head.weight = vlm.model.get_input_embeddings().weight
    tokenizer, images = vlm.processor.tokenizer, vlm.processor.image_processor
    config = vlm.model.config
    text, vision = config.text_config, config.vision_config
    folder.mkdir(parents=True, exist_ok=True)
    _write(
        folder,
        "config.json",
        {
            "architectures": ["Qwen2VLForConditionalGeneration"],
            "attention_dropout": 0.0,
            "bos_token_id": text.bos_token_id,
            "eos_token_id": text.eos_token_id,
            "vision_start_token_id": config.vision_start_token_id,
            "vision_end_token_id": config.vision_end_token_id,
            "vision_token_id": config.image_token_id,
            "image_token_id": config.image_token_id,
            "video_token_id": config.video_token_id,
            "hidden_act": "silu",
            "hidden_size": text.hidden_size,
            "initializer_range": 0.02,
            "intermediate_size": text.intermediate_size,
            "max_position_embeddings": 32768,
            "max_window_layers": text.num_hidden_layers,
            "model_type": "qwen2_vl",
            "num_attention_heads": text.num_attention_heads,
            "num_hidden_layers": text.num_hidden_layers,
            "num_key_value_heads": text.num_key_value_heads,
            "rms_norm_eps": text.rms_norm_eps,
            "rope_theta": text.rope_parameters["rope_theta"],
            "sliding_window": 32768,
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.41.2",
            "use_cache": True,
            "use_sliding_window": False,
            "vision_config": {
                "depth": vision.depth,
                "embed_dim": vision.embed_dim,
                "mlp_ratio": vision.mlp_ratio,
                "num_heads": vision.num_heads,
                "in_chans": 3,
                "hidden_size": vision.hidden_size,
                "patch_size": vision.patch_size,
                "spatial_merge_size": vision.spatial_merge_size,
                "spatial_patch_size": vision.patch_size,
                "temporal_patch_size": vision.temporal_patch_size,
            },
            "rope_scaling": {
                "type": "mrope",
                "mrope_section": text.rope_parameters["mrope_section"],
            },
            "vocab_size": text.vocab_size,
        },
    )
    stop = [text.eos_token_id, text.bos_token_id]
    _write(
        folder,
        "generation_config.json",
        {
            "bos_token_id": text.bos_token_id,
            "pad_token_id": text.bos_token_id,
            "do_sample": True,
            "eos_token_id": stop,
            "repetition_penalty": 1.0,
            "temperature": 0.01,
            "top_p": 0.001,
            "top_k": 1,
            "transformers_version": "4.37.0",
        },
    )
    _write(
        folder,
        "preprocessor_config.json",
        {
            "min_pixels": images.size["shortest_edge"],
            "max_pixels": images.size["longest_edge"],
            "patch_size": images.patch_size,
            "temporal_patch_size": images.temporal_patch_size,
            "merge_size": images.merge_size,
            "image_mean": MEAN,
            "image_std": STD,
            "image_processor_type": "Qwen2VLImageProcessor",
            "processor_class": "Qwen2VLProcessor",
        },
    )
    _write(folder, "chat_template.json", {"chat_template": CHAT})
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    _write(folder, "vocab.json", model["vocab"])
    merges = [each if isinstance(each, str) else " ".join(each) for each in model["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    special = {name: _id_of(tokenizer, name) for name in tokenizer.all_special_tokens}
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    _write(
        folder,
        "tokenizer_config.json",
        {
            "add_prefix_space": False,
            "added_tokens_decoder": _decoder(special),
            "additional_special_tokens": sorted(special),
            "bos_token": None,
            "chat_template": CHAT,
            "clean_up_tokenization_spaces": False,
            "eos_token": "<|im_end|>",
            "padding_side": "left",
            "errors": "replace",
            "model_max_length": 32768,
            "pad_token": "<|endoftext|>",
            "split_special_tokens": False,
            "tokenizer_class": "Qwen2Tokenizer",
            "unk_token": None,
        },
    )
    weights = _as_on_the_hub(vlm.model, QWEN)
    del weights["lm_head.weight"]  # tied
    _write_weights(folder, weights, torch.bfloat16, shards=2)
    return vlm.model


# How tensors are called in memory, and how on the hub.
LLAVA = {
    "model.language_model.": "language_model.model.",
    "lm_head.": "language_model.lm_head.",
    "model.vision_tower.": "vision_tower.vision_model.",
    "model.multi_modal_projector.": "multi_modal_projector.",
}
QWEN = {"model.language_model.": "model.", "model.visual.": "visual."}


def _llava(tokenizer: PreTrainedTokenizerFast, side: int, patch: int) -> PreTrainedModel:
    """With more embeddings than the tokenizer has tokens, as on the hub."""
    vision = Sizes(width=16, mlp=32, layers=2, heads=2)
    text = Sizes(width=16, mlp=32, layers=2, heads=4)
    torch.manual_seed(0)
    model = llava(llava_processor(tokenizer, side, patch), vision, text, rms_norm_eps=1e-05)
    model.resize_token_embeddings(len(tokenizer) + 6, mean_resizing=False)
    return randomised(model)


def _llava_config(
    model: PreTrainedModel, pad: str, tokenizer: PreTrainedTokenizerFast
) -> dict[str, Any]:
    text, vision = model.config.text_config, model.config.vision_config
    return {
        "architectures": ["LlavaForConditionalGeneration"],
        "ignore_index": -100,
        "image_token_index": _id_of(tokenizer, "<image>"),
        "model_type": "llava",
        "pad_token_id": _id_of(tokenizer, pad),
        "projector_hidden_act": "gelu",
        "text_config": {
            "architectures": ["LlamaForCausalLM"],
            "hidden_size": text.hidden_size,
            "intermediate_size": text.intermediate_size,
            "max_position_embeddings": 4096,
            "model_type": "llama",
            "num_attention_heads": text.num_attention_heads,
            "num_hidden_layers": text.num_hidden_layers,
            "num_key_value_heads": text.num_key_value_heads,
            "rms_norm_eps": 1e-05,
            "torch_dtype": "float16",
            "vocab_size": text.vocab_size,
        },
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "transformers_version": "4.36.0.dev0",
        "vision_config": {
            "hidden_size": vision.hidden_size,
            "image_size": vision.image_size,
            "intermediate_size": vision.intermediate_size,
            "model_type": "clip_vision_model",
            "num_attention_heads": vision.num_attention_heads,
            "num_hidden_layers": vision.num_hidden_layers,
            "patch_size": vision.patch_size,
            "projection_dim": 768,
            "vocab_size": 32000,
        },
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
        "vocab_size": text.vocab_size,
    }


def _id_of(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    return tokenizer.get_vocab()[token]


def _generation(bos: int, eos: int, pad: int, version: str) -> dict[str, Any]:
    return {
        "_from_model_config": True,
        "bos_token_id": bos,
        "eos_token_id": eos,
        "pad_token_id": pad,
        "transformers_version": version,
    }


def _clip(side: int) -> dict[str, Any]:
    return {
        "crop_size": {"height": side, "width": side},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": MEAN,
        "image_processor_type": "CLIPImageProcessor",
        "image_std": STD,
        "processor_class": "LlavaProcessor",
        "resample": 3,
        "rescale_factor": 0.00392156862745098,
        "size": {"shortest_edge": side},
    }


def _write_llama_tokenizer(
    folder: Path, tokenizer: PreTrainedTokenizerFast, special: dict[str, int], **more: Any
) -> None:
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer.model").write_bytes(b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02")
    _write(folder, "added_tokens.json", special)
    texts = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    _write(
        folder,
        "special_tokens_map.json",
        {
            name: {
                "content": text,
                "lstrip": False,
                "normalized": False,
                "rstrip": False,
                "single_word": False,
            }
            for name, text in texts.items()
        },
    )
    _write(
        folder,
        "tokenizer_config.json",
        {
            "add_bos_token": True,
            "add_eos_token": False,
            "added_tokens_decoder": _decoder({"<unk>": 0, "<s>": 1, "</s>": 2} | special),
            **texts,
            "clean_up_tokenization_spaces": False,
            "legacy": False,
            "model_max_length": 1000000000000000019884624838656,
            "processor_class": "LlavaProcessor",
            "sp_model_kwargs": {},
            "tokenizer_class": "LlamaTokenizer",
            "use_default_system_prompt": False,
            **more,
        },
    )


def _decoder(special: dict[str, int]) -> dict[str, dict[str, Any]]:
    return {
        str(at): {
            "content": name,
            "lstrip": False,
            "normalized": False,
            "rstrip": name in PHI3_SPECIAL,
            "single_word": False,
            "special": True,
        }
        for name, at in special.items()
    }


def _as_on_the_hub(model: PreTrainedModel, names: dict[str, str]) -> dict[str, Tensor]:
    def renamed(name: str) -> str:
        for here, there in names.items():
            if name.startswith(here):
                return there + name.removeprefix(here)
        return name

    return {renamed(name): weight for name, weight in model.state_dict().items()}


def _write_weights(
    folder: Path, weights: dict[str, Tensor], dtype: torch.dtype, shards: int
) -> None:
    """In shards, with the index that says where each tensor is."""
    names, where = sorted(weights), {}
    size = sum(weight.numel() for weight in weights.values()) * dtype.itemsize
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = names[shard * len(names) // shards : (shard + 1) * len(names) // shards]
        tensors = {name: weights[name].to(dtype).contiguous() for name in part}
        save_file(tensors, folder / file, metadata={"format": "pt"})
        where |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": size}, "weight_map": where}
    _write(folder, "model.safetensors.index.json", index)


def _write(folder: Path, name: str, content: dict[str, Any]) -> None:
    (folder / name).write_text(json.dumps(content, indent=2) + "\n")
