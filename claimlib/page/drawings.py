"""Pictures of lines as a part of a page: nothing in them runs, loads, or clashes with another."""

import re
from xml.etree import ElementTree

from markupsafe import Markup

from claimlib.errors import ClaimError

SVG = "http://www.w3.org/2000/svg"
LINK = "{http://www.w3.org/1999/xlink}href"
SHAPES = {
    *("svg", "g", "defs", "symbol", "use", "clipPath", "marker", "pattern", "mask"),
    *("path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan"),
    *("linearGradient", "radialGradient", "stop", "image"),
}
# What matplotlib says in a style sheet, which would hold for the whole page.
LINES = "stroke-linejoin:round;stroke-linecap:butt"
LARGER, LEAST = 1.25, "34rem"  # than it was drawn; the least width at which it is read
DATA = re.compile(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=\s]+")
REFERENCE = re.compile(r"url\(\s*#([^)]+?)\s*\)")


def inline(name: str, svg: str, prefix: str, described_by: str) -> Markup:
    """A figure's SVG as it may stand in a page.

    Only shapes and texts stay. Ids begin with a prefix, since those of two figures may be alike.

    **Arguments:** the figure's name, for errors; `described_by`: the ids of what describes it.

    **Raises:** `ClaimError` for what is no SVG.

    !!! example

        >>> svg = '<svg><script>x()</script><path id="a" d="M0 0"/></svg>'
        >>> str(inline("heads", svg, "f-", "t")).split("<")[2]
        'path id="f-a" d="M0 0" />'
    """
    try:
        root = ElementTree.fromstring(svg)
    except ElementTree.ParseError as error:
        raise ClaimError(
            f"The figure {name!r} is no SVG: {error}. Draw it by Figure.drawn."
        ) from error
    _plain(root, prefix)
    root.tag = "svg"
    style = ";".join([LINES, *_size(root)])
    root.attrib |= {"style": style, "role": "img", "aria-labelledby": described_by}
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _size(root: ElementTree.Element) -> list[str]:
    """As wide as it was drawn and a bit more, or as the screen is; on a narrow one it scrolls."""
    for fixed in ("width", "height"):
        root.attrib.pop(fixed, None)
    box = root.attrib.get("viewBox", "").split()
    if len(box) != 4 or not re.fullmatch(r"\d+(\.\d+)?", box[2]):
        return []
    width = f"{LARGER * float(box[2]):.0f}pt"
    return [f"width:{width}", f"min-width:min({width},{LEAST})"]


def _plain(element: ElementTree.Element, prefix: str) -> None:
    """Take out whatever is no shape, and let each id begin with a prefix."""
    for child in [*element]:
        name = child.tag.removeprefix(f"{{{SVG}}}") if isinstance(child.tag, str) else ""
        if name not in SHAPES:
            element.remove(child)
            continue
        child.tag = name
        _plain(child, prefix)
    kept = {
        _attribute(key): _own(_attribute(key), value, prefix)
        for key, value in element.attrib.items()
        if _is_plain(_attribute(key), value)
    }
    element.attrib.clear()
    element.attrib |= kept


def _attribute(key: str) -> str:
    return "href" if key == LINK else key


def _is_plain(key: str, value: str) -> bool:
    """Whether an attribute neither runs nor loads anything, nor leads anywhere."""
    if key == "href":
        return value.startswith("#") or DATA.fullmatch(value) is not None
    elsewhere = "url(" in REFERENCE.sub("", value) or "@import" in value
    return not (key.startswith(("on", "{")) or elsewhere)


def _own(key: str, value: str, prefix: str) -> str:
    if key == "id":
        return f"{prefix}{value}"
    if key == "href" and value.startswith("#"):
        return f"#{prefix}{value[1:]}"
    return REFERENCE.sub(lambda found: f"url(#{prefix}{found[1]})", value)
