"""One prompt with one image, as the language model receives it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import BaseImageProcessor

from vlmlib.errors import VLMError
from vlmlib.geometry import covered_patches


@dataclass(frozen=True, eq=False)
class Stimulus:
    """What `VLM.read` returns: the input of the language model and where the image stands in it.

    - `prompt`: the text, with one image token standing for the image.
    - `inputs`: what the processor made of image and prompt, as the model is called with it.
    - `embeddings`: `[seq, d_model]`, text embeddings and the adapter's output.
    - `position_ids`: as the language model received them, a leading batch axis of one included.
    - `visual`: `[token]`, positions of the visual tokens, in row-major order of the grid.
    - `grid`: (rows, columns) of the visual tokens.
    - `image_size`: (height, width) of the original image, in pixels.
    """

    prompt: str
    inputs: Mapping[str, Tensor] = field(repr=False)
    embeddings: Float[Tensor, "seq d_model"] = field(repr=False)
    position_ids: Int[Tensor, "*axes seq"] = field(repr=False)
    visual: Int[Tensor, " token"]
    grid: tuple[int, int]
    image_size: tuple[int, int]
    image_processor: BaseImageProcessor = field(repr=False)

    @property
    def input_ids(self) -> Int[Tensor, " seq"]:
        """The token of every position, the image token once per visual token."""
        return self.inputs["input_ids"][0]

    @property
    def last(self) -> int:
        """The last token position, whose logits predict the next token."""
        return len(self.embeddings) - 1

    def tokens_of(self, mask: Bool[np.ndarray, "height width"]) -> Int[Tensor, " token"]:
        """The visual tokens that a region of the original image falls on.

        The mask runs through the model's own image processor, so that resizing and cropping need no
        second implementation; a token belongs to the region if some processed pixel of its patch is
        at least half covered.

        **Arguments:** `mask`: bool `[height, width]` of the original image.

        **Returns:** ascending positions in the sequence; none where the region was empty or cropped
        away.

        **Raises:** `VLMError` if the mask is not of the image's size.

        !!! example

            >>> import numpy as np
            >>> whole = np.ones(stimulus.image_size, bool)
            >>> len(stimulus.tokens_of(whole)) == len(stimulus.visual)
            True
        """
        if mask.shape != self.image_size or mask.dtype != np.bool_:
            raise VLMError(
                f"tokens_of was given a mask of shape {mask.shape} and type {mask.dtype}; this "
                f"image needs a boolean mask [height, width] of shape {self.image_size}, one "
                "entry per pixel of the original image."
            )
        covered = covered_patches(self.image_processor, mask, self.grid)
        return self.visual[covered.ravel()]
