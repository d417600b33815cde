"""SIGHUP asks for the configuration to be read again, unless it says that the terminal is gone."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from guardedit.cli.operator.hangup import on_hangup

ROOT = Path(__file__).parents[4]
#: Says what one hangup did: it called the function, or it asked for the end.
WAITS = """
import fcntl, os, sys, termios, threading
from guardedit.cli.operator.hangup import on_hangup
if len(sys.argv) > 2:
    os.setsid()
    fcntl.ioctl(int(sys.argv[2]), termios.TIOCSCTTY, 0)
happened, stop = [], threading.Event()
with on_hangup(lambda: (happened.append("called"), stop.set()), stop):
    os.write(int(sys.argv[1]), b"ready ")
    stop.wait(30)
os.write(int(sys.argv[1]), (happened or ["stopped"])[0].encode())
"""


def test_each_signal_calls_the_function_and_the_handler_is_put_back():
    before, called, stop = signal.getsignal(signal.SIGHUP), threading.Semaphore(0), threading.Event()
    with on_hangup(called.release, stop):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            assert called.acquire(timeout=30)
    assert not stop.is_set()
    assert signal.getsignal(signal.SIGHUP) is before


@pytest.mark.parametrize(("nohup", "wanted"), [(False, "stopped"), (True, "called")])
def test_a_terminal_that_closes_ends_the_process_unless_it_ignores_hangups(nohup: bool, wanted: str):
    terminal, inner = pty.openpty()
    reader, writer = os.pipe()

    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL)

    with subprocess.Popen(
        [sys.executable, "-c", WAITS, str(writer), str(inner)],
        pass_fds=(writer, inner), cwd=ROOT, preexec_fn=ignore,  # noqa: PLW1509 - nothing but a signal
    ) as process:  # fmt: skip
        os.close(writer)
        os.close(inner)
        assert os.read(reader, 6) == b"ready "
        os.close(terminal)  # the kernel tells the session's leader
        assert os.read(reader, 16).decode() == wanted
        assert process.wait(30) == 0
    os.close(reader)


def test_without_a_terminal_it_only_calls_the_function():
    reader, writer = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", WAITS, str(writer)], pass_fds=(writer,), cwd=ROOT, start_new_session=True
    ) as process:
        os.close(writer)
        assert os.read(reader, 6) == b"ready "
        process.send_signal(signal.SIGHUP)
        assert os.read(reader, 16) == b"called"
        assert process.wait(30) == 0
    os.close(reader)
