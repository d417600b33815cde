"""Seconds by stage, as the events tell them."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any

from guardedit.core.protocols import Event


class Spent:
    """An `Observer` that adds up. Safe to call from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def __call__(self, event: Event) -> None:
        """Take one event in."""
        seconds: Any = event.fields.get("seconds")
        if isinstance(seconds, float):
            with self._lock:
                self._seconds[event.kind] += seconds

    def seconds(self) -> dict[str, float]:
        """Seconds by kind of event."""
        with self._lock:
            return dict(self._seconds)
