"""From a region of the original image to visual tokens, against the pixels that the model receives.

The oracle: paint the region, process the image, and see which patches changed.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.tiny import PATCH, picture, tiny_vlm
from vlmlib import VLMError

VLM = tiny_vlm()


def changed_cells(image: Image.Image, mask: np.ndarray) -> np.ndarray:
    """Which patches of the processed image change when the region is painted."""
    painted = np.array(image)
    painted[mask] = 255 - painted[mask]
    before, after = (
        VLM.processor.image_processor(each, return_tensors="np")["pixel_values"][0]
        for each in (image, Image.fromarray(painted))
    )
    moved = np.abs(before - after).max(0) > 1e-6
    rows, cols = VLM.grid
    return moved.reshape(rows, PATCH, cols, PATCH).any((1, 3))


def cells_of(image: Image.Image, mask: np.ndarray) -> np.ndarray:
    stimulus = VLM.read(image, "Hi?")
    return torch.isin(stimulus.visual, stimulus.tokens_of(mask)).numpy().reshape(VLM.grid)


def grown(cells: np.ndarray) -> np.ndarray:
    padded = np.pad(cells, 1)
    rows, cols = cells.shape
    return np.any([padded[r : r + rows, c : c + cols] for r in range(3) for c in range(3)], axis=0)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), width=st.integers(6, 60), height=st.integers(6, 60))
def test_painting_a_box_changes_only_its_tokens_and_their_neighbours(data, width, height):
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    image = picture(1, (width, height))
    cells, changed = cells_of(image, mask), changed_cells(image, mask)
    if cells.any():
        assert not (changed & ~grown(cells)).any()
        assert not (cells & ~changed).any()


@pytest.mark.parametrize("size", [(16, 16), (40, 16), (16, 40), (5, 7), (320, 200)])
def test_a_mask_of_everything_is_every_token_and_an_empty_one_none(size):
    image = picture(2, size)
    assert cells_of(image, np.ones(size[::-1], bool)).all()
    assert not cells_of(image, np.zeros(size[::-1], bool)).any()


def test_a_region_that_the_centre_crop_removes_has_no_tokens():
    mask = np.zeros((16, 64), bool)
    mask[:, :16] = True
    assert not cells_of(picture(3, (64, 16)), mask).any()


def test_each_cell_comes_back_as_its_own_token():
    image = picture(4, (16, 16))
    for row in range(4):
        for col in range(4):
            mask = np.zeros((16, 16), bool)
            mask[row * PATCH : (row + 1) * PATCH, col * PATCH : (col + 1) * PATCH] = True
            assert np.argwhere(cells_of(image, mask)).tolist() == [[row, col]]


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(VLMError, match=r"needs a boolean mask \[height, width\] of shape \(16, 22\)"):
        VLM.read(picture(), "Hi?").tokens_of(np.ones((22, 16), bool))


def test_a_mask_of_another_type_is_refused():
    with pytest.raises((VLMError, TypeError)):  # TypeError where shapes and types are checked at every call
        VLM.read(picture(), "Hi?").tokens_of(np.ones((16, 22), np.uint8))


@pytest.mark.parametrize(("rows_of_four", "covered"), [(3, True), (1, False)])
def test_a_pixel_counts_from_half_coverage_on(rows_of_four, covered):
    mask = np.zeros((128, 128), bool)
    mask[np.arange(128) % 4 < rows_of_four] = True  # thinner than a processed pixel: every one is covered to that share
    assert (cells_of(picture(5, (128, 128)), mask) == covered).all()
