"""Pictures that can be measured: each is looked at once, and what was found is remembered by its
content."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vlmlib.errors import VLMError
from vlmlib.pictures import archive_of, fault_of, fault_of_file
from vlmlib.study.example import file_key
from vlmlib.study.meaning import meaning_of
from vlmlib.study.steps import Step
from vlmlib.study.store import content_key

Remember = Callable[[str, Callable[[], Any]], Any]


@dataclass(frozen=True)
class Picture:
    """A picture by its file, and its (height, width) as annotated, where that is known."""

    path: Path
    size: tuple[int, int] | None = None


def at_once(key: str, compute: Callable[[], Any]) -> Any:
    """What takes the place of `Store.remember` where there is no store.

    !!! example

        >>> at_once("sum", lambda: 1 + 1)
        2
    """
    return compute()


def sound(
    pictures: Sequence[Picture],
    folder: Path,
    most: int | None = None,
    remember: Remember = at_once,
    name: str = "whole pictures",
    advice: str = "",
) -> tuple[list[Path], Step]:
    """The first pictures that can be measured, and the step that chose them.

    One that cannot: it is missing, no regular file, a link out of its folder, not whole, of another
    size than annotated, turned by its EXIF data.

    **Arguments:** pictures; their folder; how many to find (None: all that are sound); what keeps
    the result (see `Store.remember`); what the step is called and advises.

    !!! example

        >>> folder = Path("fixtures/emoji_coco/eval")
        >>> given = [Picture(folder / name) for name in ("nothing.png", "0026.png", "0027.png")]
        >>> found, step = sound(given, folder, most=1)
        >>> [path.name for path in found], step.told
        (['0026.png'], '1 of 2 whole pictures, 1 bad: is missing (nothing.png)')
    """
    wanted = len(pictures) if most is None else most
    found: list[Path] = []
    bad: list[tuple[str, str]] = []
    while len(found) < wanted and len(found) + len(bad) < len(pictures):
        begun = len(found) + len(bad)
        some = pictures[begun : begun + wanted - len(found)]
        for each, fault in zip(some, _faults(some, folder, remember), strict=True):
            if fault:
                bad.append((each.path.name, fault))
            else:
                found.append(each.path)
    return found, Step.of(name, len(found) + len(bad), bad, advice=advice)


def _faults(pictures: Sequence[Picture], folder: Path, remember: Remember) -> list[str]:
    """What is wrong with each picture, "" where nothing is."""
    home = folder.resolve()
    faults = {each: _fault_of_place(each.path, home) for each in pictures}
    keys = {}
    for each in _bar("reading", [each for each in pictures if not faults[each]]):
        try:
            keys[each] = [file_key(each.path), each.size]
        except VLMError as error:
            faults[each] = fault_of(each.path, each.size) or str(error)

    def looked_at() -> list[str]:
        return [fault_of(each.path, each.size) for each in _bar("looking at", list(keys))]

    if keys:
        key = content_key("pictures", list(keys.values()), meaning_of(fault_of))
        faults |= zip(keys, remember(key, looked_at), strict=True)
    return [faults[each] for each in pictures]


def _bar(doing: str, pictures: Sequence[Picture]) -> Iterable[Picture]:
    """Of as many as ImageNet's validation has, somebody waits."""
    return tqdm(pictures, desc=f"{doing} pictures", unit="picture", leave=False, disable=None)


def _fault_of_place(path: Path, home: Path) -> str:
    fault = fault_of_file(path)
    if fault or archive_of(path) or path.resolve().is_relative_to(home):
        return fault
    return "is a link out of its folder"
