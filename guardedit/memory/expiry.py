"""Which facts are over at a moment. Knows times and entries; has no clock and no index."""

from __future__ import annotations

import math

from guardedit.core.fact import FactKey
from guardedit.memory.shelf import Entry


class Expiry:
    """The facts that have a time, divided into those that are shown and those that are over."""

    def __init__(self) -> None:
        self._shown: dict[FactKey, Entry] = {}
        self._hidden: dict[FactKey, Entry] = {}
        # So that a moment at which nothing changes costs two comparisons.
        self._first_shown = math.inf
        self._last_hidden = -math.inf

    def note(self, entry: Entry) -> None:
        """A fact that is shown from now on; one without a time is none of ours."""
        if entry.fact.valid_until_s is not None:
            self._shown[entry.fact.key] = entry
            self._first_shown = min(self._first_shown, entry.fact.valid_until_s)

    def forget(self, key: FactKey) -> None:
        """It was taken back or superseded."""
        self._shown.pop(key, None)
        self._hidden.pop(key, None)

    def over(self, now_s: float | None) -> list[Entry]:
        """Those to hide, since they have expired; they count as hidden from now on."""
        if now_s is None or now_s < self._first_shown:
            return []
        found = [entry for entry in self._shown.values() if entry.fact.expired(now_s)]
        self._move(found, self._shown, self._hidden)
        return found

    def back(self, now_s: float | None) -> list[Entry]:
        """Those to show again, since whoever asks now has an earlier clock, or none."""
        if now_s is not None and now_s >= self._last_hidden:
            return []
        found = [entry for entry in self._hidden.values() if now_s is None or not entry.fact.expired(now_s)]
        self._move(found, self._hidden, self._shown)
        return found

    def _move(self, entries: list[Entry], out: dict[FactKey, Entry], into: dict[FactKey, Entry]) -> None:
        for entry in entries:
            into[entry.fact.key] = out.pop(entry.fact.key)
        self._first_shown = min(map(_until, self._shown.values()), default=math.inf)
        self._last_hidden = max(map(_until, self._hidden.values()), default=-math.inf)


def _until(entry: Entry) -> float:
    return math.inf if entry.fact.valid_until_s is None else entry.fact.valid_until_s
