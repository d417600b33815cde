"""The Redis source against a real server that is killed, restarted and emptied meanwhile."""

from __future__ import annotations

import contextlib
import math
import os
import random
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from guardedit.core.errors import SourceError
from guardedit.core.messages import Delivery
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.settings import Settings
from guardedit.sources.redis_message import LOST
from guardedit.sources.redis_stream import RedisStream
from guardedit.sources.registry import open_source, open_sources

pytestmark = pytest.mark.redis

#: Self-signed certificate of 127.0.0.1 with its key, which protects nothing.
CERTIFICATE = Path(__file__).with_name("localhost.pem")
STREAM, GROUP = "guardedit:corrections", "guardedit"

#: Pulls five messages, prints their positions, and waits to be killed before it acknowledges them.
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
    source = RedisStream(valkey_server.url)
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


def test_a_waiting_pull_reports_a_kill_at_once_and_the_next_ones_go_on_after_the_restart(
    valkey_server: Any, client: redis.Redis
):
    source = RedisStream(valkey_server.url)
    assert source.pull(1, 0.0) == []
    timer = threading.Timer(0.3, valkey_server.kill)
    timer.start()
    start_s = time.monotonic()
    with pytest.raises(SourceError, match="start the server"):
        source.pull(5, 20.0)
    assert time.monotonic() - start_s < 3.0
    timer.join()
    valkey_server.start()
    client.connection_pool.disconnect()
    send(client, 1)
    assert [d.raw for d in source.pull(5, 20.0)] == [b"message 0"]


def test_a_connection_that_died_while_idle_is_replaced_without_an_error(
    valkey_server: Any, client: redis.Redis
):
    source = RedisStream(valkey_server.url)
    assert source.pull(1, 0.0) == []
    valkey_server.kill()
    valkey_server.start()
    client.connection_pool.disconnect()
    sent = send(client, 1)
    found = source.pull(5, 0.0)
    assert [d.raw for d in found] == sent
    valkey_server.kill()
    valkey_server.start()
    source.ack(found)
    assert client_pending_and_lag(client) == (0, 0)
    assert source.last_error == ""


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


def test_when_the_acknowledgement_fails_the_message_comes_again(valkey_server: Any, client: redis.Redis):
    send(client, 2)
    source = RedisStream(valkey_server.url)
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


def test_a_loop_that_never_waits_gets_few_errors_and_is_not_blocked_while_the_server_is_away(
    valkey_server: Any, client: redis.Redis
):
    source = RedisStream(valkey_server.url)
    assert source.pull(1, 0.0) == []
    valkey_server.kill()
    errors = turns = 0
    start_s = time.monotonic()
    while time.monotonic() - start_s < 1.0:
        turns += 1
        try:
            assert source.pull(1, 0.0) == []
        except SourceError:
            errors += 1
        time.sleep(0.001)
    assert errors <= 4, "pauses of 0.1, 0.2, 0.4, 0.8 seconds"
    assert turns > 10 * errors
    valkey_server.start()
    client.connection_pool.disconnect()
    send(client, 1)
    assert [d.raw for d in source.pull(1, 10.0)] == [b"message 0"]


def test_an_absent_server_pauses_only_its_own_source(valkey_server: Any, client: redis.Redis):
    absent, present = RedisStream("redis://127.0.0.1:1/0"), RedisStream(valkey_server.url)
    sent = send(client, 40)
    received, errors = [], 0
    start_s = time.monotonic()
    for _ in range(40):
        try:
            assert absent.pull(1, 0.0) == []
        except SourceError:
            errors += 1
        found = present.pull(1, 0.0)
        present.ack(found)
        received += [delivery.raw for delivery in found]
    assert received == sent
    assert errors >= 1
    assert time.monotonic() - start_s < 3.0
    assert absent.last_error
    assert present.last_error == ""


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
    options = "stream=other&group=g&consumer=c&min_idle_ms=5"
    source = open_source(f"{valkey_server.url.replace('redis:', 'valkey:')}?{options}")
    (found,) = source.pull(1, 0.0)
    assert isinstance(found, Delivery)
    assert found.source == f"{valkey_server.url}/other"
    assert [c["name"] for c in client.xinfo_consumers("other", "g")] == [b"c"]


def test_an_array_is_read_as_its_elements_and_acknowledged_with_the_last(
    valkey_server: Any, client: redis.Redis
):
    entry = client.xadd(STREAM, {"correction": b'[{"id": "a"}, {"id": "b"}, 3]'}).decode()
    send(client, 1)
    source = RedisStream(valkey_server.url)
    found = source.pull(9, 0.0)
    assert [(d.position, d.raw) for d in found[:3]] == [
        (f"{entry}[1]", b'{"id": "a"}'),
        (f"{entry}[2]", b'{"id": "b"}'),
        (f"{entry}[3]", b"3"),
    ]
    source.ack([found[0], found[3]])
    assert client.xpending(STREAM, GROUP)["pending"] == 1, "the array is not done"
    source.ack([found[2]])
    assert client.xpending(STREAM, GROUP)["pending"] == 1
    source.ack([found[1]])
    assert client.xpending(STREAM, GROUP)["pending"] == 0


#: Receives all messages into the inbox, as the coordinator does, and dies at the given failpoint.
TAKER = """
import sys
from pathlib import Path
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.sources.redis_stream import RedisStream
source = RedisStream(sys.argv[1])
with SqliteLedger.open(Path(sys.argv[2]), clock=lambda: 1.0, writer=False) as ledger:
    while found := source.pull(2, 0.0):
        ledger.receive(found)
        source.ack(found)
"""


@pytest.mark.parametrize("point", ["redis.xack.before", "redis.xack.after"])
def test_a_kill_around_the_acknowledgement_loses_nothing_and_doubles_nothing(
    valkey_server: Any, client: redis.Redis, tmp_path: Path, point: str
):
    raws = send(client, 5)
    client.xadd(STREAM, {"correction": b"[6, 7, 8]"})

    def take(**environment: str) -> int:
        command = [sys.executable, "-c", TAKER, valkey_server.url, str(tmp_path / "home")]
        return subprocess.run(command, env={**os.environ, **environment}, check=False).returncode

    for nth in (1, 2):
        assert take(GUARDEDIT_FAILPOINT=f"{point}:{nth}") == -signal.SIGKILL
    assert take() == 0
    with SqliteLedger.open(tmp_path / "home", clock=lambda: 1.0, writer=False) as ledger:
        assert [row.raw for row in ledger.pending(99)] == [*raws, b"6", b"7", b"8"]
    assert client_pending_and_lag(client) == (0, 0)


@pytest.mark.parametrize("scheme", ["redis", "valkey", "unix", "rediss", "valkeys"])
def test_every_kind_of_address_that_settings_accept_reaches_a_real_server(
    valkey_server: Any, client: redis.Redis, scheme: str
):
    with behind_tls(valkey_server.port) as port:
        address = {
            "unix": f"unix://{valkey_server.socket}?db=0",
            "rediss": f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={CERTIFICATE}",
            "valkeys": f"valkeys://127.0.0.1:{port}/0?ssl_ca_certs={CERTIFICATE}",
        }.get(scheme, f"{scheme}://127.0.0.1:{valkey_server.port}/0")
        sent = send(client, 1)
        settings = Settings.from_environment({"GUARDEDIT_REDIS_URL": address})
        (source,) = open_sources(settings)
        found = source.pull(9, 0.0)
        assert [d.raw for d in found] == sent
        source.ack(found)
        source.close()
    assert client_pending_and_lag(client) == (0, 0)


def test_an_untrusted_certificate_is_refused(valkey_server: Any):
    with behind_tls(valkey_server.port) as port:
        source = open_source(f"rediss://me:secret@127.0.0.1:{port}/0")
        with pytest.raises(SourceError, match="certificate") as hit:
            source.pull(1, 0.0)
    assert "secret" not in str(hit.value)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("unix:///nowhere/at/all.sock", "unix:///nowhere/at/all.sock/0"),
        ("unix:///" + "long/" * 40, "unix:///long/"),
        (f"redis://me:secret@{'x' * 70}.example:1/0", "example:1/0"),
        ("redis://me:secret@127.0.0.1:1/0", "redis://127.0.0.1:1/0"),
    ],
)
def test_an_unreachable_address_is_named_with_the_remedy(url: str, named: str):
    source = open_source(url)
    assert source.last_error == ""
    with pytest.raises(SourceError, match=r"start the server or correct|correct the address") as hit:
        source.pull(1, 0.0)
    assert named in str(hit.value)
    assert "secret" not in str(hit.value)
    assert source.last_error == str(hit.value)


def test_the_last_error_stays_until_something_works_also_between_two_attempts(
    valkey_server: Any, client: redis.Redis
):
    source = RedisStream(valkey_server.url)
    valkey_server.kill()
    for _ in range(3):
        with contextlib.suppress(SourceError):
            source.pull(1, 0.0)
        assert source.last_error.startswith(f"redis://127.0.0.1:{valkey_server.port}/0: ")
    valkey_server.start()
    assert source.pull(1, 3.0) == []
    assert source.last_error == ""


@contextlib.contextmanager
def behind_tls(port: int) -> Iterator[int]:
    """A TLS endpoint in front of the server: the wheel's Valkey is built without TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)

    class Endpoint(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (
                contextlib.suppress(OSError),
                context.wrap_socket(self.request, server_side=True) as client,
                socket.create_connection(("127.0.0.1", port)) as server,
            ):
                back = threading.Thread(target=_copy, args=(server, client), daemon=True)
                back.start()
                _copy(client, server)

    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Endpoint) as endpoint:
        threading.Thread(target=endpoint.serve_forever, daemon=True).start()
        try:
            yield endpoint.server_address[1]
        finally:
            endpoint.shutdown()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(4096):
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)
