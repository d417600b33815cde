"""Sends a request on to another server and its answer back, byte for byte and piece by piece."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from urllib.parse import unquote_to_bytes

import httpx

from guardedit.gateway.checking import Receive, Scope, Send, client_gone, refuse, until_gone

Headers = list[tuple[bytes, bytes]]
#: Statuses that an answer can have.
_STATUSES = range(200, 600)
#: Headers about one connection only (RFC 9110, section 7.6.1), and those that are made anew for the next one.
_OF_CONNECTION = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade")
)
#: Methods that are for proxies of another kind: TRACE would show the server's key to the client.
_NOT_FORWARDED = frozenset(("CONNECT", "TRACE"))
_log = logging.getLogger(__name__)


class ClientGone(Exception):
    """Raised when the client goes away before its body is complete."""


class Incoming:
    """The body of a request while it comes. Created in the event loop.

    Attributes:
        complete: set when all of it has come.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.complete = asyncio.Event()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The pieces as they come.

        Raises:
            ClientGone: the client goes away: what came so far must not be taken for all.
        """
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            more = message.get("more_body", False)
            yield message.get("body", b"")
        self.complete.set()


class Forwarder:
    """Sends requests to one server.

    Args:
        upstream: its address, with or without `/v1` at the end; the path of a request is appended.
        timeout_s: longest silence of the server.
        key: sent as bearer token in place of the client's; "" sends what the client sent. Never logged.
    """

    def __init__(self, upstream: str, *, timeout_s: float, key: str = "") -> None:
        self.upstream = upstream.rstrip("/").removesuffix("/v1")  # clients name it in the path
        self._base = httpx.URL(self.upstream)
        self._key = key
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        # No redirects, cookies or proxies of the environment: the client decides about these.
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(timeout_s, connect=10.0), limits=limits, trust_env=False
        )

    async def forward(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        body: bytes | Incoming,
        more: Mapping[str, str] | None = None,
    ) -> None:
        """Send the request with this body, and its answer to the client.

        If the client goes away, the connection to the server is closed, so that it can stop as well.

        Args:
            scope: of the request.
            receive: tells when the client goes away; read here once the body is complete.
            send: to the client.
            body: the whole body, or its pieces as they come.
            more: headers to add to the answer, in place of those that it has.
        """
        if scope["method"] in _NOT_FORWARDED:
            await refuse(send, 405, f"{scope['method']} is not forwarded")
            return
        target = self._target(scope)
        if target is None:
            await refuse(send, 400, "the path is none of this server, or has dots that lead out of it")
            return
        request = httpx.Request(
            scope["method"],
            self._base,
            headers=self._request_headers(scope, body),
            content=body if isinstance(body, bytes) else body.pieces(),
            extensions={"target": target},  # as it came: httpx would write it in its own way
        )
        gone = _gone(receive, None if isinstance(body, bytes) else body)
        await until_gone(self._answer(request, send, more or {}), gone)

    async def _answer(self, request: httpx.Request, send: Send, more: Mapping[str, str]) -> None:
        try:
            answer = await self._client.send(request, stream=True)
        except httpx.TimeoutException:
            await refuse(send, 504, f"{self.upstream} did not answer in time")
            return
        except ClientGone:
            return
        except httpx.RemoteProtocolError as error:
            await refuse(send, 502, f"{self.upstream} did not answer in valid HTTP ({error})")
            return
        except httpx.HTTPError as error:
            await refuse(send, 502, f"{self.upstream} cannot be reached ({type(error).__name__})")
            return
        if answer.status_code not in _STATUSES:
            await answer.aclose()
            await refuse(send, 502, f"{self.upstream} answered with the status {answer.status_code}")
            return
        try:
            replaced = {name.lower().encode() for name in more}  # the server may be `guardedit serve`
            headers = [one for one in kept(answer.headers.raw) if one[0].lower() not in replaced]
            headers += [(name.encode(), value.encode("latin-1", "replace")) for name, value in more.items()]
            await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
            async for piece in answer.aiter_raw():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except httpx.HTTPError as error:
            # Returning here ends the connection before the answer is complete, as the server did.
            _log.warning("%s broke off an answer: %s", self.upstream, error or type(error).__name__)
        finally:
            await answer.aclose()

    def _target(self, scope: Scope) -> bytes | None:
        """The path with the query, below the path of the server's address; None if it leads out of that."""
        path = bytes(scope.get("raw_path") or scope["path"].encode())
        if not path.startswith(b"/") and (scope["method"], path) != ("OPTIONS", b"*"):
            return None  # with a host of its own, or to be joined to the end of a name
        prefix, query = self._base.raw_path.rstrip(b"/"), bytes(scope["query_string"])
        if prefix and b".." in unquote_to_bytes(path).split(b"/"):
            return None
        return prefix + path + (b"?" + query if query else b"")

    def _request_headers(self, scope: Scope, body: bytes | Incoming) -> Headers:
        replaced = {b"host", *([b"content-length"] if isinstance(body, bytes) else [])}
        if self._key:
            replaced.add(b"authorization")
        headers = [(name, value) for name, value in kept(scope["headers"]) if name.lower() not in replaced]
        if self._key:
            headers.append((b"authorization", b"Bearer " + self._key.encode()))
        return headers


def kept(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers that are passed on, in their order and spelling."""
    given = list(headers)
    named = {
        name.strip().lower()
        for key, value in given
        if key.lower() == b"connection"
        for name in value.split(b",")
    }
    dropped = _OF_CONNECTION | named
    if any(name.lower() == b"transfer-encoding" for name, _ in given):
        dropped |= {b"content-length"}  # RFC 9112, section 6.3: it does not count, and must not be passed on
    return [(name, value) for name, value in given if name.lower() not in dropped]


async def _gone(receive: Receive, body: Incoming | None) -> None:
    """Returns when the client goes away; while its body still comes, that is noticed there."""
    if body is not None:
        await body.complete.wait()
    await client_gone(receive)
