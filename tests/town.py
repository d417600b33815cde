"""Both cycles on a real ledger, with everything else faked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from guardedit.agent.consolidate import Consolidate
from guardedit.agent.live import Live
from guardedit.agent.loop import Loop
from guardedit.agent.parts import Parts
from guardedit.agent.reversal import Operator
from guardedit.core.fact import Fact
from guardedit.core.protocols import Event
from guardedit.ledger.sqlite_ledger import SqliteLedger
from tests.fakes import BASE, FakeClock, FakeDrift, FakeGuard, FakeReplica, FakeWorker, delivered, parts_on


@dataclass
class Town:
    """Both cycles, and all their fakes as attributes."""

    home: Path
    clock: FakeClock = field(default_factory=FakeClock)
    worker: FakeWorker = field(default_factory=FakeWorker)
    guard: FakeGuard = field(default_factory=FakeGuard)
    drift: FakeDrift = field(default_factory=FakeDrift)
    replica: FakeReplica = field(default_factory=FakeReplica)
    heard: list[Event] = field(default_factory=list)
    limits: dict[str, Any] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)

    def start(self) -> Town:
        self.ledger = self._open("live")
        self.other = self._open("consolidate")
        self.live = Live(self._parts(self.ledger))
        self.consolidate = Consolidate(self._parts(self.other))
        self.operator = Operator(self.consolidate.parts)
        self.loop = Loop(self.live, self.consolidate)
        return self

    def stop(self) -> None:
        self.ledger.close()
        self.other.close()

    def restart(self) -> None:
        self.stop()
        self.drift = FakeDrift(breaches=self.drift.breaches)
        self.start()

    def submit(self, *messages: bytes, name: str = "test") -> None:
        self.ledger.receive(delivered(*messages, name=name))

    def settle(self, turns: int = 12) -> None:
        for _ in range(turns):
            if self.loop.step().idle:
                return
        raise AssertionError(f"not idle after {turns} turns")

    def send(self, *messages: bytes, name: str = "test") -> None:
        """Submit, and run both cycles until they are idle."""
        self.submit(*messages, name=name)
        self.settle()

    def facts(self) -> dict[str, Fact]:
        """The live facts by subject."""
        return {key.subject: fact for key, fact in self.ledger.live().items()}

    def placed(self) -> dict[str, str]:
        return {subject: fact.placement.value for subject, fact in self.facts().items()}

    def fates(self) -> list[str]:
        return [entry.fate.value for entry in self.ledger.entries()]

    def _open(self, role: str) -> SqliteLedger:
        return SqliteLedger.open(
            self.home,
            base_sha256=BASE,
            weights_sha256=BASE,
            policy_sha256="p" * 64,
            clock=self.clock,
            role=role,
        )

    def _parts(self, ledger: SqliteLedger) -> Parts:
        parts = parts_on(
            ledger,
            self.clock,
            worker=self.worker,
            guard=self.guard,
            drift=self.drift,
            replicas=[self.replica],
            observe=self.heard.append,
            **self.others,
        )
        return replace(parts, limits=replace(parts.limits, **self.limits))
