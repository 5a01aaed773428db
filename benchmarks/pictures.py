"""python -m benchmarks.pictures [REPORT]: takes the pictures of README.md and docs/ out of a report
of the shipped model, and puts them with their numbers into reports/figures.

REPORT is the folder that `pytest claims/ --claims-report REPORT --vlm-lens-page 1` has written, by
default build/report, where `make claims` writes one. The lens is opened in chromium, which has to
be there.

A picture tells in its own metadata which numbers and which code it was taken of (`source_of`), so
that one that was not taken again is found out.
"""

import csv
import sys
from hashlib import sha256
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import Browser, sync_playwright

from claimlib.markdown import file_name
from claims.neo2025.runs import SHIPPED_GROUP
from fixtures.models import SHIPPED
from tests.browser.conftest import chromium

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "reports" / "figures"
DRAWN = {"verdicts": f"forest.{SHIPPED_GROUP}", "table-1": f"{SHIPPED}.table-1"}
LOOK = ("claimlib/figures.py", "claimlib/page/look.py")
LENS_PAGE = ("lens_page.py", "lens_page.html.jinja", "lens_page.css", "lens_page.js")
CODE = {  # of each picture, what a change of may change how it looks
    "verdicts": ("claimlib/page/forest.py", *LOOK),
    "table-1": (*(f"claims/neo2025/figures/{name}.py" for name in ("ablations", "shares")), *LOOK),
    "lens": tuple(f"vlmlib/study/{name}" for name in LENS_PAGE),
}
SOURCE = "source"  # in a picture's metadata
IMAGE, LENS = "2", "#mode=word&layer=8"  # of the lens, and what its page is opened at
SIZE: Any = {"width": 1180, "height": 860}


def main() -> None:
    report = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "report"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for name, content in pictures(report, browser).items():
            (FIGURES / name).write_bytes(content)
            print(f"{FIGURES / name}")
        browser.close()


def pictures(report: Path, browser: Browser) -> dict[str, bytes]:
    """The pictures and their numbers, by the names of their files."""
    taken = {}
    for name, figure in DRAWN.items():
        file = report / "figures" / file_name(figure)
        taken[name] = [Path(f"{file}.{suffix}").read_bytes() for suffix in ("png", "csv")]
    taken["lens"] = lens(report / "lens" / file_name(SHIPPED) / f"{IMAGE}.html", LENS, browser)
    found = {}
    for name, (picture, numbers) in taken.items():
        found[f"{name}.png"] = with_source(picture, source_of(name, numbers))
        found[f"{name}.csv"] = numbers
    return found


def source_of(name: str, numbers: bytes) -> str:
    """The SHA-256 of a picture's numbers and of the code that draws it, whatever the machine."""
    parts = [numbers, *((ROOT / file).read_bytes() for file in CODE[name])]
    return sha256("".join(sha256(each).hexdigest() for each in parts).encode()).hexdigest()


def with_source(picture: bytes, source: str) -> bytes:
    """A PNG, pixel by pixel the same, that tells its source."""
    image, told, written = Image.open(BytesIO(picture)), PngInfo(), BytesIO()
    told.add_text(SOURCE, source)
    image.save(written, "PNG", pnginfo=told, dpi=image.info.get("dpi"), optimize=True)
    return written.getvalue()


def lens(file: Path, fragment: str, browser: Browser) -> tuple[bytes, bytes]:
    """The page of a lens as a picture, and the table of the token that it is opened at."""
    page = browser.new_page(viewport=SIZE, color_scheme="light", reduced_motion="reduce")
    page.goto(f"{file.absolute().as_uri()}{fragment}")
    page.wait_for_selector("body[data-ready]")
    lines = [row.locator("th, td").all_inner_texts() for row in page.locator("tr").all()]
    picture, text = page.screenshot(), StringIO()
    page.close()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return picture, text.getvalue().encode()


if __name__ == "__main__":
    main()
