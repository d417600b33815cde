"""Keeps a replica at the serving epoch of a ledger that another process writes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol, Self

from guardedit.core.errors import GuardeditError
from guardedit.core.serving import Snapshot, Update
from guardedit.ledger.reading import LedgerReader
from guardedit.policy.schema import Policy
from guardedit.runtime.opening import LEDGER, begun, existing, exists
from guardedit.settings import Settings

#: How often the ledger is looked at: one pragma of SQLite, microseconds.
POLL_S = 0.02
#: How long to wait after the ledger could not be read.
RETRY_S = 1.0


class Followed(Protocol):
    """The part of a replica that follows a ledger."""

    def publish(self, snapshot: Snapshot) -> int:
        """Switch to a snapshot."""

    def follow(self, update: Update) -> int:
        """Switch to the next epoch by its changes; ConflictError if it does not follow the served one."""

    def epoch(self) -> int | None:
        """Number of the served epoch; None before the first."""


class LedgerFollower:
    """A thread that publishes each new serving epoch to a replica. A context manager.

    Until a coordinator has begun the ledger, and in shadow mode, the replica keeps its first epoch. If the
    ledger cannot be read or trusted, it keeps the epoch that it has, and `problem` says why.

    Args:
        settings: home folder of the ledger.
        policy: its mode decides whether facts are served.
        replica: follows the ledger; has its first epoch already.
        base_sha256: of the replica's model, which must be the ledger's; "" where there is none.
        watch: called with the ledger after every change in it, in shadow mode too.
    """

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        replica: Followed,
        *,
        base_sha256: str = "",
        watch: Callable[[LedgerReader], None] | None = None,
    ) -> None:
        self._settings, self._shadow, self._replica = settings, policy.mode == "shadow", replica
        self._base, self._watch = base_sha256, watch
        self.problem = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="guardedit-follower", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following. Safe to call twice."""
        self._stop.set()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if (self._watch or not self._shadow) and exists(self._settings):
                    self._follow()
                self._stop.wait(POLL_S)
            except Exception as error:  # noqa: BLE001 - such as too little memory: it may pass
                self.problem = str(error) or type(error).__name__
                self._stop.wait(RETRY_S)

    def _follow(self) -> None:
        """Publish epochs with one reader for as long as it sees what is written."""
        stamp = self._stamp()
        with existing(self._settings) as ledger:
            self._publish(ledger)
            self.problem = ""
            while not self._stop.wait(POLL_S):
                now = self._stamp()
                if ledger.changed_elsewhere():
                    self._publish(ledger)
                elif now != stamp:
                    return  # opened while nobody wrote, it shows the state of that moment: open it again
                stamp = now

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        """Changes whenever the ledger's files do."""
        files = [self._settings.home / f"{LEDGER}{end}" for end in ("", "-wal")]
        found = [file.stat() if file.is_file() else None for file in files]
        return tuple((one.st_mtime_ns, one.st_size) if one else (0, 0) for one in found)

    def _publish(self, ledger: LedgerReader) -> None:
        if self._watch:
            self._watch(ledger)
        if self._shadow or not begun(ledger):
            return
        if self._base:
            ledger.compare_base(self._base)
        served, serving = self._replica.epoch(), ledger.ref("serving")
        if served == serving:
            return
        try:
            self._replica.follow(ledger.update(served or 0))
        except GuardeditError:  # a change that does not fit what is served: load everything
            self._replica.publish(ledger.snapshot())
