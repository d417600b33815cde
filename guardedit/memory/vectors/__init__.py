"""Search for the nearest of many vectors. Knows neither texts nor facts."""

from __future__ import annotations

from guardedit.memory.vectors.flat import NearestVectors
from guardedit.memory.vectors.index import VectorIndex

__all__ = ["NearestVectors", "VectorIndex"]
