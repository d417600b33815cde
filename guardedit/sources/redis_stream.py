"""Reads a Redis or Valkey stream with a consumer group.

Delivery is at least once: the caller commits a message to its inbox, and only then `ack` sends XACK. If
anything fails in between, the message is still pending on the server and is delivered again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from guardedit.core.errors import SourceError
from guardedit.core.failpoints import failpoint
from guardedit.core.messages import Delivery, Lag
from guardedit.sources.failure_pause import FailurePause
from guardedit.sources.position import positioned_messages
from guardedit.sources.redis_client import call, connect, describe, pause_s, split_options
from guardedit.sources.redis_lag import read_lag
from guardedit.sources.redis_message import message_body
from guardedit.sources.unacknowledged import Entries, Unacknowledged

T = TypeVar("T")

#: Longest blocking read, below the socket's timeout. Idle messages of other consumers are claimed in between.
BLOCK_S = 1.0

_START = b"0-0"
_OPTIONS = ("stream", "group", "consumer", "min_idle_ms")


class RedisStream:
    """One consumer of one stream.

    After a restart of the server, the next call reconnects. After a failure, `pull` returns nothing until a
    pause is over; the pause grows with every failure in a row. `pull` and `ack` must be called by one thread;
    `lag` may be called by any thread.

    Args:
        url: `redis://[user:password@]host[:port][/db]`; also rediss, valkey, valkeys, and
            `unix:///path/to/socket[?db=]`.
        stream: key of the stream. It is created if it does not exist, together with the group.
        group: consumer group. It starts at the beginning of the stream.
        consumer: name within the group. Keep it across restarts: messages that an earlier process with this
            name left pending are delivered first. Two live processes must not share it.
        min_idle_ms: pending messages of other consumers are claimed after this long.
        name: recorded as source; default: server and stream, without credentials. Positions are unique only
            within one stream of a server, so two streams must not have the same name.
        clock: monotonic seconds.

    Raises:
        SourceError: redis-py is missing or the URL cannot be used. The server is not contacted yet.
    """

    def __init__(
        self,
        url: str,
        *,
        stream: str = "guardedit:corrections",
        group: str = "guardedit",
        consumer: str = "coordinator",
        min_idle_ms: int = 60_000,
        name: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        url, _ = split_options(url, ())
        self._client = connect(url)
        self._address = describe(url)
        self.name = name or f"{self._address}/{stream}"
        self.last_error = ""
        self._stream, self._group, self._consumer = stream, group, consumer
        self._min_idle_ms = min_idle_ms
        self._clock = clock
        self._pause = FailurePause(pause_s, clock=clock)
        self._open = Unacknowledged()
        self._claim_from = _START
        self._group_made = False
        self._own_from: bytes | None = _START  # where to continue in the own pending list; None: at its end

    def pull(self, max_n: int, wait_s: float) -> list[Delivery]:
        """Up to `max_n` messages: own pending ones, idle ones of other consumers, then new ones.

        Waits at most `wait_s` seconds for the first. The elements of an array are returned together, even if
        that is more than `max_n`.

        Raises:
            SourceError: the server cannot be reached or refuses. Raised once for each pause.
        """
        deadline_s = self._clock() + wait_s
        if left_s := self._pause.left_s():
            time.sleep(min(left_s, wait_s))
            if left_s > wait_s:
                return []
        while True:
            found = self._call(lambda: self._gather(max_n, deadline_s))
            if found or max_n <= 0 or self._clock() >= deadline_s:
                return self._open.add(found)

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """XACK each entry whose last message is acknowledged. If XACK fails, the entry is delivered again."""
        ids = self._open.remove(deliveries)
        if ids:
            failpoint("redis.xack.before")
            self._call(lambda: self._client.xack(self._stream, self._group, *ids))
            failpoint("redis.xack.after")

    def lag(self) -> Lag:
        """Number of messages not acknowledged, and the age of the oldest by its id; NaN if unknown."""
        return call(lambda: read_lag(self._client, self._stream, self._group), address=self._address)

    def close(self) -> None:
        """Close the connection. Pending messages wait for the next consumer. A later call reconnects."""
        self._client.close()
        self._open.clear()
        self._start_over()

    def _call(self, work: Callable[[], T]) -> T:
        try:
            value = call(work, address=self._address, on_failure=self._start_over)
        except SourceError as error:
            self.last_error = str(error)
            self._start_over()
            self._pause.failed()
            raise
        self.last_error = ""
        self._pause.succeeded()
        return value

    def _start_over(self) -> None:
        # If a reply was lost, messages may be pending for this consumer that it never received. So after any
        # failure it reads its own pending list again from the beginning.
        self._group_made = False
        self._own_from = _START

    def _gather(self, max_n: int, deadline_s: float) -> Entries:
        """Create the group, then read own pending, idle and new messages; waits only for new ones."""
        self._make_group()
        found = self._own_pending(max_n)
        found |= self._idle(max_n - len(found))
        wait_s = 0.0 if found else deadline_s - self._clock()
        found |= self._new(max_n - len(found), wait_s)
        return found

    def _make_group(self) -> None:
        if self._group_made:
            return
        import redis

        try:
            self._client.xgroup_create(self._stream, self._group, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        self._group_made = True

    def _own_pending(self, room: int) -> Entries:
        found: Entries = {}
        while self._own_from is not None and len(found) < room:
            wanted = room - len(found)
            entries = self._read(self._own_from, wanted, None)
            self._own_from = entries[-1][0] if len(entries) == wanted else None
            found |= self._unseen(entries)
        return found

    def _idle(self, room: int) -> Entries:
        if room <= 0:
            return {}
        reply: list[Any] = self._client.xautoclaim(
            self._stream, self._group, self._consumer, self._min_idle_ms, self._claim_from, count=room
        )
        self._claim_from, entries, *gone = reply
        return self._unseen([*entries, *((entry_id, None) for entry_id in (gone[0] if gone else ()))])

    def _new(self, room: int, wait_s: float) -> Entries:
        if room <= 0:
            return {}
        block_s = min(wait_s, BLOCK_S)
        # Zero would mean no limit.
        block_ms = max(1, int(block_s * 1000)) if block_s > 0.0 else None
        return self._unseen(self._read(b">", room, block_ms))

    def _read(self, after: bytes, count: int, block_ms: int | None) -> list[Any]:
        reply: Any = self._client.xreadgroup(
            self._group, self._consumer, {self._stream: after}, count=count, block=block_ms
        )
        return list(reply[0][1]) if reply else []

    def _unseen(self, entries: Sequence[Any]) -> Entries:
        """Deliveries of the (id, fields) pairs that have not been delivered yet."""
        # XAUTOCLAIM also returns idle messages that this consumer itself has delivered.
        return {
            entry_id: self._deliveries(entry_id, message_body(fields))
            for entry_id, fields in entries
            if entry_id is not None and entry_id not in self._open
        }

    def _deliveries(self, entry_id: bytes, body: bytes) -> list[Delivery]:
        return [
            Delivery(raw=raw, source=self.name, position=position, handle=entry_id)
            for position, raw in positioned_messages(entry_id.decode(), body)
        ]


def open_redis(url: str) -> RedisStream:
    """Open a stream by URL; `?stream=&group=&consumer=&min_idle_ms=` set the other arguments.

    Raises:
        SourceError: the URL cannot be used or redis-py is missing.
    """
    clean, texts = split_options(url, _OPTIONS)
    options: dict[str, Any] = dict(texts)
    if idle_ms := texts.get("min_idle_ms"):
        if not idle_ms.isdecimal():
            raise SourceError(f"min_idle_ms must be a whole number of milliseconds, got {idle_ms!r}")
        options["min_idle_ms"] = int(idle_ms)
    return RedisStream(clean, **options)
