"""What writing the facts of the cases did: the state that is asked afterwards, and an account of it."""

from __future__ import annotations

import math
from collections import Counter
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


def added_up(parts: Sequence[Written], **account: Any) -> Written:
    """One account of facts that were written one by one. Its state is that of the last of them.

    Args:
        parts: at least one.
        account: further entries.
    """
    placements, refused = Counter[str](), dict[str, str]()
    for one in parts:
        placements.update(one.placements)
        refused |= one.account.get("refused", {})
    seconds = math.fsum(one.seconds for one in parts)
    shared = {name: one.account[name] for one in parts for name in ("layer", "layers") if name in one.account}
    edits = sum(placements.values())
    return Written(
        state=parts[-1].state,
        placements=dict(placements),
        seconds=seconds,
        account={"seconds_per_edit": seconds / edits, **shared, "refused": refused, **account},
    )


def facts_of(corrections: Sequence[Correction]) -> list[Fact]:
    """One fact for each key, in order. Cases may share a fact; its first correction counts."""
    found: dict[FactKey, Fact] = {}
    for correction in corrections:
        found.setdefault(correction.key, first_version(correction))
    return list(found.values())
