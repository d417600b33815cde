"""The version of this package, as in pyproject.toml."""

from __future__ import annotations

VERSION = "0.2.0"
