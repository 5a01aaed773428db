"""What differs between model families. This file alone knows architectures (and `checkpoint.py`
what their files lack).

Known to be exact: LLaVA (`LlavaForConditionalGeneration`, which LLaVA-1.5 and LLaVA-Phi-3 both are)
and Qwen2-VL. Any other model with one language model that is fed by placeholder tokens is taken on
trial, see `vlmlib/selfcheck.py`.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from vlmlib.decoder import Decoder
from vlmlib.errors import VLMError
from vlmlib.hooks import before
from vlmlib.prompts import PHI3_PROMPT, VICUNA_PROMPT

USE = "Use LLaVA, Qwen2-VL or a model built like them."


def decoder_of(model: PreTrainedModel) -> Decoder:
    """The parts of a model's language model.

    **Raises:** `VLMError` where there is no such model, or its attention takes no mask.

    !!! example

        >>> len(decoder_of(vlm.model).attentions)
        2
    """
    name = f"{type(model).__name__} (model type {model.config.model_type!r})"
    stack: Any = getattr(getattr(model, "model", None), "language_model", None)
    unembed: Any = model.get_output_embeddings()
    has_all = (
        hasattr(stack, "layers")
        and hasattr(stack, "norm")
        and hasattr(model.config, "image_token_id")
    )
    if model.config.is_encoder_decoder or unembed is None or not has_all:
        raise VLMError(
            f"{name} has no single causal language model that is fed by placeholder tokens, which "
            f"is what visual tokens and their attention edges are here. {USE}"
        )
    crossing = [
        index for index, layer in enumerate(stack.layers) if not hasattr(layer, "self_attn")
    ]
    if crossing:
        raise VLMError(
            f"{name} has decoder layers without self-attention (the first is layer {crossing[0]}): "
            "it reads the image "
            f"through cross-attention, so its sequence has no visual tokens to intervene on. {USE}"
        )
    text = model.config.get_text_config()
    if text._attn_implementation not in ("sdpa", "eager"):
        raise VLMError(
            f"This model's attention runs as {text._attn_implementation!r}, which takes no mask "
            'of edges. Load it with attn_implementation="sdpa" or "eager".'
        )
    window = getattr(text, "sliding_window", None)
    kinds = getattr(text, "layer_types", None)
    slides = (
        [kind == "sliding_attention" for kind in kinds]
        if kinds
        else [window is not None] * len(stack.layers)
    )
    return Decoder(
        stack=stack,
        embed=model.get_input_embeddings(),
        unembed=unembed,
        layers=list(stack.layers),
        attentions=[layer.self_attn for layer in stack.layers],
        norm=stack.norm,
        last_mlp=getattr(stack.layers[-1], "mlp", None),
        windows=[window if slide else None for slide in slides],
        heads=text.num_attention_heads,
        d_model=text.hidden_size,
    )


def completed(processor: Any, config: Any) -> Any:
    """The processor, with what some LLaVA processors lack: without it they count one image token
    too few.

    !!! example

        >>> completed(vlm.processor, vlm.model.config).patch_size
        4
    """
    if getattr(processor, "patch_size", 0) is None:
        processor.patch_size = config.vision_config.patch_size
        processor.vision_feature_select_strategy = config.vision_feature_select_strategy
        has_class_token = config.vision_config.model_type == "clip_vision_model"
        processor.num_additional_image_tokens = 1 if has_class_token else 0
    return processor


def prompt_of(model: PreTrainedModel, processor: Any) -> str:
    """The text around a question: the authors' for LLaVA-1.5 and LLaVA-Phi-3, else the processor's
    chat template.

    !!! example

        >>> prompt_of(vlm.model, vlm.processor)
        'USER: <image>\\n{question} ASSISTANT:'
    """
    is_llava, tokenizer = model.config.model_type == "llava", processor.tokenizer
    if is_llava and "<|assistant|>" in tokenizer.get_vocab():
        return PHI3_PROMPT
    content = [{"type": "image"}, {"type": "text", "text": "{question}"}]
    try:
        prompt = processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
    except ValueError as error:
        if is_llava:
            return VICUNA_PROMPT
        raise VLMError(
            f"This processor has no chat template: {error} Pass prompt= to VLM."
        ) from error
    if is_llava and prompt.startswith("USER:"):
        return VICUNA_PROMPT
    # the tokenizer adds the begin-of-sequence token itself, where there is one
    return prompt.removeprefix(tokenizer.bos_token or "").replace(processor.image_token, "<image>")


def grid_of(inputs: Mapping[str, Tensor], count: int, image_processor: Any) -> tuple[int, int]:
    """(rows, columns) of `count` visual tokens: merged patches where the processor counts them,
    else a square.

    !!! example

        >>> grid_of({}, 576, None)
        (24, 24)
    """
    if "image_grid_thw" in inputs:
        _, rows, cols = inputs["image_grid_thw"][0].tolist()
        return rows // image_processor.merge_size, cols // image_processor.merge_size
    side, pictures = math.isqrt(count), inputs.get("pixel_values")
    if (
        side * side != count
        or not count
        or (pictures is not None and (pictures.ndim != 4 or len(pictures) != 1))
    ):
        raise VLMError(
            f"{count} visual tokens are not the square grid of one picture, so regions of the "
            f"image cannot be found among them. {USE}"
        )
    return side, side


def decoder_input(
    model: PreTrainedModel, decoder: Decoder, inputs: Mapping[str, Tensor]
) -> dict[str, Any]:
    """Run the model until its language model is called, and return what it is called with.

    !!! example

        >>> sorted(decoder_input(vlm.model, vlm.decoder, stimulus.inputs))[-2:]
        ['position_ids', 'use_cache']
    """
    arguments: dict[str, Any] = {}

    def keep(_args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        arguments.update(kwargs)
        raise _Reached

    try:
        with torch.no_grad(), before(decoder.stack, keep):
            model(**inputs, use_cache=False, logits_to_keep=1)
    except _Reached:
        return arguments
    raise VLMError(
        f"{type(model).__name__} never called its language model, so its input cannot be read. "
        f"{USE}"
    )


class _Reached(Exception):  # noqa: N818, a signal and no error
    """Ends a forward pass at the language model's door."""
