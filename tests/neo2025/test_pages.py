"""Result pages: does every cell hold the count of the results, and the printed one only for the
paper's models?

Pages are read back as a Markdown reader splits them. Fails if a count stands in another row or
column, or if a printed figure stands beside a model that the paper does not study.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims.neo2025.arms import COUNTS, REGIONS, TO_LAST, TO_ROW, WINDOWS, knockout, random, sliding
from claims.neo2025.lens import LensResults
from claims.neo2025.pages import (
    ABLATION_ROWS,
    FILTERED,
    TASKS,
    TITLES,
    ablation_page,
    knockout_page,
    lens_page,
    page,
    pages_of,
)
from claims.neo2025.published import Published
from claims.neo2025.study import NumberAblations
from claims.neo2025.windows import RUN
from fixtures.models import SHIPPED, STAND_IN
from vlmlib.study import Design, Finished, Row, Table, Task
from vlmlib.windows import named

DEPTH = 4


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


def table_of(
    arms: Sequence[str], tasks: Sequence[str], images: int = 9, filter_2: int | None = 30
) -> Table:
    """Arm number k takes the right answer away on k mod 9 images (VQA: one more), and touches k
    tokens, of every other image one more. On two images more the model is wrong to begin with."""
    joined = Table.joined([one_task(arms, task, images) for task in tasks])
    return with_yields(joined, filter_2)


def one_task(arms: Sequence[str], task: str, images: int) -> Table:
    more = int(task == "VQA")
    found = [
        [
            Row("clean", True, 0.9, 0, detail={"visual": 16}),
            *(Row(arm, image >= k % 9 + more, 0.5, k + image % 2) for k, arm in enumerate(arms)),
        ]
        for image in range(images)
    ]
    found += [[Row("clean", False, 0.1, 0, detail={"visual": 16})]] * 2
    return Table.of(task, [Finished(str(at), str(at), rows) for at, rows in enumerate(found)])


def with_yields(table: Table, filter_2: int | None = 30) -> Table:
    yields = {"filter 1": 40} | ({"filter 2": filter_2} if filter_2 else {})
    counts = {
        task: ({"filter 1": 40} if task == "VQA" else yields) | each
        for task, each in table.counts.items()
    }
    return replace(table, counts=counts)


ABLATIONS = table_of(ABLATION_ROWS, TASKS)
# one image more, on which every arm does what it does on the others
ALL_ABLATIONS = table_of(ABLATION_ROWS, FILTERED, images=10, filter_2=None)
KNOCKOUT_ROWS = [*TO_LAST, *TO_ROW, *map(random, TO_LAST)]
KNOCKOUT_ARMS = [
    knockout(row, window) for window in (*WINDOWS, *sliding(DEPTH)) for row in KNOCKOUT_ROWS
]
KNOCKOUTS = table_of(KNOCKOUT_ARMS, ["VQA"])
LAYERS = dict(zip(WINDOWS, map(range, (0, 0, 1, 1, 2, 0), (1, 2, 3, 4, 4, 4)), strict=True))
HEADS = dict(
    zip(
        WINDOWS,
        (
            "early, layer 0",
            "early-mid, layers 0-1",
            "mid, layers 1-2",
            "mid-late, layers 1-3",
            "late, layers 2-3",
            "all, layers 0-3",
        ),
        strict=True,
    )
)


def test_the_rows_of_table_1_are_the_papers_fitted_counts_and_controls():
    printed = {arm for _, arm in Published("llava-1.5-7b").ablations.cells}
    assert printed < set(ABLATION_ROWS)
    assert (
        len(ABLATION_ROWS)
        == len(set(ABLATION_ROWS))
        == len(REGIONS) + 1 + 2 * len(COUNTS) + 3 * len(REGIONS)
    )


def test_table_1_holds_the_tokens_and_the_count_of_every_row_and_task():
    rows = read(ablation_page(ABLATIONS, ALL_ABLATIONS, None))
    assert len(rows) == len(ABLATION_ROWS)
    for k, (arm, row) in enumerate(zip(ABLATION_ROWS, rows, strict=True)):
        mean = k + 4 / 9  # of nine images every other has one token more
        assert row["ablation (mean tokens)"] == f"{arm} ({mean:.1f})"
        lost = (k % 9, k % 9, k % 9 + 1)
        assert [row[task] for task in TASKS] == [f"{count} of 9" for count in lost]


def test_rows_that_no_image_has_are_left_out():
    arms = [arm for arm in ABLATION_ROWS if not arm.startswith("elsewhere") and "250" not in arm]
    shown = [
        row["ablation (mean tokens)"].split(" (")[0]
        for row in read(ablation_page(table_of(arms, TASKS), table_of(arms, FILTERED), None))
    ]
    assert shown == arms


def test_a_row_that_one_task_alone_has_is_empty_under_the_others():
    both = ["object", "elsewhere +2 buffer"]
    tables = [one_task(both if task == "polling" else both[:1], task, 9) for task in TASKS]
    joined = with_yields(Table.joined(tables))
    _, row = read(ablation_page(joined, joined, None))
    assert row["ablation (mean tokens)"].startswith("elsewhere +2 buffer")
    assert [row[task] for task in TASKS] == ["0 of 0", "1 of 9", "0 of 0"]


def test_the_papers_rows_stand_without_filter_2_beside():
    """Those that it does not print, and VQA, to which filter 2 does not belong, do not."""
    printed = {arm for _, arm in Published("llava-1.5-7b").ablations.cells}
    rows = read(ablation_page(ABLATIONS, ALL_ABLATIONS, None))
    heads = [f"{task}, without filter 2" for task in ("generative", "polling")]
    assert list(rows[0]) == ["ablation (mean tokens)", *TASKS, *heads]
    for k, (arm, row) in enumerate(zip(ABLATION_ROWS, rows, strict=True)):
        expected = f"{k % 9} of 10" if arm in printed else ""
        assert [row[head] for head in heads] == [expected] * 2
    only = table_of(["object"], ["polling"])
    [row] = read(ablation_page(only, only, None))
    assert [row[head] for head in heads] == ["0 of 0", "0 of 9"]


def test_table_2_holds_the_count_of_every_row_and_window():
    """Figure 8's stand below."""
    rows = read(knockout_page(KNOCKOUTS, LAYERS, None))
    named, slid = rows[: len(KNOCKOUT_ROWS)], rows[len(KNOCKOUT_ROWS) :]
    counts = {arm: f"{k % 9 + 1} of 9" for k, arm in enumerate(KNOCKOUT_ARMS)}
    assert list(sliding(DEPTH)) == ["L1-1", "L2-2", "L3-3", "L4-4"]
    for found, heads in ((named, HEADS), (slid, {name: name for name in sliding(DEPTH)})):
        assert found == [
            {"from -> to": row} | {head: counts[f"{row}, {name}"] for name, head in heads.items()}
            for row in KNOCKOUT_ROWS
        ]


def test_the_heads_of_table_2_name_the_layers_of_its_windows():
    """At 32 layers the headings of the paper, which were run as they stand."""
    windows = named(32, RUN)
    heads = list(read(knockout_page(KNOCKOUTS, windows, None))[0])[1:]
    assert heads == [
        "early, layers 0-9",
        "early-mid, layers 5-14",
        "mid, layers 11-20",
        "mid-late, layers 15-24",
        "late, layers 21-31",
        "all, layers 0-31",
    ]


@pytest.mark.parametrize("model", ["llava-1.5-7b", "llava-phi-3"])
def test_beside_each_cell_that_the_paper_prints_stands_its_count(model):
    printed = Published(model)
    for k, (arm, row) in enumerate(
        zip(
            ABLATION_ROWS,
            read(ablation_page(ABLATIONS, ALL_ABLATIONS, printed.ablations)),
            strict=True,
        )
    ):
        for task in TASKS:
            ours = f"{k % 9 + (task == 'VQA')} of 9"
            cell = printed.ablations.cells.get((task, arm))
            assert row[task] == (f"{ours} (paper: {cell.count} of {cell.n})" if cell else ours)
    rows = read(knockout_page(KNOCKOUTS, LAYERS, printed.knockouts))
    shown = {
        (row["from -> to"], window): row[head]
        for row in rows[: len(KNOCKOUT_ROWS)]
        for window, head in HEADS.items()
    }
    beside = {key for key, text in shown.items() if "paper" in text}
    assert len(beside) == (36 if model == "llava-1.5-7b" else 0)
    if beside:
        assert shown["O+1 -> LTP", "all"].endswith("(paper: 30 of 90)")
    assert not any(
        "paper" in row[window] for row in rows[len(KNOCKOUT_ROWS) :] for window in sliding(DEPTH)
    )


NO_NUMBERS = NumberAblations({}, np.zeros(0, bool))


@dataclass(frozen=True, eq=False)
class MadeUp:
    """A study of which some measurements are made. No page shows its fields after `data`."""

    name: str
    label: str
    ablations: Table | None = None
    knockouts: Table | None = None
    lens: LensResults | None = None
    data: str = "scenes"
    numbers: NumberAblations = NO_NUMBERS
    ablations_unfiltered: Table = ALL_ABLATIONS
    windows: dict[str, range] = field(default_factory=lambda: LAYERS)
    sliding_places: dict[str, float] = field(default_factory=dict)
    visual_tokens: int = 16

    @property
    def made(self) -> list[str]:
        return [name for name in TITLES if getattr(self, name) is not None]

    def measure(self, task: str | Task, design: Design) -> Table:
        raise NotImplementedError


def study(name: str, label: str = "", **made: Any) -> MadeUp:
    return MadeUp(name, label or name, **made)


@pytest.mark.parametrize("name", ["llava-1.5-7b", "qwen2-vl-2b", SHIPPED, "mine"])
def test_printed_figures_stand_on_pages_of_the_papers_models_alone(name):
    """And the stand-in is called one."""
    for measurement, title in (("ablations", "table 1"), ("knockouts", "table 2")):
        text = page(study(name, ablations=ABLATIONS, knockouts=KNOCKOUTS), measurement)
        assert text.startswith(f"# {name} on scenes: {title}\n")
        assert ("(paper:" in text) == (name == "llava-1.5-7b")
        assert (STAND_IN in text) == (name == SHIPPED)
        filtered = [
            "- generative: 40 images pass filter 1, 30 pass filter 2, 11 asked, right on 9",
            "- polling: 40 images pass filter 1, 30 pass filter 2, 11 asked, right on 9",
        ]
        vqa = "- VQA: 40 images pass filter 1, 11 questions, right on 9"
        unfiltered = [
            "- generative, without filter 2: 40 images pass filter 1, 12 asked, right on 10",
            "- polling, without filter 2: 40 images pass filter 1, 12 asked, right on 10",
        ]
        said = {"ablations": [*filtered, vqa, *unfiltered], "knockouts": [vqa]}[measurement]
        assert [line for line in text.splitlines() if line.startswith("- ")] == said


def test_each_measurement_that_was_made_has_its_page():
    assert pages_of(study("mine")) == {}
    one = study("mine", "mine, authors", ablations=ABLATIONS)
    assert pages_of(one) == {"mine, authors.ablations": page(one, "ablations")}
    all_ = study("mine", ablations=ABLATIONS, knockouts=KNOCKOUTS, lens=LENS_RESULTS)
    found = pages_of(all_)
    assert list(found) == ["mine.ablations", "mine.knockouts", "mine.lens"]
    assert list(found.values()) == [page(all_, each) for each in all_.made]
    assert len(set(found.values())) == 3
    assert page(one, "ablations").startswith("# mine, authors on scenes: table 1\n")


def test_of_the_printed_figures_there_is_no_page():
    assert pages_of(Published("llava-1.5-7b")) == {}


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
    assert "# mine on scenes: logit lens" in page(study("mine", lens=LENS_RESULTS), "lens")


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
    empty = table_of([], TASKS, images=0)
    text = ablation_page(empty, empty, Published("llava-1.5-7b").ablations)
    assert read(text) == []
    said = "- polling: 40 images pass filter 1, 30 pass filter 2, 2 asked, right on 0"
    assert said in text.splitlines()
    cells = {
        cell
        for row in read(knockout_page(empty, LAYERS, None))
        for key, cell in row.items()
        if key != "from -> to"
    }
    assert cells == {"0 of 0"}
    [row] = read(lens_page(LensResults.of([])))
    assert row == {
        "layer": "0",
        "class": "0 of 0",
        "absent class": "0 of 0",
        "best layer": "0 of 0",
    }
