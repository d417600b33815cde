"""What is live in an epoch: its facts and its weight edits, read from the recorded changes.

History is one line: every epoch stands on the one before it, so an epoch is the sum of all changes up to
its number, and a state can follow the epochs that came after it by their changes alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from types import MappingProxyType

from guardedit.core.epoch import Change, facts_sum
from guardedit.core.errors import LedgerCorrupt
from guardedit.core.fact import Fact, FactKey
from guardedit.ledger.storage.database import Database, read_json

#: Digest -> the fact ids it stands for as JSON text; None: ceased to be live.
Moves = Mapping[str, str | None]

_CHANGES = (
    "SELECT epoch, subject, relation, tenant, fact FROM changes"
    " WHERE epoch > ? AND epoch <= ? ORDER BY epoch, n"
)
_MOVES = "SELECT epoch, digest, facts FROM epoch_edits WHERE epoch > ? AND epoch <= ? ORDER BY epoch"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Facts in the order of their latest change, and edits as digest -> JSON text of fact ids.

    `total` is the `facts_sum` of the facts.
    """

    number: int
    facts: Mapping[FactKey, Fact]
    edits: Mapping[str, str]
    total: int


#: Before the first epoch.
NOTHING = State(number=-1, facts=MappingProxyType({}), edits=MappingProxyType({}), total=0)


def changed(state: State, changes: Collection[Change]) -> State:
    """The state with the facts after the changes. A fact that changed moves to the end."""
    facts = dict(state.facts)
    _apply(facts, changes)
    touched = {change.key for change in changes}
    total = facts_sum(_of(facts, touched), start=state.total, gone=_of(state.facts, touched))
    return replace(state, facts=facts, total=total)


def moved(edits: Mapping[str, str], moves: Moves) -> Mapping[str, str]:
    """The edits after the moves, in canonical order: sorted by digest."""
    if not moves:
        return edits
    after: dict[str, str | None] = {**edits, **moves}
    return {digest: facts for digest, facts in sorted(after.items()) if facts is not None}


def state_at(database: Database, number: int) -> State:
    """What was live in an epoch."""
    return follow(database, NOTHING, number)


def follow(database: Database, state: State, number: int) -> State:
    """What is live in a later epoch, at the cost of what changed since."""
    changes = changes_between(database, state.number, number)
    moves = {digest: facts for _, digest, facts in database.rows(_MOVES, (state.number, number))}
    return replace(changed(state, changes), number=number, edits=moved(state.edits, moves))


def changes_between(database: Database, after: int, last: int) -> list[Change]:
    """The recorded changes of the epochs after `after` up to `last`, in order."""
    return [change for _, change in _changes(database, after, last)]


def edits_at(database: Database, number: int) -> Mapping[str, str]:
    """The weight edits of an epoch alone."""
    return moved({}, {digest: facts for _, digest, facts in database.rows(_MOVES, (-1, number))})


def totals(database: Database, last: int) -> Iterator[int]:
    """The `facts_sum` of every epoch from 0 to `last`."""
    every = {
        number: [change for _, change in group]
        for number, group in groupby(_changes(database, -1, last), key=itemgetter(0))
    }
    facts: dict[FactKey, Fact] = {}
    total = 0
    for number in range(last + 1):
        changes = every.get(number, [])
        touched = {change.key for change in changes}
        gone = list(_of(facts, touched))
        _apply(facts, changes)
        total = facts_sum(_of(facts, touched), start=total, gone=gone)
        yield total


def edits_of_all(database: Database, last: int) -> Iterator[Mapping[str, str]]:
    """The weight edits of every epoch from 0 to `last`; the same object while nothing moves."""
    every = {
        number: {digest: facts for _, digest, facts in group}
        for number, group in groupby(database.rows(_MOVES, (-1, last)), key=itemgetter(0))
    }
    edits: Mapping[str, str] = {}
    for number in range(last + 1):
        edits = moved(edits, every.get(number, {}))
        yield edits


def read_fact(text: str) -> Fact:
    """A fact as it was recorded; LedgerCorrupt when the text is none."""
    try:
        return Fact.from_json(read_json(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LedgerCorrupt(
            f"a recorded fact cannot be read ({error!r}): {text[:120]!r}; run `guardedit verify` and "
            "restore the folder from a backup"
        ) from error


def _apply(facts: dict[FactKey, Fact], changes: Iterable[Change]) -> None:
    for key, fact in changes:
        facts.pop(key, None)
        if fact is not None:
            facts[key] = fact


def _of(facts: Mapping[FactKey, Fact], keys: Iterable[FactKey]) -> Iterator[Fact]:
    return (facts[key] for key in keys if key in facts)


def _changes(database: Database, after: int, last: int) -> Iterator[tuple[int, Change]]:
    for epoch, subject, relation, tenant, text in database.rows(_CHANGES, (after, last)):
        fact = None if text is None else read_fact(text)
        yield epoch, Change(FactKey(subject, relation, tenant), fact)
