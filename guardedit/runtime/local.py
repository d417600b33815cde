"""Everything on this machine without Ray: the same classes, called directly.

The two cycles take turns (`step`), or run side by side (`step_live`, `step_consolidate` from two threads).
Then the model worker is a process of its own (`apart`), so that a trial takes neither the model nor the
interpreter from those who ask and correct.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Self

from guardedit import assembly
from guardedit.agent.loop import Agent
from guardedit.agent.parts import StepReport
from guardedit.core.epoch import Epoch
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Worker
from guardedit.core.serving import Answer
from guardedit.policy.schema import Policy
from guardedit.runtime.apart import WorkerApart
from guardedit.runtime.consolidator import Consolidator
from guardedit.runtime.coordinator import Coordinator, Status
from guardedit.serving.replica import ServingReplica
from guardedit.serving.shard import MemoryShard
from guardedit.settings import Settings

#: name -> builder of an editing method that no registry offers.
Extra = Mapping[str, assembly.Builder]


class LocalSystem:
    """A running guardedit on this machine. A context manager.

    Args:
        settings: where things are.
        policy: what is done.
        extra: editing methods that no registry offers.
        guarded: False is for comparison only.
        log: a structured line per event.
        apart: the model worker is a process of its own; needed where both cycles run side by side.
    """

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        *,
        extra: Extra | None = None,
        guarded: bool = True,
        log: bool = False,
        apart: bool = False,
    ) -> None:
        self.settings, self.policy = settings, policy
        self._guarded, self._log = guarded, log
        assembly.unchanged_base(settings)
        with ExitStack() as undo:
            self.bench = assembly.load_model(settings, policy, extra=extra)
            if apart:
                self.worker: Worker = undo.enter_context(WorkerApart(settings, policy))
            else:
                self.worker = assembly.model_worker(self.bench)
            self._shard = MemoryShard(assembly.load_memory(settings, policy))
            self.replica = ServingReplica(
                self.bench.host.twin(),  # so that a question waits for no trial
                self.bench.fold,
                [self._shard],
                use_unsure=policy.memory.unsure == "use_fact",
                clock=time.time,
            )
            self.coordinator, self.consolidator = self._start()
            undo.callback(self._close_cycles)
            self._undo = undo.pop_all()

    def _start(self) -> tuple[Coordinator, Consolidator]:
        parts = (self.settings, self.policy, self.worker, [self.replica])
        coordinator = Coordinator(*parts, guarded=self._guarded, log=self._log)
        try:
            return coordinator, Consolidator(*parts, observe=coordinator.observe, guarded=self._guarded)
        except BaseException:
            coordinator.close()
            raise

    def step(self) -> StepReport:
        """One turn of each cycle; what the second made is published when this returns."""
        return Agent(self.coordinator.live, self.consolidator.consolidate).step()

    def step_live(self, wait_s: float = 0.0) -> StepReport:
        """One turn of the live cycle, after waiting at most so long for something new."""
        return self.coordinator.step(wait_s)

    def step_consolidate(self) -> StepReport:
        """One turn of the consolidating cycle; the live one publishes what it made."""
        return self.consolidator.step()

    def ask(self, prompts: Sequence[str], *, tenant: str = "default") -> list[Answer]:
        """Ask the replica."""
        return self.replica.ask(prompts, tenant=tenant)

    def served(self) -> int | None:
        """The epoch that the replica answers from; None before it was handed one."""
        return self.replica.epoch()

    def status(self) -> Status:
        """Where things stand."""
        return self.coordinator.status()

    def epoch(self) -> Epoch:
        """The serving epoch."""
        return self.coordinator.epoch()

    def roll_back(self, to: int, *, facts_too: bool = False) -> Epoch:
        """Serve an earlier epoch again."""
        return self._published(self.consolidator.roll_back(to, facts_too=facts_too))

    def undo(self, fact_id: str) -> Epoch:
        """Take one fact back."""
        return self._published(self.consolidator.undo(fact_id))

    def redo(self, fact_id: str) -> Epoch:
        """Bring one fact back."""
        return self._published(self.consolidator.redo(fact_id))

    def weights_sha256(self, edits: Sequence[WeightEdit]) -> str:
        """Fold on the worker."""
        return self.worker.weights_sha256(edits)

    def spent(self) -> dict[str, float]:
        """Seconds by stage."""
        return self.coordinator.spent()

    def restart_coordinator(self) -> None:
        """Forget both cycles and start others from the ledger."""
        self._close_cycles()
        self.coordinator, self.consolidator = self._start()

    def close(self) -> None:
        """Stop."""
        self._undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _close_cycles(self) -> None:
        self.coordinator.close()
        self.consolidator.close()

    def _published(self, epoch: Epoch) -> Epoch:
        self.coordinator.publish()
        return epoch
