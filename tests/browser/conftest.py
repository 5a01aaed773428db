"""Fixtures of pages in a browser: one that is there, and what a page does in it."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
NONE = (
    "No browser is there. Install one, `apt-get install chromium`, or name one: "
    "VLM_CHROMIUM=/path/to/chromium make browser"
)


@dataclass
class Opened:
    """A page, with what it said in the console and whatever it asked for beside itself."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @property
    def quiet(self) -> bool:
        """Whether it did neither."""
        return not self.said and not self.asked


def chromium() -> str:
    """The path of a browser; a test fails where there is none."""
    found = os.environ.get("VLM_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if not found or not Path(found).is_file():
        pytest.fail(NONE, pytrace=False)
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium()
    # root, as whom containers run, has no sandbox
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=options)
        yield found
        found.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Opened]]:
    """Opens a file, with what a browser's context takes: `color_scheme`, `java_script_enabled`."""
    contexts = []

    def open_(file: Path, fragment: str = "", width: int = 1200, **context) -> Opened:
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **context))
        page = contexts[-1].new_page()
        found, address = Opened(page), file.as_uri()
        page.on("console", lambda message: found.said.append(message.text))
        page.on("pageerror", lambda error: found.said.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.split("#")[0] == address or request.url.startswith("data:")
                else found.asked.append(request.url)
            ),
        )
        page.goto(f"{address}{fragment}")
        return found

    yield open_
    for each in contexts:
        each.close()
