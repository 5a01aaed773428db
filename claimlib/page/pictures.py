"""The images behind a verdict, as a page shows them: some with their pictures, the rest by name."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Case = Mapping[str, Any]
MOST = 12  # pictures for each claim on each subject
NAMED = 30  # ids of other images on each side
PICTURE = re.compile(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/]+=*")
SQUARE = (100, 100)  # where a picture's size is not known


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
    """The images on either side, such as those on which the answer was lost and on which it was
    kept, of each arm and setting: in all `most` at length, by turns, and the ids of others, `NAMED`
    on each side.

    !!! example

        >>> case = {"image": "7", "setting": "polling", "arm": "object", "lost": True}
        >>> case |= {"before": "Yes", "after": "No", "picture": "", "size": (0, 0), "tokens": []}
        >>> case |= {"also": "", "sides": ("took it away", "did not")}
        >>> [told] = groups([case] * 3, 2, Album())
        >>> told["title"], len(told["cases"]), told["rest"]
        ('object, polling: took it away on 3 of 3 images', 2, ['7'])
    """
    cells: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        cells.setdefault((case["arm"], case["setting"]), []).append(case)
    sides = {
        f"{', '.join(filter(None, cell))}: {told} on {len(those)} of {len(every)} images": those
        for cell, every in cells.items()
        for told, is_lost in zip(every[0]["sides"], (True, False), strict=True)
        if (those := [case for case in every if case["lost"] == is_lost])
    }
    shares = _by_turns([sum(map(_is_told, those)) for those in sides.values()], most)
    return [
        _group(title, those, share, album)
        for (title, those), share in zip(sides.items(), shares, strict=True)
    ]


def _by_turns(there: Sequence[int], most: int) -> list[int]:
    """How many each side gives, of those that it has, if they take turns."""
    given = [0] * len(there)
    while sum(given) < min(most, sum(there)):
        for at, count in enumerate(there):
            if given[at] < count and sum(given) < most:
                given[at] += 1
    return given


def _is_told(case: Case) -> bool:
    """Whether more is known of a case than on which side it stands."""
    return any(case[each] for each in ("before", "after", "also", "picture"))


def size_of(case: Case) -> tuple[int, int]:
    """A picture's width and height; of one of unknown size, a square's.

    !!! example

        >>> size_of({"size": (0, 0)})
        (100, 100)
    """
    width, height = case["size"]
    return (int(width), int(height)) if width > 0 and height > 0 else SQUARE


def _group(title: str, cases: Sequence[Case], most: int, album: Album) -> dict[str, Any]:
    told = [at for at, case in enumerate(cases) if _is_told(case)]
    chosen = {told[at] for at in _spread(len(told), most)}
    others = (case["image"] for at, case in enumerate(cases) if at not in chosen)
    rest = list(dict.fromkeys(others))
    return {
        "title": title,
        "cases": [_told(cases[at], album) for at in sorted(chosen)],
        "rest": rest[:NAMED],
        "more": max(len(rest) - NAMED, 0),
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
