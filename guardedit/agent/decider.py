"""Step 2 for a batch: each message sees the live facts, and what the earlier ones of the batch made of them.

Asks the policy and, where a correction may be no news, a replica. Writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from guardedit.agent.deciding import Known, as_told, asked_alike, key_of, poisoned, read, repeated, settle
from guardedit.agent.parts import Parts
from guardedit.core.correction import Correction, Op, content_sha256
from guardedit.core.decision import Route
from guardedit.core.epoch import Change
from guardedit.core.errors import LedgerError
from guardedit.core.fact import Fact, FactKey
from guardedit.core.ledger import Ledger
from guardedit.core.messages import LastChange, Received, Settlement
from guardedit.core.protocols import Event
from guardedit.core.receipt import Fate
from guardedit.naming import identity

K = TypeVar("K")
V = TypeVar("V")
W = TypeVar("W")


class Decider:
    """From waiting messages to settlements."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def decide(self, pending: Sequence[Received]) -> list[Settlement]:
        """One settlement for each message, in order; later ones see the earlier ones.

        Whatever one message makes fail becomes its dead letter. Only a ledger that cannot be read raises.
        """
        if not pending:
            return []
        ahead = _Ahead(self.parts.ledger)
        known = ahead.known()
        read_rows = [(received, read(received, self.parts.check)) for received in pending]
        already = self._already([row for _, row in read_rows if isinstance(row, Correction)], known)
        settlements = []
        for received, row in read_rows:
            settlement = row if isinstance(row, Settlement) else self._one(received, row, known, already)
            ahead.take(settlement)
            settlements.append(settlement)
            if settlement.fate is Fate.DEAD:
                self._tell_dead(received, settlement)
        return settlements

    def _one(
        self, received: Received, correction: Correction, known: Known, already: frozenset[str]
    ) -> Settlement:
        try:
            named = repeated(received, correction, known)
            if isinstance(named, Settlement):
                return named
            return self._decided(received, named, known, already=correction.id in already)
        except LedgerError:
            raise
        except Exception as error:  # noqa: BLE001 - no message may stop the loop
            return poisoned(received, "decide", error)

    def _decided(
        self, received: Received, correction: Correction, known: Known, *, already: bool
    ) -> Settlement:
        reach = self.parts.reach(correction)
        decision = self.parts.decide(correction, self._context(correction, reach))
        if decision.route is Route.HOLD and self.parts.ledger.released(received.seq):
            decision = replace(decision, route=Route.MEMORY, reason=f"released; was: {decision.reason}")
        fields = {
            "source": received.source,
            "route": decision.route.value,
            "rule": decision.rule,
            "reason": decision.reason,
        }
        self.parts.observe(Event(kind="decided", correction_id=correction.id, fields=fields))
        newest = self.parts.limits.newest_report_wins
        settlement = settle(received, correction, decision, known, already=already, newest=newest)
        return replace(settlement, reach=tuple(reach)) if settlement.change else settlement

    def _context(self, correction: Correction, reach: Sequence[str]) -> Mapping[str, object]:
        now = self.parts.clock()
        return {
            "now_s": now,
            "subject_edits_24h": self.parts.ledger.reaching(reach, since_s=now - 86_400),
            "known_subject": bool(self.parts.known_questions(correction.subject)),
        }

    def _already(self, corrections: Sequence[Correction], known: Known) -> frozenset[str]:
        """Ids of corrections whose every wording is answered as wanted by what is served now."""
        if not self.parts.replicas:
            return frozenset()
        try:
            asked = [c for c in corrections if c.op is Op.UPSERT and _is_new(c, known)]
            tenants = sorted({correction.tenant for correction in asked})
            return frozenset(c.id for tenant in tenants for c in self._said(asked, tenant))
        except LedgerError:
            raise
        except Exception as error:  # noqa: BLE001 - only a saving is lost: all are settled as news
            fields = {"stage": "decide", "error": type(error).__name__, "message": str(error)}
            self.parts.observe(Event(kind="error", fields=fields))
            return frozenset()

    def _said(self, asked: Sequence[Correction], tenant: str) -> Iterable[Correction]:
        mine = [correction for correction in asked if correction.tenant == tenant]
        pairs = [(wording, c.target_new) for c in mine for wording in c.wordings]
        self.parts.replicas[0].expect([as_told(correction) for correction in mine])
        found = self.parts.replicas[0].says(pairs, tenant=tenant)
        unsaid = {pair for pair, said in zip(pairs, found, strict=True) if not said}
        return [c for c in mine if unsaid.isdisjoint((wording, c.target_new) for wording in c.wordings)]

    def _tell_dead(self, received: Received, settlement: Settlement) -> None:
        code, _, detail = settlement.reason.partition(": ")
        fields = {"source": received.source, "reason": code, "detail": detail}
        self.parts.observe(Event(kind="dead_lettered", fields=fields))


def _is_new(correction: Correction, known: Known) -> bool:
    key = key_of(correction, known)
    return known.live(key) is None and not asked_alike(correction, key, known)


@dataclass
class _Ahead:
    """What the ledger will say once the settlements so far are written."""

    ledger: Ledger
    changes: dict[FactKey, Fact | None] = field(default_factory=dict)
    versions: dict[FactKey, int] = field(default_factory=dict)
    lasts: dict[FactKey, LastChange] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    names: dict[tuple[str, str, str], FactKey] = field(default_factory=dict)

    def known(self) -> Known:
        live, ledger = self.ledger.live(), self.ledger
        return Known(
            live=lambda key: self.changes[key] if key in self.changes else live.get(key),
            about=self._about,
            canonical=self._canonical,
            latest=_first(self.versions, ledger.latest_version),
            last=_first(self.lasts, ledger.last_change),
            content=_first(self.contents, ledger.known),
        )

    def take(self, settlement: Settlement) -> None:
        """One settlement more."""
        correction = settlement.correction
        if correction is None or settlement.fate in {Fate.DUPLICATE, Fate.DEAD}:
            return
        self.contents[correction.id] = content_sha256(correction)
        for change in (*([settlement.change] if settlement.change else ()), *settlement.displaced):
            self._apply(change, correction)

    def _apply(self, change: Change, correction: Correction) -> None:
        key = change.key
        self.changes[key] = change.fact
        self.lasts[key] = LastChange(correction_id=correction.id, reported_at_s=correction.provenance.time_s)
        self.names.setdefault(_name(key), key)
        if change.fact is not None:
            self.versions[key] = change.fact.version

    def _about(self, subject: str, tenant: str) -> list[Fact]:
        name = identity(subject)
        recorded = [f for f in self.ledger.find_fact(subject) if f.key not in self.changes]
        new = [fact for fact in self.changes.values() if fact is not None]
        return [f for f in (*recorded, *new) if f.key.tenant == tenant and identity(f.key.subject) == name]

    def _canonical(self, key: FactKey) -> FactKey:
        return self.names.get(_name(key)) or self.ledger.canonical(key)


def _name(key: FactKey) -> tuple[str, str, str]:
    return identity(key.subject), identity(key.relation), key.tenant


def _first(ahead: Mapping[K, V], recorded: Callable[[K], W]) -> Callable[[K], V | W]:
    return lambda name: ahead[name] if name in ahead else recorded(name)
