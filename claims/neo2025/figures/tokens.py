"""Which visual tokens are the object's, and which its buffer's, on the grid (the paper's figure 4):
of one image with a model at hand, and of a study's images from their rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Patch, Rectangle
from PIL import Image
from torch import Tensor

from claimlib.figures import INK, Figure
from claimlib.page.look import BLUE, GREY, SMALL, VERMILLION, drawable, sheet, styled
from vlmlib import Stimulus
from vlmlib.study import Example, Finished, run

COLOURS = (VERMILLION, BLUE, INK)
HATCHES = ("", "////", "....")
SHOWN = 6  # images
THUMBNAIL = (320, 320)  # pixels, at most
OBJECT, BUFFER = "object", "buffer of one"
KEYS = {OBJECT: run.OBJECT, BUFFER: run.BUFFER}  # in the detail of the clean row
LOOKS: dict[str, dict[str, Any]] = {
    OBJECT: {
        "facecolor": to_rgba(VERMILLION, 0.45),
        "edgecolor": VERMILLION,
    },
    BUFFER: {"facecolor": "none", "edgecolor": BLUE, "hatch": "////"},
}
TELLS = (
    "The first {count} images that the model is right about, with the object's visual tokens "
    "filled and a buffer of one around them hatched, where they lie in the picture. "
)
NO_PICTURES = "The pictures are not at hand; their ids stand above. "


def draw_tokens(
    stimulus: Stimulus, image: Image.Image, regions: dict[str, Int[Tensor, " token"]]
) -> Drawing:
    """The original image beside what the model sees of it, with the grid and named sets of visual
    tokens.

    **Arguments:** a stimulus; its image; sets of visual tokens by name (a token keeps its first
    colour).
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.6), layout="constrained")
    left.imshow(image)
    left.set_title(f"original, {image.width} x {image.height}")
    left.set_axis_off()
    _draw_seen(right, stimulus, image)
    drawn: set[int] = set()
    looks = [
        {"facecolor": to_rgba(colour, 0.3), "edgecolor": colour, "hatch": hatch, "linewidth": 1.2}
        for colour, hatch in zip(COLOURS, HATCHES, strict=True)
    ]
    for look, tokens in zip(looks, regions.values(), strict=False):
        cells = torch.isin(stimulus.visual, tokens).nonzero()[:, 0].tolist()
        _draw_cells(right, set(cells) - drawn, stimulus.grid[1], look)
        drawn.update(cells)
    handles = [
        Patch(label=f"{name} ({len(tokens)} tokens)", **look)
        for look, (name, tokens) in zip(looks, regions.items(), strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


def _draw_seen(axes: Axes, stimulus: Stimulus, image: Image.Image) -> None:
    """The pixels that the model sees, under the grid of its visual tokens."""
    processed = stimulus.image_processor(image, do_normalize=False, return_tensors="np")
    [seen] = processed["pixel_values"]
    rows, cols = stimulus.grid
    axes.imshow(np.clip(seen.transpose(1, 2, 0), 0, 1), extent=(0, cols, rows, 0))
    axes.set_title(f"as the model sees it, {rows} x {cols} visual tokens")
    axes.set_xticks(range(cols + 1), labels=[])
    axes.set_yticks(range(rows + 1), labels=[])
    axes.grid(color="white", linewidth=0.4, alpha=0.6)


def _draw_cells(axes: Axes, cells: Iterable[int], cols: int, look: Mapping[str, Any]) -> None:
    for cell in sorted(cells):
        row, col = divmod(cell, cols)
        axes.add_patch(Rectangle((col, row), 1, 1, **look))


def cells(found: Sequence[Finished]) -> pd.DataFrame:
    """Of the first images where they are known, the object's tokens and its buffer's, each as the
    shares of the picture's sides between which it lies."""
    known = [each for each in found if each.rows and (each.rows[0].detail or {}).get(run.OBJECT)]
    rows = [
        {"image": each.example, "category": each.rows[0].detail["category"], "region": region}
        | dict(zip(("left", "top", "right", "bottom"), cell, strict=True))
        for each in known[:SHOWN]
        for region, chosen in _regions(each).items()
        for cell in chosen
    ]
    columns = ["image", "category", "region", "left", "top", "right", "bottom"]
    return pd.DataFrame(rows, columns=pd.Index(columns))


def _regions(found: Finished) -> dict[str, list[tuple[float, ...]]]:
    detail = found.rows[0].detail
    return {name: [tuple(cell) for cell in detail.get(key, [])] for name, key in KEYS.items()}


@styled()
def draw_cells(numbers: pd.DataFrame, pictures: Mapping[str, Example], label: str) -> Figure:
    names = numbers["image"].unique().tolist()
    columns = min(len(names), 3)
    drawing = sheet(2.5 * columns, 0.5 + 2.7 * -(-len(names) // columns))
    places = drawing.subplots(-(-len(names) // columns), columns, squeeze=False).flat
    for axes in places:
        axes.set_axis_off()
    for axes, name in zip(drawing.axes, names, strict=False):
        rows = [each for each in numbers.to_dict("records") if each["image"] == name]
        title = f"{name}: {rows[0]['category']}"
        axes.set_title(drawable(title), parse_math=False, fontsize=SMALL)
        show_picture(axes, pictures.get(name))
        for cell in rows:
            size = cell["right"] - cell["left"], cell["bottom"] - cell["top"]
            axes.add_patch(Rectangle((cell["left"], cell["top"]), *size, **LOOKS[cell["region"]]))
    handles = [Patch(label=name, **look) for name, look in LOOKS.items()]
    drawing.legend(handles=handles, loc="outside upper left", ncols=2)
    told = TELLS.format(count=len(names)) + ("" if pictures else NO_PICTURES)
    return Figure.drawn(drawing, f"Visual tokens of the object, {label}", told.strip(), numbers)


def show_picture(axes: Axes, example: Example | None) -> None:
    """A picture, or an empty frame, from 0 to 1 on both sides."""
    axes.set(xlim=(0, 1), ylim=(1, 0))
    axes.add_patch(Rectangle((0, 0), 1, 1, fill=False, edgecolor=GREY, linewidth=0.8))
    if example:
        image = example.image.copy()
        image.thumbnail(THUMBNAIL)
        axes.imshow(image, extent=(0, 1, 1, 0), interpolation="none")
        axes.set_aspect(image.height / image.width)
    else:
        axes.set_aspect(1)


def figures(
    found: Sequence[Finished], pictures: Mapping[str, Example], label: str
) -> Iterator[tuple[str, Figure]]:
    """None where rows do not tell where the object's tokens lie."""
    numbers = cells(found)
    if len(numbers):
        yield "object-tokens", draw_cells(numbers, pictures, label)
