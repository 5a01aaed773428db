"""From a region of the original image to visual tokens, for each way in which image processors lay
out an image.

Oracles that share no code with it: paint the region, process the image and see which patches
changed; where an image lies in its padding, by arithmetic; the row and column that the language
model itself is told for a token. Fails if a token is off by one, if padding or what a crop removes
counts as covered, or if merged patches are read in scan order.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import LlavaImageProcessorPil

from tests.tiny import PATCH, SIDE, picture, tiny_processor, tiny_qwen, tiny_vlm
from vlmlib import VLM, VLMError
from vlmlib.geometry import centres, covered_patches


def padding_vlm() -> VLM:
    """A LLaVA whose images are padded to a square, in grey, where others are cropped to one."""
    processor = tiny_processor()
    processor.image_processor = LlavaImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, do_pad=True
    )
    return VLM(tiny_vlm().model, processor)


CROPS, PADS, MERGES = VLMS = [tiny_vlm(), padding_vlm(), tiny_qwen()]
every_layout = pytest.mark.parametrize("vlm", VLMS, ids=["crops", "pads", "merges"])
MERGED = 2 * PATCH


def cells_of(vlm: VLM, image: Image.Image, mask: np.ndarray) -> np.ndarray:
    """Which cells of the grid the region's tokens are."""
    stimulus = vlm.read(image, "Hi?")
    return torch.isin(stimulus.visual, stimulus.tokens_of(mask)).numpy().reshape(stimulus.grid)


def changed_cells(vlm: VLM, image: Image.Image, mask: np.ndarray) -> np.ndarray:
    """Which cells of the processed image change when the region of a dark image is painted
    white."""
    painted = np.array(image)
    painted[mask] = 255
    inputs = [
        vlm.processor.image_processor(each, return_tensors="np")
        for each in (image, Image.fromarray(painted))
    ]
    before, after = (each["pixel_values"] for each in inputs)
    moved = np.abs(before - after) > 1e-6
    if "image_grid_thw" not in inputs[0]:
        return moved[0].any(0).reshape(SIDE // PATCH, PATCH, SIDE // PATCH, PATCH).any((1, 3))
    _, height, width = inputs[0]["image_grid_thw"][0]
    cells = np.zeros((height // 2, width // 2), bool)
    # in merge order: four patches of one token, then the next token's
    for index, patch in enumerate(moved):
        row, col = divmod(index // 4, width // 2)
        cells[row, col] |= patch.any()
    return cells


def box(height: int, width: int, top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    return mask


def dark(size: tuple[int, int]) -> Image.Image:
    return picture(1, size).point([value // 4 for value in range(256)] * 3)


def grown(cells: np.ndarray) -> np.ndarray:
    padded = np.pad(cells, 1)
    rows, cols = cells.shape
    return np.any([padded[r : r + rows, c : c + cols] for r in range(3) for c in range(3)], axis=0)


def shown(vlm: VLM, side: int, length: int, other: int, begin: int, end: int) -> float:
    """How many pixels of a processed side show a stretch of the original one; negative where it
    lies outside."""
    scale = {
        CROPS: SIDE / min(length, other),
        PADS: SIDE / max(length, other),
        MERGES: side / length,
    }[vlm]
    start = (side - length * scale) / 2
    return min(start + end * scale, side) - max(start + begin * scale, 0)


@pytest.mark.slow
@every_layout
@settings(max_examples=100, deadline=None)
@given(data=st.data(), width=st.integers(6, 60), height=st.integers(6, 60))
def test_painting_a_box_changes_its_tokens_and_their_neighbours(vlm, data, width, height):
    """Painting a box changes every one of its tokens and only their neighbours."""
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    mask = box(height, width, top, left, bottom, right)
    image = dark((width, height))
    cells, changed = cells_of(vlm, image, mask), changed_cells(vlm, image, mask)
    rows, cols = (PATCH if vlm is not MERGES else MERGED) * np.array(cells.shape)
    thinnest = min(
        shown(vlm, rows, height, width, top, bottom), shown(vlm, cols, width, height, left, right)
    )
    assert not (cells & ~changed).any()
    if thinnest >= 2:  # thinner ones, or what a crop leaves of them, may cover no pixel by half
        assert cells.any()
        assert not (changed & ~grown(cells)).any()
    if thinnest < -1:
        assert not cells.any()


SIZES = [(16, 16), (40, 16), (16, 40), (9, 7), (320, 200)]


@every_layout
@pytest.mark.parametrize("size", SIZES)
def test_an_empty_mask_is_no_token(vlm, size):
    assert not cells_of(vlm, picture(2, size), np.zeros(size[::-1], bool)).any()


@pytest.mark.parametrize("vlm", [CROPS, MERGES], ids=["crops", "merges"])
@pytest.mark.parametrize("size", SIZES)
def test_a_mask_of_everything_is_every_token(vlm, size):
    assert cells_of(vlm, picture(2, size), np.ones(size[::-1], bool)).all()


@pytest.mark.parametrize("size", [*SIZES, (64, 48), (48, 64), (64, 16), (60, 44)])
def test_of_a_padded_image_everything_is_what_shows_the_image(size):
    """Of a padded image a mask of everything is every token that shows the image."""
    width, height = size
    side = max(size)

    def shows(length: int) -> np.ndarray:
        # a processed pixel shows the image where its centre lies in it
        start = (side - length) // 2
        centres = (np.arange(SIDE) + 0.5) * side / SIDE
        return ((centres > start) & (centres < start + length)).reshape(-1, PATCH).any(1)

    expected = np.outer(shows(height), shows(width))
    assert (
        cells_of(PADS, picture(2, size), np.ones((height, width), bool)).tolist()
        == expected.tolist()
    )


def test_a_padded_image_leaves_its_padding_out():
    cells = cells_of(PADS, picture(2, (64, 32)), np.ones((32, 64), bool))
    assert cells.tolist() == [[False] * 4, [True] * 4, [True] * 4, [False] * 4]


def test_a_region_that_the_centre_crop_removes_is_no_token():
    mask = box(16, 64, 0, 0, 16, 16)
    assert not cells_of(CROPS, picture(3, (64, 16)), mask).any()
    assert cells_of(PADS, picture(3, (64, 16)), mask).any()


@pytest.mark.parametrize(
    ("vlm", "side"), [(CROPS, PATCH), (PADS, PATCH), (MERGES, MERGED)], ids=["crops", "pads", "m"]
)
def test_each_cell_comes_back_as_its_own_token(vlm, side):
    rows, cols = (4, 4) if side == PATCH else (3, 5)
    image = picture(4, (cols * side, rows * side))
    for row in range(rows):
        for col in range(cols):
            mask = box(
                rows * side, cols * side, row * side, col * side, (row + 1) * side, (col + 1) * side
            )
            assert np.argwhere(cells_of(vlm, image, mask)).tolist() == [[row, col]]


@pytest.mark.parametrize(("rows", "cols"), [(3, 5), (5, 2), (1, 6)])
def test_merged_patches_are_the_token_that_stands_there(rows, cols):
    """Merged patches are the token that the language model is told stands there."""
    stimulus = MERGES.read(picture(5, (cols * MERGED, rows * MERGED)), "Hi?")
    placed = stimulus.position_ids[-2:, 0]  # M-RoPE: the row and the column of every position
    first = placed[:, stimulus.visual[0]]
    for row in range(rows):
        for col in range(cols):
            top, left = row * MERGED, col * MERGED
            (token,) = stimulus.tokens_of(
                box(rows * MERGED, cols * MERGED, top, left, top + MERGED, left + MERGED)
            )
            assert (placed[:, token] - first).tolist() == [row, col]


def test_painting_a_token_changes_its_own_features_most():
    plain = np.full((3 * MERGED, 5 * MERGED, 3), 90, np.uint8)
    before = MERGES.read(Image.fromarray(plain), "Hi?")
    for row in range(3):
        for col in range(5):
            top, left = row * MERGED, col * MERGED
            mask = box(3 * MERGED, 5 * MERGED, top, left, top + MERGED, left + MERGED)
            painted = plain.copy()
            painted[mask] = np.asarray(picture(6, (MERGED, MERGED))).reshape(-1, 3)
            after = MERGES.read(Image.fromarray(painted), "Hi?")
            moved = (after.embeddings - before.embeddings).norm(dim=-1)
            assert [int(moved.argmax())] == before.tokens_of(mask).tolist()


def in_patches(by_row: bool, side: int = 2):
    """An image processor of patches of 4 x 4, padded below and to the right to whole tokens of
    side x side patches."""

    class InPatches(type(CROPS.processor.image_processor)):
        def __call__(self, picture, **_kwargs):
            pixels = np.asarray(picture, np.float32).transpose(2, 0, 1) / 255
            spare = [-each % (4 * side) for each in pixels.shape[1:]]
            pixels = np.pad(pixels, [(0, 0), (0, spare[0]), (0, spare[1])], constant_values=0.5)
            height, width = (each // (4 * side) for each in pixels.shape[1:])
            parts = pixels.reshape(3, height, side, 4, width, side, 4)
            order = (1, 2, 4, 5, 0, 3, 6) if by_row else (1, 4, 2, 5, 0, 3, 6)
            return {"pixel_values": parts.transpose(order).reshape(-1, 3, 4, 4)}

    return InPatches()


@pytest.mark.slow
@pytest.mark.parametrize("by_row", [True, False])
@pytest.mark.parametrize("side", [1, 2, 3])
@pytest.mark.parametrize("size", [(48, 48), (20, 56), (48, 12), (12, 48), (4, 41)])
def test_patches_are_found_in_whatever_order_they_come(by_row, side, size):
    rows, cols = grid = (-(-size[0] // (4 * side)), -(-size[1] // (4 * side)))
    processor = in_patches(by_row, side)
    [at] = centres(processor, size, [grid])
    for row in range(rows):
        for col in range(cols):
            mask, cell = np.zeros(size, bool), 4 * side
            mask[row * cell : (row + 1) * cell, col * cell : (col + 1) * cell] = True
            [covered] = covered_patches(processor, mask, [grid])
            assert np.argwhere(covered).tolist() == [[row, col]]
            middle = [(each.min() + each.max() + 1) / 2 for each in mask.nonzero()]
            assert at[row, col] * size == pytest.approx(middle, abs=0.5)


def in_tiles(down: int, across: int):
    """An image processor of the whole picture, and of down x across tiles of 16 pixels with the
    picture in their middle."""

    class InTiles(type(CROPS.processor.image_processor)):
        def __call__(self, picture, **_kwargs):
            whole = np.full((16 * down, 16 * across, 3), 0.5, np.float32)
            top, left = (
                (each - own) // 2
                for each, own in zip(whole.shape[:2], picture.size[::-1], strict=True)
            )
            whole[top : top + picture.height, left : left + picture.width] = (
                np.asarray(picture) / 255
            )
            tiles = whole.reshape(down, 16, across, 16, 3).swapaxes(1, 2).reshape(-1, 16, 16, 3)
            small = np.asarray(picture.resize((16, 16)), np.float32) / 255
            return {"pixel_values": np.stack([small, *tiles]).transpose(0, 3, 1, 2)[None]}

    return InTiles()


TILES = [(2, 2, 0, 0), (1, 3, 0, 0), (3, 1, 0, 0), (1, 1, 2, 0), (1, 1, 0, 2), (2, 3, 2, 0)]
# 3 views, of which tokens of 4 x 4 may lie one below another or side by side
TILES += [(2, 1, 4, 0), (1, 2, 0, 4), (4, 1, 0, 2), (2, 2, 0, 4)]


@pytest.mark.parametrize(("down", "across", "rows_less", "cols_less"), TILES)
def test_tiles_are_found_however_they_lie(down, across, rows_less, cols_less):
    rows, cols = grid = (4 * down - rows_less, 4 * across - cols_less)
    size, processor = (4 * rows, 4 * cols), in_tiles(down, across)
    for row in range(rows):
        for col in range(cols):
            mask = box(*size, 4 * row, 4 * col, 4 * row + 4, 4 * col + 4)
            _, covered = covered_patches(processor, mask, [(4, 4), grid])
            assert np.argwhere(covered).tolist() == [[row, col]]


def test_what_an_encoder_drops_at_the_end_is_in_no_token():
    """18 pixels are four patches of 4, as 384 are 27 of 14."""

    class Whole(type(CROPS.processor.image_processor)):
        def __call__(self, picture, **_kwargs):
            return {"pixel_values": np.asarray(picture, np.float32).transpose(2, 0, 1)[None] / 255}

    [found] = centres(Whole(), (18, 18), [(4, 4)])
    assert found[:, 0, 0] * 18 == pytest.approx([2, 6, 10, 14], abs=0.2)
    [covered] = covered_patches(Whole(), box(18, 18, 16, 0, 18, 18), [(4, 4)])
    assert not covered.any()


@pytest.mark.parametrize("shape", [(1, 5, 3, 8, 8), (2, 3, 8, 8), (1, 3, 9, 8), (7, 24), (8,)])
def test_a_layout_in_which_tokens_cannot_be_found_is_refused(shape):
    class Other(type(CROPS.processor.image_processor)):
        def __call__(self, *_args, **_kwargs):
            return {"pixel_values": np.zeros(shape, np.float32)}

    with pytest.raises(
        VLMError,
        match=r"pixel values of shape .* 1 grids of visual tokens, the first of 2 x 4, cannot be",
    ):
        covered_patches(Other(), np.ones((16, 16), bool), [(2, 4)])


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(
        VLMError, match=r"needs a boolean mask \[height, width\] of shape \(16, 22\)"
    ):
        CROPS.read(picture(), "Hi?").tokens_of(np.ones((22, 16), bool))


def test_a_mask_of_another_type_is_refused():
    with pytest.raises(
        (VLMError, TypeError)
    ):  # TypeError where shapes and types are checked at every call
        CROPS.read(picture(), "Hi?").tokens_of(np.ones((16, 22), np.uint8))


@every_layout
@pytest.mark.parametrize(("rows_of_five", "covered"), [(3, True), (2, False)])
def test_a_pixel_counts_from_half_coverage_on(vlm, rows_of_five, covered):
    mask = np.zeros((240, 240), bool)
    # stripes thinner than a processed pixel: every one is covered to that share
    mask[np.arange(240) % 5 < rows_of_five] = True
    assert (cells_of(vlm, picture(5, (240, 240)), mask) == covered).all()


@every_layout
@pytest.mark.parametrize("size", [(40, 20), (20, 40), (64, 64), (90, 70)])
def test_a_rectangle_that_is_painted_falls_on_its_token(vlm, size):
    """From a token to its part of the image and back."""
    width, height = size
    stimulus = vlm.read(picture(1, size), "Hi?")
    found = vlm.rectangles(stimulus)
    placed = ~np.isnan(found).any(1)
    assert placed.any()
    [middles] = centres(vlm.processor.image_processor, (height, width), stimulus.grids)
    for token in np.flatnonzero(placed):
        left, top, right, bottom = found[token] * [width, height, width, height]
        mask = box(height, width, int(top), int(left), round(bottom + 0.5), round(right + 0.5))
        assert stimulus.visual[token] in stimulus.tokens_of(mask)
        down, across = middles.reshape(-1, 2)[token] * [height, width]
        assert left - 1 <= across <= right + 1
        assert top - 1 <= down <= bottom + 1


def test_what_shows_padding_alone_has_no_rectangle():
    stimulus = PADS.read(picture(1, (40, 10)), "Hi?")
    rows = PADS.rectangles(stimulus).reshape(*stimulus.grid, 4)
    assert np.isnan(rows[[0, -1]]).all()
    assert not np.isnan(rows[1:3]).any()
    whole = rows[1:3].reshape(-1, 4)
    assert (whole.min(0)[0], whole.max(0)[2]) == pytest.approx((0, 1), abs=0.05)
