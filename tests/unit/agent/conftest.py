"""The loop on a real ledger, everything else faked."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.town import Town


@pytest.fixture
def home() -> Iterator[Path]:
    """In memory where that can be had: every commit waits for the disk."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="agent-", dir=memory) as path:
        yield Path(path)


@pytest.fixture
def town(home: Path) -> Iterator[Town]:
    made = Town(home).start()
    yield made
    made.stop()


@pytest.fixture
def build(home: Path) -> Iterator[Any]:
    """A town with other limits or parts, started."""
    made: list[Town] = []

    def start(**fields: Any) -> Town:
        made.append(Town(**{"home": home, **fields}).start())
        return made[-1]

    yield start
    for one in made:
        one.stop()
