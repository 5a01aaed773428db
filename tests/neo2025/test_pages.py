"""Result pages: does every cell hold the count of the results, and the printed one only for the
paper's models?

Pages are read back as a Markdown reader splits them. Fails if a count stands in another row or
column, if a printed figure stands beside a model that the paper does not study, or if an arm that
did nothing, or was not run, passes for one that is harmless.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from claimlib import Clustered
from claimlib.report import mixed
from claims.neo2025.arms import (
    COUNTS,
    REGIONS,
    TO_LAST,
    TO_ROW,
    TO_TEXT,
    WINDOWS,
    knockout,
    random,
    sliding,
)
from claims.neo2025.lens import LensResults
from claims.neo2025.pages import (
    ABLATION_ROWS,
    FILTERED,
    TASKS,
    TITLES,
    ablation_page,
    counting,
    knockout_page,
    lens_page,
    origins_of,
    origins_together,
    page,
    pages_of,
)
from claims.neo2025.published import Published
from claims.neo2025.study import NumberAblations
from claims.neo2025.tables import MeasuredTable
from claims.neo2025.windows import RUN
from fixtures.models import SHIPPED, STAND_IN
from fixtures.reports import rows_of
from tests.neo2025.test_lens import image_of
from vlmlib.study import Design, Finished, Row, Table, Task
from vlmlib.study.store import Origins
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


def counted(count: int, n: int) -> str:
    """A count, per cent, and its exact interval of 95 % (Clopper and Pearson)."""
    low = beta.ppf(0.025, count, n - count + 1) if count else 0.0
    high = beta.ppf(0.975, count + 1, n - count) if count < n else 1.0
    return f"{count} of {n}: {count / n:.0%} [{low:.0%}, {high:.0%}]"


def table_of(
    arms: Sequence[str], tasks: Sequence[str], images: int = 9, filter_2: int | None = 30
) -> MeasuredTable:
    """Arm number k takes the right answer away on k mod 9 images (VQA: one more), and touches k
    tokens, of every other image one more. On two images more the model is wrong to begin with."""
    joined = Table.joined([one_task(arms, task, images) for task in tasks])
    return with_yields(joined, filter_2)


def one_task(arms: Sequence[str], task: str, images: int) -> Table:
    more = int(task == "VQA")
    found = [
        [
            Row("clean", True, 0.9, 0, detail={"visual": 16}),
            *(
                Row(
                    arm,
                    image >= k % 9 + more,
                    0.5,
                    k + image % 2,
                    moved=True,
                    attention=0.001 * (k + image),
                    reached=True,
                )
                for k, arm in enumerate(arms)
            ),
        ]
        for image in range(images)
    ]
    found += [[Row("clean", False, 0.1, 0, detail={"visual": 16})]] * 2
    return Table.of(task, [Finished(str(at), str(at), rows) for at, rows in enumerate(found)])


def with_yields(table: Table, filter_2: int | None = 30) -> MeasuredTable:
    yields = {"filter 1": 40} | ({"filter 2": filter_2} if filter_2 else {})
    counts = {
        task: ({"filter 1": 40} if task == "VQA" else yields) | each
        for task, each in table.counts.items()
    }
    return MeasuredTable(replace(table, counts=counts))


ABLATIONS = table_of(ABLATION_ROWS, TASKS)
# one image more, on which every arm does what it does on the others
ALL_ABLATIONS = table_of(ABLATION_ROWS, FILTERED, images=10, filter_2=None)
KNOCKOUT_ROWS = [*TO_LAST, *TO_ROW, *map(random, TO_LAST)]
NAMED_ROWS = [*KNOCKOUT_ROWS, *TO_TEXT]
KNOCKOUT_ARMS = [
    *(knockout(row, window) for window in WINDOWS for row in NAMED_ROWS),
    *(knockout(row, window) for window in sliding(DEPTH) for row in KNOCKOUT_ROWS),
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
        == len(REGIONS) + 1 + 2 * len(COUNTS) + 2 + 3 * len(REGIONS)
    )


def test_table_1_holds_the_tokens_and_the_count_of_every_row_and_task():
    rows = read(ablation_page(ABLATIONS, ALL_ABLATIONS, None))
    assert len(rows) == len(ABLATION_ROWS)
    for k, (arm, row) in enumerate(zip(ABLATION_ROWS, rows, strict=True)):
        mean = k + 4 / 9  # of nine images every other has one token more
        assert row["ablation (mean tokens)"] == f"{arm} ({mean:.1f})"
        lost = (k % 9, k % 9, k % 9 + 1)
        assert [row[task] for task in TASKS] == [counted(count, 9) for count in lost]


def test_rows_that_no_image_has_are_left_out():
    arms = [arm for arm in ABLATION_ROWS if not arm.startswith("elsewhere") and "250" not in arm]
    shown = [
        row["ablation (mean tokens)"].split(" (")[0]
        for row in read(ablation_page(table_of(arms, TASKS), table_of(arms, FILTERED), None))
    ]
    assert shown == arms


def test_a_row_that_one_task_alone_has_is_none_under_the_others():
    both = ["object", "elsewhere +2 buffer"]
    tables = [one_task(both if task == "polling" else both[:1], task, 9) for task in TASKS]
    joined = with_yields(Table.joined(tables))
    _, row = read(ablation_page(joined, joined, None))
    assert row["ablation (mean tokens)"].startswith("elsewhere +2 buffer")
    assert [row[task] for task in TASKS] == ["none", counted(1, 9), "none"]


def test_the_papers_rows_stand_without_filter_2_beside():
    """Those that it does not print, and VQA, to which filter 2 does not belong, do not."""
    printed = {arm for _, arm in Published("llava-1.5-7b").ablations.cells}
    rows = read(ablation_page(ABLATIONS, ALL_ABLATIONS, None))
    heads = [f"{task}, without filter 2" for task in ("generative", "polling")]
    assert list(rows[0]) == ["ablation (mean tokens)", *TASKS, *heads]
    for k, (arm, row) in enumerate(zip(ABLATION_ROWS, rows, strict=True)):
        expected = counted(k % 9, 10) if arm in printed else ""
        assert [row[head] for head in heads] == [expected] * 2
    only = table_of(["object"], ["polling"])
    [row] = read(ablation_page(only, only, None))
    assert [row[head] for head in heads] == ["none", counted(0, 9)]


def test_table_2_holds_the_count_of_every_row_and_window():
    """Figure 8's stand below, without what blocks the text; and below them what attention each
    takes away."""
    rows = read(knockout_page(KNOCKOUTS, LAYERS, None))
    named, slid = rows[: len(NAMED_ROWS)], rows[len(NAMED_ROWS) : -len(NAMED_ROWS)]
    counts = {arm: counted(k % 9 + 1, 9) for k, arm in enumerate(KNOCKOUT_ARMS)}
    assert list(sliding(DEPTH)) == ["L1-1", "L2-2", "L3-3", "L4-4"]
    parts = [(named, NAMED_ROWS, HEADS)]
    parts += [(slid, KNOCKOUT_ROWS, {name: name for name in sliding(DEPTH)})]
    for found, wanted, heads in parts:
        assert found == [
            {"from -> to": row} | {head: counts[f"{row}, {name}"] for name, head in heads.items()}
            for row in wanted
        ]
    weight = {arm: f"{0.001 * (k + 4):.1%}" for k, arm in enumerate(KNOCKOUT_ARMS)}
    assert rows[-len(NAMED_ROWS) :] == [
        {"from -> to": row} | {head: weight[f"{row}, {name}"] for name, head in HEADS.items()}
        for row in NAMED_ROWS
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


@pytest.mark.slow
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
            ours = counted(k % 9 + (task == "VQA"), 9)
            cell = printed.ablations.cells.get((task, arm))
            theirs = f"{ours} (paper: {cell.count} of {cell.n})" if cell else ours
            assert row[task].replace("°", "") == theirs
    rows = read(knockout_page(KNOCKOUTS, LAYERS, printed.knockouts))
    shown = {
        (row["from -> to"], window): row[head]
        for row in rows[: len(NAMED_ROWS)]
        for window, head in HEADS.items()
    }
    beside = {key for key, text in shown.items() if "paper" in text}
    assert len(beside) == (36 if model == "llava-1.5-7b" else 0)
    if beside:
        assert shown["O+1 -> LTP", "all"].endswith("(paper: 30 of 90)")
    others = rows[len(NAMED_ROWS) :]
    assert not any("paper" in cell for row in others for cell in row.values())


def test_a_printed_cell_with_which_doing_nothing_agrees_bears_a_sign():
    """To within ten points; one of a few images, or of many answers, does not."""
    printed = Published("llava-1.5-7b")
    rows = read(ablation_page(ABLATIONS, ALL_ABLATIONS, printed.ablations))
    cells = {row["ablation (mean tokens)"].split(" (")[0]: row for row in rows}
    assert cells["random 5"]["VQA"].endswith("(paper: 1 of 90°)")
    assert cells["object"]["VQA"].endswith("(paper: 30 of 90)")
    assert cells["object"]["polling"].endswith("(paper: 6 of 39)")
    flagged = "".join(map(str, read(knockout_page(KNOCKOUTS, LAYERS, printed.knockouts))))
    assert flagged.count("(paper: 0 of 90°)") == flagged.count("(paper: 0 of 90") > 12
    assert flagged.count("(paper: 30 of 90°)") == 0 < flagged.count("(paper: 30 of 90)")
    assert "°" not in "".join(map(str, read(knockout_page(KNOCKOUTS, LAYERS, None))))


def off(text: str) -> list[float]:
    """How far our cells are off the printed ones, and how far doing nothing is, in points."""
    found = re.search(r"are off what is printed by ([\d.]+) points .* is by ([\d.]+)\.", text)
    return [float(each) for each in found.groups()] if found else []


def all_lose(share: float) -> MeasuredTable:
    """A table of the arms of table 2 that each lose a share of ten images."""
    rows = [
        [
            Row("clean", True, detail={"visual": 16}),
            *(Row(arm, at >= share * 10, attention=0.1, reached=True) for arm in KNOCKOUT_ARMS),
        ]
        for at in range(10)
    ]
    found = [Finished(str(at), str(at), each) for at, each in enumerate(rows)]
    return with_yields(Table.of("VQA", found))


@pytest.mark.slow
def test_a_page_says_how_far_both_it_and_doing_nothing_are_off():
    """Root mean square over all printed cells."""
    printed = Published("llava-1.5-7b").knockouts
    shares = np.array([each.share for each in printed.cells.values()])
    nothing = 100 * np.sqrt(np.mean(shares**2))
    assert nothing == pytest.approx(10.9, abs=0.05)
    for share in (0.0, 0.5):
        ours = 100 * np.sqrt(np.mean((shares - share) ** 2))
        found = off(knockout_page(all_lose(share), LAYERS, printed))
        assert found == pytest.approx([ours, nothing], abs=0.051)
    assert off(knockout_page(KNOCKOUTS, LAYERS, None)) == []
    assert off(knockout_page(KNOCKOUTS, LAYERS, Published("llava-phi-3").knockouts)) == []


def test_a_page_says_no_distance_where_a_printed_row_is_missing():
    """Such as that of 250 tokens of a small image."""
    printed = Published("llava-1.5-7b").ablations
    arms = [arm for arm in ABLATION_ROWS if "250" not in arm]
    assert off(ablation_page(ABLATIONS, ALL_ABLATIONS, printed))
    assert off(ablation_page(table_of(arms, TASKS), table_of(arms, FILTERED), printed)) == []


def idle(text: str) -> list[str]:
    """The list of arms that did nothing, and of images that were left out."""
    _, found, lines = text.partition("Arms that did nothing, and images that were left out:\n\n")
    return lines.strip().splitlines() if found else []


def with_arms(*images: dict[str, Row]) -> MeasuredTable:
    """A table of VQA: the rows of the arms on each image."""
    found = [
        Finished(str(at), str(at), [Row("clean", True, detail={"visual": 16}), *rows.values()])
        for at, rows in enumerate(images)
    ]
    return with_yields(Table.of("VQA", found))


def test_an_arm_that_did_nothing_or_was_not_run_is_listed():
    alive = Row("object", False, tokens=3, moved=True, reached=True)
    dead = Row("random 5", True, tokens=5, moved=False, reached=False)
    empty = Row("register", tokens=0, moved=False)
    never = Row("elsewhere object", tokens=0, moved=False)
    some = {"object": alive, "random 5": dead, "register": empty, "elsewhere object": never}
    other = {
        "object": alive,
        "random 5": replace(dead, reached=True),
        "register": Row("register", True, tokens=2, moved=True, reached=True),
        "elsewhere object": never,
    }
    table = with_arms(some, some, other)
    page = ablation_page(table, table, None)
    assert idle(page) == [
        "- VQA, random 5: did nothing on 2 of 3",
        "- VQA, register: nothing to change on 2",
        "- VQA, elsewhere object: nothing to change on all 3",
    ]
    shown = {row["ablation (mean tokens)"]: row["VQA"] for row in read(page)}
    assert shown == {
        "object (3.0)": counted(3, 3),
        "register (2.0)": counted(0, 1),
        "random 5 (5.0)": counted(0, 3),
        "elsewhere object (none)": "none",
    }


def test_an_image_that_has_no_place_for_an_arm_is_listed():
    """A design leaves it out: there is no row, not even an empty one."""
    both = {
        "object": Row("object", False, tokens=3, reached=True),
        "elsewhere object": Row("elsewhere object", True, tokens=3, reached=True),
    }
    table = with_arms(both, {"object": both["object"]}, both)
    page = ablation_page(table, table, None)
    assert idle(page) == ["- VQA, elsewhere object: no place for it on 1"]


def test_an_arm_that_images_lack_is_listed_with_the_first_reason():
    """Also where all of them do, of which it has no row; a further draw is not listed."""
    has = Row("random 5", True, tokens=5, reached=True)
    lacks = [Row.lacking("random 5", f"there are {count} of | 5") for count in (3, 4)]
    none = Row.lacking("random 40", "there are 4")
    images = [{"random 5": each, "random 40": none} for each in (has, *lacks)]
    draw = {"draw": Row.lacking("draw 2 of random 40", "there are 4")}
    table = with_arms(*({**each, **draw} for each in images))
    page = ablation_page(table, table, None)
    assert idle(page) == [
        "- VQA, random 5: left out on 2: there are 3 of \\| 5",
        "- VQA, random 40: left out on all 3: there are 4",
    ]
    assert [line[:20] for line in page.splitlines() if line.startswith("| random")] == [
        "| random 5 (5.0)    "
    ]


def test_an_arm_of_several_draws_is_one_row_of_their_mean():
    draws = [("random 5", False), ("draw 2 of random 5", False), ("draw 3 of random 5", True)]
    image = {name: Row(name, right, tokens=5, reached=True) for name, right in draws}
    table = with_arms(*[image] * 30)
    page = ablation_page(table, table, None)
    [row] = read(page)
    assert row["ablation (mean tokens)"] == "random 5 (5.0)"
    assert row["VQA"].startswith("20.0 of 30: 67% [")
    assert idle(page) == []


def test_blocked_edges_are_dead_where_their_targets_did_not_change():
    """Whether or not the answer moved."""
    arm = knockout("O -> LTP", "all")
    dead, alive = (
        {arm: Row(arm, True, tokens=3, moved=not reached, attention=0.0, reached=reached)}
        for reached in (False, True)
    )
    told = idle(knockout_page(with_arms(dead, alive, alive), LAYERS, None))
    assert told == ["- VQA, O -> LTP, all: did nothing on 1 of 3"]


def test_where_every_arm_did_something_there_is_no_list():
    assert idle(ablation_page(ABLATIONS, ALL_ABLATIONS, None)) == []
    assert idle(knockout_page(KNOCKOUTS, LAYERS, None)) == []


NO_NUMBERS = NumberAblations([])
NO_AREAS = Clustered(np.zeros(0), [])


@dataclass(frozen=True, eq=False)
class MadeUp:
    """A study of which some measurements are made. No page shows its fields after `data`."""

    name: str
    label: str
    ablations: MeasuredTable | None = None
    knockouts: MeasuredTable | None = None
    lens: LensResults | None = None
    data: str = "scenes"
    numbers: NumberAblations = NO_NUMBERS
    ablations_unfiltered: MeasuredTable = ALL_ABLATIONS
    windows: dict[str, range] = field(default_factory=lambda: LAYERS)
    sliding_places: dict[str, float] = field(default_factory=dict)
    areas: Clustered = NO_AREAS
    flips: float = 0.0
    own: bool = False
    visual_tokens: int = 16
    origins: dict[str, Origins] = field(default_factory=dict)

    @property
    def made(self) -> list[str]:
        return [name for name in TITLES if getattr(self, name) is not None]

    def measure(self, task: str | Task, design: Design) -> Table:
        raise NotImplementedError


def study(name: str, label: str = "", **made: Any) -> MadeUp:
    return MadeUp(name, label or name, **made)


def test_where_results_come_from_is_told_in_words():
    """Versions one by one, as two measurements need not use the same libraries; what is not known,
    as of rows that nothing has computed, is left out."""
    stored = {
        **{"model": "mine", "weights": "w1", "dtype": "float16", "device": "cuda", "card": None},
        **{"attention": "sdpa", "mean": "m1", "data": "coco", "annotations": "", "seed": 0},
        **{"protocol": "text", "libraries": '{"torch": "2.13"}', "system": "s", "suite": "1a2b"},
    }
    mine = study("mine", "mine, authors", origins={"polling, ablations": [(stored, 7)]})
    assert origins_of(mine) == {
        "mine, authors": [
            {
                "table": "polling, ablations",
                "images": 7,
                "facts": {
                    **{"model": "mine", "weights or revision": "w1", "type": "float16"},
                    **{"device": "cuda", "attention": "sdpa", "mean token": "m1", "data": "coco"},
                    **{"protocol": "text", "seed": "0", "torch": "2.13"},
                },
                "aside": {"system": "s", "this suite": "1a2b"},
            }
        ]
    }
    assert origins_of(study("yours")) == {}


def test_studies_that_one_claim_compares_are_told_together():
    """What differs between them but the model itself is called out."""
    of = {"weights": "w1", "mean": "m1", "dtype": "float16", "card": "A100", "libraries": "{}"}
    mine, another = {**of, "model": "mine"}, of | {"weights": "w2", "mean": "m2", "card": "H100"}
    studies = [
        study("mine", origins={"polling": [(mine, 7)], "filter 2": [(mine, 5)]}),
        study("yours", origins={"polling": [({**another, "model": "yours"}, 9)]}),
    ]
    assert mixed(origins_together("mine+yours", studies)) == [
        "mine+yours was not measured in one way: card: A100 (7 of mine), H100 (9 of yours)."
    ]
    assert origins_together("a+b", [study("a"), study("b")]) == {}


NASTY = "<i>a|b</i> `c` [d](e)\n# f"


@pytest.mark.slow
@pytest.mark.parametrize("measurement", TITLES)
def test_a_name_breaks_no_page(measurement):
    made = study(NASTY, ablations=ABLATIONS, knockouts=KNOCKOUTS, lens=LENS_RESULTS, data=NASTY)
    plain = study("mine", ablations=ABLATIONS, knockouts=KNOCKOUTS, lens=LENS_RESULTS, data="data")
    head, *rest = page(made, measurement).splitlines()
    escaped = r"\<i>a\|b\</i> \`c\` [d\](e) # f"
    assert head.startswith(f"# {escaped} on {escaped}: ")
    assert rest == page(plain, measurement).splitlines()[1:]


@pytest.mark.slow
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


@pytest.mark.slow
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


def lens_of(*images: tuple[list[int], list[int], list[int]]) -> LensResults:
    """Images of which so many of ten object tokens, as many for an absent class, and so many of
    eight background tokens decode to the class, layer by layer."""
    return LensResults.of(
        [
            image_of(matches, absent, tokens=10, elsewhere=elsewhere)
            for matches, absent, elsewhere in images
        ]
    )


LENS_RESULTS = lens_of(
    ([0, 2, 5], [0, 0, 0], [0, 1, 0]),
    ([0, 0, 0], [0, 0, 1], [0, 0, 0]),
    ([1, 1, 1], [0, 5, 5], [0, 8, 0]),
    ([0, 3, 0], [0, 0, 0], [0, 0, 1]),
)


def test_the_lens_page_counts_images_with_a_match_and_best_layers():
    rows = [
        [cell.partition(":")[0] for cell in row.values()] for row in read(lens_page(LENS_RESULTS))
    ]
    assert read(lens_page(LENS_RESULTS))[1]["class"] == "3 of 4: 75% [19%, 99%]"
    assert list(read(lens_page(LENS_RESULTS))[0]) == [
        "layer",
        "class",
        "absent class",
        "background",
        "best layer",
    ]
    assert rows == [
        ["0", "1 of 4", "0 of 4", "0 of 4", "1 of 3"],
        ["1", "3 of 4", "1 of 4", "2 of 4", "2 of 3"],
        ["2", "2 of 4", "2 of 4", "1 of 4", "2 of 3"],
    ]
    assert "# mine on scenes: logit lens" in page(study("mine", lens=LENS_RESULTS), "lens")


def test_the_lens_page_has_the_papers_two_numbers():
    """Ours are the means over images: of 0.5, 0, 0.1 and 0.3; of layers 2, 1 and 1."""
    ours = [
        "- of the object's tokens, in each image's best layer, decode to the class: 22.5% []",
        "- the best layer, on average: 1.3 [] of 3, the adapter's output counted",
    ]
    theirs = [" (paper: 23.7% of 170 images)", " (paper: 25.7 of 33)"]
    for name, added in (("mine", ["", ""]), ("llava-1.5-7b", theirs)):
        text = page(study(name, lens=LENS_RESULTS), "lens")
        told = [
            re.sub(r"\[[\d.%]+, [\d.%]+\]", "[]", line)
            for line in text.splitlines()
            if line.startswith("- ")
        ]
        assert told == [mine + more for mine, more in zip(ours, added, strict=True)]


@settings(deadline=None)
@given(curves=st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), max_size=6))
def test_a_best_layer_is_one_that_no_other_exceeds(curves):
    none = [0] * 5
    rows = read(lens_page(lens_of(*((curve, none, none) for curve in curves))))
    with_match = [curve for curve in curves if any(curve)]
    if with_match:
        assert [row["best layer"].partition(":")[0] for row in rows] == [
            f"{sum(curve[layer] == max(curve) for curve in with_match)} of {len(with_match)}"
            for layer in range(5)
        ]
    else:
        assert {row["best layer"] for row in rows} == {"none"}
    assert [row["class"].partition(":")[0] for row in rows] == [
        f"{sum(curve[layer] > 0 for curve in curves)} of {len(curves)}" if curves else "none"
        for layer in range(5 if curves else 1)
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
    assert cells == {"none"}
    text = lens_page(LensResults.of([]))
    assert [list(row.values()) for row in read(text)] == [["0", *["none"] * 4]]
    assert text.count(": none") == 2


class WithRows:
    """A study that has read filter 2 and polling of three images, and the lens of one."""

    label, data, kept = "mine", "coins", ["1", "2"]

    def __init__(self) -> None:
        clean = [Finished(each, each, [Row("clean", each != "2")]) for each in "123"]
        failed = Finished("4", "4", [], "Its picture is cut off.")
        lens = [Finished("1", "1", [Row("lens")])]
        self.found = {"filter 2": clean, "polling, ablations": [*clean, failed]}
        self.found |= {"VQA, ablations": clean, "logit lens": lens}


def test_rows_say_which_images_count():
    """Of filter 2 those that pass it; of a task those of them on which the clean run is right."""
    found = pd.read_parquet(BytesIO(rows_of(WithRows(), counting)["mine.rows.parquet"]))
    told = {
        name: own.set_index("example")["counts"].to_dict()
        for name, own in found.groupby("measurement")
    }
    assert told["filter 2"] == {"1": True, "2": True, "3": False}
    assert told["polling, ablations"] == {"1": True, "2": False, "3": False, "4": False}
    assert told["VQA, ablations"] == {"1": True, "2": False, "3": True}
    assert told["logit lens"] == {"1": None}
