"""python -m benchmarks.pictures [REPORT]: takes the pictures of README.md and docs/ out of a report
of the shipped model, and puts them with their numbers into reports/figures.

REPORT is the folder that `pytest claims/ --claims-report REPORT --vlm-lens-page 1` has written, by
default build/report, where `make claims` writes one. The lens is opened in chromium, which has to
be there.
"""

import csv
import sys
from io import StringIO
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from claimlib.markdown import file_name
from claims.neo2025.runs import SHIPPED_GROUP
from fixtures.models import SHIPPED
from tests.browser.conftest import chromium

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "reports" / "figures"
DRAWN = {"verdicts": f"forest.{SHIPPED_GROUP}", "table-1": f"{SHIPPED}.table-1"}
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
    drawn = {
        f"{name}.{suffix}": (report / "figures" / f"{file_name(figure)}.{suffix}").read_bytes()
        for name, figure in DRAWN.items()
        for suffix in ("png", "csv")
    }
    file = report / "lens" / file_name(SHIPPED) / f"{IMAGE}.html"
    picture, words = lens(file, LENS, browser)
    return drawn | {"lens.png": picture, "lens.csv": words}


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
