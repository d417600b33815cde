"""`State`: what is live in an epoch, computed from the recorded changes.

The history is linear: every epoch builds on the one before it. So the state of an epoch is the result of all
changes up to its number, and a known state can be advanced with the changes of later epochs alone.
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

#: Edits by digest -> JSON list of their fact ids.
Edits = Mapping[str, str]
#: What an epoch does to the edits: digest -> JSON list of fact ids, or None where the edit is removed.
EditChanges = Mapping[str, str | None]

_CHANGES = (
    "SELECT epoch, subject, relation, tenant, target, fact FROM changes"
    " WHERE epoch > ? AND epoch <= ? ORDER BY epoch, n"
)
_EDIT_CHANGES = "SELECT epoch, digest, facts FROM epoch_edits WHERE epoch > ? AND epoch <= ? ORDER BY epoch"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is live in epoch `number`.

    Attributes:
        number: the epoch.
        facts: live facts, those that changed last at the end.
        edits: live weight edits, sorted by digest.
        total: the `facts_sum` of the facts.
    """

    number: int
    facts: Mapping[FactKey, Fact]
    edits: Edits
    total: int


#: The state before epoch 0.
EMPTY = State(number=-1, facts=MappingProxyType({}), edits=MappingProxyType({}), total=0)


def with_changes(state: State, changes: Collection[Change]) -> State:
    """The state with these fact changes applied. A fact that changed moves to the end."""
    facts = dict(state.facts)
    _apply(facts, changes)
    touched = {change.key for change in changes}
    total = facts_sum(_of(facts, touched), start=state.total, removed=_of(state.facts, touched))
    return replace(state, facts=facts, total=total)


def with_edit_changes(edits: Edits, changes: EditChanges) -> Edits:
    """The edits with these changes applied, in canonical order: sorted by digest."""
    if not changes:
        return edits
    after: dict[str, str | None] = {**edits, **changes}
    return {digest: facts for digest, facts in sorted(after.items()) if facts is not None}


def state_at(database: Database, number: int) -> State:
    """The state of an epoch, read from the beginning."""
    return advance(database, EMPTY, number)


def advance(database: Database, state: State, number: int) -> State:
    """The state of a later epoch. The cost depends on the number of changes since."""
    changes = changes_between(database, state.number, number)
    edits = {digest: facts for _, digest, facts in database.rows(_EDIT_CHANGES, (state.number, number))}
    return replace(with_changes(state, changes), number=number, edits=with_edit_changes(state.edits, edits))


def changes_between(database: Database, after: int, last: int) -> list[Change]:
    """The recorded changes of the epochs after `after` up to `last`, in order."""
    return [change for _, change in _changes(database, after, last)]


def edits_at(database: Database, number: int) -> Edits:
    """The weight edits of an epoch, without its facts."""
    changes = {digest: facts for _, digest, facts in database.rows(_EDIT_CHANGES, (-1, number))}
    return with_edit_changes({}, changes)


def facts_sums(database: Database, last: int) -> Iterator[int]:
    """The `facts_sum` of every epoch from 0 to `last`."""
    by_epoch = {
        number: [change for _, change in group]
        for number, group in groupby(_changes(database, -1, last), key=itemgetter(0))
    }
    facts: dict[FactKey, Fact] = {}
    total = 0
    for number in range(last + 1):
        changes = by_epoch.get(number, [])
        touched = {change.key for change in changes}
        removed = list(_of(facts, touched))
        _apply(facts, changes)
        total = facts_sum(_of(facts, touched), start=total, removed=removed)
        yield total


def edits_of_all(database: Database, last: int) -> Iterator[Edits]:
    """The weight edits of every epoch from 0 to `last`; the same object while they do not change."""
    by_epoch = {
        number: {digest: facts for _, digest, facts in group}
        for number, group in groupby(database.rows(_EDIT_CHANGES, (-1, last)), key=itemgetter(0))
    }
    edits: Edits = {}
    for number in range(last + 1):
        edits = with_edit_changes(edits, by_epoch.get(number, {}))
        yield edits


def read_fact(text: str) -> Fact:
    """Decode a recorded fact.

    Raises:
        LedgerCorrupt: the text is not a fact.
    """
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
    for epoch, subject, relation, tenant, target, text in database.rows(_CHANGES, (after, last)):
        fact = None if text is None else read_fact(text)
        yield epoch, Change(FactKey(subject, relation, tenant, target), fact)
