"""Tests rollback, undo, redo and restart of a running system, by comparing digests."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from guardedit.core.epoch import Epoch, state_sha256
from guardedit.core.fact import Placement
from guardedit.ledger.reading import LedgerReader
from guardedit.runtime.system import System

#: Facts that are undone and redone.
UNDONE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class HashCheck:
    """One comparison of digests."""

    name: str
    expected: str
    found: str

    @property
    def equal(self) -> bool:
        """Whether they are equal."""
        return self.expected == self.found


def check_recovery(
    system: System, ledger: LedgerReader, *, seed: int, tell: Callable[[str], None] = lambda _: None
) -> list[HashCheck]:
    """Run these steps and compare digests at every point.

    1. Roll back the weights to an earlier epoch. Its edits are folded again, and no fact is lost.
    2. Roll back all of that epoch that has not expired, then all of the last one.
    3. Undo and redo five facts, in two different orders.
    4. Kill the coordinator and fold the weights from the ledger.

    Args:
        system: running system without pending work.
        ledger: ledger of the system, opened for reading.
        seed: seed of the facts and orders.
        tell: called before each step.
    """
    checks: list[HashCheck] = []
    end = system.epoch()
    tell("rolling back")
    checks += _roll_back(system, ledger, end)
    tell("undoing and redoing")
    checks += _undo_and_redo(system, ledger, random.Random(seed))
    tell("restarting the coordinator")
    before = system.epoch()
    system.restart_coordinator()
    after = system.epoch()
    checks.append(HashCheck(name="restart", expected=before.state_sha256, found=after.state_sha256))
    folded = system.worker.weights_sha256(ledger.edits())
    checks.append(HashCheck(name="restart: folded", expected=end.weights_sha256, found=folded))
    return checks


def _roll_back(system: System, ledger: LedgerReader, end: Epoch) -> Iterator[HashCheck]:
    earlier = _middle(ledger, end)
    live = ledger.live()
    alive = {fact.id for fact in live.values()}
    kept = [edit for edit in ledger.edits(earlier.number) if set(edit.facts) <= alive]
    inside = {name for edit in kept for name in edit.facts}
    placed = [f.placed(Placement.WEIGHTS if f.id in inside else Placement.MEMORY) for f in live.values()]
    folded = system.worker.weights_sha256(kept)
    back = system.roll_back(earlier.number)
    yield HashCheck(name="rollback: weights", expected=folded, found=back.weights_sha256)
    expected = state_sha256(end.base_sha256, folded, placed)
    yield HashCheck(name="rollback: every fact still live", expected=expected, found=back.state_sha256)
    for epoch in (earlier, end):
        # Facts that have expired since are not restored by a rollback.
        valid = [fact for fact in ledger.live(epoch.number).values() if not fact.expired(time.time())]
        expected = state_sha256(epoch.base_sha256, epoch.weights_sha256, valid)
        found = system.roll_back(epoch.number, facts_too=True)
        name = f"everything of epoch {epoch.number}"
        yield HashCheck(name=name, expected=expected, found=found.state_sha256)


def _middle(ledger: LedgerReader, end: Epoch) -> Epoch:
    """The epoch of the median promotion; without promotions, the median epoch."""
    epochs = [epoch for epoch in ledger.epochs() if epoch.number <= end.number]
    promoted = [epoch for epoch in epochs if epoch.kind == "promote"] or epochs
    return promoted[len(promoted) // 2]


def _undo_and_redo(system: System, ledger: LedgerReader, rng: random.Random) -> Iterator[HashCheck]:
    before = system.epoch()
    live = list(ledger.live().values())
    in_weights = [fact for fact in live if fact.placement is Placement.WEIGHTS]
    chosen = rng.sample(in_weights, min(UNDONE, len(in_weights)))
    chosen += rng.sample([f for f in live if f not in in_weights], UNDONE - len(chosen))
    for fact in chosen:
        undone = system.undo(fact.id)
        folded = system.worker.weights_sha256(ledger.edits())
        yield HashCheck(name=f"undo {fact.key}", expected=folded, found=undone.weights_sha256)
    for fact in rng.sample(chosen, len(chosen)):
        system.redo(fact.id)
    after = system.epoch()
    yield HashCheck(name="redo: state", expected=before.state_sha256, found=after.state_sha256)
    yield HashCheck(name="redo: weights", expected=before.weights_sha256, found=after.weights_sha256)
