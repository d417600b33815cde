"""The consolidator: owns the cycle that promotes facts to the weights, and the operator's reversals.

It has a ledger object of its own. It does not publish: the coordinator finds the new epoch in the ledger and
publishes it. Like the coordinator, it has no state that must survive.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from guardedit import assembly
from guardedit.agent.consolidate import Consolidate
from guardedit.agent.parts import StepReport
from guardedit.agent.reversal import Operator
from guardedit.core.epoch import Epoch
from guardedit.core.protocols import Observer, Replica, Worker
from guardedit.policy.schema import Policy
from guardedit.runtime.operator.stages import StageRecord
from guardedit.settings import Settings
from guardedit.telemetry.fan_out import fan_out


class Consolidator:
    """The consolidating cycle. The ledger's lock refuses a second consolidator of a folder."""

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
        self._settings, self._stage = settings, StageRecord(settings.home)
        self._ledger = assembly.open_ledger(
            settings, policy, base_sha256=worker.base_sha256, clock=time.time, role="consolidate"
        )
        try:
            self._parts_for = partial(
                assembly.build_parts,
                settings=settings,
                ledger=self._ledger,
                worker=worker,
                replicas=replicas,
                sources=(),
                observe=fan_out([observe, self._stage]),
                clock=time.time,
                guarded=guarded,
            )
            self.use(policy)
        except BaseException:
            self._ledger.close()
            raise

    def use(self, policy: Policy) -> None:
        """Work by a policy from the next turn on. Not to be called during a turn."""
        parts = self._parts_for(policy=policy)
        self._ledger.use_policy(policy.sha256)
        self.consolidate, self.operator = Consolidate(parts), Operator(parts)

    def step(self) -> StepReport:
        """One turn of the consolidating cycle."""
        report = self.consolidate.step()
        if report.promoted:
            # Record the second moments that were collected for these edits, before their files can change.
            assembly.record_new_parts(self._settings, self._ledger)
        return report

    def roll_back(self, to: int, *, facts_too: bool = False) -> Epoch:
        """Serve the weights, or with `facts_too` everything, of an earlier epoch again."""
        return self.operator.roll_back(to, facts_too=facts_too)

    def undo(self, fact_id: str) -> Epoch:
        """Undo one fact."""
        return self.operator.undo(fact_id)

    def undo_source(self, source: str, key: str = "") -> Epoch:
        """Undo what a source wrote, or what one of its keys signed."""
        return self.operator.undo_source(source, key)

    def redo(self, fact_id: str) -> Epoch:
        """Redo a fact that was undone."""
        return self.operator.redo(fact_id)

    def close(self) -> None:
        """Close the ledger and release its lock."""
        self._stage.close()
        self._ledger.close()
