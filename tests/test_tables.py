"""Result pages: does every cell hold the count of the results, and the printed one only for the
paper's models?

Pages are read back as a Markdown reader splits them. Fails if a count stands in another row or
column, if a printed figure stands beside a model that the paper does not study.
"""

import re
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from claims.neo2025.results import Table
from hypothesis import given
from hypothesis import strategies as st

from claims.neo2025.arms import COUNTS, REGIONS, TO_LAST, TO_ROW, WINDOWS, sliding
from claims.neo2025.lens import LensResults
from claims.neo2025.pages import (
    ABLATION_ROWS,
    TASKS,
    ablation_page,
    knockout_page,
    lens_page,
    new_pages,
    page,
)
from claims.neo2025.published import Printed
from fixtures.models import SHIPPED, STAND_IN

DEPTH = 4
COLUMNS = pd.Index(["task", "image", "arm", "right", "probability", "tokens"])


def read(text: str) -> list[dict[str, str]]:
    """The rows of a page's tables, by their headings."""
    lines = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line[:1] == "|"
    ]
    rows, heading = [], []
    for index, line in enumerate(lines):
        if index + 1 < len(lines) and set("".join(lines[index + 1])) <= set(":-"):
            heading = line
        elif not set("".join(line)) <= set(":-"):
            rows.append(dict(zip(heading, line, strict=True)))
    return rows


def table_of(arms: Sequence[str], tasks: Sequence[str], images: int = 9) -> Table:
    """Arm number k takes the right answer away on k mod 9 images (VQA: one more), and touches k
    tokens."""
    rows = [
        (task, image, "clean", image < images, 0.9, 0)
        for task in tasks
        for image in range(images + 2)
    ]
    for k, arm in enumerate(arms):
        for task in tasks:
            lost = k % 9 + (task == "VQA")
            rows += [
                (task, image, arm, image >= lost, 0.5, k + image % 2) for image in range(images)
            ]
    counts = {task: {"filter 1": 40, "filter 2": 30, "asked": images + 2} for task in tasks}
    return Table.of(pd.DataFrame(rows, columns=COLUMNS), counts)


ABLATIONS = table_of(ABLATION_ROWS, TASKS)
KNOCKOUT_ROWS = [*TO_LAST, *TO_ROW, *(f"random = {row}" for row in TO_LAST)]
KNOCKOUT_ARMS = [
    f"{row}, {window}" for window in (*WINDOWS, *sliding(DEPTH)) for row in KNOCKOUT_ROWS
]
KNOCKOUTS = table_of(KNOCKOUT_ARMS, ["VQA"])


def test_the_rows_of_table_1_are_the_papers_and_the_fitted_counts_and_controls():
    printed = {arm for _, arm in Printed("llava-1.5-7b").ablations.cells}
    assert printed < set(ABLATION_ROWS)
    assert (
        len(ABLATION_ROWS)
        == len(set(ABLATION_ROWS))
        == len(REGIONS) + 1 + 2 * len(COUNTS) + 3 * len(REGIONS)
    )


def test_table_1_holds_the_mean_tokens_and_the_count_of_every_row_and_task():
    rows = read(ablation_page(ABLATIONS, None))
    assert len(rows) == len(ABLATION_ROWS)
    for k, (arm, row) in enumerate(zip(ABLATION_ROWS, rows, strict=True)):
        mean = k + 4 / 9  # of nine images every other has one token more
        assert row["ablation (mean tokens)"] == f"{arm} ({mean:.1f})"
        assert [row[task] for task in TASKS] == [
            f"{k % 9} of 9",
            f"{k % 9} of 9",
            f"{k % 9 + 1} of 9",
        ]


def test_rows_that_no_image_has_are_left_out():
    arms = [arm for arm in ABLATION_ROWS if not arm.startswith("elsewhere") and "250" not in arm]
    shown = [
        row["ablation (mean tokens)"].split(" (")[0]
        for row in read(ablation_page(table_of(arms, TASKS), None))
    ]
    assert shown == arms


def test_a_row_that_one_task_alone_has_is_empty_under_the_others():
    rows = pd.concat(
        [table_of(["object"], TASKS).rows, table_of(["elsewhere +2 buffer"], ["polling"]).rows[9:]]
    )
    counts = {task: {"filter 1": 40, "filter 2": 30, "asked": 9} for task in TASKS}
    _, row = read(ablation_page(Table.of(rows.reset_index(drop=True), counts), None))
    assert row["ablation (mean tokens)"].startswith("elsewhere +2 buffer")
    assert [row[task] for task in TASKS] == ["0 of 0", "0 of 9", "0 of 0"]


def test_table_2_holds_the_count_of_every_row_and_window_and_figure_8s_below():
    rows = read(knockout_page(KNOCKOUTS, DEPTH, None))
    named, slid = rows[: len(KNOCKOUT_ROWS)], rows[len(KNOCKOUT_ROWS) :]
    counts = {arm: f"{k % 9 + 1} of 9" for k, arm in enumerate(KNOCKOUT_ARMS)}
    assert list(sliding(DEPTH)) == ["L1-1", "L2-2", "L3-3", "L4-4"]
    for found, windows in ((named, WINDOWS), (slid, sliding(DEPTH))):
        assert found == [
            {"from -> to": row} | {window: counts[f"{row}, {window}"] for window in windows}
            for row in KNOCKOUT_ROWS
        ]


@pytest.mark.parametrize("model", ["llava-1.5-7b", "llava-phi-3"])
def test_beside_each_cell_that_the_paper_prints_stands_its_count(model):
    printed = Printed(model)
    for k, (arm, row) in enumerate(
        zip(ABLATION_ROWS, read(ablation_page(ABLATIONS, printed.ablations)), strict=True)
    ):
        for task in TASKS:
            ours = f"{k % 9 + (task == 'VQA')} of 9"
            cell = printed.ablations.cells.get((task, arm))
            assert row[task] == (f"{ours} (paper: {cell.count} of {cell.n})" if cell else ours)
    rows = read(knockout_page(KNOCKOUTS, DEPTH, printed.knockouts))
    shown = {
        (row["from -> to"], window): row[window]
        for row in rows[: len(KNOCKOUT_ROWS)]
        for window in WINDOWS
    }
    beside = {key for key, text in shown.items() if "paper" in text}
    assert len(beside) == (36 if model == "llava-1.5-7b" else 0)
    if beside:
        assert shown["O+1 -> LTP", "all"].endswith("(paper: 30 of 90)")
    assert not any(
        "paper" in row[window] for row in rows[len(KNOCKOUT_ROWS) :] for window in sliding(DEPTH)
    )


def subject(name: str, label: str = "", **made) -> SimpleNamespace:
    vlm = SimpleNamespace(layers=range(DEPTH))
    data = SimpleNamespace(folder=SimpleNamespace(name="scenes"))
    return SimpleNamespace(
        name=name, label=label or name, vlm=vlm, data=data, reported=set(), **made
    )


@pytest.mark.parametrize("name", ["llava-1.5-7b", "qwen2-vl-2b", SHIPPED, "mine"])
def test_printed_figures_stand_on_pages_of_the_papers_models_alone_and_the_stand_in_is_called_one(
    name,
):
    for measurement, title in (("ablations", "table 1"), ("knockouts", "table 2")):
        text = page(subject(name, ablations=ABLATIONS, knockouts=KNOCKOUTS), measurement)
        assert text.startswith(f"# {name} on scenes: {title}\n")
        assert ("(paper:" in text) == (name == "llava-1.5-7b")
        assert (STAND_IN in text) == (name == SHIPPED)
        images = {"ablations": TASKS, "knockouts": ["VQA"]}[measurement]
        for task in images:
            said = (
                f"- {task}: filter 2 keeps 30 of 40 images; asked about 11 of 30, right on 9 of 11"
            )
            assert said in text.splitlines()


def test_each_measurement_has_its_page_once_and_only_when_it_was_made():
    found = subject("mine", label="mine, reference", ablations=ABLATIONS)
    assert list(new_pages(found)) == ["mine, reference.ablations"]
    assert new_pages(found) == {}
    found.lens, found.knockouts = LENS_RESULTS, KNOCKOUTS
    assert new_pages(found) == {
        "mine, reference.knockouts": page(found, "knockouts"),
        "mine, reference.lens": page(found, "lens"),
    }
    assert new_pages(found) == {}


def lens_of(share, absent=None) -> LensResults:
    share = np.array(share, float)
    absent = np.zeros_like(share) if absent is None else np.array(absent, float)
    count, none = len(share), np.zeros(len(share), int)
    words, names = [[] for _ in range(count)], ["dog"] * count
    return LensResults(share, absent, share, absent, names, names, words, none, none, {})


LENS_RESULTS = lens_of(
    [[0, 0.2, 0.5], [0, 0, 0], [0.1, 0.1, 0.1], [0, 0.3, 0]],
    [[0, 0, 0], [0, 0, 1], [0, 0.5, 0.5], [0, 0, 0]],
)


def test_the_lens_page_counts_images_with_a_match_and_best_layers():
    assert read(lens_page(LENS_RESULTS)) == [
        {"layer": "0", "class": "1 of 4", "absent class": "0 of 4", "best layer": "0 of 3"},
        {"layer": "1", "class": "3 of 4", "absent class": "1 of 4", "best layer": "2 of 3"},
        {"layer": "2", "class": "2 of 4", "absent class": "2 of 4", "best layer": "1 of 3"},
    ]
    assert "# mine on scenes: logit lens" in page(subject("mine", lens=LENS_RESULTS), "lens")


@given(curves=st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), max_size=6))
def test_every_image_with_a_match_has_one_best_layer(curves):
    rows = read(lens_page(lens_of(np.array(curves).reshape(-1, 5) / 3)))
    best = [[int(number) for number in re.findall(r"\d+", row["best layer"])] for row in rows]
    with_match = sum(any(curve) for curve in curves)
    assert sum(count for count, _ in best) == with_match
    assert {of for _, of in best} == {with_match}
    assert [row["class"] for row in rows] == [
        f"{sum(curve[layer] > 0 for curve in curves)} of {len(curves)}" for layer in range(5)
    ]


def test_pages_of_no_images_say_so():
    rows = [("VQA", image, "clean", False, 0.1, 0) for image in range(3)]
    counts = {task: {"filter 1": 4, "filter 2": 3, "asked": 3} for task in TASKS}
    empty = Table.of(pd.DataFrame(rows, columns=COLUMNS), counts)
    text = ablation_page(empty, Printed("llava-1.5-7b").ablations)
    assert read(text) == []
    assert "- polling: filter 2 keeps 3 of 4 images; asked about 3 of 3, right on 0 of 3" in text
    cells = {
        cell
        for row in read(knockout_page(empty, DEPTH, None))
        for key, cell in row.items()
        if key != "from -> to"
    }
    assert cells == {"0 of 0"}
