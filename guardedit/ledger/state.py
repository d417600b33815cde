"""What is live in an epoch: its facts and its weight edits, read from the recorded changes.

History is one line: every epoch stands on the one before it, so an epoch is the sum of all changes up to
its number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from guardedit.core.epoch import Change
from guardedit.core.errors import LedgerCorrupt
from guardedit.core.fact import Fact, FactKey
from guardedit.ledger.database import Database, read_json

#: Digest -> the fact ids it stands for as JSON text; None: ceased to be live.
Moves = Mapping[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Facts in the order of their latest change, and edits as digest -> JSON text of fact ids."""

    number: int
    facts: Mapping[FactKey, Fact]
    edits: Mapping[str, str]


def changed(facts: Mapping[FactKey, Fact], changes: Iterable[Change]) -> dict[FactKey, Fact]:
    """The facts after the changes. A fact that changed moves to the end."""
    after = dict(facts)
    for key, fact in changes:
        after.pop(key, None)
        if fact is not None:
            after[key] = fact
    return after


def moved(edits: Mapping[str, str], moves: Moves) -> dict[str, str]:
    """The edits after the moves, in canonical order: sorted by digest."""
    after: dict[str, str | None] = {**edits, **moves}
    return {digest: facts for digest, facts in sorted(after.items()) if facts is not None}


def state_at(database: Database, number: int) -> State:
    """What was live in an epoch."""
    changes = (change for _, change in _changes(database, number))
    moves = {digest: facts for _, digest, facts in _moves(database, number)}
    return State(number=number, facts=changed({}, changes), edits=moved({}, moves))


def edits_at(database: Database, number: int) -> dict[str, str]:
    """The weight edits of an epoch alone."""
    return moved({}, {digest: facts for _, digest, facts in _moves(database, number)})


def states(database: Database, last: int) -> Iterator[State]:
    """The state of every epoch from 0 to `last`."""
    changes: dict[int, list[Change]] = defaultdict(list)
    for epoch, change in _changes(database, last):
        changes[epoch].append(change)
    facts: dict[FactKey, Fact] = {}
    for number, edits in enumerate(edits_of_all(database, last)):
        if number in changes:
            facts = changed(facts, changes[number])
        yield State(number=number, facts=facts, edits=edits)


def edits_of_all(database: Database, last: int) -> Iterator[dict[str, str]]:
    """The weight edits of every epoch from 0 to `last`; the same object while nothing moves."""
    moves: dict[int, dict[str, str | None]] = defaultdict(dict)
    for epoch, digest, facts in _moves(database, last):
        moves[epoch][digest] = facts
    edits: dict[str, str] = {}
    for number in range(last + 1):
        if number in moves:
            edits = moved(edits, moves[number])
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


def _changes(database: Database, last: int) -> Iterator[tuple[int, Change]]:
    rows = database.rows(
        "SELECT epoch, subject, relation, scope, fact FROM changes WHERE epoch <= ? ORDER BY epoch, n",
        (last,),
    )
    for epoch, subject, relation, scope, text in rows:
        fact = None if text is None else read_fact(text)
        yield epoch, Change(FactKey(subject, relation, scope), fact)


def _moves(database: Database, last: int) -> list[tuple[int, str, str | None]]:
    return [
        (epoch, digest, facts)
        for epoch, digest, facts in database.rows(
            "SELECT epoch, digest, facts FROM epoch_edits WHERE epoch <= ? ORDER BY epoch", (last,)
        )
    ]
