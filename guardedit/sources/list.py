"""A queue inside the process, for replay, evaluation, and files that are read whole.

It behaves like a broker (redelivery, lag) but nothing in it is durable.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from guardedit.core.messages import Delivery, Lag
from guardedit.sources.position import numbered_position


@dataclass(frozen=True, slots=True)
class _QueuedMessage:
    number: int  # its place in the queue, from 1
    delivery: Delivery
    since_s: float


class ListSource:
    """Messages from a list, in order, followed by those that `put` adds. Thread-safe.

    Args:
        deliveries: the messages. Source and position are kept, the handle is replaced.
        name: recorded as the source of messages added by `put`.
        submission: distinguishes this list from other lists with the same bytes, see `numbered_position`.
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
        self.name, self.last_error = name, ""
        self._submission = submission
        self._clock = clock
        self._changed = threading.Condition()
        self._count = 0
        self._ready: deque[_QueuedMessage] = deque()
        self._delivered: dict[int, _QueuedMessage] = {}
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
        """Up to `max_n` messages; waits at most `wait_s` seconds for the first."""
        with self._changed:
            if not self._ready and wait_s > 0.0:
                self._changed.wait(wait_s)
            taken = [self._ready.popleft() for _ in range(min(max_n, len(self._ready)))]
            self._delivered.update({message.number: message for message in taken})
            return [message.delivery for message in taken]

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Remove the messages for good."""
        with self._changed:
            for delivery in deliveries:
                self._delivered.pop(delivery.handle, None)

    def lag(self) -> Lag:
        """Number of messages not acknowledged yet, delivered or not, and the age of the oldest."""
        with self._changed:
            left = [*self._ready, *self._delivered.values()]
            oldest_s = self._clock() - min((message.since_s for message in left), default=float("nan"))
            return Lag(waiting=float(len(left)), oldest_s=oldest_s)

    def close(self) -> None:
        """Put unacknowledged messages back in their place; the next `pull` starts with them."""
        with self._changed:
            left = [*self._ready, *self._delivered.values()]
            self._ready = deque(sorted(left, key=lambda message: message.number))
            self._delivered.clear()

    def _append(self, delivery: Delivery) -> None:
        self._count += 1
        numbered = replace(delivery, handle=self._count)
        self._ready.append(_QueuedMessage(self._count, numbered, self._clock()))
