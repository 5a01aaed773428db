"""The images behind a verdict, as a page shows them: some with their pictures, the rest by name."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Case = Mapping[str, Any]
MOST = 12  # pictures for each claim on each subject
PICTURE = re.compile(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/]+=*")
SQUARE = (100, 100)  # where a picture's size is not known
LOST, KEPT = "Where the arm took the right answer away", "Where it did not"


@dataclass
class Album:
    """Every picture of a page once, however many verdicts show it: by what it holds, its size and
    the id under which it stands."""

    pictures: dict[str, tuple[str, tuple[int, int]]] = field(default_factory=dict)

    def place(self, case: Case) -> str:
        """The id of a case's picture, or "" of one that has none that may be shown.

        !!! example

            >>> album = Album()
            >>> album.place({"picture": "data:image/png;base64,AAAA", "size": (40, 30)})
            'picture-0'
            >>> album.place({"picture": "https://example.org/a.png", "size": (40, 30)})
            ''
        """
        picture = case["picture"]
        if not PICTURE.fullmatch(picture):
            return ""
        known = (f"picture-{len(self.pictures)}", size_of(case))
        return self.pictures.setdefault(picture, known)[0]


def groups(cases: Sequence[Case], most: int, album: Album) -> list[dict[str, Any]]:
    """The images on which the answer was lost, and those on which it was kept: of both together
    `most` at length, spread evenly over all that there are, and the ids of the rest.

    !!! example

        >>> case = {"image": "7", "lost": True, "picture": "", "size": (0, 0), "tokens": []}
        >>> [told] = groups([case] * 3, 2, Album())
        >>> told["title"], len(told["cases"]), told["rest"]
        ('Where the arm took the right answer away', 2, ['7'])
    """
    lost = [case for case in cases if case["lost"]]
    kept = [case for case in cases if not case["lost"]]
    shares = (max(most // 2, most - len(kept)), max(most - most // 2, most - len(lost)))
    return [
        _group(title, those, share, album)
        for title, those, share in zip((LOST, KEPT), (lost, kept), shares, strict=True)
        if those
    ]


def size_of(case: Case) -> tuple[int, int]:
    """A picture's width and height; of one of unknown size, a square's.

    !!! example

        >>> size_of({"size": (0, 0)})
        (100, 100)
    """
    width, height = case["size"]
    return (int(width), int(height)) if width > 0 and height > 0 else SQUARE


def _group(title: str, cases: Sequence[Case], most: int, album: Album) -> dict[str, Any]:
    chosen = set(_spread(len(cases), min(most, len(cases))))
    return {
        "title": title,
        "count": len(cases),
        "cases": [_told(case, album) for at, case in enumerate(cases) if at in chosen],
        "rest": list(
            dict.fromkeys(case["image"] for at, case in enumerate(cases) if at not in chosen)
        ),
    }


def _spread(length: int, count: int) -> Iterator[int]:
    """So many places of a sequence, evenly."""
    return (at * length // count for at in range(count))


def _told(case: Case, album: Album) -> dict[str, Any]:
    width, height = size_of(case)
    return {
        **case,
        "place": album.place(case),
        "width": width,
        "height": height,
        "boxes": [*_boxes(case["tokens"], width, height)],
    }


def _boxes(tokens: Iterable[Sequence[float]], width: int, height: int) -> Iterator[dict[str, str]]:
    """Tokens as rectangles in a picture's pixels."""
    for left, top, right, bottom in tokens:
        yield {
            "x": f"{left * width:.1f}",
            "y": f"{top * height:.1f}",
            "width": f"{(right - left) * width:.1f}",
            "height": f"{(bottom - top) * height:.1f}",
        }
