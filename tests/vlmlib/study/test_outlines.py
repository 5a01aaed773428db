"""Whether an outline is one, before pycocotools looks at it.

Oracle: pycocotools itself, on what it has packed. Fails if a sound outline is refused, if a code is
unpacked to other run lengths, or if a broken one passes.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as run_length

from vlmlib.study.outlines import counts_of, fault_of_outline

HEIGHT, WIDTH = SIZE = (30, 40)


def packed(mask: np.ndarray) -> dict[str, Any]:
    code: Any = run_length.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [*mask.shape], "counts": code["counts"].decode()}


@given(
    pixels=st.binary(min_size=HEIGHT * WIDTH // 8, max_size=HEIGHT * WIDTH // 8).filter(any),
)
def test_a_code_is_unpacked_to_the_lengths_that_pycocotools_packed(pixels):
    mask = np.unpackbits(np.frombuffer(pixels, np.uint8)).reshape(SIZE).astype(bool)
    flat = np.concatenate([[0], mask.T.reshape(-1).astype(int), [2]])
    lengths = np.diff(np.flatnonzero(np.diff(flat)), prepend=0, append=[]).astype(int).tolist()
    code = packed(mask)
    assert counts_of(code["counts"]) == lengths
    assert fault_of_outline(code, SIZE, int(mask.sum())) == ""
    assert fault_of_outline(code | {"counts": lengths}, SIZE, int(mask.sum())) == ""


@given(text=st.text(max_size=12) | st.text("0PQ`op_", max_size=12))
def test_no_text_gets_past_that_pycocotools_would_draw_otherwise(text):
    """Whatever passes adds up to the picture, so that nothing is read beyond its end."""
    if not fault_of_outline({"size": [*SIZE], "counts": text}, SIZE, 600):
        assert sum(counts_of(text)) == HEIGHT * WIDTH


@pytest.mark.parametrize("edge", [-1, 0, 41, 40.5])
def test_an_outline_may_touch_the_edge_and_reach_a_pixel_beyond(edge):
    """As COCO's own do."""
    assert fault_of_outline([[edge, 0, 20, 0, 20, 30, edge, 30.99]], SIZE, 620) == ""
    beyond = edge - 1.01 if edge < 1 else edge + 1
    assert "beyond the picture" in fault_of_outline([[beyond, 0, 20, 0, 20, 9]], SIZE, 600)


@pytest.mark.parametrize(
    ("area", "fits"),
    [(200, True), (400, True), (800, True), (190, False), (830, False), (0, False)],
)
def test_an_area_may_be_off_by_a_factor_of_two(area, fits):
    square = [[5, 5, 25, 5, 25, 25, 5, 25]]
    assert (fault_of_outline(square, SIZE, area) == "") is fits


def test_the_area_of_a_few_pixels_may_be_off_by_more():
    """A thin outline is drawn wider than it is."""
    assert fault_of_outline([[5, 5, 15, 5, 15, 6.5]], SIZE, 1.0) == ""


@pytest.mark.parametrize(
    "points", [[1, 2, 3, 4, 5, True], [1, 2, 3, 4, 5, None], "123456", None, {}]
)
def test_a_polygon_is_a_list_of_numbers(points):
    assert "has a polygon that is none" in fault_of_outline([points], SIZE, 9)


def test_what_is_said_of_a_long_outline_is_short():
    assert len(fault_of_outline("x" * 10_000, SIZE, 9)) < 80
