from __future__ import annotations

import io
import sys
import time

import pytest

from guardedit.cli.terminal import progress as module
from guardedit.cli.terminal.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def wait_for_lines(stream: io.StringIO, count: int) -> list[str]:
    ends_s = time.monotonic() + 10
    while len(stream.getvalue().splitlines()) < count and time.monotonic() < ends_s:
        time.sleep(0.005)
    return stream.getvalue().splitlines()


def pipe(monkeypatch, minute_s: float = 0.01) -> io.StringIO:
    """Standard error as a pipe. Called in the test: pytest replaces the stream after the fixtures."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(module, "MINUTE_S", minute_s)
    return stream


def test_a_pipe_gets_the_latest_state_once_a_minute_even_of_a_stage_that_reports_nothing(monkeypatch):
    printed = pipe(monkeypatch)

    with progress("loading") as report:
        assert wait_for_lines(printed, 1)[0] == "loading (0 min)"
        report("editing\x1b[2J", 3, 7)
        known = len(printed.getvalue().splitlines())
        assert wait_for_lines(printed, known + 2)[-1] == "editing\\x1b[2J: 3 of 7 (0 min)"


def test_short_work_prints_nothing_in_a_pipe(monkeypatch):
    printed = pipe(monkeypatch, minute_s=60.0)

    with progress("loading") as report:
        report("editing")

    assert printed.getvalue() == ""


def test_an_error_ends_the_lines(monkeypatch):
    printed = pipe(monkeypatch)

    with pytest.raises(ZeroDivisionError), progress("loading"):
        raise ZeroDivisionError
    before = printed.getvalue()
    time.sleep(0.05)

    assert printed.getvalue() == before


def test_a_terminal_gets_a_bar_that_disappears(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")

    with progress("loading") as report:
        report("[layers] 1", 3, 7)
        time.sleep(0.2)  # the display is drawn ten times a second
        report("writing")

    assert "[layers] 1" in terminal.getvalue()  # never read as markup
    assert "43%" in terminal.getvalue()
    assert terminal.getvalue().endswith(("\x1b[2K", "\x1b[?25h", "\r"))


def test_lines_that_come_more_often_than_once_a_minute_show_seconds(monkeypatch):
    printed = pipe(monkeypatch, minute_s=60.0)

    with progress("editing", every_s=0.01):
        assert wait_for_lines(printed, 1)[0] == "editing (0 s)"
