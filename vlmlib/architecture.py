"""What differs between model families. This module alone knows architectures: their classes, module
names, special tokens and prompts.

Known to be exact: LLaVA (`LlavaForConditionalGeneration`, which LLaVA-1.5 and LLaVA-Phi-3 both are)
and Qwen2-VL. Any other model with one language model that is fed by placeholder tokens is taken on
trial, see `vlmlib/selfcheck.py`.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Int
from PIL import Image
from torch import Tensor
from transformers import BatchFeature, PreTrainedModel, Qwen2VLImageProcessorPil

from vlmlib.decoder import Decoder
from vlmlib.errors import VLMError
from vlmlib.hooks import before

USE = "Use LLaVA, Qwen2-VL or a model built like them."
A_HUB_ID = "llava-hf/llava-1.5-7b-hf"
# The paper's authors' prompts for LLaVA-1.5 and LLaVA-Phi-3.
VICUNA_PROMPT = "USER: <image>\n{question} ASSISTANT:"
PHI3_PROMPT = "<|user|>\n<image>{question}<|end|>\n<|assistant|>\n"
# Families whose processor also wants videos, which need torchvision: by model type, the class of
# their image processor and their image token.
WITHOUT_VIDEO = {"qwen2_vl": (Qwen2VLImageProcessorPil, "<|image_pad|>")}


def decoder_of(model: PreTrainedModel) -> Decoder:
    """The parts of a model's language model.

    **Raises:** `VLMError` where there is no such model, or its attention takes no mask.

    !!! example

        >>> len(decoder_of(vlm.model).attentions)
        2
    """
    stack: Any = getattr(getattr(model, "model", None), "language_model", None)
    unembed: Any = model.get_output_embeddings()
    _check_decoder(model, stack, unembed)
    text = model.config.get_text_config()
    return Decoder(
        stack=stack,
        embed=model.get_input_embeddings(),
        unembed=unembed,
        layers=list(stack.layers),
        attentions=[layer.self_attn for layer in stack.layers],
        norm=stack.norm,
        last_mlp=getattr(stack.layers[-1], "mlp", None),
        windows=_windows(text, len(stack.layers)),
        heads=text.num_attention_heads,
        d_model=text.hidden_size,
    )


def image_side(model: PreTrainedModel) -> tuple[Any, Any]:
    """The image encoder and the adapter, which in Qwen2-VL is a part of the encoder.

    **Raises:** `VLMError` for a model that is neither a LLaVA nor a Qwen2-VL.

    !!! example

        >>> encoder, adapter = image_side(vlm.model)
        >>> type(adapter).__name__
        'LlavaMultiModalProjector'
    """
    inner: Any = getattr(model, "model", None)
    if model.config.model_type == "llava":
        return inner.vision_tower, inner.multi_modal_projector
    if model.config.model_type == "qwen2_vl":
        return inner.visual, inner.visual.merger
    raise VLMError(f"{type(model).__name__} is none of the models whose parts are known. {USE}")


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
    is_llava = model.config.model_type == "llava"
    if is_llava and "<|assistant|>" in processor.tokenizer.get_vocab():
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
    begin = processor.tokenizer.bos_token or ""
    return prompt.removeprefix(begin).replace(processor.image_token, "<image>")


def visual_of(model: PreTrainedModel, input_ids: Int[Tensor, " seq"]) -> Int[Tensor, " token"]:
    """The positions of the visual tokens, which stand where the text has placeholder tokens.

    !!! example

        >>> torch.equal(visual_of(vlm.model, stimulus.input_ids), stimulus.visual)
        True
    """
    return (input_ids == model.config.image_token_id).nonzero()[:, 0]


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
    is_one_picture = pictures is None or (pictures.ndim == 4 and len(pictures) == 1)
    if side * side != count or not count or not is_one_picture:
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


class ImageTextProcessor:
    """An image processor and a tokenizer as one, for checkpoints whose own processor also wants
    video (`WITHOUT_VIDEO`).

    The image token of the text is repeated once per visual token, which a merge of `merge_size` x
    `merge_size` patches becomes, as in Qwen2-VL.
    """

    def __init__(self, image_processor: Any, tokenizer: Any, image_token: str):
        self.image_processor = image_processor
        self.tokenizer = tokenizer
        self.image_token = image_token

    def __call__(self, images: Image.Image, text: str, return_tensors: str) -> BatchFeature:
        inputs = self.image_processor(images, return_tensors=return_tensors)
        count = int(inputs["image_grid_thw"].prod()) // self.image_processor.merge_size**2
        text = text.replace(self.image_token, self.image_token * count)
        inputs.update(self.tokenizer(text, return_tensors="pt"))
        of_image = inputs["input_ids"] == self.tokenizer.convert_tokens_to_ids(self.image_token)
        inputs["mm_token_type_ids"] = of_image.long()
        return inputs

    def apply_chat_template(self, conversation: list[dict], add_generation_prompt: bool) -> str:
        return self.tokenizer.apply_chat_template(
            conversation, add_generation_prompt=add_generation_prompt, tokenize=False
        )


class _Reached(Exception):  # noqa: N818, a signal and no error
    """Ends a forward pass at the language model's door."""


def _check_decoder(model: PreTrainedModel, stack: Any, unembed: Any) -> None:
    name = f"{type(model).__name__} (model type {model.config.model_type!r})"
    is_stack = hasattr(stack, "layers") and hasattr(stack, "norm")
    has_placeholder = hasattr(model.config, "image_token_id")
    if model.config.is_encoder_decoder or unembed is None or not (is_stack and has_placeholder):
        raise VLMError(
            f"{name} has no single causal language model that is fed by placeholder tokens, which "
            f"is what visual tokens and their attention edges are here. {USE}"
        )
    crossing = [layer for layer, each in enumerate(stack.layers) if not hasattr(each, "self_attn")]
    if crossing:
        raise VLMError(
            f"{name} has decoder layers without self-attention (the first is layer {crossing[0]}): "
            "it reads the image through cross-attention, so its sequence has no visual tokens to "
            f"intervene on. {USE}"
        )
    attention = model.config.get_text_config()._attn_implementation
    if attention not in ("sdpa", "eager"):
        raise VLMError(
            f"This model's attention runs as {attention!r}, which takes no mask of edges. "
            'Load it with attn_implementation="sdpa" or "eager".'
        )


def _windows(text: Any, layers: int) -> list[int | None]:
    """For each layer how many positions, itself included, a position attends to; None for all."""
    window = getattr(text, "sliding_window", None)
    kinds = getattr(text, "layer_types", None)
    if not kinds:
        return [window] * layers
    return [window if kind == "sliding_attention" else None for kind in kinds]
