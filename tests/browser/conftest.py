"""A browser in which pages are opened, which have to be quiet: no error, and no request."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = os.environ.get("VLM_CHROMIUM") or shutil.which("chromium")
Opened = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        pytest.skip("there is no chromium; VLM_CHROMIUM names one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Opened]:
    """Opens a page, given as a file or as its text; at the end none has told an error or asked for
    anything."""
    told: list[str] = []
    pages: list[Page] = []

    def open_(page: Path | str, fragment: str = "", **settings) -> Page:
        file = page if isinstance(page, Path) else tmp_path / f"{len(pages)}.html"
        if isinstance(page, str):
            file.write_text(page, "utf-8")
        made = browser.new_page(**settings)
        pages.append(made)
        address = file.absolute().as_uri()
        made.on("console", lambda message: told.append(message.text))
        made.on("pageerror", lambda error: told.append(str(error)))
        made.on("request", lambda asked: told.extend({asked.url} - {address}))
        made.goto(address + fragment)
        return made

    yield open_
    for each in pages:
        each.close()
    assert told == []
