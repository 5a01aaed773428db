"""The paper's printed figures: are they the paper's, and are the counts behind them the only ones
that give them?

Fails if a figure is mistyped or stands in the wrong row, model or task, if an inferred size is not
the one that its figures show, if a stand-in for a control is another than the docstring says, or if
a broken file is read in silence.
"""

import re

import pytest

from claimlib.samples import Mean, Totals
from claims.neo2025.protocol import TASKS
from claims.neo2025.published import (
    FIGURES_FILE,
    MODELS,
    STAND_INS,
    Cell,
    PrintedLens,
    PrintedTable,
    Published,
    cells,
    load_figures,
)
from claims.neo2025.windows import RUN
from vlmlib import VLMError

ABLATIONS = ["object", "+1 buffer", "+2 buffer", "register"]
ABLATIONS += [
    f"{kind} {k}" for kind in ("gradient", "random") for k in (5, 10, 20, 40, 60, 100, 250)
]
KNOCKOUTS = ["O -> LTP", "O+1 -> LTP", "O+2 -> LTP", "I-(O+1) -> LTP", "O+1 -> LVR", "I-LVR -> LVR"]

# Typed a second time, from the paper and not from the file.
RETYPED = {
    ("llava-1.5-7b", "polling", "+1 buffer"): (51.28, 20, 39),
    ("llava-phi-3", "polling", "+1 buffer"): (86.48, 422, 488),
    ("llava-1.5-7b", "generative", "+1 buffer"): (71.79, 28, 39),
    ("llava-1.5-7b", "VQA", "+1 buffer"): (86.67, 78, 90),
    ("llava-phi-3", "generative", "+1 buffer"): (82.89, 945, 1140),
    ("llava-phi-3", "VQA", "+1 buffer"): (96.23, 51, 53),
    ("llava-1.5-7b", "generative", "object"): (33.33, 13, 39),
    ("llava-1.5-7b", "polling", "object"): (15.38, 6, 39),
    ("llava-1.5-7b", "VQA", "object"): (33.33, 30, 90),
    ("llava-phi-3", "generative", "object"): (47.46, 541, 1140),
    ("llava-phi-3", "polling", "object"): (28.48, 139, 488),
    ("llava-phi-3", "VQA", "object"): (41.51, 22, 53),
    ("llava-1.5-7b", "VQA", "+2 buffer"): (92.22, 83, 90),
    ("llava-phi-3", "VQA", "+2 buffer"): (100.0, 53, 53),
    ("llava-1.5-7b", "generative", "register"): (5.13, 2, 39),
    ("llava-phi-3", "generative", "register"): (7.63, 87, 1140),
    ("llava-1.5-7b", "generative", "gradient 20"): (33.33, 13, 39),
    ("llava-1.5-7b", "polling", "gradient 20"): (20.51, 8, 39),
    ("llava-1.5-7b", "VQA", "gradient 250"): (97.78, 88, 90),
    ("llava-phi-3", "polling", "gradient 250"): (90.16, 440, 488),
    ("llava-1.5-7b", "generative", "random 250"): (24.39, 10, 41),
    ("llava-1.5-7b", "polling", "random 250"): (0.0, 0, 41),
    ("llava-1.5-7b", "VQA", "random 250"): (16.67, 15, 90),
    ("llava-phi-3", "polling", "random 100"): (0.2, 1, 488),
    ("llava-1.5-7b", "VQA", "O+1 -> LTP, all"): (0.67, 30, 90),
    ("llava-1.5-7b", "VQA", "O+1 -> LTP, mid-late"): (0.82, 16, 90),
    ("llava-1.5-7b", "VQA", "O+1 -> LTP, early-mid"): (0.99, 1, 90),
    ("llava-1.5-7b", "VQA", "O+2 -> LTP, mid-late"): (0.8, 18, 90),
    ("llava-1.5-7b", "VQA", "I-(O+1) -> LTP, early"): (0.88, 11, 90),
    ("llava-1.5-7b", "VQA", "I-LVR -> LVR, all"): (1.0, 0, 90),
}


# Added up along each row and each column of the paper's text: one wrong figure, or two swapped,
# changes a sum.
SUMS = {
    1: (
        [
            *(199.49, 475.34, 518.29, 17.98),
            *(55.87, 83.83, 160.13, 279.35, 360.2, 438.57, 524.13),
            *(4.79, 10.72, 10.54, 10.95, 22.0, 30.74, 78.6),
        ],
        [553.89, 358.96, 575.55, 679.56, 447.52, 666.04],
    ),
    2: ([5.59, 5.27, 5.3, 5.61, 6.0, 6.0], [5.88, 5.99, 5.74, 5.46, 5.71, 4.99]),
}


def column(model: str, task: str, rows: list[str]) -> list[float]:
    return [
        cell.printed
        for row in rows
        for cell in cells()
        if (cell.model, cell.task, cell.arm) == (model, task, row)
    ]


def sizes_that_fit(printed: list[float], scale: int, up_to: int) -> list[int]:
    def fits(n: int, figure: float) -> bool:
        # of 1,500 images two decimals leave no other count than the two beside
        below = int(figure * n / scale)
        return any(round(scale * count / n, 2) == figure for count in (below, below + 1))

    return [n for n in range(1, up_to + 1) if all(fits(n, figure) for figure in printed)]


def test_the_figures_are_all_of_tables_1_and_2_each_once():
    drawn = [(1, model, row, task) for row in ABLATIONS for model in MODELS[:2] for task in TASKS]
    drawn += [(2, "llava-1.5-7b", row, window) for row in KNOCKOUTS for window in RUN]
    assert [(cell.table, cell.model, cell.row, cell.column) for cell in cells()] == drawn
    assert len(drawn) == 108 + 36


def test_the_counts_give_every_printed_figure_again():
    for cell in cells():
        lost, n = cell.lost.count, cell.lost.n
        given = round(100 * lost / n, 2) if cell.table == 1 else round((n - lost) / n, 2)
        assert given == cell.printed, cell


def test_figures_typed_a_second_time_agree():
    read = {
        (cell.model, cell.task, cell.arm): (cell.printed, cell.lost.count, cell.lost.n)
        for cell in cells()
    }
    assert {key: read[key] for key in RETYPED} == RETYPED


@pytest.mark.parametrize("table", SUMS)
def test_every_row_and_column_adds_up_to_the_papers(table):
    figures = [cell.printed for cell in cells() if cell.table == table]
    rows = [figures[start : start + 6] for start in range(0, len(figures), 6)]
    sums = (
        [round(sum(row), 2) for row in rows],
        [round(sum(of), 2) for of in zip(*rows, strict=True)],
    )
    assert sums == SUMS[table]


@pytest.mark.parametrize(
    ("model", "task", "rows", "n"),
    [
        ("llava-1.5-7b", "generative", ABLATIONS[:11], 39),
        ("llava-1.5-7b", "generative", ABLATIONS[11:], 41),
        ("llava-1.5-7b", "polling", ABLATIONS[:11], 39),
        ("llava-1.5-7b", "VQA", ABLATIONS, 90),
        ("llava-1.5-7b", "VQA", ABLATIONS[11:], 90),
        ("llava-phi-3", "generative", ABLATIONS, 1140),
        ("llava-phi-3", "polling", ABLATIONS, 488),
        ("llava-phi-3", "VQA", ABLATIONS, 53),
        ("llava-phi-3", "VQA", ABLATIONS[11:], 53),
    ],
)
def test_an_inferred_size_and_its_multiples_are_all_that_fit_up_to_1500(model, task, rows, n):
    assert sizes_that_fit(column(model, task, rows), 100, 1500) == list(range(n, 1501, n))
    assert {
        cell.lost.n
        for cell in cells()
        if (cell.model, cell.task) == (model, task) and cell.arm in rows
    } == {n}


def test_no_size_fits_llavas_generative_column_and_any_its_random_polling():
    assert sizes_that_fit(column("llava-1.5-7b", "generative", ABLATIONS), 100, 1500) == []
    assert column("llava-1.5-7b", "polling", ABLATIONS[11:]) == [0.0] * 7


def test_the_smallest_size_of_phis_random_rows_is_that_of_its_others():
    assert sizes_that_fit(column("llava-phi-3", "generative", ABLATIONS[11:]), 100, 1500) == [1140]
    assert sizes_that_fit(column("llava-phi-3", "polling", ABLATIONS[11:]), 100, 1500)[0] == 488


def test_table_2_leaves_its_size_open_and_table_1_closes_it():
    fitting = sizes_that_fit([cell.printed for cell in cells() if cell.table == 2], 1, 100)
    assert fitting == [90, 91, 92, 94, 96, 97, 98, 99, 100]
    assert {cell.lost.n for cell in cells() if cell.table == 2} == {90}
    assert sizes_that_fit(column("llava-1.5-7b", "VQA", ABLATIONS), 100, 100) == [90]


def test_each_table_answers_for_the_models_that_it_is_about():
    for model in MODELS:
        printed = Published(model)
        for table, number in ((printed.ablations, 1), (printed.knockouts, 2)):
            mine = {
                (c.task, c.arm): c.lost for c in cells() if (c.model, c.table) == (model, number)
            }
            assert table.cells == mine
            assert [table.lost(*key) for key in mine] == list(mine.values())
        assert printed.name == printed.label == f"{model} as published"
    sizes = {
        model: (len(Published(model).ablations.cells), len(Published(model).knockouts.cells))
        for model in MODELS
    }
    assert sizes == {"llava-1.5-7b": (54, 36), "llava-phi-3": (54, 0), "qwen2-vl-2b": (0, 0)}


def test_the_lens_figures_are_those_of_section_4_1():
    llava = PrintedLens(images=170, share=0.237, best_layer=25.7, states=33)
    qwen = PrintedLens(images=253, share=0.065, best_layer=25.1, states=29)
    assert [Published(model).lens for model in MODELS] == [llava, None, qwen]


def test_the_lens_answers_in_the_units_of_measured_ones():
    lens = PrintedLens(images=170, share=0.237, best_layer=25.7, states=33)
    assert lens.best == Mean(0.237, 170, (0, 1))
    assert lens.best_depth == Mean(25.7 / 32, 170, (0, 1))
    assert lens.controls() == [(lens.best, None)]


def test_curves_come_in_the_order_asked_for():
    rows = ["+2 buffer", "object", "+1 buffer"]
    assert Published("llava-phi-3").ablations.curves("polling", rows) == [
        Totals(466, 488),
        Totals(139, 488),
        Totals(422, 488),
    ]


def test_mean_token_counts_are_those_in_the_rows_names():
    tokens = load_figures().tokens
    assert list(tokens) == ABLATIONS
    assert [tokens[row] for row in ABLATIONS[:4]] == [12.6, 33.4, 60, 3.1]
    assert all(tokens[row] == int(row.split()[1]) for row in ABLATIONS[4:])
    means = {"object": 12.6, "+1 buffer": 33.4, "+2 buffer": 60, "register": 3.1}
    assert [Published(model).token_counts for model in MODELS] == [means, means, {}]


def test_a_table_has_the_arms_that_are_printed_and_their_stand_ins():
    table = Published("llava-1.5-7b").ablations
    assert all(table.has(arm) for arm in [*ABLATIONS, *STAND_INS])
    assert not any(table.has(arm) for arm in ("random 30", "elsewhere register", "O -> LTP, mid"))
    assert not Published("qwen2-vl-2b").ablations.has("object")


def test_a_control_is_the_random_row_with_the_fewest_tokens_that_suffice():
    """Those that are not fewer than the region's."""
    tokens, table = load_figures().tokens, Published("llava-phi-3").ablations
    for region in ABLATIONS[:3]:
        enough = [row for row in ABLATIONS[11:] if tokens[row] >= tokens[region]]
        control = min(enough, key=lambda row: tokens[row])
        assert STAND_INS[f"elsewhere {region}"] == STAND_INS[f"random = {region}"] == control
        for task in TASKS:
            expected = (table.lost(task, region), table.lost(task, control))
            assert table.pair(task, region, f"elsewhere {region}") == expected


def test_of_a_pair_the_second_is_none_where_the_paper_prints_none():
    table = Published("llava-1.5-7b").knockouts
    mid = table.lost("VQA", "O -> LTP, mid")
    assert table.pair("VQA", "O -> LTP, mid", "elsewhere O -> LTP, mid") == (mid, None)
    assert table.pair("VQA", "O -> LTP, mid", "O -> LTP, all") == (mid, Totals(16, 90))
    assert table.pair("VQA", "O -> LTP, mid", "elsewhere object") == (mid, None)


def test_as_many_random_tokens_as_registers_are_the_printed_five():
    """Of 3.1, on average, the nearest count that is printed."""
    table = Published("llava-phi-3").ablations
    assert table.lost("generative", "random = register") == Totals(42, 1140)
    assert table.lost("generative", "register") == Totals(87, 1140)


def test_no_printed_arm_tells_whether_it_did_anything():
    assert Published("llava-1.5-7b").ablations.alive("polling", "object") is None
    assert Published("llava-1.5-7b").knockouts.alive("VQA", "O -> LTP, mid") is None


@pytest.mark.parametrize("asked", ["numbers", "areas", "flips", "ablations_unfiltered"])
def test_what_the_paper_does_not_print_is_refused(asked):
    with pytest.raises(VLMError, match=r"Nothing can be measured on llava-1\.5-7b as published"):
        getattr(Published("llava-1.5-7b"), asked)


@pytest.mark.parametrize(
    ("table", "task", "arm"),
    [
        (Published("llava-1.5-7b").ablations, "polling", "random 30"),
        (Published("llava-1.5-7b").ablations, "poling", "object"),
        (Published("llava-1.5-7b").ablations, "VQA", "O -> LTP, mid"),
        (Published("llava-1.5-7b").knockouts, "polling", "O -> LTP, mid"),
        (Published("llava-1.5-7b").knockouts, "VQA", "elsewhere object"),
        (Published("llava-phi-3").knockouts, "VQA", "O -> LTP, mid"),
        (Published("qwen2-vl-2b").ablations, "polling", "object"),
    ],
)
def test_a_cell_that_is_not_printed_is_named_with_its_table(table: PrintedTable, task, arm):
    named = re.escape(f"The paper's {table.name} prints no cell ({task!r}, {arm!r})")
    with pytest.raises(VLMError, match=named):
        table.lost(task, arm)
    with pytest.raises(VLMError, match=named):
        table.pair(task, arm, "object")
    with pytest.raises(VLMError, match=named):
        table.curves(task, [arm])


def test_another_model_is_an_error_that_lists_the_papers():
    with pytest.raises(
        VLMError, match=r"nothing about 'llava-13b'.*llava-1.5-7b, llava-phi-3, qwen2-vl-2b"
    ):
        Published("llava-13b")


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        (
            "[71.79, 51.28, 86.67]",
            "[71.79, 51.29, 86.67]",
            "table-1, row '+1 buffer', llava-1.5-7b, polling: 51.29",
        ),
        (
            "n = [39, 39, 90]",
            "n = [39, 40, 90]",
            "table-1, row 'object', llava-1.5-7b, polling: 15.38",
        ),
        (
            "random = [41, 41, 90]",
            "random = [39, 41, 90]",
            "table-1, row 'random 10', llava-1.5-7b, generative: 4.88",
        ),
        ("n = 90", "n = 89", "table-2, row 'O+2 -> LTP', all: 0.68 is what 0 counts of 89"),
        ("n = 90", "n = 200", "table-2, row 'O -> LTP', mid: 0.96 is what 2 counts of 200"),
        ("0.96, 0.88, 0.93", "0.96, 0.88, 1.93", "table-2, row 'O -> LTP', late: 1.93"),
        (
            "0.96, 0.88, 0.93, ",
            "0.96, 0.88, ",
            "'table-2', 'rows', 'O -> LTP': has 5 values; expected 6",
        ),
        (
            "[71.79, 51.28, 86.67]",
            '[71.79, "51.28", 86.67]',
            "'llava-1.5-7b'[1]: is '51.28'; expected a float",
        ),
        ("n = [39, 39, 90]", "n = [39.0, 39, 90]", "'n'[0]: is 39.0; expected a positive int"),
        ("n = 90", "n = 0", "'table-2', 'n': is 0; expected a positive int"),
        (
            "images = 170",
            "images = true",
            "'lens', 'llava-1.5-7b', 'images': is True; expected a positive int",
        ),
        ("images = 170", "", "'lens', 'llava-1.5-7b': key 'images' is missing"),
        (
            "images = 170",
            "images = 170\nspread = 1.0",
            "'lens', 'llava-1.5-7b': key 'spread' is unknown",
        ),
        ('[lens."qwen2-vl-2b"]', '[lens."qwen2-vl-7b"]', "'lens': key 'qwen2-vl-2b' is missing"),
        ("tokens = 12.6, ", "", "'table-1', 'rows', 'object': key 'tokens' is missing"),
        ('model = "llava-1.5-7b"', "model = 1.5", "'table-2', 'model': is 1.5; expected a str"),
        ('how = """', "how = ", "cannot be read as TOML"),
    ],
)
def test_what_is_wrong_with_the_file_is_said_with_the_entrys_name(tmp_path, old, new, named):
    file = tmp_path / "figures.toml"
    text = FIGURES_FILE.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(VLMError, match=re.escape(named)):
        load_figures(file)


def test_a_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(VLMError, match=r"none\.toml"):
        load_figures(tmp_path / "none.toml")


def test_cells_are_a_copy_that_may_be_changed():
    cells().clear()
    assert isinstance(cells()[0], Cell)
