"""All that the logit lens shows on single images, as rows, and as pages to look around in."""

from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from claimlib.markdown import file_names, own_file_name
from claims.neo2025.protocol import Text
from vlmlib import VLM, logit_lens
from vlmlib.study import Example, Finished, Row
from vlmlib.study.lens_page import page_of
from vlmlib.study.lens_shown import LensShown, lens_shown


def in_full(
    vlm: VLM, mean: Any, example: Example, protocol: Text, words: Sequence[str] = ()
) -> list[Row]:
    """What the lens shows on an image, as one row: its five likeliest tokens everywhere, and the
    probabilities of its category and of words (see `LensShown`). The same under every protocol, but
    for which tokens are the object's."""
    stimulus = vlm.read(example.image, "Describe the image.")
    of_object = () if stimulus.unplaced else protocol.object_tokens(stimulus, example)
    lens = logit_lens(vlm, stimulus, stimulus.visual)
    shown = lens_shown(vlm, stimulus, lens, [example.category, *words], of_object)
    return [Row("lens", tokens=len(shown.object), answer=example.category, detail=shown.plain)]


def files(
    label: str,
    data: str,
    found: Sequence[Finished],
    picture: Callable[[str], Image.Image | None],
    notes: Sequence[str] = (),
) -> dict[str, str]:
    """A page for each image, by its path in a report.

    **Arguments:** the subject and its data set; rows as `in_full` makes them; what gives the
    picture of an image, where it is at hand; what is to be known.
    """
    names, pages = file_names(each.example for each in found), {}
    for each in found:
        row = each.rows[0]
        title = f"Logit lens of {label} on {data}: image {each.example}, {row.answer}"
        shown = LensShown.of_plain(row.detail)
        page = page_of(shown, picture(each.example), title, notes)
        pages[f"lens/{own_file_name(label)}/{names[each.example]}.html"] = page
    return pages
