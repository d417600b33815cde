"""What the ledger itself says afterwards: nothing lost, nothing twice, nothing disabling ever served.

Reads recorded events and rows only; asks no model. What a stream was expected to lead to is compared here
with what was recorded.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guardedit.agent.kept import FULL, KeptFacts
from guardedit.core.correction import Correction, Op, decode_correction
from guardedit.core.fact import Fact, Placement
from guardedit.core.messages import Delivery
from guardedit.core.receipt import Fate
from guardedit.demo.expected import Line
from guardedit.ledger.inbox import Entry
from guardedit.ledger.reading import LedgerReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Surprise:
    """A line whose recorded fate is not the expected one."""

    line: int
    kind: str
    expected: str
    found: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Placements:
    """Where the live facts are. `to_weights` counts those that the policy sent there."""

    memory: int
    weights: int
    to_weights: int
    turned_away: int
    turned_away_full: int

    @property
    def share_in_weights(self) -> float:
        """Of the live facts that the policy sent to the weights; NaN of none."""
        return self.weights / self.to_weights if self.to_weights else float("nan")


def lost(ledger: LedgerReader, submitted: Sequence[Delivery], *, now_s: float) -> list[str]:
    """Lines without an inbox row or a fate, and accepted corrections whose effect is not there.

    An accepted fact must be live, or have been superseded or retracted by a later accepted correction, or
    have expired by `now_s`.
    """
    rows = _rows(ledger)
    found = [
        f"{delivery.position} has no fate"
        for delivery in submitted
        if (row := rows.get((delivery.source, delivery.position))) is None or row.fate is Fate.RECEIVED
    ]
    own: dict[str, list[Fact]] = defaultdict(list)
    for fact in recorded_facts(ledger).values():
        own[fact.correction_id].append(fact)
    accepted = [
        (row.seq, decode_correction(row.raw, recorded=True))
        for row in rows.values()
        if row.fate is Fate.ACCEPTED
    ]
    last = {correction.key: seq for seq, correction in sorted(accepted, key=lambda pair: pair[0])}
    live = ledger.live()
    for seq, correction in accepted:
        overtaken = last[correction.key] > seq
        if not overtaken and not _holds(correction, live.get(correction.key), own, now_s):
            found.append(f"{correction.id} was accepted and has no effect")
    return found


def _holds(
    correction: Correction, live: Fact | None, own: Mapping[str, Sequence[Fact]], now_s: float
) -> bool:
    if correction.op is Op.RETRACT:
        return live is None
    mine = own.get(correction.id, ())
    if live is None:
        until_s = correction.valid_until_s
        return bool(mine) and until_s is not None and until_s <= now_s
    return live.correction_id == correction.id and live.target == correction.target_new


def applied_twice(ledger: LedgerReader) -> list[str]:
    """Corrections that were accepted more than once, or made more than one version of a fact."""
    times = Counter(
        row.correction_id for row in _rows(ledger).values() if row.fate is Fate.ACCEPTED and row.correction_id
    )
    versions: dict[str, set[int]] = defaultdict(set)
    for fact in recorded_facts(ledger).values():
        versions[fact.correction_id].add(fact.version)
    return sorted(
        {name for name, count in times.items() if count > 1}
        | {name for name, made in versions.items() if len(made) > 1}
    )


def disabling_promoted(ledger: LedgerReader, disabling: Collection[str]) -> list[str]:
    """Fact ids of disabling corrections (by id) that were in the weight edits of any epoch."""
    facts = recorded_facts(ledger)
    served: set[str] = set()
    for _, _, body in ledger.events(kinds=("epoch",)):
        served |= {name for edit in body["edits_added"] for name in edit["facts"]}
        served |= {c["fact_id"] for c in body["changes"] if _placed_in_weights(c)}
    return sorted(name for name in served if name in facts and facts[name].correction_id in disabling)


def surprises(ledger: LedgerReader, lines: Sequence[Line], submitted: Sequence[Delivery]) -> list[Surprise]:
    """Lines that were settled otherwise than expected."""
    rows = _rows(ledger)
    found = []
    for number, (line, delivery) in enumerate(zip(lines, submitted, strict=True), start=1):
        row = rows.get((delivery.source, delivery.position))
        fate, reason = (row.fate, row.reason) if row else (Fate.RECEIVED, "no row")
        if fate is not line.fate:
            found.append(Surprise(line=number, kind=line.kind, expected=line.fate, found=fate, reason=reason))
    return found


def placements(ledger: LedgerReader) -> Placements:
    """Facts by placement, and who was turned away from the weights."""
    live = ledger.live().values()
    away = KeptFacts(ledger).now()
    in_memory = [fact for fact in live if fact.placement is Placement.MEMORY and fact.method]
    why = [away[fact.id] for fact in in_memory if fact.id in away]
    weights = sum(fact.placement is Placement.WEIGHTS for fact in live)
    return Placements(
        memory=len(live) - weights,
        weights=weights,
        to_weights=weights + len(in_memory),
        turned_away=sum(kept.turned_away for kept in why),
        turned_away_full=sum(kept.code == FULL for kept in why),
    )


def recorded_facts(ledger: LedgerReader) -> dict[str, Fact]:
    """Every fact that ever was live, by id, in its first placement."""
    facts: dict[str, Fact] = {}
    for _, _, body in ledger.events(kinds=("epoch",)):
        for change in body["changes"]:
            if change["fact"] is not None:
                facts.setdefault(change["fact_id"], Fact.from_json(change["fact"]))
    return facts


def _placed_in_weights(change: Mapping[str, Any]) -> bool:
    return change["fact"] is not None and change["fact"]["placement"] == Placement.WEIGHTS


def _rows(ledger: LedgerReader) -> dict[tuple[str, str], Entry]:
    return {(row.source, row.position): row for row in ledger.entries(limit=-1)}
