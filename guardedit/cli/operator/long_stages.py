"""Tells while the system runs which stage of the consolidating cycle takes long: a line every ten seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from guardedit.cli.terminal import show
from guardedit.core.protocols import Event
from guardedit.runtime.operator.stages import Stage, read_stage

#: Seconds between two lines.
EVERY_S = 10.0


@contextmanager
def told_stages(
    home: Path, *, log: bool, every_s: float = EVERY_S, warn: Callable[[str], None] = show.warn
) -> Iterator[None]:
    """A context in which a thread tells about the stage that runs, to the log or as plain lines to stderr.

    The stage is read from its file, so it does not matter which process runs the cycle.
    """
    ended = threading.Event()

    def tell(stage: Stage, elapsed_s: int) -> None:
        if log:
            from guardedit.telemetry.logs import LogObserver

            LogObserver()(Event(kind="progress", fields={"name": str(stage), "elapsed": elapsed_s}))
        else:
            warn(f"{stage}, for {elapsed_s} s")

    def watch() -> None:
        while not ended.wait(every_s):
            now_s = time.time()
            stage = read_stage(home, now_s=now_s)
            if stage is not None and now_s - stage.since_s >= every_s:
                tell(stage, round(now_s - stage.since_s))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
