"""What is measured on: a picture with what is known about it, of which a data set has many."""

import hashlib
import stat
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped
from PIL import Image
from pycocotools import mask as run_length

from vlmlib.errors import VLMError
from vlmlib.pictures import archive_of, as_rgb, bytes_of, open_image

Polygons = Sequence[Sequence[float | int]]
Outline = Polygons | Mapping[str, Any] | Shaped[np.ndarray, "height width"]


@dataclass(frozen=True, eq=False)
class Object:
    """An annotated object of a picture.

    - `outline`: polygons in pixels (x, y, x, y, ...), a run-length code as COCO has it, or a mask.
    - `size`: (height, width) of the picture. `area`: in square pixels, as annotated.
    - `crowd`: whether these are several objects, annotated together.

    !!! example

        >>> square = Object("dog", [[0, 0, 2, 0, 2, 2, 0, 2]], size=(4, 4), area=4.0)
        >>> int(square.mask.sum())
        4
    """

    category: str
    outline: Outline
    size: tuple[int, int]
    area: float | int = 0.0
    crowd: bool = False

    @property
    def mask(self) -> Bool[np.ndarray, "height width"]:
        """Which pixels of the picture are the object's."""
        if isinstance(self.outline, np.ndarray):
            return self.outline.astype(bool)
        return run_length.decode(self._encoded()).astype(bool)

    @property
    def pixels(self) -> int:
        """How many pixels that are; it is counted without drawing them."""
        if isinstance(self.outline, np.ndarray):
            return int(self.mask.sum())
        return int(run_length.area(self._encoded()))

    @property
    def polygons(self) -> tuple[tuple[float | int, ...], ...]:
        """The outlines in pixels; none where the annotation is a mask or a run-length code."""
        return tuple(map(tuple, self.outline)) if isinstance(self.outline, list | tuple) else ()

    def _encoded(self) -> Any:
        outline: Any = _plain(self.outline)
        is_code = isinstance(outline, dict)
        if is_code and isinstance(outline["counts"], str | bytes):
            return outline
        encoded = run_length.frPyObjects(outline, *self.size)  # pyright: ignore
        return encoded if is_code else run_length.merge(encoded)


@dataclass(frozen=True, eq=False)
class Example:
    """A picture with its objects, and what may be asked about it.

    - `id`: of its own, in one line: two questions about one picture are two examples.
    - `source`: the picture, or its file, which is opened when it is needed.
    - `objects`: all that is annotated.
    - `category`: the target's, which tasks ask about; "" for none.
    - `questions`: free questions whose answer is the category.
    - `cluster`: what examples share that are no independent draws, the picture by default.
    - `known`: what was found out about it before, as plain values, such as integrated gradients;
      or another example that it is held against.

    **Raises:** `VLMError` for an id that is empty or holds control characters.

    !!! example

        >>> example = Example("7", image, category="dog", questions=("What is on the bed?",))
        >>> example.cluster, example.image.size == image.size
        ('7', True)
    """

    id: str
    source: Path | Image.Image = field(repr=False)
    objects: Sequence[Object] = field(default=(), repr=False)
    category: str = ""
    questions: Sequence[str] = ()
    cluster: str = ""
    known: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.id.strip() or not self.id.isprintable():
            raise VLMError(
                f"An example has the id {self.id!r}. Expected some text in one line: rows, reports "
                "and locks are named by it."
            )
        object.__setattr__(self, "cluster", self.cluster or self.id)

    @property
    def image(self) -> Image.Image:
        """The picture in RGB.

        **Raises:** `VLMError` that names the file where it is missing or no picture.
        """
        if isinstance(self.source, Image.Image):
            return as_rgb(self.source)
        return open_image(self.source)

    @property
    def mask(self) -> Bool[np.ndarray, "height width"]:
        """Which pixels are the target's: of all objects of its category.

        **Raises:** `VLMError` where nothing of this category is annotated.
        """
        return joined(self.targets, self)

    @property
    def targets(self) -> list[Object]:
        """The objects of the target's category; none where it is absent, or there is no target."""
        return [each for each in self.objects if each.category == self.category]

    @property
    def polygons(self) -> list[tuple[float | int, ...]]:
        """The target's outlines in pixels; none where it is annotated by masks."""
        return [polygon for each in self.targets for polygon in each.polygons]

    @property
    def shown(self) -> Bool[np.ndarray, "height width"]:
        """Which pixels belong to anything that is annotated."""
        return joined(self.objects, self)

    @property
    def number(self) -> int:
        """A number that the id alone decides, to seed random draws with."""
        return int(self.id) if self.id.isdecimal() else zlib.crc32(self.id.encode())

    @cached_property
    def content(self) -> list[Any]:
        """All that a measurement may depend on, as plain values (see `store.content_key`)."""
        outlines = [[each.category, list(each.size), _plain(each.outline)] for each in self.objects]
        asked = [self.category, list(self.questions)]
        known = {
            name: value.content if isinstance(value, Example) else value
            for name, value in self.known.items()
        }
        return [self.id, self.picture_key, outlines, asked, known]

    @property
    def picture_key(self) -> str:
        """The SHA-256 of the picture: of its file's bytes, or of its pixels."""
        if isinstance(self.source, Image.Image):
            pixels = self.image
            return hashlib.sha256(f"{pixels.size}".encode() + pixels.tobytes()).hexdigest()
        return file_key(self.source)

    def knowing(self, **known: Any) -> "Example":
        """The same example, of which more is known."""
        return replace(self, known={**self.known, **known})


def joined(objects: Sequence[Object], example: Example) -> Bool[np.ndarray, "height width"]:
    """The mask of several objects of one picture.

    !!! example

        >>> thing = Object("dog", [[0, 0, 2, 0, 2, 2, 0, 2]], size=(4, 4))
        >>> joined([thing, thing], Example("7", image)).shape
        (4, 4)
    """
    if not objects:
        raise VLMError(
            f"Example {example.id!r} has no object of category {example.category!r}, so there is "
            "no region of it. Give it objects, or ask only what needs none."
        )
    return np.logical_or.reduce([each.mask for each in objects])


def noise_in(
    image: Image.Image,
    mask: Bool[np.ndarray, "height width"],
    generator: np.random.Generator,
    noise: Callable[[tuple[int, ...]], np.ndarray] | None = None,
) -> Image.Image:
    """The image with noise in the bounding box of a region, so that not even its outline is left.

    **Arguments:** the image; the region, nothing of which leaves the image as it is; `noise`: makes
    pixels of a shape, by default evenly distributed ones.

    !!! example

        >>> corner = np.zeros((image.height, image.width), bool)
        >>> corner[0, 0] = True
        >>> painted = noise_in(image, corner, np.random.default_rng(1))
        >>> int((np.array(painted) != np.array(image)).any(-1).sum())
        1
    """
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    pixels = np.array(image)
    if len(rows):
        box = pixels[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        if noise is None:
            box[:] = generator.integers(0, 256, size=box.shape, dtype=np.uint8)
        else:
            box[:] = noise(box.shape)
    return Image.fromarray(pixels)


def file_key(path: Path) -> str:
    """The SHA-256 of a file's bytes, which are read again when its size or time has changed; of one
    within a zip file, when that one's have.

    **Raises:** `VLMError` if it cannot be read.

    !!! example

        >>> len(file_key(Path("fixtures/emoji_coco/eval/0026.png")))
        64
    """
    try:
        found = (archive_of(path) or path).stat()
        if not stat.S_ISREG(found.st_mode):  # whoever opens a pipe would wait for ever
            raise OSError("it is no regular file")
        return _hashed(path.absolute(), found.st_size, found.st_mtime_ns)
    except OSError as error:
        raise VLMError(
            f"The file {str(path)!r} cannot be read ({error}). Check that it is whole and that you "
            "may read it."
        ) from error


@cache
def _hashed(path: Path, size: int, changed: int) -> str:
    if archive_of(path):
        return hashlib.sha256(bytes_of(path)).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(outline: Outline) -> Any:
    """An outline as plain values."""
    if isinstance(outline, np.ndarray):
        return [list(outline.shape), outline.tobytes()]
    return dict(outline) if isinstance(outline, Mapping) else [list(each) for each in outline]
