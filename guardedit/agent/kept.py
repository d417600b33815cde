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
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from guardedit.core.fact import Placement

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the events say so far: who is kept by fact id, and by key which fact the weights hold."""

    kept: Mapping[str, Kept] = field(default_factory=dict)
    inside: Mapping[tuple[str, ...], str] = field(default_factory=dict)


class KeptFacts:
    """Fact id -> why it is kept, as the ledger has it; reads on where it stopped."""

    def __init__(self, ledger: Events) -> None:
        self._ledger, self._seen = ledger, 0
        self._standing = Standing()

    def now(self) -> Mapping[str, Kept]:
        """Those kept at this moment."""
        for seq, at_s, kind, body in self._ledger.timed_events(since=self._seen, kinds=KINDS):
            self._standing, self._seen = after(self._standing, kind, body, at_s), seq
        return self._standing.kept


def after(standing: Standing, kind: str, body: Mapping[str, Any], at_s: float) -> Standing:
    """How things stand after one more event; `kind` is one of `KINDS`.

    >>> full = {"f1": Kept(code="full", reason="no room"), "f2": Kept(code="harm", reason="perplexity")}
    >>> freed = {"kind": "undo", "reason": "", "changes": [], "edits_removed": ["e"], "edits_added": []}
    >>> list(after(Standing(kept=full), "epoch", freed, 0.0).kept)
    ['f2']
    """
    kept = standing.kept
    match kind:
        case "kept":
            said = {fact: _said(kept.get(fact), why, at_s) for fact, why in body["facts"].items()}
            return replace(standing, kept={**kept, **said})
        case "turned_away":
            said = {fact: _older(reason, at_s) for fact, reason in body["reasons"].items()}
            return replace(standing, kept={**kept, **said})
        case "fact_released":
            left = {fact: why for fact, why in kept.items() if fact not in body["facts"]}
            return replace(standing, kept=left)
        case _:
            return _after_epoch(standing, body, at_s)


def _said(before: Kept | None, said: Mapping[str, Any], at_s: float) -> Kept:
    kept = Kept(**said, since_s=at_s)
    same = before is not None and before.code == kept.code
    return replace(kept, since_s=before.since_s) if before is not None and same else kept


def _older(reason: str, at_s: float) -> Kept:
    code = FULL if reason.partition(":")[0] == FULL else HARM
    return Kept(code=code, reason=reason, since_s=at_s)


def _after_epoch(standing: Standing, body: Mapping[str, Any], at_s: float) -> Standing:
    """Facts that entered the weights go; those that an operator's rollback took out of them come."""
    inside = _inside_after(standing.inside, body["changes"])
    entered = set(inside.values()) - set(standing.inside.values())
    kept = {fact: why for fact, why in standing.kept.items() if fact not in entered}
    if len(body["edits_removed"]) > len(body["edits_added"]):
        kept = {fact: why for fact, why in kept.items() if why.code != FULL}
    if body["kind"] == "rollback" and not body["reason"].startswith(("drift:", "recovery:", "gate:")):
        why = Kept(code=OPERATOR, reason=body["reason"], epoch=body["number"], since_s=at_s)
        left = set(standing.inside.values()) - set(inside.values())
        live = {change["fact_id"] for change in body["changes"]}
        kept |= {fact: why for fact in sorted(left & live) if fact not in kept}
    return Standing(kept=kept, inside=inside)


def _inside_after(
    inside: Mapping[tuple[str, ...], str], changes: Iterable[Mapping[str, Any]]
) -> Mapping[tuple[str, ...], str]:
    after_all = dict(inside)
    for change in changes:
        key, fact = tuple(change["key"]), change["fact"]
        after_all.pop(key, None)
        if fact is not None and fact["placement"] == Placement.WEIGHTS:
            after_all[key] = change["fact_id"]
    return after_all
