"""Where a region of an image lands on the grid of visual tokens."""

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image
from transformers import BaseImageProcessor

from vlmlib.errors import VLMError


def covered_patches(
    image_processor: BaseImageProcessor,
    mask: Bool[np.ndarray, "height width"],
    grid: tuple[int, int],
) -> Bool[np.ndarray, "row col"]:
    """The patches in which some processed pixel is at least half covered by the mask.

    The mask is given to the image processor as a white-on-black picture, so that cropping, padding
    and merging need no second implementation. Normalisation is left out: the values that come back
    are shares of coverage. What a crop removes is on no patch, and patches that show only padding
    are covered by no mask.

    **Arguments:** the processor; a mask of the original image; `grid`, the (rows, columns) of the
    visual tokens.

    **Returns:** bool `[row, col]`.

    **Raises:** `VLMError` if the processor makes neither one picture nor rows of patches of the
    image.

    !!! example

        >>> from transformers import CLIPImageProcessor
        >>> processor = CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
        >>> left = np.zeros((16, 16), bool); left[:, :8] = True
        >>> covered_patches(processor, left, (2, 2)).tolist()
        [[True, False], [True, False]]
    """
    # padding is grey, not black: what remains after taking an empty mask off is the mask alone
    white, black = (_processed(image_processor, each) for each in (mask, np.zeros_like(mask)))
    return _by_token(white - black, grid).max(axis=-1) >= 0.5


def _processed(
    image_processor: BaseImageProcessor, mask: Bool[np.ndarray, "height width"]
) -> Float[np.ndarray, "*layout"]:
    picture = Image.fromarray(mask.astype(np.uint8) * 255).convert("RGB")
    return np.asarray(
        image_processor(picture, do_normalize=False, return_tensors="np")["pixel_values"]
    )


def _by_token(
    values: Float[np.ndarray, "*layout"], grid: tuple[int, int]
) -> Float[np.ndarray, "row col value"]:
    rows, cols = grid
    if values.ndim == 2 and len(values) % (rows * cols) == 0:
        # Qwen2-VL: one row per patch, and the patches that merge into one token follow one another
        return values.reshape(rows, cols, -1)
    if (
        values.ndim == 4
        and len(values) == 1
        and values.shape[2] % rows == values.shape[3] % cols == 0
    ):
        channels, height, width = values.shape[1:]
        patches = values.reshape(channels, rows, height // rows, cols, width // cols)
        return patches.transpose(1, 3, 0, 2, 4).reshape(rows, cols, -1)
    raise VLMError(
        f"The image processor makes pixel values of shape {values.shape}, in which a grid of "
        f"{rows} x {cols} visual tokens cannot be found. Use one that makes a single picture [1, "
        "channels, height, width] of sides that the grid divides, or [patches, values] in the "
        "order of the tokens, as CLIP's, LLaVA's and Qwen2-VL's do."
    )
