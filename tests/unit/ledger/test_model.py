"""Random histories against a ledger made of dictionaries."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from guardedit.core.correction import decode_correction
from guardedit.core.decision import Route
from guardedit.core.epoch import Change
from guardedit.core.errors import ConflictError
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.messages import Fate
from guardedit.ledger.sqlite_ledger import SqliteLedger

NUMBERS = st.integers(0, 5)


class Machine(RuleBasedStateMachine):
    """Does the same to the ledger and to plain dictionaries, and compares after every step."""

    make: SimpleNamespace
    root: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=self.root))
        self.clock: Callable[[], float] = self.make.clock()
        self.ledger = self.open()
        self.fates: dict[int, Fate] = {}  # position -> fate
        self.live: dict[FactKey, Fact] = {}
        self.edits: dict[str, tuple[str, ...]] = {}
        self.past: list[tuple[dict[FactKey, Fact], dict[str, tuple[str, ...]]]] = [({}, {})]
        self.last_good = 0

    def open(self) -> SqliteLedger:
        return SqliteLedger.open(self.folder, base_sha256=self.make.base, policy_sha256="p", clock=self.clock)

    def teardown(self) -> None:
        assert self.ledger.verify() == []
        self.ledger.close()

    def follow(self, *, weights_moved: bool) -> None:
        if self.last_good == len(self.past) - 1 and not weights_moved:
            self.last_good += 1
        self.past.append((dict(self.live), dict(self.edits)))

    @rule(n=NUMBERS)
    def receive(self, n: int) -> None:
        new = self.ledger.receive([self.make.delivery(n)])
        assert new == (n not in self.fates)
        self.fates.setdefault(n, Fate.RECEIVED)

    @rule(fate=st.sampled_from([Fate.ACCEPTED, Fate.HELD, Fate.DEAD, Fate.REJECTED]), all_=st.booleans())
    def settle(self, fate: Fate, all_: bool) -> None:
        rows = self.ledger.pending(100 if all_ else 1)
        if fate is Fate.ACCEPTED:
            settlements = [self.make.accepted(row) for row in rows]
            for settlement in settlements:
                self.live[settlement.change.key] = settlement.change.fact
        else:
            settlements = [self.make.settled(row, fate, "malformed: x", route=Route.HOLD) for row in rows]
        self.ledger.settle(settlements)
        for row in rows:
            self.fates[int(row.position.split(":")[1])] = fate
        if rows and fate is Fate.ACCEPTED:
            self.follow(weights_moved=False)

    @precondition(lambda self: Fate.HELD in self.fates.values())
    @rule()
    def release(self) -> None:
        n = next(n for n, fate in self.fates.items() if fate is Fate.HELD)
        self.ledger.release(f"c{n}")
        self.fates[n] = Fate.RECEIVED

    @precondition(lambda self: Fate.DEAD in self.fates.values())
    @rule()
    def retry(self) -> None:
        letter = self.ledger.dead_letters()[0]
        self.ledger.retry(letter.seq)
        self.fates[self.number(letter.raw)] = Fate.RECEIVED

    def number(self, raw: bytes) -> int:
        return int(decode_correction(raw).id.removeprefix("c"))

    @rule(chosen=st.sets(NUMBERS, max_size=3), stale=st.booleans())
    def commit(self, chosen: set[int], stale: bool) -> None:
        keys = [key for n in sorted(chosen) if (key := self.make.correction(n).key) in self.live]
        facts = [self.live[key].placed(Placement.WEIGHTS) for key in keys]
        edits = [self.make.edit([fact]) for fact in facts]
        options = {"kind": "promote", "reason": "", "edits": edits, "weights_sha256": "w"}
        changes = [Change(fact.key, fact) for fact in facts]
        if stale:
            with pytest.raises(ConflictError):
                self.ledger.commit(changes, expected=len(self.past), **options)
            return
        self.ledger.commit(changes, expected=len(self.past) - 1, **options)
        before = self.edits
        self.live |= {fact.key: fact for fact in facts}
        self.edits = {edit.digest: edit.facts for edit in edits}
        self.follow(weights_moved=set(before) != set(self.edits))

    @precondition(lambda self: self.live)
    @rule()
    def retract(self) -> None:
        key = next(iter(self.live))
        self.ledger.commit(
            [Change(key, None)],
            kind="retract",
            reason="",
            edits=self.ledger.edits(),
            weights_sha256="w",
            expected=self.ledger.ref("serving"),
        )
        del self.live[key]
        self.follow(weights_moved=False)

    @rule()
    def all_is_well(self) -> None:
        self.ledger.move_ref("last-good", to=len(self.past) - 1, expected=self.last_good)
        self.last_good = len(self.past) - 1

    @rule()
    def restart(self) -> None:
        self.ledger.close()
        self.ledger = self.open()

    @rule(back=st.integers(0, 3))
    def look_back(self, back: int) -> None:
        number = max(0, len(self.past) - 1 - back)
        live, edits = self.past[number]
        assert self.ledger.live(number) == live
        assert {edit.digest: edit.facts for edit in self.ledger.edits(number)} == edits
        assert self.ledger.epoch(number).edits == tuple(sorted(edits))

    @invariant()
    def agrees(self) -> None:
        assert self.ledger.refs() == {"serving": len(self.past) - 1, "last-good": self.last_good}
        assert self.ledger.live() == self.live
        assert {edit.digest: edit.facts for edit in self.ledger.edits()} == self.edits
        fates = {self.number(entry.raw): entry.fate for entry in self.ledger.entries()}
        assert fates == self.fates
        counts = self.ledger.counts()
        assert sum(counts.facts.values()) == len(self.live)
        assert counts.edits_live == len(self.edits)


def test_the_ledger_agrees_with_dictionaries(make, folder):
    folder.mkdir()
    machine = type("Machine", (Machine,), {"make": make, "root": folder})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=15,
            stateful_step_count=15,
            deadline=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
