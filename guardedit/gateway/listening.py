"""Runs an application on an address: which addresses are allowed, who may ask, and how it ends."""

from __future__ import annotations

import asyncio
import errno
import hmac
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from guardedit.core.errors import UsageError
from guardedit.settings import Address

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Largest body of a request.
MOST_BYTES = 4 * 2**20
#: Most connections that wait to be accepted.
BACKLOG = 2048
#: Seconds that running answers get to finish when the server stops.
GRACE_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Where an application listens, and who may ask.

    Attributes:
        address: host and port; port 0 lets the system choose.
        key: a secret that requests must send as `Authorization: Bearer KEY`; "" asks for none.
        certificate, private_key: files for TLS; None for plain HTTP.
        open_to_all: allow an address that other machines reach, without key or TLS.

    Raises:
        UsageError: other machines could reach the address without a key, or read the traffic.
    """

    address: Address
    key: str = field(default="", repr=False)
    certificate: Path | None = None
    private_key: Path | None = None
    open_to_all: bool = False

    def __post_init__(self) -> None:
        host = self.address.host
        if (self.certificate is None) != (self.private_key is None):
            raise UsageError("TLS needs both files: --tls-certificate and --tls-key")
        if is_loopback(host) or self.open_to_all:
            return
        missing = [
            *(["a key (GUARDEDIT_SERVE_KEY)"] if not self.key else []),
            *(["TLS (--tls-certificate, --tls-key)"] if self.certificate is None else []),
        ]
        if missing:
            raise UsageError(
                f"other machines can reach {host}: give {' and '.join(missing)}, "
                "or allow it with --open-to-all"
            )

    def check_tls(self) -> None:
        """UsageError if there are files for TLS and they cannot be used."""
        if self.certificate is not None and self.private_key is not None:
            _check_tls(self.certificate, self.private_key)

    def bind(self) -> socket.socket:
        """A listening socket.

        Raises:
            UsageError: the address is in use, not allowed, or not an address of this machine; or the files
                for TLS cannot be used.
        """
        self.check_tls()
        host, port = self.address.host, self.address.port
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            # With the protocol named, asyncio turns Nagle's algorithm off; else each small piece of a
            # streamed answer waits 40 ms for the client's acknowledgement of the one before.
            found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((host, port))
        except OSError as error:
            raise self._refused(error) from None
        return found

    def run(
        self, app: App, bound: socket.socket, *, most_bytes: int = MOST_BYTES, dated: bool = True
    ) -> None:
        """Serve the application on a bound socket until a signal ends the process.

        Raises:
            UsageError: another process has begun to listen there since it was bound.
        """
        self.listen(bound)
        self.server(app, most_bytes=most_bytes, dated=dated).run(sockets=[bound])

    def listen(self, bound: socket.socket) -> None:
        """Begin to listen on a bound socket; UsageError if another process was faster.

        Two processes can bind the same address as long as none of them listens.
        """
        try:
            bound.listen(BACKLOG)
        except OSError as error:
            raise self._refused(error) from None

    def _refused(self, error: OSError) -> UsageError:
        return UsageError(f"cannot listen on {self.address.host}:{self.address.port} ({_reason(error)})")

    def url(self, bound: socket.socket) -> str:
        """The address of a bound socket, without a path."""
        host = f"[{self.address.host}]" if ":" in self.address.host else self.address.host
        return f"http{'s' if self.certificate else ''}://{host}:{bound.getsockname()[1]}"

    def server(self, app: App, *, most_bytes: int = MOST_BYTES, dated: bool = True) -> uvicorn.Server:
        """A server for the application behind this listener's checks; `run` it on the bound socket.

        Args:
            app: answers the requests that pass.
            most_bytes: largest body of a request.
            dated: add the header `Date` to answers.
        """
        config = uvicorn.Config(
            guarded(app, key=self.key, loopback=is_loopback(self.address.host), most_bytes=most_bytes),
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=dated,
            timeout_graceful_shutdown=GRACE_S,
            ssl_certfile=self.certificate,
            ssl_keyfile=self.private_key,
            lifespan="off",
            ws="none",
        )
        return uvicorn.Server(config)


@contextmanager
def in_thread(
    listener: Listener, app: App, *, most_bytes: int = MOST_BYTES, dated: bool = True
) -> Iterator[str]:
    """Serve an application from a thread until the block ends; yields its address.

    Raises:
        UsageError: the address cannot be used.
    """
    with listener.bind() as bound:
        listener.listen(bound)
        server = listener.server(app, most_bytes=most_bytes, dated=dated)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield listener.url(bound)
        finally:
            server.should_exit = True
            thread.join()


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


def _check_tls(certificate: Path, private_key: Path) -> None:
    """UsageError unless the two files can be used together, as the server will do later, in a thread."""
    try:
        # Without `password`, OpenSSL would ask for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, private_key, password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = error.reason if isinstance(error, ssl.SSLError) else getattr(error, "strerror", "") or error
        raise UsageError(
            f"TLS cannot use the certificate {certificate} with the key {private_key} ({reason}): give a "
            "certificate in PEM and its own private key, without a password"
        ) from None


def _reason(error: OSError) -> str:
    reasons = {
        errno.EADDRINUSE: "something else listens there: name another port",
        errno.EACCES: "not allowed: use a port above 1023",
        errno.EADDRNOTAVAIL: "not an address of this machine",
    }
    return reasons.get(error.errno or 0, str(error.strerror or error))
