"""The result of one arm on one example, as it is kept."""

from dataclasses import dataclass, fields
from typing import Any

LACKS = "lacks"  # in the detail of a row that has nothing else: why


@dataclass(frozen=True)
class Row:
    """The result of one arm on one example.

    - `right`: was the answer right. `probability`: of the right token. `answer`: what was said.
    - `tokens`: how many the arm touched.
    - `detail`: anything else that JSON holds, such as numbers per layer.
    - `moved`: whether the arm moved the answer, by more than the same run repeated does (see
        `moved`). False for an empty arm, which changes nothing and is not run: it has no tokens
        and no answer.
    - `attention`: the weight that an arm's blocks remove; None without blocks. `reached`: whether
        hidden states changed where the arm acts (see `vlmlib.reach`).

    !!! example

        >>> Row("object", right=False, tokens=12).tokens
        12
    """

    arm: str
    right: bool | None = None
    probability: float | None = None
    tokens: int | None = None
    answer: str | None = None
    detail: Any = None
    moved: bool | None = None
    attention: float | None = None
    reached: bool | None = None

    @classmethod
    def lacking(cls, arm: str, why: str) -> "Row":
        """The row of an arm that could not be made on an example, with the reason.

        !!! example

            >>> Row.lacking("random 40", "there are 16 tokens").lacks
            'there are 16 tokens'
        """
        return cls(arm, detail={LACKS: why})

    @property
    def lacks(self) -> str:
        """Why the arm could not be made on this example; "" where it could."""
        return self.detail.get(LACKS, "") if isinstance(self.detail, dict) else ""


FIELDS = {each.name: each.type for each in fields(Row)}
FIGURES = [name for name in FIELDS if name != "detail"]  # all but what JSON holds
