"""The logit lens of one image as a page to look around in: one file, without a server.

Its template, style and script lie beside this module.
"""

import base64
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vlmlib.errors import VLMError
from vlmlib.interventions import Tokens
from vlmlib.lens import Lens
from vlmlib.model import VLM
from vlmlib.pictures import data_uri
from vlmlib.report import one_line
from vlmlib.stimulus import Stimulus
from vlmlib.study.lens_shown import LensShown, lens_shown
from vlmlib.writing import write_whole

HERE = Path(__file__).parent
LONGEST_SIDE = 1024  # of the picture, in pixels
PICTURE_BYTES, QUALITIES = 2**18, (92, 80, 60, 30)


def lens_page(
    vlm: VLM,
    stimulus: Stimulus,
    lens: Lens,
    path: Path | str,
    *,
    image: Image.Image | None = None,
    object: Tokens = (),
    words: Sequence[str] = (),
    title: str = "Logit lens",
) -> None:
    """Write a page on which to look around in what a lens shows: `path`, an HTML file.

    **Arguments:** the model, what the lens read, and the lens; where to write; `image`: without
    which the grid stands alone; `object`: the positions of an object's tokens, which are outlined;
    `words`: of which the page knows the probability at every token, and not only where it is among
    the likeliest.

    **Raises:** `VLMError` where the page's packages are not installed, for a picture of another
    size than was read, where the file cannot be written, and as `lens_shown`.

    !!! example

        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "lens.html"
        >>> lens = logit_lens(vlm, stimulus, stimulus.visual)
        >>> lens_page(vlm, stimulus, lens, file, image=image, words=["dog"])
        >>> file.read_text().startswith("<!doctype html>")
        True
    """
    shown = lens_shown(vlm, stimulus, lens, words, object)
    _write(Path(path), page_of(shown, image, title))


def page_of(
    shown: LensShown,
    image: Image.Image | None = None,
    title: str = "Logit lens",
    notes: Sequence[str] = (),
) -> str:
    """The page of what a lens shows, which is plain data: no model is needed.

    **Arguments:** what is shown; the picture; a heading, and what is to be known beside it.

    **Raises:** `VLMError` where the page's packages are not installed, and for a picture of another
    size than was read.

    !!! example

        >>> shown = lens_shown(vlm, stimulus, logit_lens(vlm, stimulus, stimulus.visual))
        >>> "The picture is not at hand" in page_of(LensShown.of_plain(shown.plain))
        True
    """
    if image is not None and [image.height, image.width] != shown.size:
        raise VLMError(
            f"The picture is {image.height} pixels high and {image.width} wide; what the lens read "
            f"was {shown.size[0]} by {shown.size[1]}. Pass that one."
        )
    script = (HERE / "lens_page.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _template().render(
        title=one_line(title),
        notes=list(map(one_line, [*notes, *_notes(shown, image)])),
        data=_data(shown, image),
        script=script,
        digest=digest,
        style=(HERE / "lens_page.css").read_text("utf-8"),
        k=shown.k,
    )


def _template() -> Any:
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise VLMError(
            "A page needs jinja2, which is not installed: pip install 'vlm-claims[page]'"
        ) from error
    # whatever is filled in is text, but for our own script and style
    loader = jinja2.FileSystemLoader(HERE)
    return jinja2.Environment(loader=loader, autoescape=True).get_template("lens_page.html.jinja")


def _notes(shown: LensShown, image: Image.Image | None) -> list[str]:
    notes = []
    if image is None:
        notes.append("The picture is not at hand: the grid is drawn without it.")
    if shown.unplaced:
        told = shown.unplaced.rstrip(".")
        notes.append(f"It is not known where in the picture the tokens are: {told}.")
    if shown.left_out:
        notes.append(
            "There was no room for the exact probabilities of these words: "
            f"{', '.join(shown.left_out)}."
        )
    return notes


def _data(shown: LensShown, image: Image.Image | None) -> dict[str, Any]:
    """What the script reads: the numbers as one compressed block, array by array."""
    plain = asdict(shown)
    arrays = [_by_byte(plain.pop("top"), 4), _by_byte(plain.pop("top_probabilities"), 2)]
    arrays += [_by_byte(word.pop("probability"), 2) for word in plain["words"]]
    block = zlib.compress(b"".join(arrays), 9)
    picture = data_uri(image, LONGEST_SIDE, QUALITIES, PICTURE_BYTES) if image else ""
    return {**plain, "block": base64.b64encode(block).decode(), "picture": picture}


def _by_byte(packed: str, width: int) -> bytes:
    """The first byte of each number, then the second and so on: alike beside alike is less."""
    return np.frombuffer(base64.b64decode(packed), np.uint8).reshape(-1, width).T.tobytes()


def _write(path: Path, page: str) -> None:
    try:
        write_whole(path, page.encode())
    except OSError as error:
        raise VLMError(
            f"The page {str(path)!r} could not be written: {error}. Name a file in a folder "
            "that is there and in which you may write."
        ) from error
