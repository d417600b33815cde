"""A Redis or Valkey stream, read by a consumer group.

At least once, by this order: the caller commits a message to its inbox, then `ack` sends XACK. Whatever
happens in between, the message is still pending on the server and comes again. Knows streams and groups;
reaching the server is the client module's business, and what a message says is nobody's here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from guardedit.core.errors import SourceError
from guardedit.core.failpoints import failpoint
from guardedit.core.messages import Delivery, Lag
from guardedit.sources.backoff import Pause
from guardedit.sources.in_hand import Entries, InHand
from guardedit.sources.position import placed
from guardedit.sources.redis_client import call, connect, describe, split_options
from guardedit.sources.redis_lag import read_lag
from guardedit.sources.redis_message import message_body

T = TypeVar("T")

#: Longest single blocking read, below the socket's timeout; between two, idle messages are looked for.
BLOCK_S = 1.0

_START = b"0-0"
_OPTIONS = ("stream", "group", "consumer", "dead_stream", "min_idle_ms")


class RedisStream:
    """One consumer of one stream.

    The object outlives its connection: after a restart of the server the next call reconnects. `pull`,
    `ack`, `nack` and `dead` belong to one thread; `lag` may be called from any.

    Args:
        url: `redis://[user:password@]host[:port][/db]`; also rediss, valkey, valkeys, and
            `unix:///path/to/socket[?db=]`.
        stream: key of the stream; made when absent, together with the group.
        group: consumer group. It starts at the stream's beginning.
        consumer: name within the group. Keep it across restarts: what an earlier process of this name
            left pending is handed over first. Two live processes must not share it.
        dead_stream: where `dead` puts messages; default is the stream's key with `:dead`.
        min_idle_ms: pending messages of other consumers are taken over after this long.
        name: recorded as source; default is server and stream, without credentials. Positions are unique
            per stream of a server only, so two streams must not have one name.
        patience_s: how long `ack` and `dead` try to reconnect; `pull` tries for as long as it may wait.
        clock: monotonic seconds.
        sleep: waits that many seconds.

    Raises:
        SourceError: when redis-py is missing or the URL is unusable. The server is not contacted yet.
    """

    def __init__(
        self,
        url: str,
        *,
        stream: str = "guardedit:corrections",
        group: str = "guardedit",
        consumer: str = "coordinator",
        dead_stream: str | None = None,
        min_idle_ms: int = 60_000,
        name: str | None = None,
        patience_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        url, _ = split_options(url, ())
        self._client = connect(url)
        self._address = describe(url)
        self.name = name or f"{self._address}/{stream}"
        self.away = ""
        self._stream, self._group, self._consumer = stream, group, consumer
        self._dead_stream = dead_stream or f"{stream}:dead"
        self._min_idle_ms = min_idle_ms
        self._patience_s = patience_s
        self._clock, self._sleep = clock, sleep
        self._pause = Pause(clock=clock)
        self._in_hand = InHand()
        self._claim_from = _START
        self._group_made = False
        self._own_from: bytes | None = _START  # where to go on in the own pending list; None: at its end

    def pull(self, max_n: int, wait_s: float) -> list[Delivery]:
        """Up to `max_n` messages: refused and due, own pending, idle elsewhere, then new ones.

        The elements of an array come together, also where that makes more than `max_n`.
        Waits at most `wait_s` for the first, reconnecting meanwhile when it must. A failure is raised
        once; then pulls bring nothing until a pause is over that grows with every failure in a row.
        """
        deadline_s = self._clock() + wait_s
        if pause_s := self._pause.left_s():
            self._sleep(min(pause_s, wait_s))
            if pause_s > wait_s:
                return []
        while True:
            left_s = max(0.0, deadline_s - self._clock())
            found = self._call(lambda: self._gather(max_n, deadline_s), budget_s=left_s)
            if found or max_n <= 0 or self._clock() >= deadline_s:
                return self._in_hand.hand_over(found)

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """XACK of every entry whose last message this is. When it fails, they are handed over again."""
        ids = self._in_hand.done(deliveries)
        if ids:
            failpoint("redis.xack.before")
            self._call(lambda: self._client.xack(self._stream, self._group, *ids), budget_s=self._patience_s)
            failpoint("redis.xack.after")

    def nack(self, deliveries: Sequence[Delivery], delay_s: float) -> None:
        """Keep them pending and hand them over again after `delay_s`; a restart forgets the delay."""
        self._in_hand.delay(deliveries, until_s=self._clock() + delay_s)

    def dead(self, delivery: Delivery, reason: str) -> None:
        """XADD to the dead stream, then XACK: a crash in between leaves a second copy, never none.

        Of an array the element is buried, and the entry is acknowledged with its last element.
        """
        origin = {"source": self.name, "id": delivery.position}
        fields: dict[Any, Any] = {"correction": delivery.raw, "reason": reason, **origin}

        def bury() -> None:
            self._client.xadd(self._dead_stream, fields)
            if ids:
                self._client.xack(self._stream, self._group, *ids)

        ids = self._in_hand.done([delivery])
        self._call(bury, budget_s=self._patience_s)

    def lag(self) -> Lag:
        """Messages not acknowledged and the age of the oldest by its id; NaN where the server cannot say."""
        return self._ask(lambda: read_lag(self._client, self._stream, self._group), budget_s=0.0)

    def close(self) -> None:
        """Close the connection. What is pending waits for the next consumer; a later call reconnects."""
        self._client.close()
        self._in_hand.clear()
        self._start_over()

    def _ask(self, work: Callable[[], T], *, budget_s: float) -> T:
        return call(work, address=self._address, budget_s=budget_s, clock=self._clock, sleep=self._sleep)

    def _call(self, work: Callable[[], T], *, budget_s: float) -> T:
        try:
            value = self._ask(work, budget_s=budget_s)
        except SourceError as error:
            self.away = str(error)
            self._start_over()
            self._pause.failed()
            raise
        self.away = ""
        self._pause.succeeded()
        return value

    def _start_over(self) -> None:
        # A reply lost on its way leaves messages pending for this consumer that it never saw, so after
        # any failure the own pending list is read from its beginning.
        self._group_made = False
        self._own_from = _START

    def _gather(self, max_n: int, deadline_s: float) -> Entries:
        """1 Group. 2 Due again. 3 Own pending. 4 Idle elsewhere. 5 New; only here it waits."""
        try:
            self._make_group()  # 1
            found = self._in_hand.due(self._clock(), max_n)  # 2
            found |= self._own_pending(max_n - len(found))  # 3
            found |= self._idle(max_n - len(found))  # 4
            wait_s = 0.0 if found else deadline_s - self._clock()
            found |= self._new(max_n - len(found), wait_s)  # 5
        except Exception:
            self._start_over()
            raise
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
        block_s = min(wait_s, self._in_hand.next_due_s() - self._clock(), BLOCK_S)
        # Zero would mean for ever.
        block_ms = max(1, int(block_s * 1000)) if block_s > 0.0 else None
        return self._unseen(self._read(b">", room, block_ms))

    def _read(self, after: bytes, count: int, block_ms: int | None) -> list[Any]:
        reply: Any = self._client.xreadgroup(
            self._group, self._consumer, {self._stream: after}, count=count, block=block_ms
        )
        return list(reply[0][1]) if reply else []

    def _unseen(self, entries: Sequence[Any]) -> Entries:
        """Deliveries of the (id, fields) pairs that are in nobody's hands yet."""
        # Claiming idle messages may also return those that this consumer holds or delays itself.
        return {
            entry_id: self._deliveries(entry_id, message_body(fields))
            for entry_id, fields in entries
            if entry_id is not None and entry_id not in self._in_hand
        }

    def _deliveries(self, entry_id: bytes, body: bytes) -> list[Delivery]:
        return [
            Delivery(raw=raw, source=self.name, position=position, handle=entry_id)
            for position, raw in placed(entry_id.decode(), body)
        ]


def open_redis(url: str) -> RedisStream:
    """A stream from one URL; `?stream=&group=&consumer=&dead_stream=&min_idle_ms=` set the rest.

    Raises:
        SourceError: when the URL cannot be used or redis-py is missing.
    """
    clean, texts = split_options(url, _OPTIONS)
    options: dict[str, Any] = dict(texts)
    if idle_ms := texts.get("min_idle_ms"):
        if not idle_ms.isdecimal():
            raise SourceError(f"min_idle_ms must be a whole number of milliseconds, got {idle_ms!r}")
        options["min_idle_ms"] = int(idle_ms)
    return RedisStream(clean, **options)
