"""One observer made of many. An observer that raises is logged, never obeyed.

Knows nothing of what observers do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import structlog

from guardedit.core.protocols import Event, Observer


def fan_out(observers: Iterable[Observer]) -> Observer:
    """An observer that hands every event to all of `observers`, in order, and itself never raises."""
    everyone = tuple(observers)

    def tell(event: Event) -> None:
        for observer in everyone:
            try:
                observer(event)
            except Exception as error:  # noqa: BLE001 - a correction must not fail because a watcher did
                _complain(observer, event, error)

    return tell


def _complain(observer: Observer, event: Event, error: Exception) -> None:
    # The log itself may be what is broken, as with a closed stream.
    with contextlib.suppress(Exception):
        structlog.get_logger("guardedit").error(
            "observer_failed",
            observer=type(observer).__name__,
            kind=event.kind,
            correction=event.correction_id,
            error=type(error).__name__,
            message=str(error),
        )
