"""Track which facts have expired at a given time; the caller changes the indexes."""

from __future__ import annotations

import math

from guardedit.core.fact import FactKey
from guardedit.memory.tenant_index import FactEntry


class Expiry:
    """The facts with an expiry time, divided into visible ones and hidden (expired) ones."""

    def __init__(self) -> None:
        self._visible: dict[FactKey, FactEntry] = {}
        self._hidden: dict[FactKey, FactEntry] = {}
        # With these two bounds, a call that changes nothing costs only two comparisons.
        self._first_visible_until_s = math.inf
        self._last_hidden_until_s = -math.inf

    def add(self, entry: FactEntry) -> None:
        """Track a fact that is visible now. A fact without an expiry time is ignored."""
        if entry.fact.valid_until_s is not None:
            self._visible[entry.fact.key] = entry
            self._first_visible_until_s = min(self._first_visible_until_s, entry.fact.valid_until_s)

    def remove(self, key: FactKey) -> None:
        """Stop tracking a fact that was deleted or superseded."""
        self._visible.pop(key, None)
        self._hidden.pop(key, None)

    def newly_expired(self, now_s: float | None) -> list[FactEntry]:
        """Visible facts that have expired at `now_s`. They count as hidden from now on."""
        if now_s is None or now_s < self._first_visible_until_s:
            return []
        found = [entry for entry in self._visible.values() if entry.fact.expired(now_s)]
        self._move(found, self._visible, self._hidden)
        return found

    def valid_again(self, now_s: float | None) -> list[FactEntry]:
        """Hidden facts that are valid at `now_s`: this caller's clock is earlier, or it gave no time."""
        if now_s is not None and now_s >= self._last_hidden_until_s:
            return []
        found = [entry for entry in self._hidden.values() if now_s is None or not entry.fact.expired(now_s)]
        self._move(found, self._hidden, self._visible)
        return found

    def _move(
        self, entries: list[FactEntry], out: dict[FactKey, FactEntry], into: dict[FactKey, FactEntry]
    ) -> None:
        for entry in entries:
            into[entry.fact.key] = out.pop(entry.fact.key)
        self._first_visible_until_s = min(map(_until_s, self._visible.values()), default=math.inf)
        self._last_hidden_until_s = max(map(_until_s, self._hidden.values()), default=-math.inf)


def _until_s(entry: FactEntry) -> float:
    return math.inf if entry.fact.valid_until_s is None else entry.fact.valid_until_s
