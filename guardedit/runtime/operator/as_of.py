"""The facts that hold at a time, by everything that the ledger has recorded up to an epoch.

Two times are kept apart. Valid time is when a fact holds in the world: from `valid_from`, else from when its
source reported it, else from when it was recorded, until `valid_until` or until another statement about its
key begins. Recorded time is when the ledger learned it: an epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.serving import Snapshot
from guardedit.ledger.history import TimedChange
from guardedit.ledger.reading import LedgerReader
from guardedit.naming import key_name

#: Kinds of epochs by which an operator takes facts back.
_TAKES_BACK = frozenset({"undo", "redo", "rollback"})


class _Statement(NamedTuple):
    """What is said about a key from `start_s` on: a fact, or that it has none."""

    start_s: float
    fact: Fact | None


def facts_as_of(ledger: LedgerReader, at_s: float, *, epoch: int) -> list[Fact]:
    """The facts that hold at `at_s`, by what was recorded up to `epoch`; the latest change last.

    Args:
        ledger: the ledger.
        at_s: seconds since 1970, UTC; before the first fact nothing holds, and a time to come asks for what
            will hold as far as is known now.
        epoch: number of the last epoch that counts.
    """
    by_key: dict[FactKey, list[TimedChange]] = {}
    for change in ledger.timed_changes(epoch):
        by_key.setdefault(key_name(change.key), []).append(change)
    found = [(changes[-1].epoch, fact) for changes in by_key.values() if (fact := fact_at(changes, at_s))]
    return [fact for _, fact in sorted(found, key=lambda one: one[0])]


def snapshot_as_of(ledger: LedgerReader, at_s: float, *, epoch: int) -> Snapshot:
    """The facts that hold at `at_s`, all in memory before the base model, as an epoch to publish.

    Edited weights hold only what is live, so they are left out.
    """
    base = ledger.epoch(0)
    facts = [fact.placed(Placement.MEMORY) for fact in facts_as_of(ledger, at_s, epoch=epoch)]
    made = replace(ledger.epoch(epoch), edits=(), weights_sha256=base.weights_sha256)
    return Snapshot(epoch=made, facts=tuple(facts))


def fact_at(changes: Sequence[TimedChange], at_s: float) -> Fact | None:
    """The fact of one key that holds at `at_s`; None: none does, or it is not known which.

    The latest recorded statement that has begun decides, also if it says that the key has no fact, or if its
    fact has ended. What an operator took back counts as never said.

    Args:
        changes: the recorded changes of the key, oldest first.
        at_s: seconds since 1970, UTC.
    """
    said = next((one for one in reversed(_statements(changes)) if one.start_s <= at_s), None)
    return None if said is None or said.fact is None or said.fact.expired(at_s) else said.fact


def _statements(changes: Iterable[TimedChange]) -> list[_Statement]:
    said: list[_Statement] = []
    starts: dict[str, float] = {}  # a fact that moves or comes back holds since it was first said
    for change in changes:
        fact = change.fact
        if fact is not None:
            first = next((n for n, one in enumerate(said) if one.fact and one.fact.id == fact.id), None)
            # Where it was said before, what came after it was taken back.
            said = [*said[:first], _Statement(starts.setdefault(fact.id, _start_s(change)), fact)]
        elif change.kind in _TAKES_BACK:
            said = []
        elif change.kind != "expire":  # that a fact ends by its `valid_until` is said with the fact
            said.append(_Statement(_start_s(change), None))
    return said


def _start_s(change: TimedChange) -> float:
    if change.fact is not None and change.fact.valid_from_s is not None:
        return change.fact.valid_from_s
    # A source cannot report what is still to come: a later time than that of the record is a wrong clock.
    reported_at_s = change.recorded_at_s if change.reported_at_s is None else change.reported_at_s
    return min(change.recorded_at_s, reported_at_s)
