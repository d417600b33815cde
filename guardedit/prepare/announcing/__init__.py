"""How a model is told a fact from memory so that it obeys: candidates, measuring and choosing."""

from __future__ import annotations

from guardedit.prepare.announcing.cases import (
    AnnouncedFact,
    known_cases,
    public_corrections,
    read_corrections,
)
from guardedit.prepare.announcing.tuning import tune

__all__ = ["AnnouncedFact", "known_cases", "public_corrections", "read_corrections", "tune"]
