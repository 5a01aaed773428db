"""The figures of a study: does each hold the numbers of its rows, with the paper's beside them
where it prints any?

Fails if a share, an interval or a layer stands in another line, if an image that has several best
layers counts more than another, if recorded rows make other numbers than measured ones, or if few
images, or none, break a figure.
"""

import io
import re
from dataclasses import replace
from functools import partial
from importlib.resources import files
from math import nan
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb
from PIL import Image

from claimlib import Figure, Totals
from claimlib.figures import INK
from claims.neo2025 import figures
from claims.neo2025.arms import knockout, random
from claims.neo2025.figures import ablations, answers, knockouts, lens, shares, tokens
from claims.neo2025.lens import LensResults
from claims.neo2025.protocol import TASKS
from claims.neo2025.published import Published
from claims.neo2025.tables import MeasuredTable
from tests.claimlib.page.test_look import contrast
from tests.neo2025.test_lens import image_of
from tests.neo2025.test_pages import (
    ABLATION_ROWS,
    ABLATIONS,
    DEPTH,
    KNOCKOUTS,
    LAYERS,
    LENS_RESULTS,
    lens_of,
    study,
    table_of,
)
from vlmlib.study import Example, Finished, Row, Table

PAPERS = Published("llava-1.5-7b")
NO_TABLE = table_of([], TASKS, images=0)
ONE = table_of(["object", "gradient 5"], TASKS, images=1)
ONE_LAYER = LensResults.of([image_of([1]), image_of([0])])


def numbers(found: Figure | pd.DataFrame) -> list[dict[Any, Any]]:
    """The rows of a figure, or of what one is drawn from."""
    table = pd.read_csv(io.StringIO(found.csv)) if isinstance(found, Figure) else found
    return table.to_dict("records")


def share(row: dict[Any, Any]) -> tuple[Any, ...]:
    return tuple(row[key] for key in shares.Share._fields)


def test_a_share_has_the_interval_by_which_claims_are_judged():
    assert shares.share_of(Totals(20, 39)) == pytest.approx((20 / 39, 0.348, 0.676, 39), abs=5e-4)
    assert shares.share_of(Totals(0, 0)) == pytest.approx((nan, nan, nan, 0), nan_ok=True)
    several_draws = replace(ABLATIONS.lost("VQA", "object"))
    mean = shares.share_of(replace(several_draws, values=several_draws.values * 0.5))
    assert mean.share == pytest.approx(several_draws.values.mean() / 2)


@pytest.mark.slow
def test_table_1_has_every_arm_under_every_task():
    """Arm number k loses k mod 9 of nine images, one more under VQA, and touches k tokens, of every
    other image one more."""
    found = numbers(ablations.points(ABLATIONS, None))
    rows = {(each["task"], each["arm"]): each for each in found}
    assert len(rows) == len(TASKS) * len(ABLATION_ROWS)
    for k, arm in enumerate(ABLATION_ROWS):
        for task in TASKS:
            row = rows[task, arm]
            lost = k % 9 + (task == "VQA")
            assert share(row) == pytest.approx(shares.share_of(Totals(lost, 9)))
            assert row["tokens"] == pytest.approx(k + 4 / 9)
            assert row["source"] == "measured"


@pytest.mark.slow
def test_arms_of_one_selector_are_one_line():
    rows = numbers(ablations.points(ABLATIONS, None))
    found = {each["arm"]: each["selector"] for each in rows}
    assert [arm for arm, name in found.items() if name == "highest gradients"] == [
        f"gradient {count}" for count in (5, 10, 20, 40, 60, 100, 250)
    ]
    assert found["object"] == found["+2 buffer"] == "object's tokens"
    assert found["random = object"] == "random tokens, as many as a region has"


@pytest.mark.slow
def test_printed_cells_stand_apart_from_measured_ones():
    rows = numbers(ablations.points(ABLATIONS, PAPERS.ablations))
    printed = [each for each in rows if each["source"] == "as printed"]
    assert len(printed) == len(PAPERS.ablations.cells)
    [one] = [each for each in printed if (each["task"], each["arm"]) == ("polling", "+1 buffer")]
    assert (one["share"], one["tokens"], one["images"]) == (pytest.approx(20 / 39), 33.4, 39)


def test_table_2_has_the_layers_of_its_windows_and_what_is_printed():
    found = numbers(knockouts.windows(KNOCKOUTS, LAYERS, PAPERS.knockouts))
    by_cell = {(each["row"], each["window"]): each for each in found}
    cell = by_cell["O+1 -> LTP", "mid-late"]
    assert (cell["first_layer"], cell["last_layer"]) == (1, 3)
    assert cell["printed"] == pytest.approx(16 / 90)
    lost = KNOCKOUTS.lost("VQA", knockout("O+1 -> LTP", "mid-late"))
    assert share(cell) == pytest.approx(shares.share_of(lost))
    assert pd.isna(by_cell[random("O -> LTP"), "mid"]["printed"])
    assert len(found) == len(by_cell) == 12 * len(LAYERS)


@pytest.mark.parametrize("page", ["light", "dark", "pixels"])
def test_the_words_of_a_cell_are_read_whatever_is_lost(page):
    """On the page's own colours, and in the picture of pixels."""
    style = files("claimlib.page").joinpath("index.css").read_text()
    ink, ground = INK, "#ffffff"
    if page != "pixels":
        ink, ground = (
            re.findall(rf"--{name}: light-dark\((#\w+), (#\w+)\)", style)[0][page == "dark"]
            for name in ("ink", "raised")
        )
    for share in np.linspace(0, 1, 101):
        *colour, dense = knockouts.fill(share)
        cell = dense * np.array(colour) + (1 - dense) * np.array(to_rgb(ground))
        assert contrast(ink, to_hex(tuple(cell.tolist()))) >= 4.5


def test_sliding_windows_have_their_layers():
    found = numbers(knockouts.sliding(KNOCKOUTS))
    windows = {each["window"]: (each["first_layer"], each["last_layer"]) for each in found}
    assert windows == {f"L{at + 1}-{at + 1}": (at, at) for at in range(DEPTH)}
    row = next(each for each in found if each["row"] == "O+2 -> LTP")
    lost = KNOCKOUTS.lost("VQA", knockout("O+2 -> LTP", row["window"]))
    assert share(row) == pytest.approx(shares.share_of(lost))


def test_the_lens_has_a_line_for_each_of_its_three_shares():
    """Of ten object tokens, and of eight background ones."""
    found = numbers(lens.layers(LENS_RESULTS, None))
    lines = {
        name: [each["share"] for each in found if each["series"] == name]
        for name in dict.fromkeys(each["series"] for each in found)
    }
    assert {name: pytest.approx(line) for name, line in lines.items()} == {
        "object's tokens, its class": [0.025, 0.15, 0.15],
        "background tokens, its class": [0.0, 9 / 32, 1 / 32],
        "object's tokens, an absent class": [0.0, 0.125, 0.15],
        "best layer of each image": [0.225],
    }


def test_an_image_counts_once_however_many_best_layers_it_has():
    """One image has its best layer last, one has three equal ones, one the middle one; the fourth
    has none."""
    found = numbers(lens.best_layers(LENS_RESULTS, PAPERS.lens))
    bars = [each["images"] for each in found if each["series"] == "best layer of each image"]
    assert bars == pytest.approx([1 / 3, 4 / 3, 4 / 3], abs=1e-6)
    mean, printed = found[-2:]
    assert (mean["layer"], mean["images"]) == (pytest.approx(4 / 3), 3)
    # the paper's 25.7 of 32, in a model of two layers
    assert (printed["layer"], printed["images"]) == (pytest.approx(25.7 / 16), 170)


# What is written along the axes of each figure, with units.
LOST = "images that lose the right answer (%)"
AXES = {
    "table-1": {LOST, "ablated tokens, mean over images (logarithmic)", *TASKS},
    "table-2": {LOST, "window: name and layers", "blocked: sources → target"},
    "sliding-windows": {LOST, "middle of a window of 1 layers (the first layer is 0)"},
    "lens-by-layer": {"tokens that decode to the class (%)", lens.LAYER},
    "lens-best-layers": {"images", f"best {lens.LAYER}"},
}


def written(figure: Figure) -> list[str]:
    """What is written in a picture: matplotlib says so beside the outlines of letters."""
    return re.findall(r"<!-- (.*?) -->", figure.svg, re.DOTALL)


@pytest.mark.slow
def test_each_measurement_that_was_made_has_its_figures():
    assert figures.figures_of(study("mine")) == {}
    assert figures.figures_of(PAPERS) == {}
    made = study("mine", "mine, authors", ablations=ONE, knockouts=KNOCKOUTS, lens=LENS_RESULTS)
    found = figures.figures_of(made)
    assert list(found) == [f"mine, authors.{name}" for name in AXES]
    for (name, axes), figure in zip(AXES.items(), found.values(), strict=True):
        assert axes <= {*written(figure)}, name
    cells = [each for each in written(found["mine, authors.table-2"]) if each.endswith("%")]
    assert len(cells) == len(numbers(found["mine, authors.table-2"]))


@pytest.mark.slow
def test_printed_figures_stand_beside_the_papers_models_alone():
    for name, is_printed in (("mine", False), ("llava-1.5-7b", True)):
        found = figures.figures_of(study(name, lens=LENS_RESULTS))
        for figure in found.values():
            assert ("as printed" in figure.csv) == is_printed
            assert ("what the paper prints" in figure.tells) == is_printed


@pytest.mark.slow
def test_the_same_rows_make_the_same_files_under_any_label():
    def drawn(label: str) -> list[tuple[str, str, str]]:
        made = study("llava-1.5-7b", label, ablations=ONE, lens=LENS_RESULTS)
        found = figures.figures_of(made)
        return [(each.svg, each.png, each.csv) for each in found.values()]

    assert drawn("llava-1.5-7b") == drawn("llava-1.5-7b, recorded")


@pytest.mark.slow
@pytest.mark.parametrize("printed", [None, PAPERS])
@pytest.mark.parametrize(
    ("table", "shown"),
    [(NO_TABLE, LensResults.of([])), (ONE, ONE_LAYER), (ONE, lens_of(([0, 0], [0, 0], [0, 0])))],
)
def test_no_images_one_image_or_one_layer_break_no_figure(table, shown, printed):
    made = [
        *ablations.figures(table, printed and printed.ablations, "mine"),
        *knockouts.figures(table, LAYERS, printed and printed.knockouts, "mine"),
        *lens.figures(shown, printed and printed.lens, "mine"),
    ]
    assert len(made) == 5
    assert all(figure.csv.count("\n") >= 1 and figure.svg for _, figure in made)


def answered(*right: bool, text: str = "so") -> MeasuredTable:
    """Images of polling, of which the arm leaves some right."""
    told = {"visual": 16, "category": "dog"}
    found = [
        Finished(str(at), str(at), [
            Row("clean", True, answer=f"before {at}", detail=told | {"question": f"Is it {at}?"}),
            Row("+1 buffer", each, answer=text, tokens=3),
        ])
        for at, each in enumerate(right)
    ]  # fmt: skip
    return MeasuredTable(Table.of("polling", found))


def test_the_first_image_of_each_outcome_is_shown():
    table = answered(True, True, False, True, False)
    [(_, figure)] = answers.figures(table, {}, "mine")
    assert [(each["image"], each["before"], each["lost"]) for each in numbers(figure)] == [
        (2, "before 2", True),
        (0, "before 0", False),
    ]
    assert [each["question"] for each in numbers(figure)] == ["Is it 2?", "Is it 0?"]
    assert [*answers.figures(NO_TABLE, {}, "mine")] == []


def test_what_a_model_says_is_drawn_whatever_it_is():
    text = "<b>$x_{</b> \N{DOG FACE}\n" + "word " * 100
    [(_, figure)] = answers.figures(answered(False, text=text), {}, "mine")
    assert numbers(figure)[0]["after"] == text
    assert "<b>" not in figure.svg


CELL = (0.25, 0.25, 0.5, 0.5)


BESIDE = (0.5, 0.25, 0.75, 0.5)


def placed(name: str, cells: list[Any], **detail: Any) -> Finished:
    """An image whose object has tokens in these places."""
    told = {"visual": 16, "category": "dog", "object": cells} | detail
    return Finished(name, name, [Row("clean", True, detail=told)])


def test_the_object_and_the_buffer_lie_where_rows_say():
    """The buffer where they do."""
    rows = tokens.cells([placed("a", [CELL], buffer=[BESIDE, BESIDE]), placed("b", [CELL])])
    count = rows.groupby(["image", "region"]).size().to_dict()
    assert count == {("a", "buffer of one"): 2, ("a", "object"): 1, ("b", "object"): 1}
    keys = ("left", "top", "right", "bottom")
    of_buffer = [each for each in numbers(rows) if each["region"] == "buffer of one"]
    assert {tuple(each[key] for key in keys) for each in of_buffer} == {BESIDE}


def test_without_places_in_the_rows_there_is_no_figure_of_tokens():
    unknown = Finished("a", "a", [Row("clean", True, detail={"visual": 16, "category": "dog"})])
    assert [*tokens.figures([unknown], {}, "mine")] == []


def test_pictures_are_drawn_where_they_are_at_hand_and_change_no_number():
    found = [placed("a", [CELL])]
    picture = {"a": Example("a", Image.new("RGB", (40, 30), "red"), category="dog")}
    draw = partial(tokens.figures, found, label="mine")
    [(_, without)], [(_, with_)] = draw(pictures={}), draw(pictures=picture)
    assert without.csv == with_.csv
    assert "<image" in with_.svg
    assert "<image" not in without.svg
    assert "not at hand" in without.tells
    assert "not at hand" not in with_.tells
