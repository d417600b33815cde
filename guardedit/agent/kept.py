"""Computes which facts stay out of the weights, and why, from the ledger's events alone. Pure.

    kept         in memory, with a reason: `full`, `harm`, or `refused` by the editor
    quarantined  taken out of the weights after a breach, or by an operator
    undecided    its trials could not decide; it is tried again with more probes
    held         undecided too often: it waits for a person

Every such fact is live and is answered from memory. It leaves the list when an operator releases it, when it
enters the weights, or when a newer correction replaces it (that is another fact, with another id). A fact
that is kept because the layer was full also leaves it as soon as edits have left the layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from guardedit.core.fact import Placement

FULL, HARM, REFUSED, UNDECIDED = "full", "harm", "refused", "undecided"
BREACH, OPERATOR = "breach", "operator"

#: A fact is held after this many trials that could not decide about it.
MOST_TRIES = 3
#: Kinds of events that change the list. Older ledgers have `turned_away` instead of `kept`.
KINDS = ("kept", "fact_released", "epoch", "turned_away")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Why one fact stays out of the weights.

    Attributes:
        code: one of the codes above.
        reason: for people; names the gate with its value and limit if a gate decided.
        epoch: the epoch that shows the reason, such as the one rolled back after a breach.
        tries: number of trials that could not decide.
        since_s: when this code was first recorded, seconds since 1970, UTC.
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
        """Whether the fact is tried again without an operator."""
        return self.state == "undecided"

    @property
    def unsuitable(self) -> bool:
        """Whether the reason is the fact itself: it is harmful, refused or held, not merely without room."""
        return self.code in {HARM, REFUSED, BREACH} or self.state == "held"

    def to_json(self) -> dict[str, Any]:
        """Plain data for the ledger; the event itself has the time."""
        return {"code": self.code, "reason": self.reason, "epoch": self.epoch, "tries": self.tries}


class TimedEvents(Protocol):
    """The part of a ledger that is read here."""

    def timed_events(
        self, *, since: int = 0, kinds: Sequence[str] | None = None
    ) -> Iterable[tuple[int, float, str, Mapping[str, Any]]]:
        """(seq, seconds since 1970, kind, body), oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptState:
    """The state after the events so far.

    Attributes:
        kept: fact id -> why it stays out of the weights.
        inside: key -> id of its fact, for facts in the weights.
    """

    kept: Mapping[str, Kept] = field(default_factory=dict)
    inside: Mapping[tuple[str, ...], str] = field(default_factory=dict)


class KeptFacts:
    """The facts that stay out of the weights, by the ledger's events. Each call reads only new events."""

    def __init__(self, ledger: TimedEvents) -> None:
        self._ledger, self._seen = ledger, 0
        self._state = KeptState()

    def now(self) -> Mapping[str, Kept]:
        """Fact id -> why it stays out of the weights, at this moment."""
        for seq, at_s, kind, body in self._ledger.timed_events(since=self._seen, kinds=KINDS):
            self._state, self._seen = next_state(self._state, kind, body, at_s), seq
        return self._state.kept


def next_state(state: KeptState, kind: str, body: Mapping[str, Any], at_s: float) -> KeptState:
    """The state after one more event; `kind` is one of `KINDS`.

    >>> full = {"f1": Kept(code="full", reason="no room"), "f2": Kept(code="harm", reason="perplexity")}
    >>> freed = {"kind": "undo", "reason": "", "changes": [], "edits_removed": ["e"], "edits_added": []}
    >>> list(next_state(KeptState(kept=full), "epoch", freed, 0.0).kept)
    ['f2']
    """
    kept = state.kept
    match kind:
        case "kept":
            new = {fact: _recorded(kept.get(fact), why, at_s) for fact, why in body["facts"].items()}
            return replace(state, kept={**kept, **new})
        case "turned_away":
            new = {fact: _older_record(reason, at_s) for fact, reason in body["reasons"].items()}
            return replace(state, kept={**kept, **new})
        case "fact_released":
            remaining = {fact: why for fact, why in kept.items() if fact not in body["facts"]}
            return replace(state, kept=remaining)
        case _:
            return _after_epoch(state, body, at_s)


def _recorded(previous: Kept | None, recorded: Mapping[str, Any], at_s: float) -> Kept:
    """`since_s` is the time of the first record with the same code."""
    kept = Kept(**recorded, since_s=at_s)
    if previous is not None and previous.code == kept.code:
        return replace(kept, since_s=previous.since_s)
    return kept


def _older_record(reason: str, at_s: float) -> Kept:
    code = FULL if reason.partition(":")[0] == FULL else HARM
    return Kept(code=code, reason=reason, since_s=at_s)


def _after_epoch(state: KeptState, body: Mapping[str, Any], at_s: float) -> KeptState:
    """Remove facts that entered the weights; add those that an operator's rollback took out of them."""
    inside = _inside_after(state.inside, body["changes"])
    entered = set(inside.values()) - set(state.inside.values())
    kept = {fact: why for fact, why in state.kept.items() if fact not in entered}
    if len(body["edits_removed"]) > len(body["edits_added"]):
        kept = {fact: why for fact, why in kept.items() if why.code != FULL}
    if body["kind"] == "rollback" and not body["reason"].startswith("drift:"):
        why = Kept(code=OPERATOR, reason=body["reason"], epoch=body["number"], since_s=at_s)
        removed = set(state.inside.values()) - set(inside.values())
        live = {change["fact_id"] for change in body["changes"]}
        kept |= {fact: why for fact in sorted(removed & live) if fact not in kept}
    return KeptState(kept=kept, inside=inside)


def _inside_after(
    inside: Mapping[tuple[str, ...], str], changes: Iterable[Mapping[str, Any]]
) -> Mapping[tuple[str, ...], str]:
    result = dict(inside)
    for change in changes:
        key, fact = tuple(change["key"]), change["fact"]
        result.pop(key, None)
        if fact is not None and fact["placement"] == Placement.WEIGHTS:
            result[key] = change["fact_id"]
    return result
