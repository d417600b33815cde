"""The consolidator: owns the cycle that takes facts into the weights, and what an operator does to them.

A plain class beside the coordinator, on a ledger object of its own. It publishes nothing: the coordinator
sees the new epoch in the ledger and does. It holds no truth either.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from guardedit import assembly
from guardedit.agent.consolidate import Consolidate
from guardedit.agent.operator import Operator
from guardedit.agent.parts import StepReport
from guardedit.core.epoch import Epoch
from guardedit.core.protocols import Observer, Replica, Worker
from guardedit.policy.schema import Policy
from guardedit.settings import Settings


class Consolidator:
    """One per ledger folder; a second one is refused by the ledger's lock."""

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        worker: Worker,
        replicas: Sequence[Replica],
        *,
        observe: Observer,
        guarded: bool = True,
    ) -> None:
        self._settings = settings
        self._ledger = assembly.open_ledger(
            settings, policy, base_sha256=worker.base_sha256, clock=time.time, role="consolidate"
        )
        try:
            parts = assembly.build_parts(
                settings=settings,
                policy=policy,
                ledger=self._ledger,
                worker=worker,
                replicas=replicas,
                sources=(),
                observe=observe,
                clock=time.time,
                guarded=guarded,
            )
            self.consolidate, self.operator = Consolidate(parts), Operator(parts)
        except BaseException:
            self._ledger.close()
            raise

    def step(self) -> StepReport:
        """One turn of the consolidating cycle."""
        report = self.consolidate.step()
        if report.promoted:
            # What the first edits had collected is known to the ledger before anybody could change it.
            assembly.note_new_parts(self._settings, self._ledger)
        return report

    def roll_back(self, to: int, *, facts_too: bool = False) -> Epoch:
        """Serve the weights, or everything, of an earlier epoch."""
        return self.operator.roll_back(to, facts_too=facts_too)

    def undo(self, fact_id: str) -> Epoch:
        """Take one fact back."""
        return self.operator.undo(fact_id)

    def redo(self, fact_id: str) -> Epoch:
        """Bring one fact back."""
        return self.operator.redo(fact_id)

    def close(self) -> None:
        """Give the ledger and its lock back."""
        self._ledger.close()
