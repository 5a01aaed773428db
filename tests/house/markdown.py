"""A page of Markdown as the tests of the pages see it: fenced blocks, headings, links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

FENCE = re.compile(r"^```(?P<language>\w*) ?(?P<file>\S*)$")
INDENTED = re.compile(r"^ {4,}\S")
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`((?:[^`\n]|\n(?!\n))+)`")  # which ends with its paragraph


@dataclass(frozen=True)
class Block:
    """A fenced block.

    - `where`: its page and line. `language`: the word behind the fence, "" for what is printed.
    - `file`: the file that it shows, where the fence names one. `first`, `last`: its lines.
    """

    where: str
    language: str
    file: str
    text: str
    first: int
    last: int


@dataclass(frozen=True)
class Page:
    """A page by its name, a path from the repository's root, and what it says."""

    name: str
    text: str

    @cached_property
    def blocks(self) -> list[Block]:
        """All fenced blocks; one that nothing closes reaches to the end."""
        found: list[Block] = []
        lines = self.text.splitlines()
        at = 0
        while at < len(lines):
            fence = FENCE.match(lines[at])
            if fence:
                rest = lines[at + 1 :]
                length = rest.index("```") if "```" in rest else len(rest)
                text = "".join(f"{line}\n" for line in rest[:length])
                where = f"{self.name}:{at + 1}"
                first, last = at, at + length + 1
                found.append(Block(where, fence["language"], fence["file"], text, first, last))
                at = last
            at += 1
        return found

    @property
    def examples(self) -> list[Block]:
        """Blocks of Python that show no file: they run one after the other."""
        return [block for block in self.blocks if block.language == "python" and not block.file]

    @property
    def shells(self) -> list[Block]:
        """Blocks of commands that show no file."""
        return [block for block in self.blocks if block.language == "sh" and not block.file]

    @property
    def commands(self) -> list[tuple[str, str]]:
        """Where a line of commands stands, and the line."""
        return [(block.where, line) for block in self.shells for line in _lines(block.text)]

    @cached_property
    def prose(self) -> list[tuple[str, str]]:
        """All lines outside of fenced blocks, and where they stand."""
        inside = {at for block in self.blocks for at in range(block.first, block.last + 1)}
        lines = enumerate(self.text.splitlines())
        return [(f"{self.name}:{at + 1}", line) for at, line in lines if at not in inside]

    @property
    def anchors(self) -> set[str]:
        """Where a link into this page may lead, as GitHub names its headings."""
        return {_anchor(line) for _, line in self.prose if line.startswith("#")}

    @property
    def links(self) -> Iterator[tuple[str, str]]:
        """Where a link stands, and where it leads."""
        for where, line in self.prose:
            for target in LINK.findall(CODE.sub("", line)):
                yield where, target

    @property
    def code(self) -> Iterator[tuple[str, str]]:
        """Code within the text, and in which line it begins; it may go on in the next."""
        lines = [line for _, line in self.prose]
        for span in CODE.finditer("\n".join(lines)):
            at = span.string.count("\n", 0, span.start())
            yield self.prose[at][0], " ".join(span[1].split())

    @property
    def indented(self) -> list[str]:
        """Where a block of code hides from the tests, by standing indented and not fenced."""
        return [where for where, line in self.prose if INDENTED.match(line)]

    def printed_after(self, block: Block) -> str | None:
        """What the page says that a block prints: the block without a language that follows it."""
        for other in self.blocks:
            between = self.text.splitlines()[block.last + 1 : other.first]
            if other.first > block.last and not other.language and not any(between):
                return other.text
        return None


def _lines(text: str) -> list[str]:
    """The lines of a shell; one that ends in a backslash goes on in the next."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _anchor(heading: str) -> str:
    text = heading.lstrip("#").strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
