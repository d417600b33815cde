"""What was handed over and is not done: the messages of a broker's entries, held by the caller or delayed.

An entry may hold several messages, the elements of an array; it is done with its last one. Knows no broker.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from guardedit.core.messages import Delivery

#: Entry id -> its messages.
Entries = dict[bytes, list[Delivery]]


class InHand:
    """Entries by id, which is the handle of their deliveries. For one thread."""

    def __init__(self) -> None:
        self._held: Counter[bytes] = Counter()  # messages of an entry that the caller has
        self._delayed: dict[bytes, tuple[float, list[Delivery]]] = {}  # refused, with the time when due

    def __contains__(self, entry_id: object) -> bool:
        return entry_id in self._held or entry_id in self._delayed

    def hand_over(self, entries: Mapping[bytes, Sequence[Delivery]]) -> list[Delivery]:
        """The caller has them now."""
        for entry_id, deliveries in entries.items():
            self._held[entry_id] += len(deliveries)
            self._delayed.pop(entry_id, None)
        return [delivery for deliveries in entries.values() for delivery in deliveries]

    def done(self, deliveries: Sequence[Delivery]) -> list[bytes]:
        """Let go of the messages; the entries of which nothing is left to be done."""
        for delivery in deliveries:
            self._let_go(delivery.handle)
        ids = dict.fromkeys(delivery.handle for delivery in deliveries)
        return [entry_id for entry_id in ids if entry_id not in self]

    def delay(self, deliveries: Sequence[Delivery], *, until_s: float) -> None:
        """Keep them until then, and hand them over again."""
        for delivery in deliveries:
            self._let_go(delivery.handle)
            _, waiting = self._delayed.get(delivery.handle, (0.0, []))
            self._delayed[delivery.handle] = (until_s, [*waiting, delivery])

    def due(self, now_s: float, room: int) -> Entries:
        """Up to `room` entries whose delay is over, those that waited longest first."""
        due = sorted((at_s, key) for key, (at_s, _) in self._delayed.items() if at_s <= now_s)
        return {key: self._delayed[key][1] for _, key in due[:room]}

    def next_due_s(self) -> float:
        """When the next delay is over; infinite where nothing is delayed."""
        return min((at_s for at_s, _ in self._delayed.values()), default=float("inf"))

    def clear(self) -> None:
        """Forget everything; it is pending on the server."""
        self._held.clear()
        self._delayed.clear()

    def _let_go(self, entry_id: bytes) -> None:
        self._held[entry_id] -= 1
        if self._held[entry_id] <= 0:
            del self._held[entry_id]
