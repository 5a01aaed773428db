"""What may be wrong with an annotated outline. It is looked at before pycocotools is, which may
crash on a broken one, or draw nothing and say nothing."""

import math
from collections.abc import Mapping
from typing import Any

from vlmlib.study.example import Object

BEYOND = 1.0  # pixels by which COCO's own outlines reach over the edge at most
# A polygon's area and its pixels differ by its rim, and annotators' tools round. Between them
# stands less than a factor of two, but in outlines of a few pixels. More is another thing: the area
# of the bounding box, of the whole picture, or of a picture that has been resized since.
FACTOR, FEW = 2.0, 16.0


def fault_of_outline(outline: Any, size: tuple[int, int], area: float | int) -> str:
    """What is wrong with an annotation's `segmentation`; "" if nothing is.

    **Arguments:** the outline, as plain values of JSON; (height, width) of the picture; its area in
    square pixels, as annotated.

    !!! example

        >>> fault_of_outline([[0, 0, 9, 0, 9, 9, 0, 9]], (10, 10), 81)
        ''
        >>> fault_of_outline([[0, 0, 9, 0, 9, 9, 0]], (10, 10), 81)
        'has a polygon that is none: 7 numbers'
    """
    if isinstance(outline, dict):
        fault = _fault_of_code(outline, size)
    elif isinstance(outline, list) and outline:
        fault = next(filter(None, (_fault_of_polygon(each, size) for each in outline)), "")
    else:
        fault = f"has no outline: {_short(outline)}"
    return fault or _fault_of_area(outline, size, area)


def counts_of(text: str) -> list[int]:
    """The run lengths of a compressed code, as COCO's own maskApi packs them: 5 bits a character,
    from the third on as differences from the last but one.

    **Raises:** `ValueError` for a text that is none.

    !!! example

        >>> from pycocotools import mask
        >>> packed = mask.frPyObjects([[0, 0, 2, 0, 2, 2, 0, 2]], 4, 4)[0]["counts"]
        >>> counts_of(packed.decode())
        [0, 2, 2, 2, 10]
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError(f"no run length: {_short(text)}")
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            value -= (1 << shift) if bits & 0x10 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("it ends within a number")
    return counts


def _fault_of_polygon(points: Any, size: tuple[int, int]) -> str:
    if not isinstance(points, list) or not all(map(_is_number, points)):
        return f"has a polygon that is none: {_short(points)}"
    if len(points) < 6 or len(points) % 2:
        return f"has a polygon that is none: {len(points)} numbers"
    for values, end in ((points[::2], size[1]), (points[1::2], size[0])):
        beyond = [each for each in values if not -BEYOND <= each <= end + BEYOND]
        if beyond:
            return f"has an outline beyond the picture: at {beyond[0]} of {end}"
    return ""


def _fault_of_code(code: Mapping[str, Any], size: tuple[int, int]) -> str:
    if code.get("size") != list(size):
        found = _short(code.get("size"))
        return f"has a mask of another size than the picture: {found}, expected {list(size)}"
    counts = code.get("counts")
    try:
        lengths = counts_of(counts) if isinstance(counts, str) else counts
    except ValueError as error:
        return f"has a run-length code that cannot be read: {error}"
    if not isinstance(lengths, list) or not all(type(each) is int for each in lengths):
        return f"has a run-length code that cannot be read: counts are {_short(counts)}"
    if min(lengths, default=0) < 0 or sum(lengths) != math.prod(size):
        return f"has a run-length code that does not add up: to {sum(lengths)} of {math.prod(size)}"
    return ""


def _fault_of_area(outline: Any, size: tuple[int, int], area: float | int) -> str:
    pixels = Object("", outline, size).pixels
    if not pixels:
        return "has an outline that covers no pixel"
    low, high = sorted((pixels, area))
    told = f"has an area that contradicts its outline: {area}, which covers {pixels} pixels"
    return told if high > FACTOR * low + FEW else ""


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _short(value: Any) -> str:
    told = repr(value)
    return told if len(told) <= 40 else f"{told[:37]}..."
