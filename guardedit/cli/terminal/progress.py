"""Shows the progress of long work on stderr: a bar on a terminal, elsewhere one line a minute."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from guardedit.cli.terminal import show

if TYPE_CHECKING:
    from rich.progress import Progress

#: Seconds between two lines where stderr is not a terminal.
MINUTE_S = 60.0


class ReportProgress(Protocol):
    """Takes the latest state of the work. May be called often, and from any thread."""

    def __call__(self, text: str, done: int = 0, total: int | None = None, /) -> None:
        """Replace the text and the numbers that are shown: `done` of `total`; None: the total is unknown."""


@contextmanager
def progress(doing: str, *, every_s: float | None = None) -> Iterator[ReportProgress]:
    """Show that work is going on until the block ends; `doing` is shown first.

    `every_s` is the time between two lines; default: `MINUTE_S`.

    If stderr is not a terminal, a thread prints the lines, so that a stage that reports nothing, such as
    loading a large model, is shown too. Work that ends before the first line prints nothing.
    """
    with _bar(doing) if sys.stderr.isatty() else _lines(doing, every_s or MINUTE_S) as report:
        yield report


@contextmanager
def _bar(doing: str) -> Iterator[ReportProgress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _Bar(bar, doing)


class _Bar:
    """One task of a rich display. A stage without a total gets a new task: a total cannot be removed."""

    def __init__(self, bar: Progress, doing: str) -> None:
        self._bar, self._task = bar, bar.add_task(show.printable(doing), total=None)
        self._counted = False

    def __call__(self, text: str, done: int = 0, total: int | None = None, /) -> None:
        text = show.printable(text)
        if total is None and self._counted:
            self._bar.remove_task(self._task)
            self._task = self._bar.add_task(text, total=None)
        self._counted = total is not None
        self._bar.update(self._task, description=text, completed=done, total=total)


@contextmanager
def _lines(doing: str, every_s: float) -> Iterator[ReportProgress]:
    latest, ended, started_s = doing, threading.Event(), time.monotonic()

    def report(text: str, done: int = 0, total: int | None = None, /) -> None:
        nonlocal latest
        latest = text if total is None else f"{text}: {done} of {total}"

    def print_lines() -> None:
        while not ended.wait(every_s):
            seconds = time.monotonic() - started_s
            passed = f"{seconds:.0f} s" if every_s < MINUTE_S else f"{seconds / 60:.0f} min"
            show.warn(f"{latest} ({passed})")

    thread = threading.Thread(target=print_lines, name="progress", daemon=True)
    thread.start()
    try:
        yield report
    finally:
        ended.set()
        thread.join()
