"""Tables as claims ask for them: is every sample its cell's, with the categories of its images?

Oracles: rows written by hand, shares drawn so that they are known. Fails if an arm that did nothing
passes for alive, if an empty one counts as harmless, if images lose their category, or if a flip
between two runs is missed or made up.
"""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claimlib import Clustered, Totals, exceeds, greater, reproduces
from claims.neo2025.published import PrintedTable
from claims.neo2025.tables import MeasuredTable, averaged, beside_printed, flips
from vlmlib import VLMError
from vlmlib.study import Finished, Row, Table

ALL = "O -> LTP, all"
CLEAN = {"visual": 16, "category": "dog"}


def example(name: str, category: str, *rows: Row) -> Finished:
    clean = Row("clean", True, 0.9, 0, detail=CLEAN | {"category": category})
    return Finished(name, name, [clean, *rows])


def measured(*examples: Finished, task: str = "VQA") -> MeasuredTable:
    return MeasuredTable(Table.of(task, examples))


EXAMPLES = (
    example(
        "1",
        "dog",
        Row("object", False, 0.1, 4, moved=True, reached=True),
        Row("register", tokens=0, moved=False),
        Row(ALL, False, 0.2, 4, moved=True, reached=True),
    ),
    example(
        "2",
        "cat",
        Row("object", True, 0.8, 6, moved=False, reached=True),
        Row("register", True, 0.9, 2, moved=True, reached=True),
        Row(ALL, True, 0.9, 6, moved=False, reached=True),
    ),
    example(
        "3",
        "dog",
        Row("object", False, 0.3, 5, moved=True, reached=False),
        Row("register", tokens=0, moved=False),
        Row(ALL, True, 0.7, 5, moved=True, reached=False),
    ),
)
TABLE = measured(*EXAMPLES)


def told(sample: Clustered) -> tuple[list[object], list[str]]:
    return sample.values.tolist(), [*sample.clusters]


def test_what_is_lost_is_lost_by_images_of_a_category():
    assert told(TABLE.lost("VQA", "object")) == ([True, False, True], ["dog", "cat", "dog"])
    assert TABLE.lost("VQA", "object").codes.tolist() == [1, 0, 1]
    assert told(TABLE.lost("VQA", "register")) == ([False], ["cat"])


def test_a_pair_is_of_the_images_that_have_both_arms():
    first, second = TABLE.pair("VQA", "object", "register")
    assert (told(first), told(second)) == (([False], ["cat"]), ([False], ["cat"]))
    first, second = TABLE.pair("VQA", "object", ALL)
    assert told(first) == ([True, False, True], ["dog", "cat", "dog"])
    assert told(second) == ([True, False, False], ["dog", "cat", "dog"])


def test_curves_and_doubts_have_a_row_per_image_and_its_category():
    curves = TABLE.curves("VQA", ["object", ALL])
    assert told(curves) == ([[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]], ["dog", "cat", "dog"])
    doubts = TABLE.doubts("VQA", ["object", ALL])
    found = [each.values.tolist() for each in doubts]
    assert found == [pytest.approx([0.9, 0.2, 0.7]), pytest.approx([0.8, 0.1, 0.3])]
    assert [[*each.clusters] for each in doubts] == [["dog", "cat", "dog"]] * 2


@pytest.mark.parametrize("arm", ["object", ALL])
def test_an_arm_is_alive_where_it_changed_hidden_states(arm):
    """Whether or not it moved the answer."""
    assert told(TABLE.alive("VQA", arm)) == ([True, True, False], ["dog", "cat", "dog"])


def test_where_an_arm_was_empty_it_is_counted_and_left_out():
    assert (TABLE.empty("VQA", "register"), TABLE.empty("VQA", "object")) == (2, 0)
    assert len(TABLE.alive("VQA", "register")) == 1
    assert told(TABLE.tokens("object")) == ([4.0, 6.0, 5.0], ["dog", "cat", "dog"])


def test_an_image_in_which_an_arm_is_empty_has_no_tokens_of_it():
    """Each image once, whatever is asked about it."""
    assert told(TABLE.tokens("register")) == ([0.0, 2.0, 0.0], ["dog", "cat", "dog"])
    both = MeasuredTable(
        Table.joined([measured(*EXAMPLES, task=task).rows for task in ("VQA", "polling")])
    )
    assert told(both.tokens("register")) == told(TABLE.tokens("register"))


def test_a_table_has_the_arms_that_were_run_and_tells_its_yields():
    assert TABLE.has("register")
    assert not TABLE.has("random 5")
    assert TABLE.yields == {"VQA": {"asked": 3, "counted": 3}}
    with pytest.raises(VLMError, match="No example has the arm 'random 5' for VQA"):
        TABLE.lost("VQA", "random 5")


def test_an_image_without_a_category_is_a_cluster_of_its_own():
    rows = [Row("clean", True, detail={"visual": 16}), Row("object", False, tokens=3)]
    table = measured(Finished("1", "1", rows), Finished("2", "2", rows))
    assert told(table.lost("VQA", "object")) == ([True, True], ["1", "2"])


def few_and_many(few: float, many: float) -> list[list[Clustered]]:
    """Two settings, of 20 images and of 500, with a share of each that it happened to."""
    return [
        [Clustered(np.arange(n) < share * n, range(n))] for n, share in ((20, few), (500, many))
    ]


@pytest.mark.parametrize(("few", "many", "mean"), [(1.0, 0.5, 0.75), (0.0, 0.5, 0.25)])
def test_on_average_each_setting_counts_the_same(few, many, mean):
    """However many images it has."""
    found = averaged(lambda sample: exceeds(sample, 0.1), few_and_many(few, many))
    assert found is not None
    assert found.estimate == pytest.approx(mean)
    assert found.n == 500  # settings share images


def test_averages_of_pairs_hold_each_arm_against_its_own_images():
    """Planted: what one arm does more in either setting; and the same arm twice."""

    def pairs(other: float) -> list[list[Clustered]]:
        return [
            [
                first[0],
                Clustered(np.arange(len(first[0])) < other * len(first[0]), first[0].clusters),
            ]
            for first in few_and_many(0.5, 0.5)
        ]

    more, same = (averaged(greater, pairs(other)) for other in (0.1, 0.5))
    assert more is not None
    assert same is not None
    assert (more.outcome, same.outcome) == ("supported", "undecided")
    assert more.estimate == pytest.approx(0.4)


@pytest.mark.parametrize(
    "setting", [[Totals(3, 9)], [Clustered(np.zeros(0, bool), [])]], ids=["counts", "no images"]
)
def test_printed_counts_and_settings_without_images_have_no_average(setting):
    assert averaged(greater, [*few_and_many(0.5, 0.5), setting]) is None


CELLS = {("VQA", "object"): 0.4, ("VQA", ALL): 0.1, ("VQA", "register"): 0.0}


def table_of(shares: Sequence[float], images: int = 200) -> MeasuredTable:
    """A table in which each of the arms takes a share of the right answers."""
    arms = [arm for _, arm in CELLS]
    return measured(
        *(
            example(
                str(at),
                f"category {at % 20}",
                *(
                    Row(arm, (at * 7) % images >= share * images, 0.5, 3)
                    for arm, share in zip(arms, shares, strict=True)
                ),
            )
            for at in range(images)
        )
    )


PRINTED = PrintedTable(
    "a table", {cell: Totals(round(100 * share), 100) for cell, share in CELLS.items()}
)


@pytest.mark.parametrize(
    ("shares", "outcome"),
    [((0.4, 0.1, 0.0), "supported"), ((0.0, 0.0, 0.0), "refuted"), ((0.1, 0.4, 0.0), "refuted")],
    ids=["as printed", "nothing", "two swapped"],
)
def test_every_printed_cell_is_held_against_its_own(shares, outcome):
    def rule(ours: Sequence[Clustered], printed: Sequence[Totals], level: float):
        return reproduces(ours, printed, margin=0.12, level=level)

    verdict = beside_printed(rule, table_of(shares), PRINTED, level=0.9)
    assert (verdict.outcome, verdict.n) == (outcome, 200)


def test_cells_that_are_not_printed_are_left_out():
    """Whatever they are."""
    asked = []

    def rule(*given: Sequence[object]):
        asked.extend(map(len, given))
        return exceeds(Totals(1, 2), 0.5)

    only = PrintedTable("one cell", {("VQA", ALL): Totals(1, 10)})
    beside_printed(rule, table_of((1.0, 1.0, 1.0)), only)
    assert asked == [1, 1]


def run(rights: Sequence[bool | None], arms: Sequence[str] = ("a", "b")) -> Table:
    """A run of some arms on as many images as there are rights for each; None where it is empty."""
    count = len(rights) // len(arms)
    found = [
        example(
            str(at),
            "dog",
            *(
                Row(
                    arm,
                    rights[at + count * number],
                    tokens=int(rights[at + count * number] is not None),
                )
                for number, arm in enumerate(arms)
            ),
        )
        for at in range(count)
    ]
    return Table.of("VQA", found)


@settings(deadline=None, max_examples=25)
@given(rights=st.lists(st.booleans(), min_size=4, max_size=4), at=st.sets(st.integers(0, 3)))
def test_every_answer_that_flips_is_found(rights, at):
    """Of six, the clean runs counted, which do not."""
    again = [right != (place in at) for place, right in enumerate(rights)]
    assert flips(run(rights), run(again)) == pytest.approx(len(at) / 6)


def test_further_draws_of_an_arm_are_no_flips_of_their_own():
    arms = ["object", "random 5", "draw 2 of random 5", "draw 3 of random 5"]
    rights, again = [True] * 8, [False] * 2 + [True] * 6
    alone = flips(run(rights[:4], arms[:2]), run(again[:4], arms[:2]))
    assert flips(run(rights, arms), run(again, arms)) == alone > 0


def test_the_same_run_has_no_flips():
    rights = [True, False, True, True]
    assert flips(run(rights), run(rights)) == 0


def test_no_answers_have_no_flips():
    """Nor has an arm that was empty, or run once."""
    assert flips(Table.of("VQA", []), Table.of("VQA", [])) == 0
    assert flips(run([True, True, None, None]), run([True, True, None, None])) == 0
    assert flips(run([True, True], ["a"]), run([False, False], ["b"])) == 0
