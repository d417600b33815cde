"""Step 2 for a batch of waiting messages: decide each one from the live facts and the settlements before it.

Asks the policy for the decision, and a replica whether it already gives the corrected answer. Writes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from guardedit.agent.deciding import (
    Known,
    Read,
    displaced,
    failed_letter,
    first_version,
    key_of,
    read,
    repeated,
    settle,
)
from guardedit.agent.parts import Parts
from guardedit.core.correction import Correction, Op, content_sha256
from guardedit.core.decision import Route
from guardedit.core.epoch import Change
from guardedit.core.errors import LedgerError
from guardedit.core.fact import Fact, FactKey
from guardedit.core.ledger import Ledger
from guardedit.core.messages import Fate, LastChange, Received, Settlement
from guardedit.core.protocols import Event
from guardedit.naming import Relations, contradicted, identity, key_name

K = TypeVar("K")
V = TypeVar("V")
W = TypeVar("W")


class Decider:
    """Turns waiting messages into settlements."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def decide(self, pending: Sequence[Received]) -> list[Settlement]:
        """One settlement for each message, in order.

        A message for which a stage fails becomes a dead letter. Only an unreadable ledger raises an error.
        """
        if not pending:
            return []
        batch = _BatchView(self.parts.ledger, self.parts.relations)
        known = batch.known()
        rows = [(received, read(received, self.parts.check, self.parts.signed_by)) for received in pending]
        answered = self._answered([row.correction for _, row in rows if isinstance(row, Read)], known)
        settlements = []
        for received, row in rows:
            settlement = row if isinstance(row, Settlement) else self._settled(received, row, known, answered)
            batch.add(settlement)
            settlements.append(settlement)
            if settlement.fate is Fate.DEAD:
                self._report_dead(received, settlement)
        return settlements

    def _settled(self, received: Received, row: Read, known: Known, answered: frozenset[str]) -> Settlement:
        try:
            identified = repeated(received, row.correction, known)
            if isinstance(identified, Settlement):
                return identified
            return self._decided(
                received,
                identified,
                known,
                already_answered=row.correction.id in answered,
                signed_by=row.signed_by,
            )
        except LedgerError:
            raise
        except Exception as error:  # noqa: BLE001 - no message may stop the loop
            return failed_letter(received, "decide", error)

    def _decided(
        self,
        received: Received,
        correction: Correction,
        known: Known,
        *,
        already_answered: bool,
        signed_by: str,
    ) -> Settlement:
        reach = self.parts.reach(correction)
        context = {
            **self._context(correction, reach),
            "signed_by": signed_by,
            "contradiction": self._contradiction(correction, known),
        }
        decision = self.parts.decide(correction, context)
        if decision.route is Route.HOLD and self.parts.ledger.released_for(received.seq, decision):
            decision = replace(decision, route=Route.MEMORY, reason=f"released; was: {decision.reason}")
        fields = {
            "source": received.source,
            "route": decision.route.value,
            "rule": decision.rule,
            "reason": decision.reason,
        }
        self.parts.observe(Event(kind="decided", correction_id=correction.id, fields=fields))
        settlement = settle(
            received,
            correction,
            decision,
            known,
            already_answered=already_answered,
            newest_report_wins=self.parts.limits.newest_report_wins,
        )
        return replace(settlement, reach=tuple(reach)) if settlement.change else settlement

    def _context(self, correction: Correction, reach: Sequence[str]) -> Mapping[str, object]:
        now = self.parts.clock()
        return {
            "now_s": now,
            "subject_edits_24h": self.parts.ledger.corrections_reaching(reach, since_s=now - 86_400),
            "known_subject": bool(self.parts.known_questions(correction.subject)),
        }

    def _contradiction(self, correction: Correction, known: Known) -> str:
        """Which live fact the correction contradicts by a declared inverse relation; "" for none."""
        if correction.op is Op.RETRACT or not known.relations.inverses:
            return ""
        key, target = key_of(correction, known), correction.target_new
        found = contradicted(key, target, known.related(key, target), known.relations)
        if found is None:
            return ""
        return (
            f"{_stated(key, target)} contradicts fact {found.id}, {_stated(found.key, found.target)}: these "
            "relations are declared inverse; retract the one that is wrong, or release this correction"
        )

    def _answered(self, corrections: Sequence[Correction], known: Known) -> frozenset[str]:
        """Ids of the corrections whose target the serving epoch already answers in every wording."""
        if not self.parts.replicas:
            return frozenset()
        try:
            new = [c for c in corrections if c.op is Op.UPSERT and _is_new(c, known)]
            tenants = sorted({correction.tenant for correction in new})
            return frozenset(c.id for tenant in tenants for c in self._answered_in(new, tenant))
        except LedgerError:
            raise
        except Exception as error:  # noqa: BLE001 - this check only saves work: without it all are new facts
            fields = {"stage": "decide", "error": type(error).__name__, "message": str(error)}
            self.parts.observe(Event(kind="error", fields=fields))
            return frozenset()

    def _answered_in(self, corrections: Sequence[Correction], tenant: str) -> Iterable[Correction]:
        own = [correction for correction in corrections if correction.tenant == tenant]
        pairs = [(wording, c.target_new) for c in own for wording in c.wordings]
        self.parts.replicas[0].expect([first_version(correction) for correction in own])
        found = self.parts.replicas[0].says(pairs, tenant=tenant)
        other = {pair for pair, same in zip(pairs, found, strict=True) if not same}
        return [c for c in own if other.isdisjoint((wording, c.target_new) for wording in c.wordings)]

    def _report_dead(self, received: Received, settlement: Settlement) -> None:
        code, _, detail = settlement.reason.partition(": ")
        fields = {"source": received.source, "reason": code, "detail": detail}
        self.parts.observe(Event(kind="dead_lettered", fields=fields))


def _is_new(correction: Correction, known: Known) -> bool:
    key = key_of(correction, known)
    if known.relations.is_many_valued(key.relation):
        return False  # that the model says this target does not mean that it says the others
    return known.live(key) is None and not displaced(correction, key, known)


@dataclass
class _BatchView:
    """The state of the ledger as it will be once the settlements so far are written."""

    ledger: Ledger
    relations: Relations
    changes: dict[FactKey, Fact | None] = field(default_factory=dict)
    versions: dict[FactKey, int] = field(default_factory=dict)
    last_changes: dict[FactKey, LastChange] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    names: dict[FactKey, FactKey] = field(default_factory=dict)

    def known(self) -> Known:
        live, ledger = self.ledger.live(), self.ledger
        return Known(
            live=lambda key: self.changes[key] if key in self.changes else live.get(key),
            about=self._about,
            canonical=self._canonical,
            latest_version=_batch_first(self.versions, ledger.latest_version),
            last_change=_batch_first(self.last_changes, ledger.last_change),
            content=_batch_first(self.contents, ledger.decided_content),
            relations=self.relations,
            related=self._related,
        )

    def add(self, settlement: Settlement) -> None:
        correction = settlement.correction
        if correction is None or settlement.fate in {Fate.DUPLICATE, Fate.DEAD}:
            return
        self.contents[correction.id] = content_sha256(correction)
        for change in (*([settlement.change] if settlement.change else ()), *settlement.displaced):
            self._apply(change, correction)

    def _apply(self, change: Change, correction: Correction) -> None:
        key = change.key
        self.changes[key] = change.fact
        reported_at_s = correction.provenance.time_s
        self.last_changes[key] = LastChange(correction_id=correction.id, reported_at_s=reported_at_s)
        self.names.setdefault(key_name(key), key)
        if change.fact is not None:
            self.versions[key] = change.fact.version

    def _about(self, subject: str, tenant: str) -> list[Fact]:
        name = identity(subject)
        recorded = [f for f in self.ledger.find_fact(subject) if f.key not in self.changes]
        new = [fact for fact in self.changes.values() if fact is not None]
        return [f for f in (*recorded, *new) if f.key.tenant == tenant and identity(f.key.subject) == name]

    def _canonical(self, key: FactKey) -> FactKey:
        return self.names.get(key_name(key)) or self.ledger.canonical(key)

    def _related(self, key: FactKey, target: str) -> list[Fact]:
        names = {identity(key.subject), identity(target)}
        new = [fact for fact in self.changes.values() if fact is not None and names & _ends(fact)]
        recorded = [
            fact
            for name in sorted(names)
            for fact in self._with_inverse.get(name, ())
            if fact.key not in self.changes
        ]
        return [fact for fact in (*recorded, *new) if fact.key.tenant in (key.tenant, "default")]

    @cached_property
    def _with_inverse(self) -> Mapping[str, Sequence[Fact]]:
        """The recorded facts whose relation has a declared inverse, by either of their ends."""
        found: dict[str, list[Fact]] = defaultdict(list)
        for fact in self.ledger.live().values():
            if self.relations.inverse_of(fact.key.relation):
                for name in _ends(fact):
                    found[name].append(fact)
        return found


def _stated(key: FactKey, target: str) -> str:
    return f"{target!r:.80} as {key.relation!r:.80} of {key.subject!r:.80}"


def _ends(fact: Fact) -> set[str]:
    return {identity(fact.key.subject), identity(fact.target)}


def _batch_first(batch: Mapping[K, V], recorded: Callable[[K], W]) -> Callable[[K], V | W]:
    """A lookup in the batch first, then in the ledger."""
    return lambda name: batch[name] if name in batch else recorded(name)
