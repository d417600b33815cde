"""A queue inside the process: for replay, evaluation, and files read whole.

Behaves as a broker does (redelivery, delays, dead letters, lag) but survives nothing: durability begins
with the inbox. Knows no file format.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from guardedit.core.messages import Delivery, Lag
from guardedit.sources.position import numbered_position


@dataclass(frozen=True, slots=True, order=True)
class _Entry:
    """A message with its place in the queue; ordered by when it is due, then by place."""

    due_s: float
    number: int
    delivery: Delivery
    since_s: float


class ListSource:
    """Messages from a list, in order, plus whatever `put` adds later.

    Safe to use from several threads. `dead_letters` keeps what `dead` was told.

    Args:
        deliveries: what to hand over; source and position are kept, the handle is replaced.
        name: recorded as the source of messages added by `put`.
        submission: distinguishes one filling of the list from another, see `numbered_position`.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        deliveries: Iterable[Delivery] = (),
        *,
        name: str = "list",
        submission: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.away = name, ""
        self.dead_letters: list[tuple[Delivery, str]] = []
        self._submission = submission
        self._clock = clock
        self._changed = threading.Condition()
        self._count = 0
        self._ready: deque[_Entry] = deque()
        self._delayed: list[_Entry] = []  # a heap
        self._held: dict[int, _Entry] = {}
        for delivery in deliveries:
            self._append(delivery)

    def put(self, raw: bytes) -> None:
        """Add one message at the end."""
        with self._changed:
            place = str(self._count + 1)
            position = numbered_position(place, raw, submission=self._submission)
            self._append(Delivery(raw=raw, source=self.name, position=position))
            self._changed.notify_all()

    def pull(self, max_n: int, wait_s: float) -> list[Delivery]:
        """Up to `max_n` messages; waits at most `wait_s` for the first, also for a delayed one."""
        with self._changed:
            self._ripen()
            if not self._ready and wait_s > 0.0:
                self._changed.wait(self._until_due_s(wait_s))
                self._ripen()
            taken = [self._ready.popleft() for _ in range(min(max_n, len(self._ready)))]
            self._held.update({entry.number: entry for entry in taken})
            return [entry.delivery for entry in taken]

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Forget them."""
        with self._changed:
            for delivery in deliveries:
                self._held.pop(delivery.handle, None)

    def nack(self, deliveries: Sequence[Delivery], delay_s: float) -> None:
        """Hand them over again, not before `delay_s` has passed, and then ahead of the rest."""
        with self._changed:
            for delivery in deliveries:
                if entry := self._held.pop(delivery.handle, None):
                    heapq.heappush(self._delayed, replace(entry, due_s=self._clock() + delay_s))
            self._changed.notify_all()

    def dead(self, delivery: Delivery, reason: str) -> None:
        """Move the message to `dead_letters`."""
        with self._changed:
            if self._held.pop(delivery.handle, None):
                self.dead_letters.append((delivery, reason))

    def lag(self) -> Lag:
        """Messages not acknowledged yet, those handed over included; no age when there are none."""
        with self._changed:
            left = [*self._ready, *self._delayed, *self._held.values()]
            oldest_s = self._clock() - min((entry.since_s for entry in left), default=float("nan"))
            return Lag(waiting=float(len(left)), oldest_s=oldest_s)

    def close(self) -> None:
        """Put everything unacknowledged back in its place; the next `pull` starts from there."""
        with self._changed:
            left = [*self._ready, *self._delayed, *self._held.values()]
            self._ready = deque(sorted(left, key=lambda entry: entry.number))
            self._delayed.clear()
            self._held.clear()

    def _append(self, delivery: Delivery) -> None:
        self._count += 1
        now_s = self._clock()
        self._ready.append(_Entry(now_s, self._count, replace(delivery, handle=self._count), now_s))

    def _ripen(self) -> None:
        due: list[_Entry] = []
        while self._delayed and self._delayed[0].due_s <= self._clock():
            due.append(heapq.heappop(self._delayed))
        self._ready.extendleft(reversed(due))

    def _until_due_s(self, wait_s: float) -> float:
        if not self._delayed:
            return wait_s
        return min(wait_s, self._delayed[0].due_s - self._clock())
