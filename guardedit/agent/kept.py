"""Which facts stay out of the weights, and why: a fold over the ledger's events. Pure.

    kept         in memory with a reason: `full`, `harm`, or `refused` by the editor
    quarantined  after a breach, or taken out of the weights by an operator
    undecided    its trials could not decide; it is tried again with more probes
    held         too often undecided: a person has to look

Nothing is lost by any of it: every such fact is live and answers from memory. A fact leaves this list when it
is released, enters the weights, or is corrected anew, which makes it another fact with another id. One that
only found the layer full leaves it as soon as edits have left the layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

FULL, HARM, REFUSED, UNDECIDED = "full", "harm", "refused", "undecided"
BREACH, OPERATOR = "breach", "operator"

#: Trials that may fail to decide about a fact before a person has to look.
MOST_TRIES = 3
#: Kinds of events that say who is kept. `turned_away` is what older ledgers said.
KINDS = ("kept", "fact_released", "epoch", "turned_away")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Why one fact stays out of the weights.

    Attributes:
        code: one of the codes above.
        reason: for people; names the gate with value and limit where one decided.
        epoch: the epoch that shows it, as the rolled-back one after a breach.
        tries: trials that could not decide.
        since_s: when it was first said, seconds since 1970, UTC.
    """

    code: str
    reason: str
    epoch: int | None = None
    tries: int = 0
    since_s: float | None = None

    @property
    def state(self) -> str:
        """`kept`, `quarantined`, `undecided` or `held`."""
        if self.code in {BREACH, OPERATOR}:
            return "quarantined"
        if self.code == UNDECIDED:
            return "held" if self.tries >= MOST_TRIES else "undecided"
        return "kept"

    @property
    def waits(self) -> bool:
        """Whether the fact is tried again by itself."""
        return self.state == "undecided"

    @property
    def turned_away(self) -> bool:
        """Whether the fact itself was found wanting, or nobody could decide about it in the end."""
        return self.code in {HARM, REFUSED, BREACH} or self.state == "held"

    def to_json(self) -> dict[str, Any]:
        """Plain data for the ledger; the time is the event's own."""
        return {"code": self.code, "reason": self.reason, "epoch": self.epoch, "tries": self.tries}


class Events(Protocol):
    """The part of a ledger that is read here."""

    def timed_events(
        self, *, since: int = 0, kinds: Sequence[str] | None = None
    ) -> Iterable[tuple[int, float, str, Mapping[str, Any]]]:
        """(seq, seconds since 1970, kind, body), oldest first."""


class KeptFacts:
    """Fact id -> why it is kept, as the ledger has it; reads on where it stopped."""

    def __init__(self, ledger: Events) -> None:
        self._ledger, self._seen = ledger, 0
        self._kept: dict[str, Kept] = {}

    def now(self) -> Mapping[str, Kept]:
        """Those kept at this moment."""
        for seq, at_s, kind, body in self._ledger.timed_events(since=self._seen, kinds=KINDS):
            self._kept, self._seen = after(self._kept, kind, body, at_s), seq
        return self._kept


def after(kept: Mapping[str, Kept], kind: str, body: Mapping[str, Any], at_s: float) -> dict[str, Kept]:
    """Fact id -> why it is kept after one more event; `kind` is one of `KINDS`.

    >>> full = {"f1": Kept(code="full", reason="no room"), "f2": Kept(code="harm", reason="perplexity")}
    >>> freed = {"kind": "undo", "reason": "", "changes": [], "edits_removed": ["e"], "edits_added": []}
    >>> list(after(full, "epoch", freed, 0.0))
    ['f2']
    """
    match kind:
        case "kept":
            return {**kept, **{f: _said(kept.get(f), said, at_s) for f, said in body["facts"].items()}}
        case "turned_away":
            return {**kept, **{f: _older(reason, at_s) for f, reason in body["reasons"].items()}}
        case "fact_released":
            return {fact: why for fact, why in kept.items() if fact not in body["facts"]}
        case _:
            return _after_epoch(kept, body, at_s)


def _said(before: Kept | None, said: Mapping[str, Any], at_s: float) -> Kept:
    kept = Kept(**said, since_s=at_s)
    same = before is not None and before.code == kept.code
    return replace(kept, since_s=before.since_s) if before is not None and same else kept


def _older(reason: str, at_s: float) -> Kept:
    code = FULL if reason.partition(":")[0] == FULL else HARM
    return Kept(code=code, reason=reason, since_s=at_s)


def _after_epoch(kept: Mapping[str, Kept], body: Mapping[str, Any], at_s: float) -> dict[str, Kept]:
    """Facts that entered the weights go; those that an operator's rollback took out of them come."""
    placed = {c["fact_id"]: c["fact"]["placement"] for c in body["changes"] if c["fact"] is not None}
    left = {fact: why for fact, why in kept.items() if placed.get(fact) != "weights"}
    if len(body["edits_removed"]) > len(body["edits_added"]):
        left = {fact: why for fact, why in left.items() if why.code != FULL}
    if body["kind"] == "rollback" and not body["reason"].startswith(("drift:", "recovery:", "gate:")):
        why = Kept(code=OPERATOR, reason=body["reason"], epoch=body["number"], since_s=at_s)
        left |= {fact: why for fact, place in placed.items() if place == "memory" and fact not in left}
    return left
