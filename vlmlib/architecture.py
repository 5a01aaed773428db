"""What differs between model families. This module alone knows architectures: their classes, module
names, special tokens and prompts.

Known to be exact: LLaVA (`LlavaForConditionalGeneration`, which LLaVA-1.5 and LLaVA-Phi-3 both are)
and Qwen2-VL. Any other model with one language model that is fed by placeholder tokens is taken on
trial, see `vlmlib/selfcheck.py`.
"""

import inspect
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Int
from jinja2 import TemplateError
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel

from vlmlib.decoder import Decoder
from vlmlib.errors import LackingError, VLMError
from vlmlib.geometry import Grid
from vlmlib.hooks import before, hidden_in
from vlmlib.prompts import ASKED, ASKED_OF_IMAGE, begun_once, check_prompt, templated

USE = "Use LLaVA, Qwen2-VL or a model built like them."
A_HUB_ID = "llava-hf/llava-1.5-7b-hf"
# The paper's authors' prompts for LLaVA-1.5 and LLaVA-Phi-3.
VICUNA_PROMPT = "USER: <image>\n{question} ASSISTANT:"
PHI3_PROMPT = "<|user|>\n<image>{question}<|end|>\n<|assistant|>\n"
PHI3_TOKENS = ("<|user|>", "<|end|>", "<|assistant|>")
KINDS = "mm_token_type_ids"  # of tokens: of text, of an image
KEPT = "logits_to_keep"  # positions of which a model is asked for logits
PARTS = ("tokenizer", "image_processor", "image_token")  # of a processor
# What a model's own code raises where its inputs and its weights do not go together.
DO_NOT_FIT = (IndexError, RuntimeError, TypeError, ValueError)


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


def half_of(model_type: Any) -> str:
    """The type of 16 bits in which a family is run: LLaVA in float16, as the paper's authors ran
    it, all others in bfloat16, whose range is float32's.

    !!! example

        >>> half_of("llava"), half_of("qwen2_vl")
        ('float16', 'bfloat16')
    """
    return "float16" if model_type == "llava" else "bfloat16"


def completed(processor: Any, model: PreTrainedModel) -> Any:
    """The processor, with what processors of some versions lack: LLaVA's how many visual tokens the
    model makes of a picture, for each of which the prompt needs a placeholder; others the kinds of
    tokens, which they say that they give, and which the model takes.

    **Raises:** `VLMError` for a processor that does not read images, or has no token for them.

    !!! example

        >>> completed(vlm.processor, vlm.model).patch_size
        4
    """
    config = model.config
    lacks = [part for part in PARTS if not hasattr(processor, part)]
    if lacks:
        raise VLMError(
            f"{type(processor).__name__} has no {' and no '.join(lacks)}, so that a picture cannot "
            "be read with it, or not be found in its prompt. Pass the model's own processor of "
            "images and text (AutoProcessor.from_pretrained); if this is it, use another model, "
            "whose processor has one token for each part of a picture."
        )
    if config.model_type == "llava" and hasattr(processor, "num_additional_image_tokens"):
        # absent, it is read as 0, which for an encoder with a class token is one too few
        has_class_token = config.vision_config.model_type == "clip_vision_model"
        processor.num_additional_image_tokens = int(has_class_token)
        if processor.patch_size is None:
            processor.patch_size = config.vision_config.patch_size
        if processor.vision_feature_select_strategy is None:
            processor.vision_feature_select_strategy = config.vision_feature_select_strategy
    takes = inspect.signature(type(model).forward).parameters
    if KINDS in takes and KINDS in getattr(processor, "model_input_names", ()):
        processor.return_mm_token_type_ids = True
    return processor


def image_token_of(model: PreTrainedModel, processor: Any) -> int:
    """The id of the token that stands in the model's sequence for each part of an image: the
    model's own word for it, or the processor's where it has none.

    **Raises:** `VLMError` for an id outside the vocabulary, and a tokenizer that is larger than it.

    !!! example

        >>> image_token_of(vlm.model, vlm.processor) == vlm.model.config.image_token_id
        True
    """
    tokenizer, rows = processor.tokenizer, model.get_input_embeddings().weight.shape[0]  # pyright: ignore
    made = tokenizer.convert_tokens_to_ids(str(processor.image_token))
    found = getattr(model.config, "image_token_id", made)
    if not isinstance(found, int) or not 0 <= found < rows:
        raise VLMError(
            f"The model's image token has the id {found!r} (image_token_id or "
            f"image_token_index in config.json), but its vocabulary ends at {rows - 1}. Take the "
            "config.json that belongs to these weights."
        )
    if len(tokenizer) > rows:
        raise VLMError(
            f"The tokenizer has {len(tokenizer)} tokens, but the model has embeddings of {rows}. "
            "Take the tokenizer that was saved with this model."
        )
    return found


def check_image_token(processor: Any, expected: int, count: int) -> None:
    """See that processor and model mean the same token by a placeholder of the image: some
    processors write another one, in whose place they put the model's.

    **Arguments:** the processor; the model's id of it, and how often it stands in a prompt with a
    picture.

    **Raises:** `VLMError` that names both ids.

    !!! example

        >>> image = vlm.model.config.image_token_id
        >>> check_image_token(vlm.processor, image, count=len(stimulus.visual))
    """
    token = str(processor.image_token)
    made = processor.tokenizer.convert_tokens_to_ids(token)
    if count or made == expected:
        return
    raise VLMError(
        f"The processor's image token {token!r} has the id {made} in its "
        f"tokenizer, but the model's has {expected} (image_token_id or image_token_index in "
        "config.json), which stands nowhere in a prompt with a picture. Take the tokenizer and the "
        "processor that were saved with this model."
    )


def run_all_positions(decoder: Decoder) -> None:
    """Let every layer run on every position from now on: a stack may leave out of its last layers
    those of which no logits are asked (Gemma 4's, which take keys of earlier layers), where nothing
    could be read or replaced.

    !!! example

        >>> run_all_positions(vlm.decoder)
    """
    if KEPT in inspect.signature(type(decoder.stack).forward).parameters:
        decoder.stack.register_forward_pre_hook(_keep_all, with_kwargs=True)


def _keep_all(_stack: Any, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
    return args, {name: each for name, each in kwargs.items() if name != KEPT}


def check_runs(model: PreTrainedModel, decoder: Decoder, inputs: Mapping[str, Tensor]) -> None:
    """Run the model once, as it is: what goes wrong here is its own, and no intervention's.

    **Raises:** `VLMError` with what it raised, and where its layers are not given one row of hidden
    states for each position, or its logits are not of these positions.

    !!! example

        >>> check_runs(vlm.model, vlm.decoder, stimulus.inputs)
    """
    shapes: list[tuple[int, ...]] = []

    def look(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        shapes.append(tuple(hidden_in(args, kwargs).shape))
        return args, kwargs

    with fitting(model), torch.no_grad(), before(decoder.layers[0], look):
        rows = model(**inputs, use_cache=False, logits_to_keep=1).logits.shape[-2]
    one_each = (*inputs["input_ids"].shape, decoder.d_model)
    if shapes[0] != one_each:
        raise VLMError(
            f"{type(model).__name__} cannot be intervened on: its first layer is given hidden "
            f"states of shape {list(shapes[0])}, where one stream of {list(one_each)} is expected. "
            f"{USE}"
        )
    if rows not in (1, length := inputs["input_ids"].shape[-1]):
        raise VLMError(
            f"{type(model).__name__} cannot be measured: of a prompt of {length} tokens it gives "
            f"the logits of {rows} positions, which are not those of the prompt, so that none is "
            f"its next token. {USE}"
        )


def prompt_of(model: PreTrainedModel, processor: Any, image: Image.Image) -> str:
    """The text around a question: the authors' for LLaVA-1.5 and LLaVA-Phi-3, where the chat
    template is of its kind or missing; else the processor's chat template, with which it reads any
    image to see how a text begins.

    !!! example

        >>> prompt_of(vlm.model, vlm.processor, image)
        'USER: <image>\\n{question} ASSISTANT:'
    """
    if model.config.model_type == "llava" and (authors := _authors_prompt(processor)):
        return authors
    try:
        template = templated(processor)
    except (TemplateError, TypeError) as error:
        raise VLMError(
            f"The chat template of this processor is broken ({error}), or takes no images. Save "
            "it again, or pass prompt= to VLM."
        ) from error
    except ValueError as error:
        raise VLMError(
            f"This processor has no chat template: {error} Pass prompt= to VLM."
        ) from error
    token = str(processor.image_token)
    check_prompt(template.replace(token, "<image>"))
    return begun_once(processor, template, image).replace(token, "<image>")


def _authors_prompt(processor: Any) -> str | None:
    """The authors' prompt for a LLaVA of its kind, which its chat template tells, or its special
    tokens where it has none."""
    tokenizer = processor.tokenizer
    has_phi3s = tokenizer.get_vocab().keys() >= {*PHI3_TOKENS}
    for content in (ASKED_OF_IMAGE, ASKED["text"]):
        try:
            template = templated(processor, content)
        except ValueError:
            return PHI3_PROMPT if has_phi3s else VICUNA_PROMPT
        except (TemplateError, TypeError):  # it may take text alone
            continue
        if template.startswith("USER:"):
            return VICUNA_PROMPT
        begun = template.removeprefix(tokenizer.bos_token or "")
        has_phi3s &= begun.startswith(PHI3_TOKENS[0])
        return PHI3_PROMPT if has_phi3s and all(each in begun for each in PHI3_TOKENS) else None
    return None


def grids_of(
    inputs: Mapping[str, Tensor], visual: Int[Tensor, " token"], image_processor: Any
) -> list[Grid]:
    """(rows, columns) of the visual tokens, view by view: merged patches where the processor counts
    them; else square cells of each picture that it makes, in the order of these; or of the first
    one, and of all others as one picture in tiles, whose rows are apart by a token that shows
    nothing.

    A guess, which `vlmlib/sight.py` tests.

    **Arguments:** what the processor made; the positions of the tokens that show anything.

    **Raises:** `LackingError` where the tokens cannot be such grids.

    !!! example

        >>> grids_of({"pixel_values": torch.zeros(1, 3, 336, 336)}, torch.arange(576), None)
        [(24, 24)]
        >>> grids_of({"pixel_values": torch.zeros(1, 5, 3, 28, 56)}, torch.arange(40), None)[:2]
        [(2, 4), (2, 4)]
    """
    count = len(visual)
    counted = inputs.get("image_grid_thw", inputs.get("image_grid_hw"))
    if counted is not None and len(counted) == 1 and count:
        *frames, rows, cols = counted[0].tolist()
        merged = math.isqrt(rows * cols // count)
        whole = rows % max(merged, 1) == cols % max(merged, 1) == 0
        if frames in ([], [1]) and whole and rows * cols == count * merged**2:
            return [(rows // merged, cols // merged)]
    pixels = inputs.get("pixel_values")
    if pixels is None or pixels.ndim < 4:
        raise _no_grids(count, pixels)
    views, runs = pixels.shape[:-3].numel(), _runs(visual)
    in_rows = views > 1 and len(runs) > 1 and len({*runs[1:]}) == 1
    if in_rows and (first := _square_cells(pixels, runs[0] - runs[-1])):
        return [first, (len(runs), runs[-1])]
    if views and count and count % views == 0 and (grid := _square_cells(pixels, count // views)):
        return [grid] * views
    raise _no_grids(count, pixels)


def _no_grids(count: int, pixels: Tensor | None) -> LackingError:
    made = "no pictures" if pixels is None else f"pixel values of shape {tuple(pixels.shape)}"
    return LackingError(
        f"{count} visual tokens are no grids of square cells of what the image processor makes "
        f"({made}), so that regions of the image cannot be found among them. Ask what needs no "
        "regions: descriptions, lenses, gradients, all visual tokens or random ones."
    )


def _square_cells(pixels: Tensor, count: int) -> Grid | None:
    """The grid of so many square cells of a picture, if there is one."""
    height, width = pixels.shape[-2:]
    rows = math.isqrt(round(max(count, 0) * height / width))
    cols = count // max(rows, 1)
    return (rows, cols) if rows * cols == count > 0 and rows * width == cols * height else None


def _runs(positions: Int[Tensor, " token"]) -> list[int]:
    """How many positions follow one another without a gap, stretch by stretch."""
    ends = [0, *((positions.diff() > 1).nonzero()[:, 0] + 1).tolist(), len(positions)]
    return [after - before for before, after in pairwise(ends)]


def decoder_input(
    model: PreTrainedModel, decoder: Decoder, inputs: Mapping[str, Tensor]
) -> dict[str, Any]:
    """Run the model until its language model is called, and return what it is called with.

    **Raises:** `VLMError` if it cannot run on these inputs.

    !!! example

        >>> sorted(decoder_input(vlm.model, vlm.decoder, stimulus.inputs))[-2:]
        ['position_ids', 'use_cache']
    """
    arguments: dict[str, Any] = {}

    def keep(_args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        arguments.update(kwargs)
        raise _Reached

    try:
        with fitting(model), torch.no_grad(), before(decoder.stack, keep):
            model(**inputs, use_cache=False, logits_to_keep=1)
    except _Reached:
        return arguments
    raise VLMError(
        f"{type(model).__name__} never called its language model, so its input cannot be read. "
        f"{USE}"
    )


@contextmanager
def fitting(model: PreTrainedModel) -> Iterator[None]:
    """While the context lasts, what a model raises on inputs that do not fit it is a `VLMError`;
    that memory ran out stays an error of its own, which smaller passes may mend.

    !!! example

        >>> with fitting(vlm.model):
        ...     logits = vlm.model(**stimulus.inputs).logits
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except DO_NOT_FIT as error:
        reason = " ".join(str(error).split())[:500]
        raise VLMError(
            f"{type(model).__name__} cannot run on what its processor made of a picture and a "
            f"prompt ({type(error).__name__}: {reason}). Take the processor that was saved with "
            "this model (its settings say how many tokens a picture has), keep all of the model "
            "in one type, on one device or where accelerate spread it, and ask with a prompt that "
            "it has positions for."
        ) from error


class _Reached(Exception):  # noqa: N818, a signal and no error
    """Ends a forward pass at the language model's door."""


def check_attention(decoder: Decoder) -> None:
    """See that a model's attention takes a mask of edges.

    **Raises:** `VLMError` that says how to load it.

    !!! example

        >>> check_attention(vlm.decoder)
    """
    attention = decoder.stack.config._attn_implementation  # pyright: ignore
    if attention not in ("sdpa", "eager"):
        raise VLMError(
            f"This model's attention runs as {attention!r}, which takes no mask of edges. "
            'Load it with attn_implementation="sdpa" or "eager".'
        )
