"""Driving a running system through a stream, and then through every way back.

Knows a system by its face only, in one process or many. What the numbers mean is said elsewhere.
"""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from guardedit.agent.parts import StepReport
from guardedit.core.epoch import Epoch, state_sha256
from guardedit.core.fact import Placement
from guardedit.core.messages import Delivery
from guardedit.core.protocols import Worker
from guardedit.core.serving import Answer
from guardedit.ledger.reading import LedgerReader
from guardedit.sources.jsonl import read_lines

#: Lines handed in before each turn of the loop.
CHUNK = 20
#: Turns after the last line before a system that still has work to do is called stuck.
MOST_TURNS = 400
#: Facts that are undone and redone.
UNDONE = 5


class System(Protocol):
    """A running guardedit."""

    @property
    def worker(self) -> Worker:
        """Its first model worker."""

    def step(self) -> StepReport:
        """One turn of the loop."""

    def ask(self, prompts: Sequence[str], *, tenant: str = "default") -> list[Answer]:
        """Ask a replica."""

    def epoch(self) -> Epoch:
        """The serving epoch."""

    def roll_back(self, to: int, *, facts_too: bool = False) -> Epoch:
        """Serve an earlier epoch again."""

    def undo(self, fact_id: str) -> Epoch:
        """Take one fact back."""

    def redo(self, fact_id: str) -> Epoch:
        """Bring one fact back."""

    def spent(self) -> dict[str, float]:
        """Seconds by stage since the coordinator started."""

    def restart_coordinator(self) -> None:
        """Kill the coordinator; another goes on from the ledger."""


class Inbox(Protocol):
    """Where messages are handed in, by any process."""

    def receive(self, deliveries: Sequence[Delivery]) -> int:
        """Commit them; returns how many are new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How the stream was worked off.

    `seconds` is work; waiting for facts to expire does not count. `spent` is seconds by stage, over restarts
    of the coordinator.
    """

    submitted: tuple[Delivery, ...]
    turns: int
    seconds: float
    spent: dict[str, float]
    finished: bool


def run_stream(
    system: System,
    inbox: Inbox,
    raw: bytes,
    *,
    name: str,
    settled_by_s: float,
    tell: Callable[[StepReport], None],
    chunk: int = CHUNK,
) -> Run:
    """Hand lines in chunk by chunk, a turn of the loop after each, then turn until nothing is left to do.

    Half way the coordinator is killed once, right after lines came in and before they are decided.

    Args:
        system: running.
        inbox: of the same ledger.
        raw: JSON Lines.
        name: of the submission.
        settled_by_s: seconds since 1970, UTC; a system is not at rest before, since facts have yet to expire.
        tell: called after each turn.
        chunk: lines a turn.
    """
    started = time.monotonic()
    submitted = tuple(read_lines(io.BytesIO(raw), name="demo", submission=name))
    starts = range(0, len(submitted), chunk)
    spent: dict[str, float] = {}
    turns, waited_s = 0, 0.0
    for start in starts:
        inbox.receive(submitted[start : start + chunk])
        if start == starts[len(starts) // 2]:
            _add(spent, system.spent())
            system.restart_coordinator()
        tell(system.step())
        turns += 1
    finished = False
    while not finished and turns < len(starts) + MOST_TURNS:
        report = system.step()
        tell(report)
        turns += 1
        waiting_s = settled_by_s - time.time()
        finished = report.idle and waiting_s < 0
        if report.idle and not finished:
            time.sleep(waiting_s + 0.01)
            waited_s += waiting_s + 0.01
    _add(spent, system.spent())
    return Run(
        submitted=submitted,
        turns=turns,
        seconds=time.monotonic() - started - waited_s,
        spent=spent,
        finished=finished,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HashCheck:
    """One comparison of digests."""

    name: str
    expected: str
    found: str

    @property
    def equal(self) -> bool:
        """Whether they agree."""
        return self.expected == self.found


def check_ways_back(
    system: System, ledger: LedgerReader, *, seed: int, tell: Callable[[str], None] = lambda _: None
) -> list[HashCheck]:
    """Roll back and forward, undo and redo, restart; a digest is compared at every point.

    1. The weights of an earlier epoch: what is folded there, and no fact lost.
    2. Everything of that epoch that has not expired, and everything of the last one again.
    3. Five facts undone and redone, in two different orders.
    4. The coordinator killed, the weights folded from the ledger.

    Args:
        system: at rest.
        ledger: the same, opened for reading.
        seed: of the facts and orders.
        tell: called before each part.
    """
    checks: list[HashCheck] = []
    end = system.epoch()
    tell("rolling back")
    checks += _rolled_back(system, ledger, end)
    tell("undoing and redoing")
    checks += _undone_and_redone(system, ledger, random.Random(seed))
    tell("restarting the coordinator")
    before = system.epoch()
    system.restart_coordinator()
    after = system.epoch()
    checks.append(HashCheck(name="restart", expected=before.state_sha256, found=after.state_sha256))
    folded = system.worker.weights_sha256(ledger.edits())
    checks.append(HashCheck(name="restart: folded", expected=end.weights_sha256, found=folded))
    return checks


def _rolled_back(system: System, ledger: LedgerReader, end: Epoch) -> Iterator[HashCheck]:
    earlier = _half_way(ledger, end)
    live = ledger.live()
    alive = {fact.id for fact in live.values()}
    kept = [edit for edit in ledger.edits(earlier.number) if set(edit.facts) <= alive]
    inside = {name for edit in kept for name in edit.facts}
    placed = [f.placed(Placement.WEIGHTS if f.id in inside else Placement.MEMORY) for f in live.values()]
    folded = system.worker.weights_sha256(kept)
    back = system.roll_back(earlier.number)
    yield HashCheck(name="rollback: weights", expected=folded, found=back.weights_sha256)
    wanted = state_sha256(end.base_sha256, folded, placed)
    yield HashCheck(name="rollback: every fact still live", expected=wanted, found=back.state_sha256)
    for epoch in (earlier, end):
        # Time does not roll back: what has expired since stays away.
        valid = [fact for fact in ledger.live(epoch.number).values() if not fact.expired(time.time())]
        wanted = state_sha256(epoch.base_sha256, epoch.weights_sha256, valid)
        found = system.roll_back(epoch.number, facts_too=True)
        name = f"everything of epoch {epoch.number}"
        yield HashCheck(name=name, expected=wanted, found=found.state_sha256)


def _half_way(ledger: LedgerReader, end: Epoch) -> Epoch:
    """The epoch of the median promotion; without any, the one half way."""
    epochs = [epoch for epoch in ledger.epochs() if epoch.number <= end.number]
    promoted = [epoch for epoch in epochs if epoch.kind == "promote"] or epochs
    return promoted[len(promoted) // 2]


def _undone_and_redone(system: System, ledger: LedgerReader, rng: random.Random) -> Iterator[HashCheck]:
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


def _add(total: dict[str, float], more: dict[str, float]) -> None:
    for stage, seconds in more.items():
        total[stage] = total.get(stage, 0.0) + seconds
