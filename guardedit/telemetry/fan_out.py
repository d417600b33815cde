"""Combines several observers into one. If an observer fails, its error is logged and the others still run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import structlog

from guardedit.core.protocols import Event, Observer


def fan_out(observers: Iterable[Observer]) -> Observer:
    """An observer that passes every event to all `observers`, in order, and never raises."""
    targets = tuple(observers)

    def observe(event: Event) -> None:
        for observer in targets:
            try:
                observer(event)
            except Exception as error:  # noqa: BLE001 - a correction must not fail because an observer did
                _log_failure(observer, event, error)

    return observe


def _log_failure(observer: Observer, event: Event, error: Exception) -> None:
    # The log itself may be the failing observer, for example with a closed stream.
    with contextlib.suppress(Exception):
        structlog.get_logger("guardedit").error(
            "observer_failed",
            observer=type(observer).__name__,
            kind=event.kind,
            correction=event.correction_id,
            error=type(error).__name__,
            message=str(error),
        )
