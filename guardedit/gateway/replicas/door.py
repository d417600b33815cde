"""The door: sends each request to the replica with the fewest under way, and its answer back.

A request whose replica is lost goes to another one, as long as nothing was sent to the client. Once an answer
streams, it ends with an event that says so.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import httpx

from guardedit.gateway.checking import App, Receive, Scope, Send, client_gone, refuse, until_gone
from guardedit.gateway.openai.failures import error_body
from guardedit.gateway.proxy.forwarding import ClientGone, Incoming, kept
from guardedit.gateway.replicas.watching import SILENT_S, Replicas, Standing

T = TypeVar("T")

#: Seconds that a request waits for a replica: one that was killed needs about as long to load its model.
WAIT_S = 60.0
#: Most replicas that one request is given to. If it is what kills them, the others stay.
MOST_TRIES = 3
#: Seconds between two looks for a replica that is free, or that is gone.
_LOOK_S, _GONE_S = 0.01, 0.5
_EPOCH = "x-guardedit-epoch"


class ReplicaLost(Exception):
    """Raised when a replica is lost while it answers.

    Attributes:
        begun: whether a part of the answer was sent to the client.
    """

    def __init__(self, *, begun: bool) -> None:
        super().__init__("the replica is lost")
        self.begun = begun


def door_app(replicas: Replicas, *, key: str, clock: Callable[[], float] = time.monotonic) -> App:
    """The application.

    Args:
        replicas: that answer.
        key: their secret.
        clock: seconds, to know how long a request has waited.
    """
    door = _Door(replicas, key, clock)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/healthz":
            await _health(replicas, send)
        elif scope["path"].startswith("/v1/"):
            await door.answer(scope, receive, send)
        else:
            await refuse(send, 404, "Not Found")

    return app


class _Tried(NamedTuple):
    """A replica that was lost with a request, how often it had been lost before, and when that was."""

    standing: Standing
    lost: int
    at_s: float

    def is_gone(self, now_s: float) -> bool:
        """Whether its loss is not noticed yet; if it is not for long, only the connection was lost."""
        return self.standing.lost == self.lost and now_s < self.at_s + SILENT_S


class _Door:
    def __init__(self, replicas: Replicas, key: str, clock: Callable[[], float]) -> None:
        self._replicas, self._clock = replicas, clock
        self._key = key
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=10.0), limits=limits, trust_env=False
        )

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; if the client goes away, the replica is told so."""
        with suppress(ClientGone):
            body = b"".join([piece async for piece in Incoming(receive).pieces()])
            await until_gone(self._answer(scope, body, send), client_gone(receive))

    async def _answer(self, scope: Scope, body: bytes, send: Send) -> None:
        until = self._clock() + WAIT_S
        tried: list[_Tried] = []
        while len(tried) < MOST_TRIES:
            standing = self._replicas.take(
                [one.standing for one in tried], [one.standing for one in tried if one.is_gone(self._clock())]
            )
            if standing is None:
                if self._clock() > until:
                    await _unavailable(send, "no replica is ready: try again")
                    return
                await asyncio.sleep(_LOOK_S)
                continue
            before = standing.lost
            try:
                await self._ask(standing, scope, body, send)
            except ReplicaLost as lost:
                if lost.begun:
                    await _cut_off(send)
                    return
                tried.append(_Tried(standing, before, self._clock()))
            else:
                return
            finally:
                self._replicas.give_back(standing)
        await _unavailable(send, f"{MOST_TRIES} replicas were lost with this request: try again")

    async def _ask(self, standing: Standing, scope: Scope, body: bytes, send: Send) -> None:
        """Ask one replica. Raises ReplicaLost."""
        path = bytes(scope.get("raw_path") or scope["path"].encode())
        if scope["query_string"]:
            path += b"?" + scope["query_string"]
        kinds = [(name, value) for name, value in scope["headers"] if name.lower() == b"content-type"]
        request = httpx.Request(
            scope["method"],
            standing.url,
            headers=[*kinds, (b"authorization", f"Bearer {self._key}".encode())],
            content=body,
            extensions={"target": path},
        )
        lost, begun = standing.lost, False
        try:
            answer = await _while_there(self._http.send(request, stream=True), standing, lost)
            try:
                head = _head(answer)
                if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                    whole = await _while_there(answer.aread(), standing, lost)
                    self._saw(answer)
                    begun = True
                    await send(head)
                    await send({"type": "http.response.body", "body": whole})
                    return
                async for events in _whole_events(answer.aiter_raw(), standing, lost):
                    if not begun:
                        self._saw(answer)
                        begun = True
                        await send(head)
                    await send({"type": "http.response.body", "body": events, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
            finally:
                await answer.aclose()
        except (httpx.HTTPError, httpx.StreamError, ReplicaLost):
            raise ReplicaLost(begun=begun) from None

    def _saw(self, answer: httpx.Response) -> None:
        epoch = answer.headers.get(_EPOCH, "")
        if epoch.isdecimal():
            self._replicas.saw(int(epoch))


async def _whole_events(pieces: AsyncIterator[bytes], standing: Standing, lost: int) -> AsyncIterator[bytes]:
    """The pieces of a stream, cut between events: a lost replica leaves no half of one."""
    rest = b""
    while True:
        piece = await _while_there(anext(pieces, None), standing, lost)
        if piece is None:
            if rest:
                raise ReplicaLost(begun=True)
            return
        events, end, rest = (rest + piece).rpartition(b"\n\n")
        if end:
            yield events + end


async def _while_there(work: Coroutine[Any, Any, T], standing: Standing, lost: int) -> T:
    """The result; ReplicaLost once the replica is known to be lost, even if its connection is silent."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=_GONE_S))[0]:
            if standing.lost != lost:
                raise ReplicaLost(begun=False)
        return task.result()
    finally:
        task.cancel()


def _head(answer: httpx.Response) -> dict[str, Any]:
    return {
        "type": "http.response.start",
        "status": answer.status_code,
        "headers": [one for one in kept(answer.headers.raw) if one[0].lower() not in (b"date", b"server")],
    }


async def _cut_off(send: Send) -> None:
    """The end of a stream whose replica was lost."""
    message = "the replica that made this answer was lost: it is not complete, ask again"
    body = json.dumps(error_body(message, kind="server_error", code="replica_lost"))
    await send({"type": "http.response.body", "body": f"data: {body}\n\n".encode()})


async def _unavailable(send: Send, message: str) -> None:
    await refuse(send, 503, message)


async def _health(replicas: Replicas, send: Send) -> None:
    found = replicas.report()
    said = [one["problem"] or one["stuck"] for one in found]
    problems = [f"replica {n}: {one}" for n, one in enumerate(said) if one]
    ready = replicas.ready()
    # One whose epoch is not the ledger's still answers, but from facts that may be old.
    following = ready > 0 and not all(said)
    whole = ready == len(found) and not any(said)
    body = json.dumps(
        {
            "status": "ok" if whole else "degraded" if following else "failing",
            "epoch": replicas.epoch(),
            "ready": ready,
            "replicas": found,
            "problems": problems,
        }
    ).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200 if following else 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
