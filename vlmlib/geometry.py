"""Where a region of an image lands on the grid of visual tokens."""

import numpy as np
from jaxtyping import Bool
from PIL import Image
from transformers import BaseImageProcessor


def covered_patches(
    image_processor: BaseImageProcessor, mask: Bool[np.ndarray, "height width"], grid: tuple[int, int]
) -> Bool[np.ndarray, "row col"]:
    """The patches in which some processed pixel is at least half covered by the mask.

    The mask is given to the image processor as a white-on-black picture; its normalisation is left out, so that the
    values that come back are shares of coverage.

    **Arguments:** the processor; a mask of the original image; `grid`, the (rows, columns) of the visual tokens.

    **Returns:** bool `[row, col]`.

    !!! example

        >>> from transformers import CLIPImageProcessor
        >>> processor = CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
        >>> left = np.zeros((16, 16), bool); left[:, :8] = True
        >>> covered_patches(processor, left, (2, 2)).tolist()
        [[True, False], [True, False]]
    """
    picture = Image.fromarray(mask.astype(np.uint8) * 255).convert("RGB")
    processed = image_processor(picture, do_normalize=False, return_tensors="np")["pixel_values"]
    coverage = np.asarray(processed)[0, 0]
    rows, cols = grid
    height, width = coverage.shape
    patches = coverage.reshape(rows, height // rows, cols, width // cols)
    return patches.max(axis=(1, 3)) >= 0.5
