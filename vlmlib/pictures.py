"""Pictures: the one place that opens them, from files or from within a zip file, in RGB; and what
may be wrong with one."""

import base64
import math
import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from PIL import Image, UnidentifiedImageError

from vlmlib.errors import ImageError, VLMError

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
# Pillow tells a format by its content, and calls another program for some (EPS).
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
MOST_PIXELS = 89_478_485  # beyond which Pillow takes a picture for a decompression bomb
MOST_BYTES = 2**28
ORIENTATION = 0x0112  # of EXIF
TURNED = range(2, 9)


def open_image(path: Path) -> Image.Image:
    """A picture in RGB, decoded to its end; of an animated one the first frame.

    What is transparent is put on white, and 16 bits are scaled to 8. A path may lead through a zip
    file: `train2017.zip/train2017/000000000009.jpg`.

    **Raises:** `VLMError` that names the file where it is missing or no whole picture.

    !!! example

        >>> open_image(Path("fixtures/emoji_coco/eval/0026.png")).mode
        'RGB'
    """
    with _named(path), _opened(path) as image:
        return as_rgb(image)


def data_uri(
    image: Image.Image, side: int, qualities: Sequence[int], most: float = math.inf
) -> str:
    """A picture as part of a page: a JPEG whose longer side is at most so many pixels, of the first
    quality that takes no more bytes than `most`, or of the last.

    !!! example

        >>> data_uri(Image.new("RGB", (4, 4)), 2, [70])[:27]
        'data:image/jpeg;base64,/9j/'
    """
    picture, file = as_rgb(image).copy(), BytesIO()
    picture.thumbnail((side, side))
    for quality in qualities:
        file = BytesIO()
        picture.save(file, "JPEG", quality=quality)
        if file.tell() <= most:
            break
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def check_header(path: Path) -> None:
    """Refuse what its first bytes show to be no picture.

    **Raises:** `VLMError` that names it.

    !!! example

        >>> check_header(Path("fixtures/emoji_coco/eval/0026.png"))
    """
    with _named(path), _opened(path):
        pass


def as_rgb(image: Image.Image) -> Image.Image:
    """An image in RGB: what is transparent on white, 16 bits scaled to 8.

    **Raises:** `VLMError` for numbers of which it cannot be known what is white.

    !!! example

        >>> as_rgb(Image.new("RGBA", (1, 1), (200, 0, 0, 0))).getpixel((0, 0))
        (255, 255, 255)
        >>> as_rgb(Image.fromarray(np.full((1, 1), 65535, np.uint16))).getpixel((0, 0))
        (255, 255, 255)
    """
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image)
        if fault := _no_sixteen_bits(image.mode, values):
            raise VLMError(
                f"has pixels that {fault}, so that it is not known what is white: mode "
                f"{image.mode}. Scale them to 8 bits."
            )
        return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8)).convert(
            "RGB"
        )
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _no_sixteen_bits(mode: str, values: np.ndarray) -> str:
    """Why numbers are none of 16 bits, if so; those of mode I;16 always are."""
    if mode == "F":
        return "are fractions"
    if values.min() < 0 or values.max() > 65535:
        return "exceed 16 bits"
    return "may be of 8 bits or of 16" if mode == "I" and 0 < values.max() <= 255 else ""


def fault_of(path: Path, size: tuple[int, int] | None = None) -> str:
    """What keeps a picture from being measured; "" if nothing does.

    **Arguments:** where it is; its (height, width) as annotated. A picture that its EXIF data turn
    is then at fault, too, since nobody knows in which frame it was annotated.

    !!! example

        >>> fault_of(Path("fixtures/emoji_coco/eval/0026.png"), (9, 9))
        'is of another size than annotated: 168 x 126, annotated as 9 x 9'
    """
    try:
        with _opened(path) as image:
            annotated = size and _fault_of_frame(image, size)
            if annotated:
                return annotated
            as_rgb(image)
            # some formats tell it behind the pixels
            return _turned(image) if size else ""
    except Exception as error:  # as above
        return _reason(error)


def fault_of_file(path: Path) -> str:
    """What is wrong with a picture's file before a byte of it is read: whoever opens a pipe would
    wait for ever.

    !!! example

        >>> fault_of_file(Path("fixtures/emoji_coco/eval")), fault_of_file(Path("nothing.png"))
        ('is no file: a folder', 'is missing')
    """
    try:
        if archive := archive_of(path):
            size = _archive(archive).getinfo(_member(archive, path)).file_size
        else:
            found = path.stat()
            size = found.st_size
            if not stat.S_ISREG(found.st_mode):
                return f"is no file: {_kind(found.st_mode)}"
    except Exception as error:  # a broken zip file fails in many ways
        return _reason(error)
    return f"is too large: {size} bytes" if size > MOST_BYTES else ""


def pictures_in(folder: Path) -> list[Path]:
    """Every picture file under a folder, by its suffix, in the order of their paths.

    **Raises:** `VLMError` that names the folder if there is none.

    !!! example

        >>> len(pictures_in(Path("fixtures/emoji_coco/eval")))
        480
    """
    found = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.is_dir()
    )
    if not found:
        what = "a folder without pictures" if folder.is_dir() else "no folder"
        raise VLMError(
            f"Pictures were to be read from {str(folder)!r}, which is {what}. Pass a folder with "
            f"files of the suffixes {', '.join(sorted(SUFFIXES))} in it."
        )
    return found


def archive_of(path: Path) -> Path | None:
    """The zip file through which a path leads, if it does.

    !!! example

        >>> archive_of(Path("fixtures/emoji_coco/eval/0026.png")) is None
        True
    """
    found = (each for each in path.parents if each.suffix == ".zip")
    return next((each for each in found if each.is_file()), None)


def bytes_of(path: Path) -> bytes:
    """The bytes of a file, which may lie within a zip file.

    **Raises:** `VLMError` that names it where it cannot be read.

    !!! example

        >>> bytes_of(Path("fixtures/emoji_coco/eval/0026.png"))[1:4]
        b'PNG'
    """
    try:
        fault = fault_of_file(path)
        if not fault:
            return _bytes_of(path)
    except Exception as error:  # a broken zip file fails in many ways
        fault = _reason(error)
    raise ImageError(f"The file {str(path)!r} cannot be read: it {fault}.")


def _bytes_of(path: Path) -> bytes:
    archive = archive_of(path)
    return _archive(archive).read(_member(archive, path)) if archive else path.read_bytes()


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a broken picture fails in many ways
        raise ImageError(
            f"The picture {str(path)!r} cannot be read: it {_reason(error)}. Mend it, or take it "
            "out of the folder or of the annotations that name it."
        ) from error


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A picture of which only the beginning has been read."""
    fault = fault_of_file(path)
    if fault:
        raise VLMError(fault)
    source = BytesIO(_bytes_of(path)) if archive_of(path) else path
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd EXIF data, and of sizes that we look at ourselves
        with Image.open(source, formats=FORMATS) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise VLMError(f"has more pixels than any photograph: {width} x {height}")
            yield image


def _fault_of_frame(image: Image.Image, size: tuple[int, int]) -> str:
    height, width = size
    if image.size != (width, height):
        found = f"{image.width} x {image.height}, annotated as {width} x {height}"
        return _turned(image) or f"is of another size than annotated: {found}"
    return _turned(image)


def _turned(image: Image.Image) -> str:
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # no viewer would turn it, either
        return ""
    told = f"is turned by its EXIF data, and annotated in a frame that is not known: {orientation}"
    return told if orientation in TURNED else ""


def _archive(path: Path) -> ZipFile:
    found = path.stat()
    return _unzipped(path, found.st_size, found.st_mtime_ns, os.getpid())


@cache  # COCO's train2017.zip has a long table of contents
def _unzipped(path: Path, size: int, changed: int, process: int) -> ZipFile:
    return ZipFile(path)


def _member(archive: Path, path: Path) -> str:
    return path.relative_to(archive).as_posix()


def _kind(mode: int) -> str:
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket"}
    return next((name for holds, name in kinds.items() if holds(mode)), "a device")


def _reason(error: Exception) -> str:
    """What went wrong, without the path, which stands beside it."""
    match error:
        case FileNotFoundError() | NotADirectoryError() | KeyError():
            return "is missing"
        case PermissionError():
            return "may not be read by you"
        case VLMError():
            return str(error)
        case UnidentifiedImageError():
            return f"is no picture of a known format ({', '.join(FORMATS)})"
        case Image.DecompressionBombError():
            return "has more pixels than any photograph"
        case OSError(strerror=str(told)):
            return f"cannot be opened: {told}"
    return f"cannot be decoded: {' '.join(str(error).split()) or type(error).__name__}"
