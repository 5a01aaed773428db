"""Figures side by side: are those of one kind joined, each under its subject's name?

Fails if figures of several kinds are mixed, if a number loses its subject, or if names within one
picture are another's, too.
"""

import base64
import io
import re
from xml.etree import ElementTree

import pandas as pd
import pytest
from matplotlib.image import imread

from claimlib import Figure
from claimlib.page import look
from claimlib.page.beside import beside


def drawn(heads: int, width: float = 2) -> dict[str, str]:
    with look.styled():
        drawing = look.sheet(width, 1.5)
        drawing.subplots().plot([0, heads], marker="o")
        numbers = pd.DataFrame({"heads": [heads], "share": ["0.50"]})
        return Figure.drawn(drawing, "Throws, mine", "What fell.", numbers).plain


@pytest.fixture(scope="module")
def joined() -> Figure:
    several = {"mine.throws": drawn(7), "mine.other": drawn(1), "yo<urs, b.throws": drawn(3, 3)}
    [(name, figure)] = beside(several).items()
    assert name == "side by side.throws"
    return figure


def test_each_number_says_whose_it_is(joined):
    assert joined.csv == 'subject,heads,share\nmine,7,0.50\n"yo<urs, b",3,0.50\n'
    assert joined.title == "Throws: mine, yo<urs, b"
    assert joined.tells.endswith("What fell.")


@pytest.mark.parametrize("cell", ["None", "NA", "null", ""])
def test_a_cell_stays_as_it_is_written(cell):
    several = {f"{name}.throws": drawn(7) | {"csv": f"face,n\n{cell},1\n"} for name in "ab"}
    [figure] = beside(several).values()
    assert figure.csv == f"subject,face,n\na,{cell},1\nb,{cell},1\n"


def test_pictures_stand_beside_each_other_under_their_names(joined):
    root = ElementTree.fromstring(joined.svg)
    inner = [each for each in root if each.tag.endswith("}svg")]
    widest = max(float(each.attrib["width"]) for each in inner)
    assert [float(each.attrib["x"]) for each in inner] == [0, pytest.approx(widest + 14)]
    assert float(root.attrib["viewBox"].split()[2]) == pytest.approx(2 * widest + 14, abs=0.01)
    assert len({each.attrib["y"] for each in inner}) == 1
    names = [each.text for each in root if each.tag.endswith("}text")]
    assert names == ["mine", "yo<urs, b"]


def test_pictures_that_are_wide_stand_one_below_another():
    several = {f"{name}.throws": drawn(7, 5) for name in "abc"}
    [figure] = beside(several).values()
    inner = [each for each in ElementTree.fromstring(figure.svg) if each.tag.endswith("}svg")]
    places = [(float(each.attrib["x"]), float(each.attrib["y"])) for each in inner]
    assert places[1] == (pytest.approx(5 * 72 + 14), places[0][1])
    assert places[2] == (0, pytest.approx(places[0][1] + 1.5 * 72 + 22))
    pixels, one = (
        imread(io.BytesIO(base64.b64decode(each))) for each in (figure.png, drawn(7, 5)["png"])
    )
    below = pixels[-one.shape[0] :, : one.shape[1], :3]
    assert abs(below - one[..., :3]).max() < 0.01


def test_a_stand_ins_picture_is_called_one():
    several = {"mine.throws": drawn(7), "yours.throws": drawn(3)}
    [figure] = beside(several, {"yours"}).values()
    names = [each.text for each in ElementTree.fromstring(figure.svg) if each.text]
    assert [each for each in names if each.strip()] == ["mine", "yours (stand-in)"]
    assert figure.csv == beside(several)["side by side.throws"].csv
    assert figure.png != beside(several)["side by side.throws"].png


def test_names_within_a_picture_are_its_own(joined):
    names = re.findall(r'\bid="([^"]+)"', joined.svg)
    assert len(names) == len({*names})
    used = re.findall(r'(?:url\(|href=")#([^")]+)', joined.svg)
    assert {*used} <= {*names}


def test_pixels_stand_beside_each_other(joined):
    pixels = imread(io.BytesIO(base64.b64decode(joined.png)))
    mine, yours = (imread(io.BytesIO(base64.b64decode(drawn(7, each)["png"]))) for each in (2, 3))
    assert pixels.shape[1] == 2 * yours.shape[1] + round(14 * 150 / 72)
    top = pixels.shape[0] - mine.shape[0]
    assert abs(pixels[top:, : mine.shape[1], :3] - mine[..., :3]).max() < 0.01


def test_the_same_figures_make_the_same_files():
    several = {"mine.throws": drawn(7), "yours.throws": drawn(3)}
    assert beside(several) == beside(several)


def test_one_subject_alone_has_nothing_beside_it():
    assert beside({"mine.throws": drawn(7), "mine.other": drawn(1)}) == {}
