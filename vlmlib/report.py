"""What was found and tried on a model, as a text that a person reads."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Literal

WIDTH = 100
# "refused": the model cannot be asked for it, and says why; "wrong": it is asked, and errs.
Outcome = Literal["found", "refused", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One thing that was tried.

    - `what`: it is. `found`: what was found, or why it is refused, or what is wrong.
    - `off`: how far it is from what the model itself gives, as a share of the largest number; None
        where there is nothing to compare.

    !!! example

        >>> str(Finding("places", "tokens move elsewhere", "refused"))
        'refused: tokens move elsewhere'
        >>> str(Finding("lens", "the model's own prediction", off=2e-7))
        "the model's own prediction, off by 2e-07"
    """

    what: str
    found: str
    outcome: Outcome = "found"
    off: float | None = None

    def __str__(self) -> str:
        told = self.found if self.off is None else f"{self.found}, off by {self.off:.0e}"
        return told if self.outcome == "found" else f"{self.outcome}: {told}"


@dataclass(frozen=True, repr=False)
class Report:
    """What `VLM.report` returns. It prints itself; `report["places"]` is one of its findings.

    !!! example

        >>> Report("Model", [Finding("layers", "2"), Finding("places", "none", "refused")])
        Model
          layers  2
          places  refused: none
        Refused: places.
    """

    model: str
    findings: Sequence[Finding]

    def __getitem__(self, what: str) -> Finding:
        return {each.what: each for each in self.findings}[what]

    @property
    def refused(self) -> list[Finding]:
        """What the model cannot be asked for."""
        return [each for each in self.findings if each.outcome == "refused"]

    @property
    def wrong(self) -> list[Finding]:
        """What is not as it has to be: nothing of this model should be believed before it is."""
        return [each for each in self.findings if each.outcome == "wrong"]

    def __str__(self) -> str:
        column = max(len(each.what) for each in self.findings) + 4
        lines = [line for each in self.findings for line in _lines(each, column)]
        told = {"Refused": self.refused, "WRONG": self.wrong}
        ends = [f"{how}: {', '.join(each.what for each in of)}." for how, of in told.items() if of]
        return "\n".join([one_line(self.model), *lines, *(ends or ["Nothing is refused."])])

    __repr__ = __str__


def _lines(finding: Finding, column: int) -> list[str]:
    text = wrap(one_line(str(finding)), WIDTH - column) or [""]
    names = [f"  {finding.what}".ljust(column), *[" " * column] * (len(text) - 1)]
    return [name + line for name, line in zip(names, text, strict=True)]


def one_line(text: str) -> str:
    """A text as one line of a terminal, in which what cannot be seen shows as such.

    !!! example

        >>> one_line("my\\nmodel"), one_line("a\\x1b[2Jb")
        ('my model', 'a�[2Jb')
    """
    shown = (
        each if each.isprintable() or each.isspace() else "\N{REPLACEMENT CHARACTER}"
        for each in text
    )
    return " ".join("".join(shown).split())


def first_sentence(message: str) -> str:
    """The first sentence of a message, whole with what stands in brackets.

    !!! example

        >>> first_sentence("It cannot run (Error: No rows. Add some). Ask for another.")
        'It cannot run (Error: No rows. Add some)'
    """
    told = ""
    for part in re.split(r"(?<=\.)\s+(?=[A-Z])", message):
        told = f"{told} {part}".strip()
        if told.count("(") <= told.count(")"):
            break
    return told.rstrip(".")
