"""Everything in one process: the same classes as with Ray, called directly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

from guardedit import assembly
from guardedit.agent.parts import StepReport
from guardedit.core.epoch import Epoch
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Answer, Workbench
from guardedit.policy.schema import Policy
from guardedit.runtime.coordinator import Coordinator, Status
from guardedit.serving.replica import ServingReplica
from guardedit.serving.shard import MemoryShard
from guardedit.settings import Settings

#: name -> builder of an editing method that no registry offers.
Extra = Mapping[str, assembly.Builder]


class LocalSystem:
    """A running guardedit in this process. A context manager."""

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        *,
        extra: Extra | None = None,
        guarded: bool = True,
        log: bool = False,
    ) -> None:
        self.settings, self.policy = settings, policy
        self._guarded, self._log = guarded, log
        assembly.unchanged_base(settings)
        self.bench = assembly.load_bench(settings, policy, extra=extra)
        self.workbench: Workbench = assembly.worker(self.bench)
        self._shard = MemoryShard(assembly.load_memory(settings, policy))
        self.replica = ServingReplica(
            self.bench.host, self.bench.fold, [self._shard], use_unsure=policy.memory.unsure == "use_fact"
        )
        self.coordinator = self._start()

    def _start(self) -> Coordinator:
        return Coordinator(
            self.settings, self.policy, self.workbench, [self.replica], guarded=self._guarded, log=self._log
        )

    def step(self) -> StepReport:
        """One turn of the loop."""
        return self.coordinator.step()

    def ask(self, prompts: Sequence[str], *, scope: str = "default") -> list[Answer]:
        """Ask the replica."""
        return self.replica.ask(prompts, scope=scope)

    def status(self) -> Status:
        """Where things stand."""
        return self.coordinator.status()

    def epoch(self) -> Epoch:
        """The serving epoch."""
        return self.coordinator.epoch()

    def roll_back(self, to: int, *, facts_too: bool = False) -> Epoch:
        """Serve an earlier epoch again."""
        return self.coordinator.roll_back(to, facts_too=facts_too)

    def undo(self, fact_id: str) -> Epoch:
        """Take one fact back."""
        return self.coordinator.undo(fact_id)

    def redo(self, fact_id: str) -> Epoch:
        """Bring one fact back."""
        return self.coordinator.redo(fact_id)

    def weights_sha256(self, edits: Sequence[WeightEdit]) -> str:
        """Fold on the worker."""
        return self.workbench.weights_sha256(edits)

    def spent(self) -> dict[str, float]:
        """Seconds by stage."""
        return self.coordinator.spent()

    def restart_coordinator(self) -> None:
        """Forget the coordinator and start another from the ledger."""
        self.coordinator.close()
        self.coordinator = self._start()

    def close(self) -> None:
        """Stop."""
        self.coordinator.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
