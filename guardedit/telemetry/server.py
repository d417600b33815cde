"""Serves `/metrics` and `/healthz` over HTTP, for Prometheus and for the health check of a container.

The server has no authentication, so by default it listens on the loopback address only.
"""

from __future__ import annotations

import errno
import ipaddress
import json
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Self

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from guardedit.core.errors import UsageError
from guardedit.telemetry.health import HealthReport

DEFAULT_HOST = "127.0.0.1"
#: A client that has not finished its request after this many seconds is disconnected.
REQUEST_TIMEOUT_S = 10.0


def encoded(page: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """The metrics as text, and its content type: the one of Prometheus' formats that `accept` prefers."""
    encode, content_type = choose_encoder(accept)
    return encode(page), content_type


def require_free(address: tuple[str, int]) -> None:
    """UsageError if `MetricsServer` could not listen there. To be called before a model is loaded."""
    _listen(*address).server_close()


class MetricsServer:
    """Serves from daemon threads until `close`. A context manager.

    Args:
        page: the content of `/metrics`.
        health: the content of `/healthz`, as JSON: status 200 if healthy, else 503.
        host: the address to listen on. On a loopback address, requests with another host name are refused,
            so that a web page cannot read the metrics through the user's browser.
        port: 0 chooses a free port; the attribute `port` has its number.

    Raises:
        UsageError: the address is in use, not allowed, or not an address of this machine.
    """

    def __init__(
        self,
        page: CollectorRegistry,
        *,
        health: Callable[[], HealthReport] = HealthReport,
        host: str = DEFAULT_HOST,
        port: int,
    ) -> None:
        self._server = _listen(host, port)
        self._server.page = page
        self._server.health = health
        self._server.loopback_only = _is_loopback(host)
        self.host = host
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="metrics", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """The address, without a path."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

    def close(self) -> None:
        """Stop listening and free the port. May be called twice."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    page: CollectorRegistry
    health: Callable[[], HealthReport]
    loopback_only: bool
    daemon_threads = True
    block_on_close = False  # a slow client must not keep the process from stopping

    def server_bind(self) -> None:
        # The inherited method looks up this machine's name, which can take seconds and is not used.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect; the inherited method prints a traceback."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_TIMEOUT_S
    server_version = "guardedit"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if self.server.loopback_only and not _is_loopback(_hostname(self.headers.get("Host", ""))):
            self._answer(HTTPStatus.FORBIDDEN, b"use the address or the name of this host\n")
        elif path == "/metrics":
            self._metrics()
        elif path == "/healthz":
            report = self.server.health()
            status = HTTPStatus.SERVICE_UNAVAILABLE if report.problems else HTTPStatus.OK
            self._answer(status, json.dumps(report.body).encode() + b"\n", "application/json")
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"not found: use /metrics or /healthz\n")

    do_HEAD = do_GET  # noqa: N815 - the name is http.server's

    def _metrics(self) -> None:
        try:
            body, content_type = encoded(self.server.page, self.headers.get("Accept", ""))
        except Exception as error:  # noqa: BLE001 - a failing scrape must be reported, not cut off
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, f"cannot collect: {error}\n".encode())
        else:
            self._answer(HTTPStatus.OK, body, content_type)

    def _answer(
        self, status: HTTPStatus, body: bytes, content_type: str = "text/plain; charset=utf-8"
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        """Log nothing: a line per scrape would hide the lines about corrections."""


def _listen(host: str, port: int) -> _Server:
    kind = _Server6 if ":" in host else _Server
    where = f"port {port} on {host}"
    try:
        return kind((host, port), _Handler)
    except OverflowError as error:
        raise UsageError(f"{where}: a port is a number from 0 (chooses a free one) to 65535") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            remedy = "is in use: stop its user, or set GUARDEDIT_METRICS (port 0 chooses a free one)"
            raise UsageError(f"{where} {remedy}") from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise UsageError(f"{where} is not allowed for this user: choose one above 1023") from error
        raise UsageError(f"{where} cannot be used: {error.strerror}; is {host} this machine?") from error


def _hostname(header: str) -> str:
    """The host in a `Host:` header, without port and brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
