"""Health for `/healthz`: whether both cycles turn, none has failed, and the ledger can be read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from guardedit.core.errors import GuardeditError

LIVE, CONSOLIDATE = "live", "consolidate"

#: A cycle that has not finished a turn for this many seconds counts as stuck. A turn of the live cycle takes
#: milliseconds, or longer while it waits for an actor that restarts. A turn of the consolidating cycle
#: contains the edits, the trials and the bisection of a whole batch, which take minutes on a large model. If
#: the health check restarted the container during them, no batch would ever finish.
MAX_TURN_S: Mapping[str, float] = MappingProxyType({LIVE: 60.0, CONSOLIDATE: 1800.0})


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """What `/healthz` answers. Healthy without `problems`.

    Attributes:
        problems: one sentence each.
        since_turn_s: cycle -> seconds since its last turn, or since the start.
    """

    problems: tuple[str, ...] = ()
    since_turn_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, object]:
        """The report as JSON."""
        return {
            "status": "failing" if self.problems else "ok",
            "problems": list(self.problems),
            "seconds_since_turn": {cycle: round(s, 3) for cycle, s in self.since_turn_s.items()},
        }


class Health:
    """Records the turns of both cycles. Thread-safe.

    Args:
        check_ledger: reads the ledger; may raise GuardeditError.
        clock: monotonic seconds.
    """

    def __init__(self, *, check_ledger: Callable[[], object], clock: Callable[[], float]) -> None:
        self._check_ledger = check_ledger
        self._clock = clock
        self._lock = threading.Lock()
        self._turned_at_s = dict.fromkeys(MAX_TURN_S, clock())
        self._failures: dict[str, str] = {}

    def turned(self, cycle: str) -> None:
        """Record that a cycle finished a turn, which ends an earlier failure of this cycle."""
        with self._lock:
            self._turned_at_s[cycle] = self._clock()
            self._failures.pop(cycle, None)

    def failed(self, cycle: str, error: str) -> None:
        """Record that a cycle ended with an error."""
        with self._lock:
            self._failures[cycle] = error

    def failing(self) -> bool:
        """Whether a cycle ended with an error and has not turned since."""
        with self._lock:
            return bool(self._failures)

    def report(self) -> HealthReport:
        """The present state."""
        with self._lock:
            now_s = self._clock()
            since_s = {cycle: now_s - at_s for cycle, at_s in self._turned_at_s.items()}
            problems = [
                f"the {cycle} cycle ended with an error: {error}" for cycle, error in self._failures.items()
            ]
        problems += [
            f"the {cycle} cycle has not turned for {s:.0f} s (limit {MAX_TURN_S[cycle]:g} s)"
            for cycle, s in since_s.items()
            if s > MAX_TURN_S[cycle]
        ]
        try:
            self._check_ledger()
        except GuardeditError as error:
            problems.append(f"the ledger cannot be read: {error}")
        return HealthReport(problems=tuple(problems), since_turn_s=since_s)
