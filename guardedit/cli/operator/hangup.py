"""Calls a function at SIGHUP, by which supervisors ask a process to read its configuration again."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_hangup(act: Callable[[], None], stop: threading.Event) -> Iterator[None]:
    """Call `act` in a thread for each SIGHUP, or set `stop` when the signal means that the terminal closed.

    A process that ignores hangups, as under `nohup`, is never stopped by one.
    """
    asked, ended = threading.Event(), threading.Event()
    before = signal.getsignal(signal.SIGHUP)
    stops = before is not signal.SIG_IGN and _has_terminal()

    def note(_number: int, _frame: object) -> None:
        # The signal may interrupt the main thread within a turn of a cycle: nothing more is done here.
        if stops and not _has_terminal():
            stop.set()
        else:
            asked.set()

    def watch() -> None:
        while asked.wait() and not ended.is_set():
            asked.clear()
            act()

    signal.signal(signal.SIGHUP, note)
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
        ended.set()
        asked.set()
        thread.join()


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
