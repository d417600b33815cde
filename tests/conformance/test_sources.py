"""The behaviour that all sources share, tested on every source."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pytest

from guardedit.core.messages import Delivery
from guardedit.core.protocols import Source
from guardedit.sources.list import ListSource
from guardedit.sources.redis_stream import RedisStream
from guardedit.sources.registry import SCHEMES, open_source

MESSAGES = [
    b'{"a": 1}',
    b"\xff\xfe not utf-8 \x00",
    b"{}",
    b"  spaces  ",
    b'{"a": 1}',
    "\u00e9\U0001f600".encode(),
]


class Queue(Protocol):
    """One kind of source, with ways to fill it and to reopen it."""

    def open(self, messages: Sequence[bytes]) -> Source: ...

    def reopen(self, source: Source) -> Source: ...

    def add(self, source: Source, message: bytes) -> None: ...


class ListQueue:
    def open(self, messages: Sequence[bytes]) -> Source:
        source = ListSource()
        for message in messages:
            source.put(message)
        return source

    def reopen(self, source: Source) -> Source:
        return source

    def add(self, source: Source, message: bytes) -> None:
        assert isinstance(source, ListSource)
        source.put(message)


class FileQueue(ListQueue):
    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, messages: Sequence[bytes]) -> Source:
        self.path.write_bytes(b"".join(message + b"\n" for message in messages))
        return open_source(f"file:{self.path}")


class RedisQueue:
    def __init__(self, url: str) -> None:
        import redis

        self.url = url
        self.client = redis.Redis.from_url(url)

    def open(self, messages: Sequence[bytes]) -> Source:
        for message in messages:
            self.client.xadd("guardedit:corrections", {"correction": message})
        return open_source(self.url)

    def reopen(self, source: Source) -> Source:
        return open_source(self.url)

    def add(self, source: Source, message: bytes) -> None:
        self.client.xadd("guardedit:corrections", {"correction": message})


@pytest.fixture(params=["list", "file", pytest.param("redis", marks=pytest.mark.redis)])
def queue(request: pytest.FixtureRequest, tmp_path: Path) -> Queue:
    if request.param == "list":
        return ListQueue()
    if request.param == "file":
        return FileQueue(tmp_path / "corrections.jsonl")
    return RedisQueue(request.getfixturevalue("valkey_server").url)


def drain(source: Source, *, step: int = 2) -> list[Delivery]:
    found: list[Delivery] = []
    while batch := source.pull(step, 0.0):
        found += batch
    return found


def seen(deliveries: Sequence[Delivery]) -> list[tuple[bytes, str, str]]:
    return [(d.raw, d.source, d.position) for d in deliveries]


def test_every_registered_scheme_is_tested_here():
    targets = {target.partition(":")[0] for target in SCHEMES.values()}
    assert targets == {"guardedit.sources.jsonl", RedisStream.__module__}


def test_every_message_arrives_once_in_order_with_its_bytes(queue: Queue):
    assert [d.raw for d in drain(queue.open(MESSAGES))] == MESSAGES


def test_a_pull_returns_at_most_the_requested_number(queue: Queue):
    source = queue.open(MESSAGES)
    assert [len(source.pull(n, 0.0)) for n in (1, 3, 9)] == [1, 3, 2]
    assert source.pull(9, 0.0) == []


def test_equal_messages_have_different_positions_and_the_source_is_named(queue: Queue):
    source = queue.open(MESSAGES)
    found = drain(source)
    assert len({(d.source, d.position) for d in found}) == len(MESSAGES)
    assert {d.source for d in found} == {source.name}


def test_what_was_not_acknowledged_comes_again_after_closing_under_the_same_position(queue: Queue):
    source = queue.open(MESSAGES)
    found = drain(source)
    source.ack([found[1], found[4]])
    source.close()
    again = drain(queue.reopen(source))
    assert seen(again) == seen([found[i] for i in (0, 2, 3, 5)])


def test_what_was_acknowledged_never_comes_again(queue: Queue):
    source = queue.open(MESSAGES)
    source.ack(drain(source))
    source.close()
    assert drain(queue.reopen(source)) == []


def test_acknowledging_twice_or_nothing_does_no_harm(queue: Queue):
    source = queue.open(MESSAGES)
    first = source.pull(1, 0.0)
    source.ack(first)
    source.ack(first)
    source.ack([])
    assert [d.raw for d in drain(source)] == MESSAGES[1:]


def test_an_empty_source_waits_no_longer_than_requested(queue: Queue):
    source = queue.open([])
    assert source.pull(5, 0.0) == []
    start_s = time.monotonic()
    assert source.pull(5, 0.4) == []
    assert time.monotonic() - start_s < 1.5
    assert source.pull(0, 0.2) == []


def test_a_waiting_pull_returns_a_message_as_soon_as_it_arrives(queue: Queue):
    source = queue.open([])
    timer = threading.Timer(0.2, queue.add, (source, b"{}"))
    timer.start()
    start_s = time.monotonic()
    assert [d.raw for d in source.pull(5, 10.0)] == [b"{}"]
    assert time.monotonic() - start_s < 3.0
    timer.join()


def test_lag_counts_what_is_not_acknowledged(queue: Queue):
    source = queue.open(MESSAGES)
    found = source.pull(3, 0.0)
    assert source.lag().waiting == len(MESSAGES)
    source.ack(found)
    lag = source.lag()
    assert lag.waiting == len(MESSAGES) - 3
    assert 0.0 <= lag.oldest_s < 60.0


def test_nothing_waiting_is_zero_messages_of_no_age(queue: Queue):
    source = queue.open(MESSAGES)
    source.ack(drain(source))
    lag = source.lag()
    assert lag.waiting == 0.0
    assert math.isnan(lag.oldest_s)
