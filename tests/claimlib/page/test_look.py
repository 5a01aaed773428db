"""How figures look: are colours told apart in grey, and seen on white and on black?

Fails if two colours have nearly the same grey, if one is hardly seen on a page's background, if ink
does not become that of the page, or if the same numbers make another file.
"""

from itertools import combinations

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from claimlib import Figure
from claimlib.figures import INK
from claimlib.page import look

COLOURS = (look.BLUE, look.VERMILLION, look.PURPLE)


def luminance(colour: str) -> float:
    """As WCAG 2 has it: what a print in grey shows."""
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4
              for each in to_rgb(colour)]  # fmt: skip
    return sum(share * each for share, each in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first: str, second: str) -> float:
    dark, light = sorted(map(luminance, (first, second)))
    return (light + 0.05) / (dark + 0.05)


def test_the_contrast_of_two_colours_is_that_of_wcag():
    assert contrast("white", "black") == pytest.approx(21)
    assert contrast("#777777", "white") == pytest.approx(4.48, abs=0.01)
    assert contrast("red", "red") == 1


@pytest.mark.parametrize("page", ["#ffffff", "#15171a", "#1e1e1e"])
@pytest.mark.parametrize("colour", [*COLOURS, look.GREY])
def test_a_colour_is_seen_on_light_and_on_dark_pages(colour, page):
    assert contrast(colour, page) >= 3


def test_colours_differ_in_grey():
    assert min(contrast(*pair) for pair in combinations((INK, *COLOURS), 2)) > 1.25


def drawn(title: str = "bars") -> Figure:
    with look.styled():
        drawing = look.sheet(3, 2)
        axes = drawing.subplots()
        axes.bar(["heads", "tails"], [7, 3], color=look.BLUE)
        axes.set_ylabel("throws")
        return Figure.drawn(drawing, title, "", pd.DataFrame({"throws": [7, 3]}))


def test_ink_is_that_of_the_page_and_colours_are_kept():
    svg = drawn().svg
    assert INK not in svg
    assert "currentColor" in svg
    assert look.BLUE in svg


def test_a_picture_has_no_name_twice_in_a_page():
    """Nor a head: it stands in the page."""
    svg = drawn().svg
    assert svg.startswith("<svg")
    assert "<g id=" not in svg
    names = [each.split('"')[0] for each in svg.split(' id="')[1:]]
    assert len(names) == len({*names})
    assert all(f"#{name}" in svg for name in names)


def test_the_same_numbers_make_the_same_files():
    """Whatever a reader's own settings of matplotlib say."""
    first = drawn()
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "text.color": "green"}):
        assert drawn() == first


def test_a_letter_that_the_font_lacks_is_a_square():
    assert look.drawable("träin\n中\t\N{DOG FACE}$a$") == "träin\n□□□$a$"
