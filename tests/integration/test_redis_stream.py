"""The Redis source against a real server that is killed, restarted and emptied under it."""

from __future__ import annotations

import math
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import Any

import pytest
import redis

from guardedit.core.errors import SourceError
from guardedit.core.protocols import Delivery
from guardedit.sources.redis_message import LOST
from guardedit.sources.redis_stream import RedisStream
from guardedit.sources.registry import open_source

pytestmark = pytest.mark.redis

STREAM, GROUP = "guardedit:corrections", "guardedit"

#: Reads five messages, says which, and waits to be killed with them in its hands.
HOLDER = """
import sys, time
from guardedit.sources.redis_stream import RedisStream
source = RedisStream(sys.argv[1], consumer=sys.argv[2])
print(*[d.position for d in source.pull(5, 5.0)], flush=True)
time.sleep(600)
"""


@pytest.fixture
def client(valkey_server: Any) -> redis.Redis:
    return redis.Redis.from_url(valkey_server.url)


def send(client: redis.Redis, count: int, *, first: int = 0) -> list[bytes]:
    raws = [b"message %d" % n for n in range(first, first + count)]
    for raw in raws:
        client.xadd(STREAM, {"correction": raw})
    return raws


def die_holding_five(url: str, consumer: str) -> list[str]:
    with subprocess.Popen([sys.executable, "-c", HOLDER, url, consumer], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        positions = holder.stdout.readline().decode().split()
        holder.kill()
    assert len(positions) == 5
    return positions


def test_nothing_of_200_messages_is_lost_when_the_server_is_killed_five_times(
    valkey_server: Any, client: redis.Redis
):
    sent = send(client, 200)
    source = RedisStream(valkey_server.url, patience_s=0.1)
    rng = random.Random(0)
    kills = sorted(rng.sample(range(5, 60), 5))
    got: Counter[bytes] = Counter()
    acknowledged: set[bytes] = set()
    failures = 0
    for step in range(400):
        try:
            batch = source.pull(rng.randint(1, 5), 0.05)
            again = acknowledged.intersection(d.raw for d in batch)
            got.update(d.raw for d in batch)
            if step in kills:
                valkey_server.kill()
            source.ack(batch)
            acknowledged.update(d.raw for d in batch)
            assert not again
        except SourceError:
            failures += 1
            valkey_server.start()
        if client_pending_and_lag(client) == (0, 0):
            break
    assert set(got) == set(sent)
    assert failures == 5, "each kill was noticed, and the same object went on after each"
    assert [g["name"] for g in groups(client)] == [GROUP.encode()]


def groups(client: redis.Redis) -> Any:
    return client.xinfo_groups(STREAM)


def client_pending_and_lag(client: redis.Redis) -> tuple[int, int]:
    client.connection_pool.disconnect()  # the test's own connection died with the server, too
    (group,) = groups(client)
    return group["pending"], group["lag"]


def test_a_waiting_pull_survives_a_kill_and_restart_without_anyone_noticing(
    valkey_server: Any, client: redis.Redis
):
    source = RedisStream(valkey_server.url)
    assert source.pull(1, 0.0) == []

    def outage() -> None:
        time.sleep(0.3)
        valkey_server.kill()
        time.sleep(0.3)
        valkey_server.start()
        client.connection_pool.disconnect()
        send(client, 1)

    thread = threading.Thread(target=outage)
    thread.start()
    assert [d.raw for d in source.pull(5, 20.0)] == [b"message 0"]
    thread.join()


def test_a_waiting_pull_leaves_the_waiting_to_the_server(valkey_server: Any, client: redis.Redis):
    assert RedisStream(valkey_server.url).pull(1, 0.4) == []
    stats: Any = client.info("commandstats")
    assert stats["cmdstat_xreadgroup"]["calls"] <= 4


def test_a_new_process_of_the_same_name_gets_exactly_what_the_dead_one_held(
    valkey_server: Any, client: redis.Redis
):
    send(client, 8)
    held = die_holding_five(valkey_server.url, "coordinator")
    source = RedisStream(valkey_server.url)
    first = source.pull(5, 0.0)
    assert [d.position for d in first] == held
    assert [d.raw for d in source.pull(5, 0.0)] == [b"message 5", b"message 6", b"message 7"]


def test_another_consumer_takes_over_what_a_dead_one_held_once_it_is_idle(
    valkey_server: Any, client: redis.Redis
):
    send(client, 5)
    held = die_holding_five(valkey_server.url, "the late")
    patient = RedisStream(valkey_server.url, consumer="patient", min_idle_ms=600_000)
    assert patient.pull(9, 0.0) == []
    heir = RedisStream(valkey_server.url, consumer="heir", min_idle_ms=200)
    found = heir.pull(9, 5.0)
    assert [d.position for d in found] == held
    time.sleep(0.3)
    assert heir.pull(9, 0.0) == [], "what it holds itself is not claimed again, however idle"
    heir.ack(found)
    assert client.xpending(STREAM, GROUP)["pending"] == 0


def test_a_long_delay_outlasts_the_idle_limit(valkey_server: Any, client: redis.Redis):
    send(client, 1)
    source = RedisStream(valkey_server.url, min_idle_ms=50)
    source.nack(source.pull(1, 0.0), 0.6)
    time.sleep(0.1)
    assert source.pull(1, 0.2) == []
    assert [d.raw for d in source.pull(1, 5.0)] == [b"message 0"]


def test_when_the_acknowledgement_fails_the_message_comes_again(valkey_server: Any, client: redis.Redis):
    send(client, 2)
    source = RedisStream(valkey_server.url, patience_s=0.1)
    found = source.pull(2, 0.0)
    valkey_server.kill()
    with pytest.raises(SourceError, match="start the server or correct the address"):
        source.ack(found[:1])
    valkey_server.start()
    assert source.pull(9, 5.0) == found[:1], "but not the one that is still being worked on"


def test_a_server_that_lost_its_data_gets_the_group_again(valkey_server: Any, client: redis.Redis):
    send(client, 3)
    source = RedisStream(valkey_server.url)
    source.ack(source.pull(3, 0.0))
    valkey_server.lose_data()
    client.connection_pool.disconnect()
    sent = send(client, 2, first=3)
    assert [d.raw for d in source.pull(9, 5.0)] == sent


def test_messages_older_than_the_group_are_read(valkey_server: Any, client: redis.Redis):
    sent = send(client, 3)
    assert [d.raw for d in RedisStream(valkey_server.url, group="new").pull(9, 0.0)] == sent


def test_a_dead_message_keeps_its_bytes_its_reason_and_its_origin(valkey_server: Any, client: redis.Redis):
    client.xadd(STREAM, {"data": b"\xff{"})
    source = RedisStream(valkey_server.url)
    (found,) = source.pull(1, 0.0)
    source.dead(found, "malformed: not UTF-8")
    ((_, fields),) = client.xrange(f"{STREAM}:dead")
    assert fields == {
        b"correction": b"\xff{",
        b"reason": b"malformed: not UTF-8",
        b"source": source.name.encode(),
        b"id": found.position.encode(),
    }
    assert client_pending_and_lag(client) == (0, 0)


def test_an_entry_deleted_while_pending_is_reported_and_not_forgotten(
    valkey_server: Any, client: redis.Redis
):
    send(client, 2)
    held = RedisStream(valkey_server.url).pull(2, 0.0)
    client.xdel(STREAM, held[0].position)
    again = RedisStream(valkey_server.url).pull(2, 0.0)
    assert [(d.raw, d.position) for d in again] == [(LOST, held[0].position), (held[1].raw, held[1].position)]
    client.xdel(STREAM, held[1].position)
    heir = RedisStream(valkey_server.url, consumer="heir", min_idle_ms=0)
    claimed = heir.pull(2, 0.0)
    assert [(d.raw, d.position) for d in claimed] == [(LOST, d.position) for d in held]


def test_lag_is_unknown_before_the_stream_exists_and_exact_afterwards(
    valkey_server: Any, client: redis.Redis
):
    source = RedisStream(valkey_server.url)
    assert math.isnan(source.lag().waiting)
    client.xadd(STREAM, {"data": b"{}"}, id="1-0")
    source.pull(1, 0.0)
    lag = source.lag()
    assert lag.waiting == 1.0
    assert lag.oldest_s == pytest.approx(time.time(), abs=60)


def test_an_absent_server_is_named_without_the_password(valkey_server: Any):
    valkey_server.kill()
    url = f"redis://me:secret@127.0.0.1:{valkey_server.port}/0"
    source = open_source(url)
    for work in (lambda: source.pull(1, 0.1), source.lag):
        with pytest.raises(SourceError, match=f"127.0.0.1:{valkey_server.port}/0: .*start the server") as hit:
            work()
        assert "secret" not in f"{hit.value} {hit.value.__cause__} {source.name} {source!r}"


def test_a_loop_that_never_waits_is_told_seldom_and_not_stalled_while_the_server_is_away(
    valkey_server: Any, client: redis.Redis
):
    source = RedisStream(valkey_server.url)
    assert source.pull(1, 0.0) == []
    valkey_server.kill()
    told = turns = 0
    start_s = time.monotonic()
    while time.monotonic() - start_s < 1.0:
        turns += 1
        try:
            assert source.pull(1, 0.0) == []
        except SourceError:
            told += 1
        time.sleep(0.001)
    assert told <= 7, "pauses of 0, 0.05, 0.1, 0.2, 0.4, 0.8 seconds"
    assert turns > 10 * told
    valkey_server.start()
    client.connection_pool.disconnect()
    send(client, 1)
    assert [d.raw for d in source.pull(1, 10.0)] == [b"message 0"]


def test_wrong_credentials_are_refused_at_once(valkey_server: Any):
    source = RedisStream(valkey_server.url.replace("//", "//me:secret@"))
    start_s = time.monotonic()
    with pytest.raises(SourceError, match="check the user, the password") as hit:
        source.pull(1, 30.0)
    assert time.monotonic() - start_s < 3.0
    assert "secret" not in str(hit.value)


def test_a_key_that_is_no_stream_is_an_error_that_says_so(valkey_server: Any, client: redis.Redis):
    client.set(STREAM, "text")
    source = RedisStream(valkey_server.url)
    for work in (lambda: source.pull(1, 0.0), source.lag):
        with pytest.raises(SourceError, match="the stream's key holds a stream"):
            work()


def test_a_database_that_does_not_exist_is_an_error(valkey_server: Any):
    with pytest.raises(SourceError, match=r"/99: .*out of range"):
        RedisStream(valkey_server.url.replace("/0", "/99")).pull(1, 0.0)


def test_the_url_sets_stream_group_and_consumer(valkey_server: Any, client: redis.Redis):
    client.xadd("other", {"body": b"{}"})
    options = "stream=other&group=g&consumer=c&dead_stream=graves&min_idle_ms=5"
    source = open_source(f"{valkey_server.url.replace('redis:', 'valkey:')}?{options}")
    (found,) = source.pull(1, 0.0)
    assert isinstance(found, Delivery)
    assert found.source == f"{valkey_server.url}/other"
    assert [c["name"] for c in client.xinfo_consumers("other", "g")] == [b"c"]
    source.dead(found, "x")
    assert client.xlen("graves") == 1
