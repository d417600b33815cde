"""Real parts that a test needs and a machine may lack, such as a server or a tool of another project."""

from __future__ import annotations

import os

import pytest


def missing(what: str) -> None:
    """Where `CI` is set nobody looks at skipped tests, so a failure; else a skip with the reason."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} (CI is set, so this is a failure and no skip)")
    pytest.skip(what)
