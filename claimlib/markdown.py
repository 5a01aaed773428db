"""Names of any kind as text in a page, and as the name of a page's file."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

JOINER = "\u200d"  # within an emoji; nothing else that cannot be seen stays
# What means something in Markdown, where it does: prose, numbers and intervals stay as they are.
SPECIAL = re.compile(
    r"[\\`*|~$]"  # escapes, code, emphasis, cells, deletions, mathematics
    r"|(?<![^\W_])_|_(?![^\W_])"  # emphasis, which begins and ends at the edge of a word
    r"|<(?=[A-Za-z/!?])|&(?=#?\w+;)"  # HTML
    r"|\](?=[(\[:])"  # links and pictures
    r"|(?<=[A-Za-z]):(?=//)|(?<=www)\.|(?<=\w)@(?=\w)"  # addresses, which become links
)
NO_FILE = re.compile(r"[^\w .,+=()@~-]")
DEVICES = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{n}" for port in ("com", "lpt") for n in range(10)),
}
LONGEST = 120  # bytes in a file's name, of the 255 that file systems take


def one_line(value: str) -> str:
    """Text as it can stand in one line of a terminal: line ends are spaces, and what cannot be
    seen, such as the codes that move a cursor, shows as such.

    !!! example

        >>> one_line("my\\nmodel"), one_line("a\\x1b[2Jb")
        ('my model', 'a�[2Jb')
    """
    return " ".join(seen(value).split())


def seen(value: str) -> str:
    """Text of any number of lines in which whatever cannot be seen shows as such.

    !!! example

        >>> seen("a\\x1b[2Jb\\nc")
        'a�[2Jb\\nc'
    """
    return "".join(
        each
        if each.isprintable() or each.isspace() or each == JOINER
        else "\N{REPLACEMENT CHARACTER}"
        for each in value
    )


def text(value: str) -> str:
    """Any text as Markdown that shows it, in a line, a heading or the cell of a table.

    !!! example

        >>> print(text("a|b `c` <br> [d](e) at 5.9% [3%, 7%]"))
        a\\|b \\`c\\` \\<br> [d\\](e) at 5.9% [3%, 7%]
    """
    return SPECIAL.sub(lambda found: f"\\{found[0]}", one_line(value))


def file_name(name: str) -> str:
    """A name as that of a file, without a suffix: within its folder, on any system.

    !!! example

        >>> file_name("me/my-llava, authors.lens"), file_name("../.."), file_name("CON")
        ('me-my-llava.authors.lens', '_', '_CON')
    """
    plain = NO_FILE.sub("-", one_line(name).replace(", ", ".")).lstrip("-. ").rstrip(". ")
    if not plain or plain.split(".")[0].strip().casefold() in DEVICES:
        plain = f"_{plain}"
    if len(plain.encode()) > LONGEST:
        plain = f"{plain.encode()[:LONGEST].decode(errors='ignore')}-{digest(name)}"
    return plain


def file_names(names: Iterable[str]) -> dict[str, str]:
    """By name that of its file, as `file_name` makes it; of names that would share one, also where
    capitals are small, each tells itself apart.

    !!! example

        >>> file_names(["a/b", "A-b", "c"])
        {'a/b': 'a-b-c14cddc0', 'A-b': 'A-b-b05dd069', 'c': 'c'}
    """
    files = {name: file_name(name) for name in names}
    alike = Counter(file.casefold() for file in files.values())
    return {
        name: f"{file}-{digest(name)}" if alike[file.casefold()] > 1 else file
        for name, file in files.items()
    }


def own_file_name(name: str) -> str:
    """The name of a file that knows nothing of others: where it says less than the name does, it
    tells itself apart.

    !!! example

        >>> own_file_name("my-llava, authors"), own_file_name("me/my-llava")
        ('my-llava.authors', 'me-my-llava-f15fea2e')
    """
    file = file_name(name)
    return file if file == name.replace(", ", ".") else f"{file}-{digest(name)}"


def digest(name: str) -> str:
    """What tells a name from others that would look like it.

    !!! example

        >>> digest("a/b") != digest("a-b")
        True
    """
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
