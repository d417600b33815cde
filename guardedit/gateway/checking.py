"""Checks of requests before they reach an application: the key, where they come from, and their size."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from contextlib import suppress
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Largest body of a request.
MOST_BYTES = 4 * 2**20


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host.

    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("example.org")
    (True, True, False, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def guarded(app: App, *, key: str, loopback: bool, most_bytes: int = MOST_BYTES) -> App:
    """The application behind checks: the key, where the request comes from, and the size of the body.

    On a loopback address, requests from web pages of other sites are refused: a page in the user's browser
    could otherwise send requests to this machine.
    """

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        if loopback and not _is_local_host(headers.get(b"host", b"")):
            await refuse(send, 403, "the host name is not this machine's: ask for localhost")
        elif loopback and _is_of_another_page(headers):
            await refuse(send, 403, "a page of another site may not ask this machine")
        elif key and not _has_key(headers.get(b"authorization", b""), key):
            await refuse(send, 401, "send the key of this server as `Authorization: Bearer KEY`")
        else:
            await _limited(app, scope, receive, send, most_bytes=most_bytes)

    return checked


async def _limited(app: App, scope: Scope, receive: Receive, send: Send, *, most_bytes: int) -> None:
    """The application with a limit on the body, whether or not its length is announced."""
    too_large = f"the body is larger than {most_bytes // 2**20} MiB: send less at once"
    announced = next((value for name, value in scope["headers"] if name.lower() == b"content-length"), b"0")
    if announced.isdigit() and int(announced) > most_bytes:
        await refuse(send, 413, too_large)
        return
    read, answered = 0, False

    async def count() -> MutableMapping[str, Any]:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > most_bytes:
            raise _TooLarge
        return message

    async def note(message: MutableMapping[str, Any]) -> None:
        nonlocal answered
        answered = True
        await send(message)

    try:
        await app(scope, count, note)
    except _TooLarge:
        if not answered:
            await refuse(send, 413, too_large)


class _TooLarge(Exception):
    pass


async def client_gone(receive: Receive) -> None:
    """Returns when the client has closed the connection; to be called once its body is read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def until_gone(answering: Coroutine[Any, Any, None], gone: Coroutine[Any, Any, None]) -> None:
    """Run `answering` to its end, or cancel it as soon as `gone` returns."""
    answer, watch = asyncio.ensure_future(answering), asyncio.ensure_future(gone)
    try:
        await asyncio.wait({answer, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
        with suppress(asyncio.CancelledError):
            await answer
    finally:
        watch.cancel()
        answer.cancel()


async def refuse(send: Send, status: int, message: str) -> None:
    """Answer with an error in the form of OpenAI's API."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    body = json.dumps({"error": {"message": message, "type": kind}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _has_key(authorization: bytes, key: str) -> bool:
    scheme, _, given = authorization.partition(b" ")
    return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), key.encode())


def _is_of_another_page(headers: MutableMapping[bytes, bytes]) -> bool:
    """Whether a browser says that a page of another machine made the request."""
    origin = headers.get(b"origin", b"")
    if origin and not _is_local_host(origin.rpartition(b"://")[2]):
        return True
    return headers.get(b"sec-fetch-site", b"").strip().lower() == b"cross-site"


def _is_local_host(host: bytes) -> bool:
    name = host.decode("latin-1")
    name = name[1 : name.find("]")] if name.startswith("[") else name.partition(":")[0]
    return is_loopback(name.lower())
