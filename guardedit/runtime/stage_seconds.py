"""Adds up the seconds in events, by kind of event."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any

from guardedit.core.protocols import Event


class StageSeconds:
    """An `Observer` that adds up the field `seconds` of events. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def __call__(self, event: Event) -> None:
        """Add the seconds of one event."""
        seconds: Any = event.fields.get("seconds")
        if isinstance(seconds, float):
            with self._lock:
                self._seconds[event.kind] += seconds

    def seconds(self) -> dict[str, float]:
        """Kind of event -> seconds."""
        with self._lock:
            return dict(self._seconds)
