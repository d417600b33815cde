"""What writing the facts of the cases did: the state that is asked afterwards, and an account of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from guardedit.agent.deciding import first_version
from guardedit.core.correction import Correction
from guardedit.core.fact import Fact, FactKey
from guardedit.lab.field.asking import AskedState


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The facts as they were written.

    Attributes:
        state: what is asked.
        placements: number of facts by where they are answered from, or by why they are nowhere.
        seconds: seconds that writing took.
        account: what else to report, ready for JSON.
    """

    state: AskedState
    placements: Mapping[str, int]
    seconds: float
    account: Mapping[str, Any] = field(default_factory=dict)


def facts_of(corrections: Sequence[Correction]) -> list[Fact]:
    """One fact for each key, in order. Cases may share a fact; its first correction counts."""
    found: dict[FactKey, Fact] = {}
    for correction in corrections:
        found.setdefault(correction.key, first_version(correction))
    return list(found.values())
