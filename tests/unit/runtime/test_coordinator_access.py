"""Commands beside a coordinator that was killed: its address may belong to another program by now."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from guardedit.core.errors import LedgerBusy, UsageError
from guardedit.runtime.coordinator_access import ADMIN_FILE, admin_address, reload_running
from guardedit.settings import Settings

OK = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def another_program(home: Path, answer: bytes) -> Iterator[None]:
    """It listens at the address in `admin.json`."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        (home / ADMIN_FILE).write_text(json.dumps({"url": url, "token": "t"}))

        def serve() -> None:
            connection = listening.accept()[0]
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\x01 no HTTP\r\n\r\n",
        OK + b"Content-Length: 3\r\n\r\nxyz",
        OK + b"Content-Length: 2\r\n\r\n[]",
        OK + b"Content-Length: 300\r\n\r\n{",
        b"HTTP/1.1 500 Odd\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 404 Odd\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_another_program_at_the_address_is_not_taken_for_the_coordinator(tmp_path: Path, answer: bytes):
    with another_program(tmp_path, answer), pytest.raises(LedgerBusy, match="is no coordinator"):
        reload_running(Settings(home=tmp_path))


def test_nobody_at_the_address_is_said(tmp_path: Path):
    with another_program(tmp_path, b""), socket.create_connection(_address(tmp_path)):
        pass
    with pytest.raises(LedgerBusy, match="has ended; and nothing answers at"):
        reload_running(Settings(home=tmp_path))


def _address(home: Path) -> tuple[str, int]:
    host, _, port = json.loads((home / ADMIN_FILE).read_text())["url"].removeprefix("http://").partition(":")
    return host, int(port)


@pytest.mark.parametrize("content", ["", "[]", "{", "5"])
def test_a_damaged_file_counts_as_none(tmp_path: Path, content: str):
    (tmp_path / ADMIN_FILE).write_text(content)
    assert admin_address(Settings(home=tmp_path)) == ("", None)
    with pytest.raises(UsageError, match="no coordinator with an HTTP interface runs"):
        reload_running(Settings(home=tmp_path))
