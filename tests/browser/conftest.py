"""A browser in which pages are opened, which have to be quiet: no word in the console, and no
request."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
NONE = (
    "No browser is there. Install one, `apt-get install chromium`, or name one: "
    "VLM_CHROMIUM=/path/to/chromium make browser"
)
SIZE: Any = {"width": 1200, "height": 900}
Opening = Callable[..., Page]


@dataclass
class Noise:
    """What a page says in the console, and whatever it asks for beside itself."""

    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


def chromium() -> str:
    """The path of a browser; a test fails where there is none."""
    found = os.environ.get("VLM_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if not found or not Path(found).is_file():
        pytest.fail(NONE, pytrace=False)
    return found


def heard(context: BrowserContext, file: Path, fragment: str, noise: Noise) -> Page:
    """A page that is opened, and what it is heard to do from then on."""
    page, address = context.new_page(), file.absolute().as_uri()

    def ask(url: str) -> None:
        if url.split("#")[0] != address and not url.startswith("data:"):
            noise.asked.append(url)

    page.on("console", lambda message: noise.said.append(message.text))
    page.on("pageerror", lambda error: noise.said.append(str(error)))
    page.on("request", lambda request: ask(request.url))
    page.goto(f"{address}{fragment}")
    return page


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
def opened(browser: Browser, tmp_path: Path) -> Iterator[Opening]:
    """Opens a page, given as a file or as its text, with what a browser's context takes, such as
    `color_scheme`; at the end none has made any noise."""
    contexts: list[BrowserContext] = []
    noise = Noise()

    def open_(page: Path | str, fragment: str = "", **context: Any) -> Page:
        file = page if isinstance(page, Path) else tmp_path / f"{len(contexts)}.html"
        if isinstance(page, str):
            file.write_text(page, "utf-8")
        contexts.append(browser.new_context(**{"viewport": SIZE, **context}))
        return heard(contexts[-1], file, fragment, noise)

    yield open_
    for each in contexts:
        each.close()
    assert noise == Noise()
