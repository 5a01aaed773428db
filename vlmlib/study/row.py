"""The result of one arm on one example, as it is kept."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """The result of one arm on one example.

    - `right`: was the answer right. `probability`: of the right token. `answer`: what was said.
    - `tokens`: how many the arm touched.
    - `detail`: anything else that JSON holds, such as numbers per layer.

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
