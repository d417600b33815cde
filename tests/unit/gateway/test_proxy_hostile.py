"""Servers that answer with garbage behind the proxy, and clients that want more than a proxy should do."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from guardedit.gateway.proxy.app import proxy_app
from guardedit.gateway.proxy.forwarding import Forwarder
from guardedit.gateway.proxy.requests import question_in
from guardedit.policy.sections import ProxySection
from tests.unit.gateway.conftest import listening

OK = b"HTTP/1.1 200 OK\r\n"


class Upstream:
    """A server that answers every request with the same bytes, and records the requests."""

    def __init__(self, answer: bytes) -> None:
        self.answer, self.seen = answer, b""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._listening.accept()[0]
            except OSError:
                return
            with connection:
                while b"\r\n\r\n" not in self.seen and (got := connection.recv(65536)):
                    self.seen += got
                connection.sendall(self.answer)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()


@contextmanager
def proxied(answer: bytes, *, path: str = "", key: str = "") -> Iterator[tuple[Upstream, int]]:
    """A server with this answer, and the port of a proxy in front of it. No request here asks the memory."""
    upstream = Upstream(answer)
    app = proxy_app(cast("Any", None), Forwarder(upstream.url + path, timeout_s=5, key=key), ProxySection())
    try:
        with listening(app, dated=False) as url:
            yield upstream, int(url.rpartition(":")[2])
    finally:
        upstream.close()


def sent(port: int, request: bytes) -> bytes:
    """Everything that comes back on one connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        found = b""
        while got := connection.recv(65536):
            found += got
        return found


def get(target: str = "/v1/models", method: str = "GET") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", b"did not answer in valid HTTP"),
        (b"\x00\xff no HTTP\r\n\r\n", b"did not answer in valid HTTP"),
        (OK + b"X-A: b\rSet-Cookie: evil=1\r\n\r\n", b"did not answer in valid HTTP"),
        (b"HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nhi", b"answered with the status 999"),
        (b"HTTP/1.1 600 Odd\r\nContent-Length: 2\r\n\r\nhi", b"answered with the status 600"),
    ],
)
def test_an_answer_that_is_none_is_a_bad_gateway_with_the_reason(answer: bytes, why: bytes):
    with proxied(answer) as (_, port):
        said = sent(port, get())
    assert said.startswith(b"HTTP/1.1 502 ")
    assert why in said


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 100\r\n\r\nhi",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nZZ\r\n",
    ],
)
def test_an_answer_that_breaks_off_breaks_off_here_too_and_is_logged_in_one_line(answer: bytes, caplog):
    with proxied(answer) as (_, port):
        said = sent(port, get())
    assert b"hi" in said
    assert not said.endswith(b"0\r\n\r\n")
    ours = [record for record in caplog.records if "broke off an answer" in record.getMessage()]
    assert len(ours) == 1
    assert [record.exc_info for record in caplog.records if record.exc_info] == []


def test_a_length_beside_chunks_does_not_count():
    chunks = b"5\r\nhello\r\n0\r\n\r\n"
    with proxied(OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks) as (_, port):
        said = sent(port, get())
    assert b"content-length" not in said.lower()
    assert said.endswith(b"\r\n\r\n" + chunks)


@pytest.mark.parametrize("target", ["http://evil.example/v1/models", "-b/v1/models", "v1/models"])
@pytest.mark.parametrize("path", ["", "/team-a"])
def test_a_target_that_is_no_path_is_refused(target: str, path: str):
    with proxied(OK + b"Content-Length: 0\r\n\r\n", path=path) as (upstream, port):
        assert sent(port, get(target)).startswith(b"HTTP/1.1 400 ")
    assert upstream.seen == b""


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
def test_methods_for_other_proxies_are_refused(method: str):
    with proxied(OK + b"Content-Length: 0\r\n\r\n", key="secret") as (upstream, port):
        assert sent(port, get(method=method)).startswith(b"HTTP/1.1 405 ")
    assert upstream.seen == b""


def test_the_name_of_this_machine_may_be_written_in_capitals():
    with proxied(OK + b"Content-Length: 2\r\n\r\nhi") as (_, port):
        assert sent(port, get().replace(b"localhost", b"LocalHost")).endswith(b"hi")


def test_a_question_with_half_a_character_is_left_to_the_server():
    half = "\ud800 is in"
    assert question_in({"prompt": half}) is None
    assert question_in({"messages": [{"role": "user", "content": half}]}) is None
    # In an earlier turn it is left out of the context.
    turns = [{"role": "user", "content": half}, {"role": "user", "content": "Where is it?"}]
    assert question_in({"messages": turns}) is not None
