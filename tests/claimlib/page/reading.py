"""A page as a reader of HTML finds it."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br", "hr", "img", "col"}
SHAPES = {"path", "rect", "circle", "line", "use", "image"}


@dataclass
class Element:
    """A tag with its attributes, and all the text in it."""

    tag: str
    has: dict[str, str]
    text: str = ""


@dataclass
class Read(HTMLParser):
    """What stands in a page: its elements in their order, and those that end out of turn."""

    html: str
    found: list[Element] = field(default_factory=list)
    astray: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.within: list[Element] = []
        self.feed(self.html)
        self.close()
        self.astray += [each.tag for each in self.within]

    def __hash__(self) -> int:
        return id(self)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        self.astray += [f"{tag} {name}" for name in names if names.count(name) > 1]
        self.found.append(Element(tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.within.append(self.found[-1])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.within.pop()
        if tag not in VOID | SHAPES:
            self.astray.append(f"{tag}/")

    def handle_endtag(self, tag: str) -> None:
        if self.within and self.within[-1].tag == tag:
            self.within.pop()
        else:
            self.astray.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        for each in self.within:
            each.text += data

    def all(self, tag: str, **has: str) -> list[Element]:
        """The elements of a tag, or of any ("*"), that have these attributes; `class_` is class."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in has.items()}
        return [
            each
            for each in self.found
            if tag in ("*", each.tag)
            and all(value in each.has.get(name, "").split() for name, value in wanted.items())
        ]

    def one(self, tag: str, **has: str) -> Element:
        """The only element of a tag that has these attributes."""
        [only] = self.all(tag, **has)
        return only

    @property
    def text(self) -> str:
        """All text that is shown."""
        hidden = {"style", "script", "title"}
        body = next(each for each in self.found if each.tag == "body").text
        for each in self.found:
            if each.tag in hidden:
                body = body.replace(each.text, "")
        return " ".join(body.split())
