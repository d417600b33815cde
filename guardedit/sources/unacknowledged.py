"""Counts the messages of a broker's entries that were delivered and are not acknowledged yet.

An entry may contain several messages, the elements of an array. It is complete when the last one is
acknowledged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from guardedit.core.messages import Delivery

#: Entry id -> its messages.
Entries = dict[bytes, list[Delivery]]


class Unacknowledged:
    """Counts open messages by entry id, which is the `handle` of their deliveries. Not thread-safe."""

    def __init__(self) -> None:
        self._open: Counter[bytes] = Counter()

    def __contains__(self, entry_id: object) -> bool:
        return entry_id in self._open

    def add(self, entries: Mapping[bytes, Sequence[Delivery]]) -> list[Delivery]:
        """Count the messages of the entries as delivered; returns all of them in order."""
        for entry_id, deliveries in entries.items():
            self._open[entry_id] += len(deliveries)
        return [delivery for deliveries in entries.values() for delivery in deliveries]

    def remove(self, deliveries: Sequence[Delivery]) -> list[bytes]:
        """Count the messages as acknowledged; returns the ids of entries without an open message."""
        for delivery in deliveries:
            self._open[delivery.handle] -= 1
            if self._open[delivery.handle] <= 0:
                del self._open[delivery.handle]
        ids = dict.fromkeys(delivery.handle for delivery in deliveries)
        return [entry_id for entry_id in ids if entry_id not in self]

    def clear(self) -> None:
        """Forget all messages; the server still has them as pending."""
        self._open.clear()
