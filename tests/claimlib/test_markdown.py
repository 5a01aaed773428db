"""Names of models, categories and answers in pages: does a Markdown reader show them as they are,
and does each page get a file of its own inside its folder?

Pages are read by markdown-it, as GitHub's tables and deletions are. Fails if a name becomes markup,
another cell or another row, or if a file's name leads out of the folder, is refused by a file
system, or is another page's.
"""

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from claimlib.markdown import LONGEST, file_name, file_names, one_line, own_file_name, text
from claimlib.report import table

READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])

NAMES = [
    "a|b `c`",
    "``x`` \\| \\",
    "*bold* __bold__ _it_ ~~gone~~",
    "<script>alert(1)</script> <br> <!-- x --> <?x?>",
    "[a link](https://example.org) ![a picture](x.png) [a][b] [c]: d",
    "<https://example.org> https://example.org www.example.org me@example.org",
    "&lt; &amp; &#124; AT&T",
    "one\ntwo\r\nthree\u2028four\x0bfive",
    "tab\there",
    "\x1b[2J\x00\u202eback",
    "# heading > quote - item 1. one",
    "snake_case_name llava-1.5-7b O+1 -> LTP 5.9% [3%, 7%]",
    "$x^2$ 犬 é 👩‍🚀",
]
anything = st.text(max_size=40)


def shown(markdown: str) -> list[str]:
    """The cells that a reader shows; of markup in one the tags."""
    cells = []
    for token in READER.parse(markdown):
        if token.type == "inline":
            cells.append("".join(each.content or f"<{each.type}>" for each in token.children or []))
    return cells


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_shows_a_name_as_it_is(name):
    page = table([{"model": text(name), text(name): "x"}])
    assert shown(page) == ["model", one_line(name), one_line(name), "x"]
    assert shown(f"# {text(name)} on coco")[0] == f"{one_line(name)} on coco"


@given(anything)
@example("\\|")
@example("x`")
def test_any_text_stays_in_its_cell(name):
    assert shown(table([{"a": text(f"x{name}x"), "b": "y"}])) == [
        "a",
        "b",
        one_line(f"x{name}x"),
        "y",
    ]


def test_prose_numbers_and_intervals_stay_readable_in_the_source():
    prose = "Removing < 5 % (e.g. `one`) isn't: 15.4% [5.9%, 30.5%], n = 39; O+1 -> LVR, a_b"
    assert text(prose) == prose.replace("`", "\\`")


def test_what_becomes_a_link_by_itself_is_broken_up():
    for address in ("https://example.org", "www.example.org", "me@example.org"):
        assert "\\" in text(address)


WEIRD = [
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "..\\..\\x",
    "C:\\x",
    "CON",
    "con.lens",
    "NUL.txt",
    "LPT1, authors.lens",
    "a\0b",
    "a\nb",
    "x" * 300,
    "犬" * 300,
    "",
    " ",
    ".hidden",
    "trailing. . ",
    "-rf",
    "~",
    "a:b",
    "\udcff",
    "me/my-llava.lens",
]


@pytest.mark.parametrize("name", WEIRD)
def test_a_files_name_stays_in_its_folder_on_any_system(name, tmp_path: Path):
    file = tmp_path / f"{file_name(name)}.md"
    file.write_text("page")
    assert file.resolve().parent == tmp_path.resolve()
    assert len(file.name.encode()) <= LONGEST + 20
    assert not re.match(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)", file.name)
    assert not re.search(r'[<>:"/\\|?*\x00-\x1f]|^[.\s-]|[. ]\.md$', file.name)


def test_ordinary_names_are_hardly_changed():
    assert file_name("my-llava, authors.lens") == "my-llava.authors.lens"
    assert file_name("me/my-llava.lens") == "me-my-llava.lens"


def test_names_that_look_alike_have_a_file_each():
    names = ["a/b", "a-b", "A/B", "x" * 300 + "1", "x" * 300 + "2", "\udc80", "\udc81", "c"]
    files = file_names(names)
    assert list(files) == names
    assert len({each.casefold() for each in files.values()}) == len(names)
    assert files["c"] == "c"


def test_a_name_that_loses_something_has_a_file_of_its_own():
    alike = ["a/b", "a-b", "a:b", "x" * 300 + "1", "x" * 300 + "2", "CON", "_CON"]
    assert len({*map(own_file_name, alike)}) == len(alike)
    assert own_file_name("few, recorded") == "few.recorded"
    assert own_file_name("emoji-llava") == "emoji-llava"
