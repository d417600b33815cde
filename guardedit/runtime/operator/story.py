"""Tells the whole story of a correction from the ledger's events: what happened to it, in order, and why.

Older ledgers lack the notes of proposals and the facts of trials. There the story follows from the edits that
were made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from guardedit.agent.kept import KeptFacts
from guardedit.core.correction import decode_correction
from guardedit.core.errors import CorrectionError, UsageError
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.messages import Fate
from guardedit.ledger.inbox import Entry
from guardedit.ledger.reading import LedgerReader
from guardedit.runtime.opening import begun

#: Words for an epoch of each kind that removes a fact or puts another in its place.
_REMOVED = {"expire": "expired", "undo": "undone", "rollback": "rolled back"}
#: Kinds of events about one row of the inbox, with the text of the step.
_OF_MESSAGES = {
    "settled": "",
    "approved": "",
    "released": "it is decided again, and not held",
    "retried": "the dead letter is read again",
    "dropped": "the dead letter is no longer listed",
}
#: Steps that one transaction records, in the order in which they happen.
_TOGETHER = {"received": 0, "decided": 1, "remembered": 2}
#: Kinds of events that a story is made of.
_KINDS = (*_OF_MESSAGES, "epoch", "proposed", "edits", "trial", "kept", "turned_away", "fact_released")


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One step of the story. `at_s` is in seconds since 1970, UTC; None for what is true now."""

    at_s: float | None
    step: str
    text: str


@dataclass
class _Subject:
    """What the story is about: inbox rows, facts and their keys, and the edits of these facts."""

    rows: dict[int, Entry] = field(default_factory=dict)
    facts: set[str] = field(default_factory=set)
    keys: set[FactKey] = field(default_factory=set)
    digests: set[str] = field(default_factory=set)


def story(ledger: LedgerReader, name: str, *, now_s: float) -> list[Happening]:
    """The story of a correction, by its id, by the id of its fact, or by the number of its inbox row.

    Raises:
        UsageError: nothing has this id.
    """
    about = _find(ledger, name)
    told = [
        Happening(at_s=row.received_at_s, step="received", text=f"from {row.source}, {row.position}")
        for row in about.rows.values()
    ]
    live: dict[FactKey, str] = {}
    for _, at_s, kind, body in ledger.timed_events(kinds=_KINDS) if begun(ledger) else ():
        told += [Happening(at_s=at_s, step=step, text=text) for step, text in _told(about, kind, body, live)]
    # What is recorded together has one time; it is told in the order in which it happens.
    told.sort(key=lambda one: (one.at_s or 0.0, _TOGETHER.get(one.step, len(_TOGETHER))))
    return [*told, Happening(at_s=None, step="now", text=_now(ledger, about, now_s=now_s))]


def _find(ledger: LedgerReader, name: str) -> _Subject:
    entries = ledger.entries(limit=-1)
    named = [row for row in entries if name == row.correction_id or _waits_as(name, row)]
    facts = [fact for fact in ledger.find_fact(name) if fact.id == name] if begun(ledger) else []
    if not (named or facts):  # an id may look like the number of a row, which then is another correction's
        named = [row for row in entries if name == str(row.seq)]
    rows = {row.seq: row for row in named}
    corrections = {row.correction_id for row in rows.values()} | {fact.correction_id for fact in facts}
    corrections.discard(None)
    rows |= {row.seq: row for row in entries if row.correction_id in corrections}
    about = _Subject(rows=rows, facts={fact.id for fact in facts}, keys={fact.key for fact in facts})
    for _, _, body in ledger.events(kinds=("epoch",)) if begun(ledger) else ():
        for change in body["changes"]:
            fact = change["fact"]
            if fact is not None and change["correction_id"] in corrections:
                about.facts.add(change["fact_id"])
                about.keys.add(FactKey(*change["key"]))
    if not (rows or facts):
        raise UsageError(
            f"nothing has the id {name!r}: give the id of a correction, of a fact (`guardedit facts list`), "
            "or the number of a message (`guardedit dlq list`)"
        )
    return about


def _waits_as(name: str, row: Entry) -> bool:
    """Whether an undecided row contains the correction of this id: the ledger has not decoded it yet."""
    if row.fate is not Fate.RECEIVED:
        return False
    try:
        return decode_correction(row.raw, recorded=True).id == name
    except CorrectionError:
        return False


def _told(
    about: _Subject, kind: str, body: Mapping[str, Any], live: dict[FactKey, str]
) -> Iterator[tuple[str, str]]:
    """(step, text) of what one event says about the subject; `live` is kept up to date."""
    if kind in _OF_MESSAGES:
        if body["seq"] in about.rows:
            yield _of_message(kind, body)
        return
    match kind:
        case "epoch":
            yield from _epoch(about, body, live)
        case "proposed":
            yield from _proposed(about, body)
        case "edits":
            yield from _edits(about, body)
        case "trial" if about.digests & set(body["edits"]) or about.facts & set(body.get("facts", ())):
            yield "tried", _verdict(body["verdict"], len(body["edits"]), body.get("seconds"))
        case "kept" | "turned_away":
            yield from _kept(about, body)
        case "fact_released" if about.facts & set(body["facts"]):
            yield "released", "an operator lets it be tried for the weights again"


def _kept(about: _Subject, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    reasons = body["facts"] if "facts" in body else body["reasons"]  # `reasons` in older ledgers, as texts
    for fact in sorted(about.facts & set(reasons)):
        why = reasons[fact]
        yield "kept in memory", why if isinstance(why, str) else f"{why['code']}: {why['reason']}"


def _of_message(kind: str, body: Mapping[str, Any]) -> tuple[str, str]:
    if kind == "approved":
        return "approved", f"by {body['by']}"
    return ("decided", _decided(body)) if kind == "settled" else (kind, _OF_MESSAGES[kind])


def _decided(body: Mapping[str, Any]) -> str:
    made = body["decision"]
    if not made:
        return f"{body['fate']}: {body['reason']}"
    method = f" by {made['method']}" if made["method"] else ""
    signed = f", signed by key {key}" if (key := made.get("signed_by")) else ""  # older ledgers have none
    return f"{body['fate']}: route {made['route']}{method}, rule {made['rule']}{signed}: {body['reason']}"


def _proposed(about: _Subject, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if about.facts & set(body["facts"]):
        text = f"{body['method']}, with {_counted(len(body['facts']), 'fact')} in {body['seconds']:.1f} s"
        refused = [body["refused"][fact] for fact in sorted(about.facts & set(body["refused"]))]
        yield "proposed", f"{text}; refused: {'; '.join(refused)}" if refused else text


def _edits(about: _Subject, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for made in body["made"]:
        edit = made["edit"]
        if about.facts & set(edit["facts"]):
            about.digests.add(edit["digest"])
            yield "edit made", f"{edit['method']}, edit {edit['digest'][:12]} of {edit['subject']!r}"


def _epoch(about: _Subject, body: Mapping[str, Any], live: dict[FactKey, str]) -> Iterator[tuple[str, str]]:
    epoch = f"epoch {body['number']}"
    for change in body["changes"]:
        key, fact = FactKey(*change["key"]), change["fact"]
        before, live_id = live.get(key), change["fact_id"]
        if fact is None:
            live.pop(key, None)
        else:
            live[key] = live_id
        if live_id in about.facts:
            yield _placed(fact["placement"], body, epoch, restored=before != live_id)
        elif before in about.facts:
            yield _replaced(change, body, epoch)


def _placed(placement: str, body: Mapping[str, Any], epoch: str, *, restored: bool) -> tuple[str, str]:
    if placement == Placement.WEIGHTS:
        verdict = body["verdict"]
        trial = f"; trial: {_verdict(verdict, len(body['edits_added']), None)}" if verdict else ""
        return "promoted", f"into the weights in {epoch} ({body['kind']}){trial}"
    if body["kind"] in ("remember", "base"):
        return "remembered", f"answered from memory since {epoch}"
    step = "restored" if restored else _REMOVED.get(body["kind"], "moved to memory")
    return step, f"in memory since {epoch}: {body['reason']}"


def _replaced(change: Mapping[str, Any], body: Mapping[str, Any], epoch: str) -> tuple[str, str]:
    by = f": {body['reason']}"
    if change["correction_id"] and body["kind"] not in _REMOVED:
        by = f" by correction {change['correction_id']}"
    if change["fact"] is None:
        return _REMOVED.get(body["kind"], "retracted"), f"in {epoch}{by}"
    return _REMOVED.get(body["kind"], "superseded"), f"in {epoch}{by}, by fact {change['fact_id']}"


def _verdict(verdict: Mapping[str, Any], edits: int, seconds: float | None) -> str:
    """The outcome, with the numbers of the gates that decided; for an accepting verdict of all gates."""
    failed = [gate for gate in verdict["gates"] if gate["outcome"] != "accept" and not gate.get("shadow")]
    numbers = ", ".join(
        f"{gate['name']} {_number(gate['value'])} (limit {_number(gate['limit'])})"
        for gate in failed or verdict["gates"]
    )
    lasted = f" in {seconds:.1f} s" if seconds is not None else ""
    count = _counted(edits, "edit")
    return f"{verdict['outcome']}, {count}{lasted}" + (f": {numbers}" if numbers else "")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)


def _now(ledger: LedgerReader, about: _Subject, *, now_s: float) -> str:
    """What an asker gets at this moment."""
    live = _live(ledger, about, now_s=now_s)
    mine = [fact for fact in live if fact.id in about.facts]
    if not mine:
        others = "; ".join(f"{fact.target!r}, fact {fact.id}" for fact in live)
        waits = any(row.fate in (Fate.RECEIVED, Fate.HELD) for row in about.rows.values())
        why = "it waits for a decision" if waits else "no fact of this correction is live"
        return f"{why}; an asker gets {others or 'what the model itself answers'}"
    fact = mine[0]
    where = "the weights" if fact.placement is Placement.WEIGHTS else "memory"
    kept = KeptFacts(ledger).now().get(fact.id)
    stays = ""
    if kept is not None and fact.placement is Placement.MEMORY:
        stays = f"; {kept.code}, will be tried again" if kept.waits else f"; stays there: {kept.code}"
    return f"an asker gets {fact.target!r} from {where}{stays}, epoch {ledger.epoch().number}"


def _live(ledger: LedgerReader, about: _Subject, *, now_s: float) -> Sequence[Fact]:
    if not begun(ledger):
        return ()
    return [fact for key, fact in ledger.live().items() if key in about.keys and not fact.expired(now_s)]
