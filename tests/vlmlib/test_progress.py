"""Progress that is seen: a bar on a terminal, whole lines anywhere else.

Fails if a long run is silent where nothing redraws a bar, if it says too much, or if several
processes draw bars over one another.
"""

import os
import re
import sys
from io import StringIO
from typing import Any

import pytest

import vlmlib.progress as module

progress: Any = module.progress  # whose clock and instances no stub of tqdm's names


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def width(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


def told(monkeypatch, stream: StringIO, *, images: int = 3, **options) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    with progress("llava, polling", images, **options) as bar:
        for _ in range(images - bar.initial):
            bar.set_postfix_str("GPU 12.3 of 80.0 GB", refresh=False)
            bar.update()
    return stream.getvalue()


def test_a_terminal_has_one_bar(monkeypatch):
    said = told(monkeypatch, Terminal())
    assert said.count("\n") == 1
    last = said.split("\r")[-1]
    assert last.startswith("llava, polling: 100%|")
    assert re.search(r"\| 3/3, .*image/s, 00:00 left, GPU 12.3 of 80.0 GB", last)


def test_a_terminal_that_knows_no_width_has_a_bar_too(monkeypatch):
    monkeypatch.setenv("COLUMNS", "0")
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((0, 0)))
    assert "3/3" in told(monkeypatch, Terminal())


@pytest.mark.parametrize("stream", [StringIO, Terminal])
def test_elsewhere_it_is_lines_and_several_processes_never_draw_bars(monkeypatch, stream):
    said = told(monkeypatch, stream(), alone=stream is StringIO)
    assert "\r" not in said
    first, last = said.splitlines()
    assert first.startswith("llava, polling: image 0 of 3, ")
    assert last.startswith("llava, polling: image 3 of 3, ")
    assert last.endswith(" left, GPU 12.3 of 80.0 GB")


def test_a_line_a_minute_is_enough(monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream := StringIO())
    with progress("llava", 600) as bar:
        now = [bar.start_t]
        bar._time = lambda: now[0]
        for _ in range(600):
            now[0] += 0.5
            bar.update()
    shown = [int(line.split()[2]) for line in stream.getvalue().splitlines()]
    assert shown == [0, 120, 240, 360, 480, 600, 600]
    assert "2.00image/s, 04:00 left" in stream.getvalue().splitlines()[1]


def test_a_minute_of_waiting_is_told_too(monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream := StringIO())
    with progress("llava", 2) as bar:
        bar._time = lambda: bar.start_t + module.MINUTE
        bar.update(0)
        assert len(stream.getvalue().splitlines()) == 2


def test_what_was_done_before_is_counted_and_makes_no_rate(monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream := StringIO())
    with progress("llava", 100, done=90) as bar:
        bar._time = lambda: bar.start_t + 10
        bar.update(5)
    assert "image 95 of 100, 2.00s/image, 00:10 left" in stream.getvalue()


def interrupted() -> None:
    with progress("llava", 9) as bar:
        bar.update(4)
        raise KeyboardInterrupt


def test_an_error_leaves_how_far_it_came(monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream := StringIO())
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "image 4 of 9" in stream.getvalue().splitlines()[-1]


def test_lines_leave_no_bar_behind(monkeypatch):
    monkeypatch.setattr(sys, "stderr", StringIO())
    with progress("llava", 1) as bar:
        assert bar in bar._instances
    assert bar not in bar._instances
