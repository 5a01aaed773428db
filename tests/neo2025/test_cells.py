"""Agreement with the paper's printed cells: is each cell judged on its own rows and corrected for
its table's, and no others'?

Tables are made up that lose the printed shares. Fails if a cell is corrected for others than its
table's, or if a table or a margin is taken for another.
"""

from dataclasses import replace

import numpy as np
import pytest

from claimlib import Claim, Outcome, Verdict, agrees
from claims.neo2025.cells import agreement
from claims.neo2025.published import cells
from tests.neo2025 import NEO2025
from vlmlib.study import Finished, Row, Table


def claim_of(number: int, margin: float) -> Claim:
    """The claim about a table's cells, with another margin."""
    return replace(NEO2025[f"table-{number}-cell"], bounds={"margin": margin})


def reproduced(number: int, model: str, n: int) -> Table:
    """Each printed cell loses its printed share of n images, rounded; but the first cell loses
    all."""
    printed = [cell for cell in cells() if (cell.table, cell.model) == (number, model)]
    clean = Row("clean", True, 0.9, 0, detail={"visual": 576})
    rows = {cell.task: [[clean] for _ in range(n)] for cell in printed}
    for index, cell in enumerate(printed):
        lost = n if not index else round(cell.lost.share * n)
        for image in range(n):
            rows[cell.task][image].append(Row(cell.arm, image >= lost, 0.5, 5))
    return Table.joined(
        [
            Table.of(task, [Finished(str(at), str(at), each) for at, each in enumerate(images)])
            for task, images in rows.items()
        ]
    )


def holm(p_values: list[float]) -> list[float]:
    """Holm's adjusted p-values, by their definition."""
    adjusted, order, largest = [0.0] * len(p_values), np.argsort(p_values, kind="stable"), 0.0
    for place, index in enumerate(order):
        largest = max(largest, (len(p_values) - place) * p_values[index])
        adjusted[index] = min(1.0, largest)
    return adjusted


@pytest.mark.parametrize(
    ("number", "model", "count"), [(1, "llava-phi-3", 54), (2, "llava-1.5-7b", 36)]
)
def test_each_cell_is_corrected_for_the_models_cells_of_its_table(
    number, model, count, monkeypatch
):
    compared, alone = [], []

    def seen(claim, lost, printed):
        compared.append((int(lost.sum()), len(lost), printed, claim.bounds["margin"]))
        alone.append(agrees(lost, printed, **claim.bounds, level=claim.level))
        return alone[-1]

    monkeypatch.setattr(Claim, "rule", seen)
    table, claim = reproduced(number, model, 300), claim_of(number, 0.15)
    found = agreement(table, model, claim)
    assert agreement(table, model, claim) is found
    printed = {
        (cell.task, cell.arm): cell.lost
        for cell in cells()
        if (cell.table, cell.model) == (number, model)
    }
    assert list(found) == list(printed)
    assert len(found) == count
    assert compared == [
        (table.lost(*cell).sum(), 300, lost, 0.15) for cell, lost in printed.items()
    ]
    assert [each.p for each in found.values()] == pytest.approx(holm([each.p for each in alone]))
    assert [each.p_against for each in found.values()] == pytest.approx(
        holm([each.p_against for each in alone])
    )
    assert [each.estimate for each in found.values()] == [each.estimate for each in alone]
    first, *others = (each.outcome for each in found.values())
    assert first == Outcome.REFUTED
    assert Outcome.REFUTED not in others
    changed = [
        after
        for before, after in zip(alone, found.values(), strict=True)
        if before.outcome != after.outcome
    ]
    assert all(each.outcome == Outcome.UNDECIDED and "Holm" in each.why for each in changed)


def test_a_model_that_the_table_does_not_print_has_no_cells():
    table = reproduced(2, "llava-1.5-7b", 10)
    assert agreement(table, "emoji-llava", claim_of(1, 0.1)) == {}
    assert agreement(table, "llava-phi-3", claim_of(2, 0.1)) == {}


def test_agreement_on_another_table_or_within_another_margin_is_another(monkeypatch):
    def counted(claim, lost, _printed):
        return Verdict(
            kind="agrees",
            outcome=Outcome.UNDECIDED,
            estimate=0.0,
            interval=(0.0, 0.0),
            level=0.9,
            n=len(lost),
            required=f"within {claim.bounds['margin']}",
        )

    monkeypatch.setattr(Claim, "rule", counted)
    asked = [
        (reproduced(2, "llava-1.5-7b", n), margin)
        for n, margin in ((30, 0.1), (20, 0.1), (20, 0.2))
    ]
    found = [agreement(table, "llava-1.5-7b", claim_of(2, margin)) for table, margin in asked]
    assert [{(cell.n, cell.required) for cell in each.values()} for each in found] == [
        {(30, "within 0.1")},
        {(20, "within 0.1")},
        {(20, "within 0.2")},
    ]
