"""A relay in front of a server that keeps the HTTP requests and answers on their way, byte for byte."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPResponse, parse_headers
from io import BytesIO
from typing import Any

#: Headers about one connection only (RFC 9110, section 7.6.1).
_OF_CONNECTION = ("host", "connection", "keep-alive", "transfer-encoding")


@dataclass(frozen=True)
class Exchange:
    """A request as it reached the server, and the answer as it left it; headers without the connection's."""

    line: str
    asked: list[tuple[str, str]]
    body: bytes
    status: int
    answered: list[tuple[str, str]]
    answer: bytes


@dataclass
class _Connection:
    sent: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)
    last_s: float = 0.0


@dataclass
class Tap:
    """What went through, and where clients must connect to."""

    url: str
    connections: list[_Connection] = field(default_factory=list)

    @property
    def latest(self) -> Exchange:
        """The exchange that ended last, on whichever connection; all must be complete."""
        return list(_exchanges(max(self.connections, key=lambda one: one.last_s)))[-1]


@contextmanager
def tapped(server: str) -> Iterator[Tap]:
    """A relay to the server at an address such as http://127.0.0.1:8001."""
    host, _, port = server.removeprefix("http://").partition(":")
    with socket.create_server(("127.0.0.1", 0)) as door:
        tap = Tap(f"http://127.0.0.1:{door.getsockname()[1]}")
        threading.Thread(target=_accept, args=(door, (host, int(port)), tap), daemon=True).start()
        yield tap


def _accept(door: socket.socket, server: tuple[str, int], tap: Tap) -> None:
    with suppress(OSError):  # the door was closed
        while True:
            client, _ = door.accept()
            upstream = socket.create_connection(server)
            both = _Connection()
            tap.connections.append(both)
            for source, sink, copy in ((client, upstream, both.sent), (upstream, client, both.received)):
                threading.Thread(target=_relay, args=(source, sink, both, copy), daemon=True).start()


def _relay(source: socket.socket, sink: socket.socket, both: _Connection, copy: bytearray) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            copy += piece
            both.last_s = time.monotonic()
            sink.sendall(piece)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


class _Wire(BytesIO):
    """Bytes that `HTTPResponse` takes for a socket, and that stay open from one answer to the next."""

    def makefile(self, *_: Any) -> _Wire:
        return self

    def close(self) -> None:
        pass


def _exchanges(connection: _Connection) -> Iterator[Exchange]:
    asked, answered = BytesIO(bytes(connection.sent)), _Wire(bytes(connection.received))
    while line := asked.readline():
        headers = parse_headers(asked)
        body = asked.read(int(headers.get("content-length", 0)))
        answer = HTTPResponse(answered, method=line.decode().split(" ")[0])
        answer.begin()
        yield Exchange(
            line.decode().strip(),
            kept(headers.items()),
            body,
            answer.status,
            kept(answer.getheaders()),
            answer.read(),
        )


def kept(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Names in small letters and values, sorted, without those about the connection."""
    return sorted((name.lower(), value) for name, value in headers if name.lower() not in _OF_CONNECTION)
