"""Audits the ledger after a run: nothing lost, nothing applied twice, no disabling edit ever served.

Compares recorded events and rows with the expected results of the stream. Loads no model.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guardedit.agent.kept import FULL, KeptFacts
from guardedit.core.correction import Correction, Op, decode_correction
from guardedit.core.fact import Fact, Placement
from guardedit.core.messages import Delivery, Fate
from guardedit.demo.stream.expected import Line
from guardedit.ledger.inbox import Entry
from guardedit.ledger.reading import LedgerReader


@dataclass(frozen=True, slots=True, kw_only=True)
class UnexpectedFate:
    """A line with another fate than expected.

    Attributes:
        line: number, from 1.
        kind: kind of the line.
        expected: the expected fate.
        found: the recorded fate.
        reason: the recorded reason.
    """

    line: int
    kind: str
    expected: str
    found: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementCounts:
    """Numbers of live facts by placement, and of facts for the weights that are in memory, by reason.

    Attributes:
        memory: number of facts in memory.
        weights: number of facts in the weights.
        to_weights: number of facts that the policy sent to the weights, wherever they are.
        unsuitable: number of these kept in memory because of the fact itself, for example because of harm.
        full: number of these kept in memory because the layer was full.
    """

    memory: int
    weights: int
    to_weights: int
    unsuitable: int
    full: int

    @property
    def share_in_weights(self) -> float:
        """Facts in the weights over facts sent there; NaN if none was sent."""
        return self.weights / self.to_weights if self.to_weights else float("nan")


def lost_corrections(ledger: LedgerReader, submitted: Sequence[Delivery], *, now_s: float) -> list[str]:
    """One sentence for each line without a row or fate, and for each accepted correction without its effect.

    An accepted fact must be live, or have been superseded or retracted by a later accepted correction, or
    have expired by `now_s`.
    """
    rows = _rows(ledger)
    lost = [
        f"{delivery.position} has no fate"
        for delivery in submitted
        if (row := rows.get((delivery.source, delivery.position))) is None or row.fate is Fate.RECEIVED
    ]
    by_correction: dict[str, list[Fact]] = defaultdict(list)
    for fact in recorded_facts(ledger).values():
        by_correction[fact.correction_id].append(fact)
    accepted = [
        (row.seq, decode_correction(row.raw, recorded=True))
        for row in rows.values()
        if row.fate is Fate.ACCEPTED
    ]
    last = {correction.key: seq for seq, correction in sorted(accepted, key=lambda pair: pair[0])}
    live = ledger.live()
    for seq, correction in accepted:
        replaced = last[correction.key] > seq
        if not replaced and not _holds(correction, live.get(correction.key), by_correction, now_s):
            lost.append(f"{correction.id} was accepted and has no effect")
    return lost


def _holds(
    correction: Correction, live: Fact | None, by_correction: Mapping[str, Sequence[Fact]], now_s: float
) -> bool:
    """Whether the last accepted correction of a key has its effect."""
    if correction.op is Op.RETRACT:
        return live is None
    own = by_correction.get(correction.id, ())
    if live is None:
        until_s = correction.valid_until_s
        return bool(own) and until_s is not None and until_s <= now_s
    return live.correction_id == correction.id and live.target == correction.target_new


def applied_twice(ledger: LedgerReader) -> list[str]:
    """Ids of corrections that were accepted more than once, or made more than one version of a fact."""
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
    """Ids of facts of disabling corrections (by id) that were in the weight edits of any epoch."""
    facts = recorded_facts(ledger)
    served: set[str] = set()
    for _, _, body in ledger.events(kinds=("epoch",)):
        served |= {name for edit in body["edits_added"] for name in edit["facts"]}
        served |= {c["fact_id"] for c in body["changes"] if _placed_in_weights(c)}
    return sorted(name for name in served if name in facts and facts[name].correction_id in disabling)


def unexpected_fates(
    ledger: LedgerReader, lines: Sequence[Line], submitted: Sequence[Delivery]
) -> list[UnexpectedFate]:
    """Lines with another fate than expected; `submitted` has the delivery of each line."""
    rows = _rows(ledger)
    found = []
    for number, (line, delivery) in enumerate(zip(lines, submitted, strict=True), start=1):
        row = rows.get((delivery.source, delivery.position))
        fate, reason = (row.fate, row.reason) if row else (Fate.RECEIVED, "no row")
        if fate is not line.fate:
            found.append(
                UnexpectedFate(line=number, kind=line.kind, expected=line.fate, found=fate, reason=reason)
            )
    return found


def placement_counts(ledger: LedgerReader) -> PlacementCounts:
    """Count the live facts."""
    live = ledger.live().values()
    kept = KeptFacts(ledger).now()
    in_memory = [fact for fact in live if fact.placement is Placement.MEMORY and fact.method]
    reasons = [kept[fact.id] for fact in in_memory if fact.id in kept]
    weights = sum(fact.placement is Placement.WEIGHTS for fact in live)
    return PlacementCounts(
        memory=len(live) - weights,
        weights=weights,
        to_weights=weights + len(in_memory),
        unsuitable=sum(why.unsuitable for why in reasons),
        full=sum(why.code == FULL for why in reasons),
    )


def recorded_facts(ledger: LedgerReader) -> dict[str, Fact]:
    """Every fact that was ever live, by id, in its first placement."""
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
