"""The door in front of replicas that die, hang and lag: small real servers that do what a test tells them."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import httpx
import pytest

from guardedit.gateway.replicas import door, watching
from guardedit.gateway.replicas.door import door_app
from guardedit.gateway.replicas.replica import EPOCHS
from guardedit.gateway.replicas.watching import Replicas
from tests.unit.gateway.conftest import listening, wait_for

KEY = "secret-of-the-door"
EVENT = b'data: {"choices": [{"text": "one"}]}\n\n'


class Replica:
    """A server with a stream of epochs. What it does with a request is `does`."""

    def __init__(self) -> None:
        self.epoch, self.stuck, self.alive, self.does = 1, "", True, answer
        self.asked: list[tuple[bytes, bytes]] = []  # head and body of each request
        self.ended = threading.Event()  # a client of a hanging request has gone
        replica = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):
                    replica.serve(self)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def serve(self, at: Any) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = at.rfile.readline()
            if not line:
                return
            head += line
        if f"GET {EPOCHS} ".encode() in head:
            at.wfile.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            while self.alive:
                line = f"{self.epoch} {self.stuck}".strip().encode() + b"\n"
                at.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                time.sleep(0.02)
            return
        length = next(
            (int(one.split(b":")[1]) for one in head.lower().split(b"\r\n") if b"content-length" in one), 0
        )
        self.asked.append((head, at.rfile.read(length)))
        self.does(self, at)

    def where(self) -> tuple[str, int] | None:
        return (f"http://127.0.0.1:{self.server.server_address[1]}", 1) if self.alive else None


def answer(replica: Replica, at: Any, *, said: int | None = None) -> None:
    epoch = said or replica.epoch
    body = json.dumps({"from": replica.server.server_address[1], "epoch": epoch}).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nx-guardedit-epoch: {epoch}\r\n\r\n"
    at.wfile.write(head.encode() + body)


def die(replica: Replica, at: Any) -> None:
    """Nothing is sent."""


def die_within_the_body(replica: Replica, at: Any) -> None:
    at.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")


def die_within_the_stream(replica: Replica, at: Any) -> None:
    body = EVENT + EVENT[:20]
    at.wfile.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        + b"%x\r\n%s\r\n" % (len(body), body)
    )


def die_before_the_first_event(replica: Replica, at: Any) -> None:
    at.wfile.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        b"5\r\ndata:\r\n"
    )


def hang(replica: Replica, at: Any) -> None:
    """No answer, until the client closes the connection."""
    at.rfile.read(1)
    replica.ended.set()


@contextmanager
def opened(count: int) -> Iterator[tuple[str, list[Replica], Replicas]]:
    found = [Replica() for _ in range(count)]
    with ExitStack() as stack:
        for one in found:
            stack.callback(one.server.shutdown)
        replicas = stack.enter_context(Replicas([one.where for one in found], key=KEY))
        for one in found:
            stack.callback(setattr, one, "alive", False)
        wait_for(lambda: replicas.ready() == count)
        yield stack.enter_context(listening(door_app(replicas, key=KEY))), found, replicas


def asked(url: str, **options: Any) -> httpx.Response:
    return httpx.post(f"{url}/v1/completions", json={"prompt": "x"}, timeout=30, **options)


@pytest.mark.parametrize("dies", [die, die_within_the_body, die_before_the_first_event])
def test_a_request_of_which_nothing_was_sent_goes_to_another_replica(dies: Callable):
    with opened(2) as (url, (first, second), _):
        first.does = dies
        for _ in range(2):
            answered = asked(url)
            assert (answered.status_code, answered.json()["epoch"]) == (200, 1)
        assert len(first.asked) >= 1
        assert len(second.asked) == 2
        assert {body for _, body in first.asked + second.asked} == {b'{"prompt":"x"}'}


def test_an_answer_that_has_begun_ends_with_an_event_that_says_so():
    with opened(2) as (url, replicas, _):
        for one in replicas:
            one.does = die_within_the_stream
        answered = asked(url)
        assert answered.status_code == 200
        first, last, rest = answered.text.split("\n\n")
        assert (first.encode() + b"\n\n", rest) == (EVENT, "")
        error = json.loads(last.removeprefix("data: "))["error"]
        assert (error["code"], "not complete" in error["message"]) == ("replica_lost", True)
        assert sum(len(one.asked) for one in replicas) == 1


def test_a_replica_that_falls_silent_is_left():
    with opened(2) as (url, (first, second), replicas):
        first.does = hang
        done: list[httpx.Response] = []
        asking = threading.Thread(target=lambda: done.append(asked(url)))
        asking.start()
        wait_for(lambda: first.asked)
        assert not second.asked
        first.alive = False  # its stream of epochs ends, the connection of the request does not
        asking.join(20)
        assert done[0].json()["from"] == second.server.server_address[1]
        assert [bool(one["problem"]) for one in replicas.report()] == [True, False]
        health = httpx.get(f"{url}/healthz")
        assert (health.status_code, health.json()["status"], health.json()["ready"]) == (200, "degraded", 1)


def test_a_request_that_kills_replicas_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(door, "MOST_TRIES", 2)
    with opened(3) as (url, replicas, _):
        for one in replicas:
            one.does = die
        answered = asked(url)
        assert (answered.status_code, "2 replicas were lost" in answered.text) == (503, True)
        assert sum(len(one.asked) for one in replicas) == 2


def test_a_request_waits_for_the_replica_that_was_lost_with_it():
    with opened(1) as (url, (only,), replicas):

        def crash(replica: Replica, at: Any) -> None:
            replica.alive = False

        only.does = crash
        done: list[httpx.Response] = []
        asking = threading.Thread(target=lambda: done.append(asked(url)))
        asking.start()
        wait_for(lambda: not replicas.ready())
        only.does, only.alive = answer, True  # it has been restarted
        asking.join(20)
        assert (done[0].status_code, len(only.asked)) == (200, 2)


def test_a_replica_that_lost_only_the_connection_is_asked_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(door, "SILENT_S", 0.1)
    with opened(1) as (url, (only,), _):

        def drop(replica: Replica, at: Any) -> None:
            replica.does = answer

        only.does = drop
        assert (asked(url).status_code, len(only.asked)) == (200, 2)


def test_a_replica_that_cannot_follow_the_ledger_is_reported():
    with opened(2) as (url, replicas, seen):
        assert httpx.get(f"{url}/healthz").json()["status"] == "ok"
        for n, status, code in ((0, "degraded", 200), (1, "failing", 503)):
            replicas[n].stuck = "the ledger cannot be read"
            wait_for(lambda n=n: seen.report()[n]["stuck"])
            health = httpx.get(f"{url}/healthz")
            assert (health.status_code, health.json()["status"]) == (code, status)
        assert health.json()["problems"] == [f"replica {n}: the ledger cannot be read" for n in range(2)]
        assert asked(url).status_code == 200


def test_a_replica_comes_back_whatever_its_watch_raised():
    found, problems = Replica(), [RuntimeError("no such actor")]

    def where() -> tuple[str, int] | None:
        if problems:
            raise problems.pop()
        return found.where()

    with Replicas([where], key=KEY) as replicas:
        wait_for(lambda: replicas.ready() == 1)
        found.alive = False
    found.server.shutdown()


def test_without_a_replica_a_request_waits_and_then_fails(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(door, "WAIT_S", 0.2)
    with opened(1) as (url, (only,), replicas):
        only.alive = False
        wait_for(lambda: not replicas.ready())
        answered = asked(url)
        assert (answered.status_code, "no replica is ready" in answered.text) == (503, True)
        assert httpx.get(f"{url}/healthz").status_code == 503
        monkeypatch.setattr(door, "WAIT_S", 20.0)
        done: list[httpx.Response] = []
        asking = threading.Thread(target=lambda: done.append(asked(url)))
        asking.start()
        only.alive = True  # it has been restarted
        asking.join(20)
        assert done[0].status_code == 200


def test_a_replica_that_lags_behind_is_not_asked():
    with opened(2) as (url, (first, second), replicas):
        first.epoch = 2
        wait_for(lambda: replicas.epoch() == 2)
        assert {asked(url).json()["epoch"] for _ in range(6)} == {2}
        assert not second.asked
        second.epoch = 2
        wait_for(lambda: replicas.ready() == 2)
        assert {asked(url).json()["from"] for _ in range(4)} == {
            first.server.server_address[1], second.server.server_address[1],
        }  # fmt: skip


def test_an_answer_that_is_newer_than_what_was_announced_counts_at_once():
    with opened(2) as (url, (first, second), replicas):
        first.does = lambda replica, at: answer(replica, at, said=5)  # its stream still says 1
        second.does = die
        assert asked(url).json()["epoch"] == 5
        assert replicas.epoch() == 5
        assert replicas.ready() == 0
        first.epoch = 5
        wait_for(lambda: replicas.ready() == 1)
        second.does = answer
        assert {asked(url).json()["epoch"] for _ in range(3)} == {5}


def test_the_replica_with_the_fewest_requests_under_way_is_asked_next():
    with opened(2) as (url, (first, second), _):
        first.does = hang
        done: list[Any] = []

        def wait() -> None:
            with suppress(httpx.ReadTimeout):
                done.append(httpx.post(f"{url}/v1/completions", json={}, timeout=3))

        asking = threading.Thread(target=wait)
        asking.start()
        wait_for(lambda: first.asked)
        for _ in range(4):
            assert asked(url).json()["from"] == second.server.server_address[1]
        asking.join(20)
        assert first.ended.wait(10), "the client has gone, and its replica was not told"


def test_nothing_of_the_client_but_its_body_reaches_a_replica():
    with opened(1) as (url, (only,), _):
        asked(url, headers={"authorization": "Bearer client", "x-api-key": "abc", "cookie": "a=b"})
        head = only.asked[0][0].lower()
        assert f"authorization: bearer {KEY}".encode() in head
        assert b"client" not in head
        assert b"x-api-key" not in head
        assert b"cookie" not in head
        assert httpx.get(f"{url}{EPOCHS}").status_code == 404


def test_a_wrong_key_is_no_replica():
    found = Replica()
    refusing = listening(lambda *_: None, key="another")
    with refusing as url, Replicas([lambda: (url, 1)], key=KEY) as replicas:
        wait_for(lambda: "401" in replicas.report()[0]["problem"])
        assert replicas.ready() == 0
    found.server.shutdown()


def test_the_epochs_of_a_replica_are_streamed():
    from guardedit.gateway.replicas.replica import with_epochs

    epoch = {"now": 3}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("not for the application")

    problem = {"now": ""}
    with (
        listening(with_epochs(app, lambda: epoch["now"], lambda: problem["now"])) as url,
        httpx.stream("GET", f"{url}{EPOCHS}", timeout=10) as stream,
    ):
        lines = stream.iter_lines()
        assert next(lines) == "3"
        epoch["now"] = 4
        assert next(line for line in lines if line != "3") == "4"
        started = time.monotonic()
        assert next(lines) == "4"
        assert time.monotonic() - started > 0.3, "a sign of life, not another change"
        problem["now"] = "two\nlines"
        assert next(line for line in lines if line != "4") == "4 two lines"
    assert watching.BEAT_S < watching.SILENT_S
