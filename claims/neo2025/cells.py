"""Whether each cell that the paper prints in tables 1 and 2 reproduces, corrected in its table."""

from functools import cache
from typing import Any

from claimlib import Claim, Verdict, holm
from claims.neo2025.published import cells


@cache
def agreement(table: Any, model: str, claim: Claim) -> dict[tuple[str, str], Verdict]:
    """Whether each cell that the paper prints for a model in the claim's table reproduces.

    **Returns:** verdicts by (task, arm), under Holm's correction.
    """
    printed = {
        (cell.task, cell.arm): cell.lost
        for cell in cells()
        if (cell.table, cell.model) == (claim.parameters["table"], model)
    }
    verdicts = {cell: claim.rule(table.lost(*cell), lost) for cell, lost in printed.items()}
    corrected = holm({", ".join(cell): verdict for cell, verdict in verdicts.items()})
    return dict(zip(verdicts, corrected.values(), strict=True))
