"""Search for the nearest of many vectors. Knows neither texts nor facts."""

from __future__ import annotations

from guardedit.memory.vectors.flat import Found
from guardedit.memory.vectors.index import VectorIndex

__all__ = ["Found", "VectorIndex"]
