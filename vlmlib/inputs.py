"""What a processor makes of an image and a prompt, as a model is called with it."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vlmlib.errors import ImageError, VLMError
from vlmlib.pictures import as_rgb

NAME = "<image>"  # of an image in a prompt, as `VLM` is given it
TARGETS = ("labels",)  # which a processor may make, and of which a model computes a loss
# What PIL and image processors raise for a broken or an impossible picture, or for settings that
# mean nothing.
UNREADABLE = (
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    RuntimeWarning,  # where warnings are errors
    StopIteration,  # more places for images than images
    SyntaxError,
    TypeError,
    ValueError,
    ZeroDivisionError,
    Image.DecompressionBombError,
)


def inputs_of(
    processor: Any,
    image: Image.Image,
    prompt: str,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """The input of a model, but for what it would be trained on.

    **Arguments:** an image, made RGB; a prompt with the processor's image token in it; where the
    model is, and in which type, which pixels are put into.

    **Raises:** `ImageError` for an image that cannot be read; `VLMError` for several prompts, and a
    padded one.

    !!! example

        >>> inputs_of(vlm.processor, image, "<image> Hi?")["pixel_values"].shape
        torch.Size([1, 3, 16, 16])
    """
    try:
        inputs = processor(images=as_rgb(image), text=prompt, return_tensors="pt")
    except UNREADABLE as error:
        size = f"{image.width} x {image.height}"
        reason = str(error) or type(error).__name__
        raise ImageError(
            f"An image of {size} pixels could not be processed: {reason}. Check the file; where "
            "it is every image, the settings of the processor."
        ) from error
    made = inputs.to(device, dtype)
    _check_one(processor, made)
    _check_unpadded(made)
    return {name: value for name, value in made.items() if name not in TARGETS}


def pictures_of(processor: Any) -> Callable[..., Any]:
    """A processor's image processor, called as the processor calls it: some cut pictures into tiles
    only where they are asked to.

    !!! example

        >>> pictures_of(vlm.processor)(image, return_tensors="np")["pixel_values"].shape
        (1, 3, 16, 16)
    """
    kinds = getattr(processor, "valid_processor_kwargs", None)
    older = getattr(kinds, "_defaults", {}).get("images_kwargs", {})
    asked = {**getattr(processor, "images_kwargs", {}), **older}
    return partial(processor.image_processor, **asked)


def _check_one(processor: Any, inputs: Mapping[str, Tensor]) -> None:
    """A processor may write prompts of its own, whatever it is given."""
    ids = inputs.get("input_ids")
    if ids is not None and len(ids) != 1:
        raise VLMError(
            f"{type(processor).__name__} makes {len(ids)} prompts of one image and one text, where "
            "that text alone was to be read. Use a model whose processor reads what it is given."
        )


def _check_unpadded(inputs: Mapping[str, Tensor]) -> None:
    """A padded prompt has positions at which nothing is asked, such as its last one."""
    mask = inputs.get("attention_mask")
    if mask is not None and (padded := int((mask == 0).sum())):
        raise VLMError(
            f"The processor pads the prompt: {padded} of its {mask.numel()} positions are masked, "
            "where all were to be read. Take padding and max_length out of tokenizer_config.json "
            "and processor_config.json (or processor.tokenizer.init_kwargs)."
        )


def written_of(processor: Any, image_token: int, image: Image.Image) -> str:
    """What a text has in the place of an image: the processor's image token, or `<image>` where the
    processor takes that alone; nothing where it puts an image's placeholders before any text, so
    that one more in the text stands for nothing.

    **Arguments:** a processor; the model's id of a placeholder; any image.

    !!! example

        >>> written_of(vlm.processor, vlm.image_token, image)
        '<image>'
    """

    def count(text: str) -> int:
        try:
            made = inputs_of(processor, image, text)
        except ImageError:  # places in the text and pictures are not as many
            return 0
        return int((made["input_ids"] == image_token).sum())

    token = str(processor.image_token)
    alone, beside = count("Hi?"), count(f"{token}Hi?")
    if 0 < alone != beside:
        return ""
    return token if beside or not count(f"{NAME}Hi?") else NAME
