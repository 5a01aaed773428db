"""The figure of visual tokens: is each drawn once, where the grid has it, in its region's colour?

Fails if a token is drawn in another cell, in two colours, or if the legend counts others than those
of the region.
"""

import matplotlib as mpl
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from claims.neo2025.figures.tokens import COLOURS, draw_tokens
from tests.tiny import picture, tiny_vlm

mpl.use("Agg")


@pytest.fixture
def drawn():
    """Three tokens and, of another region, two of which one is the first's already."""
    vlm, image = tiny_vlm(), picture(size=(22, 16))
    stimulus = vlm.read(image, "Hi?")
    visual = stimulus.visual
    regions = {"object": visual[[0, 5, 6]], "buffer": visual[[6, 15]], "none": visual[:0]}
    figure = draw_tokens(stimulus, image, regions)
    yield figure
    plt.close(figure)


def test_each_token_is_drawn_in_its_cell_in_its_first_colour(drawn):
    _, seen = drawn.axes
    cells = [each for each in seen.patches if isinstance(each, Rectangle)]
    places = {(each.get_y(), each.get_x()): each.get_facecolor()[:3] for each in cells}
    red, orange = map(to_rgb, COLOURS[:2])
    assert places == {(0, 0): red, (1, 1): red, (1, 2): red, (3, 3): orange}
    assert len(cells) == 4


def test_titles_and_legend_say_what_is_shown(drawn):
    original, seen = drawn.axes
    assert original.get_title() == "original, 22 x 16"
    assert seen.get_title() == "as the model sees it, 4 x 4 visual tokens"
    [legend] = drawn.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "object (3 tokens)",
        "buffer (2 tokens)",
        "none (0 tokens)",
    ]


def test_the_model_sees_pixels_between_0_and_1(drawn):
    [shown] = drawn.axes[1].images
    pixels = torch.tensor(shown.get_array())
    assert pixels.shape == (16, 16, 3)
    assert 0 <= float(pixels.min()) < float(pixels.max()) <= 1
