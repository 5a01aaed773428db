"""The images behind a number: on one image, what was said before and under an arm, so that a reader
who doubts a verdict can look."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """One image under one arm.

    - `image`: its id; `setting`: of several that the arm was run in (such as a task), which.
    - `lost`: whether the arm took the right answer away; of what is no such arm, whether the first
      of `sides` is true of the image, and not the second.
    - `question`; `before`, `after`: the answers; `also`: what else there is to see. All "" of an
      image that is only counted.
    - `tokens`: the object's, each as left, top, right and bottom in shares of the picture's sides.
    - `picture`: a thumbnail as a data URI, or "" where the pictures are not at hand; `size`: width
      and height of the picture itself, in pixels; (0, 0) where not known.

    !!! example

        >>> Case("7", "polling", "object", True, "Is there a dog?", "Yes", "No").lost
        True
    """

    image: str
    setting: str
    arm: str
    lost: bool
    question: str
    before: str
    after: str
    tokens: tuple[tuple[float, float, float, float], ...] = ()
    picture: str = ""
    size: tuple[int, int] = (0, 0)
    also: str = ""
    sides: tuple[str, str] = ("took the right answer away", "did not take it away")

    @property
    def plain(self) -> dict[str, Any]:
        """As plain data.

        !!! example

            >>> Case("7", "", "object", True, "", "Yes", "No").plain["after"]
            'No'
        """
        return asdict(self)
