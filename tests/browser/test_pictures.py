"""The pictures of README.md and docs/: are they those of the shipped model's report today?

Fails if `make pictures` would draw other numbers than stand beside the committed pictures, up to
what rounding on another machine moves, if a picture was not taken again when its numbers or the
code that draws it changed, or if one is missing.
"""

import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser

import benchmarks.pictures
from benchmarks.pictures import CODE, FIGURES, ROOT, SOURCE, pictures, source_of, with_source

pytestmark = pytest.mark.browser
NUMBER = re.compile(r"\d+\.?\d*(?:e-?\d+)?")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> dict[str, bytes]:
    """The pictures of a report of now, from the store of `make claims` where that has run."""
    folder = tmp_path_factory.mktemp("report")
    report = ("--claims-report", str(folder), "--vlm-lens-page", "4")
    subprocess.run([sys.executable, "-m", "pytest", "claims/", *report], cwd=ROOT, check=True)
    assert (folder / "index.html").is_file()
    return pictures(folder, browser)


def alike(one: str, other: str) -> bool:
    """Whether two tables have the same words, and numbers that an image or rounding parts at
    most."""
    numbers = zip(NUMBER.findall(one), NUMBER.findall(other), strict=False)
    return NUMBER.sub("#", one) == NUMBER.sub("#", other) and all(
        abs(float(a) - float(b)) <= (max(1.0, 0.03 * float(a)) if float(a) > 1 else 0.02)
        for a, b in numbers
    )


def told_by(picture: bytes) -> str:
    return Image.open(io.BytesIO(picture)).info.get(SOURCE, "")


@pytest.mark.parametrize("name", CODE)
def test_a_picture_is_of_the_numbers_beside_it_and_of_todays_code(name):
    """It fails until `make claims pictures` takes it again."""
    numbers = (FIGURES / f"{name}.csv").read_bytes()
    assert told_by((FIGURES / f"{name}.png").read_bytes()) == source_of(name, numbers)


@pytest.mark.parametrize("name", CODE)
def test_other_numbers_or_other_code_make_another_source(name, tmp_path, monkeypatch):
    for file in CODE[name]:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    before = source_of(name, b"a,1")
    monkeypatch.setattr(benchmarks.pictures, "ROOT", tmp_path)
    assert source_of(name, b"a,1") == before != source_of(name, b"a,2")
    for file in CODE[name]:
        text = (tmp_path / file).read_bytes()
        (tmp_path / file).write_bytes(text + b" ")
        assert source_of(name, b"a,1") != before
        (tmp_path / file).write_bytes(text)


def test_a_picture_that_tells_its_source_has_the_same_pixels():
    picture = (FIGURES / "table-1.png").read_bytes()
    other = with_source(picture, "of another")
    assert told_by(other) == "of another"
    one, two = (Image.open(io.BytesIO(each)) for each in (picture, other))
    assert (one.tobytes(), one.info["dpi"]) == (two.tobytes(), two.info["dpi"])


@pytest.mark.parametrize("name", CODE)
def test_a_picture_is_of_todays_numbers(drawn, name):
    committed = (FIGURES / f"{name}.csv").read_text()
    assert alike(drawn[f"{name}.csv"].decode(), committed)
    for picture in (drawn[f"{name}.png"], (FIGURES / f"{name}.png").read_bytes()):
        assert picture.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("a,0.97,90", True),
        ("a,0.96,91", True),
        ("b,0.97,90", False),
        ("a,0.97,95", False),
        ("a,0.5,90", False),
    ],
)
def test_tables_are_alike_up_to_one_image(other, same):
    assert alike("a,0.97,90", other) is same


def test_every_committed_picture_is_shown_somewhere():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    text = "".join(Path(page).read_text() for page in pages)
    for picture in FIGURES.glob("*.png"):
        assert f"reports/figures/{picture.name}" in text
