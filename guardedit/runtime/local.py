"""Runs the whole system on this machine, without Ray.

The two cycles run in turn (`step`) or side by side (`step_live` and `step_consolidate` in two threads). Side
by side, they need the model worker in a process of its own (`worker_process`): a trial uses the model and
Python's interpreter lock for seconds at a time, and would delay questions and corrections.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Self, TypeVar

from guardedit import assembly
from guardedit.agent.loop import Loop
from guardedit.agent.parts import StepReport
from guardedit.core.epoch import Epoch
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Worker
from guardedit.core.serving import Answer
from guardedit.memory.store import RetrievalMemory
from guardedit.models.host import ModelHost
from guardedit.policy.schema import Policy
from guardedit.runtime.consolidator import Consolidator
from guardedit.runtime.coordinator import Coordinator, Status
from guardedit.runtime.worker_process import WorkerProcess
from guardedit.serving.replica import ServingReplica
from guardedit.serving.shard import MemoryShard
from guardedit.settings import Settings
from guardedit.telemetry.health import CONSOLIDATE, LIVE

T = TypeVar("T")
#: Name -> builder of an editing method that is not in the registry.
Extra = Mapping[str, assembly.Builder]


class LocalSystem:
    """A running guardedit on this machine. A context manager.

    Args:
        settings: model, home folder, sources and metrics address.
        policy: policy in force from now on.
        extra: editing methods that are not in the registry.
        guarded: False turns the guard off, for comparisons.
        log: write a structured line per event.
        worker_process: run the model worker in a process of its own; needed if the cycles run side by side.
    """

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        *,
        extra: Extra | None = None,
        guarded: bool = True,
        log: bool = False,
        worker_process: bool = False,
    ) -> None:
        self.settings, self.policy = settings, policy
        self._guarded, self._log = guarded, log
        # An operator's undo may come from another thread than the cycles.
        self._live_turn, self._consolidate_turn = threading.RLock(), threading.RLock()
        self._live_may_turn = threading.Event()
        self._live_may_turn.set()
        assembly.require_unchanged_base(settings)
        with ExitStack() as opened:
            self.loaded = assembly.load_model(settings, policy, extra=extra)
            if worker_process:
                self.worker: Worker = opened.enter_context(WorkerProcess(settings, policy))
            else:
                self.worker = assembly.model_worker(self.loaded)
            self._memory = assembly.load_memory(settings, policy, keep=True)
            self.replica = ServingReplica(
                self.loaded.host.twin(),  # a second host, so that a question does not wait for a trial
                self.loaded.fold,
                [MemoryShard(self._memory)],
                use_unsure=policy.memory.unsure == "use_fact",
                clock=time.time,
                prompts=assembly.load_prompts(settings, policy),
            )
            self.coordinator, self.consolidator = self._start()
            opened.callback(self._close_cycles)
            self._opened = opened.pop_all()

    def _start(self) -> tuple[Coordinator, Consolidator]:
        self._consolidated_by = self.policy
        parts = (self.settings, self.policy, self.worker, [self.replica])
        coordinator = Coordinator(*parts, guarded=self._guarded, log=self._log)
        try:
            return coordinator, Consolidator(*parts, observe=coordinator.observe, guarded=self._guarded)
        except BaseException:
            coordinator.close()
            raise

    def step(self) -> StepReport:
        """One turn of each cycle. An epoch that the second cycle made is published when this returns."""
        with (
            self._consolidating(),
            self._live_turn,
            self.coordinator.turn(LIVE),
            self.coordinator.turn(CONSOLIDATE),
        ):
            return Loop(self.coordinator.live, self.consolidator.consolidate).step()

    def step_live(self, wait_s: float = 0.0) -> StepReport:
        """One turn of the live cycle, after waiting at most `wait_s` seconds for something new."""
        # With the lock alone, this loop would take it again before a waiting operator wakes up.
        self._live_may_turn.wait()
        with self._live_turn:
            return self.coordinator.step(wait_s)

    def step_consolidate(self) -> StepReport:
        """One turn of the consolidating cycle. The live cycle publishes the epoch that it makes."""
        with self._consolidating(), self.coordinator.turn(CONSOLIDATE):
            return self.consolidator.step()

    def ask(
        self, prompts: Sequence[str], *, tenant: str = "default", max_tokens: int | None = None
    ) -> list[Answer]:
        """Answer all prompts from one epoch."""
        return self.replica.ask(prompts, tenant=tenant, max_tokens=max_tokens)

    def reading_parts(self) -> tuple[ModelHost, RetrievalMemory]:
        """A host on the same tensors and a memory with the same encoder, each with locks of its own."""
        return self.loaded.host.twin(), self._memory.empty()

    def served(self) -> int | None:
        """Number of the epoch that the replica answers from; None before the first."""
        return self.replica.epoch()

    def use_policy(self, policy: Policy) -> None:
        """Decide by another policy that needs no restart; a trial that is running ends as it began.

        Raises:
            UsageError, PolicyError: it cannot be used. Nothing has changed then.
        """
        self._in_live_turn(lambda: self.coordinator.use(policy))
        self.policy = policy  # the other cycle takes it at its next turn

    def status(self) -> Status:
        """The present state for an operator."""
        return self.coordinator.status()

    def metrics(self, accept: str = "") -> tuple[bytes, str]:
        """The metrics page, and its content type."""
        return self.coordinator.metrics(accept)

    def epoch(self) -> Epoch:
        """The serving epoch."""
        return self.coordinator.epoch()

    def roll_back(self, to: int, *, facts_too: bool = False) -> Epoch:
        """Serve the weights, or with `facts_too` everything, of an earlier epoch again."""
        return self._reversed(lambda: self.consolidator.roll_back(to, facts_too=facts_too))

    def undo(self, fact_id: str) -> Epoch:
        """Undo one fact."""
        at_once = self._in_live_turn(lambda: self.coordinator.undo(fact_id))
        return at_once or self._reversed(lambda: self.consolidator.undo(fact_id))

    def undo_source(self, source: str, key: str = "") -> Epoch:
        """Undo what a source wrote, or what one of its keys signed."""
        at_once = self._in_live_turn(lambda: self.coordinator.undo_source(source, key))
        return at_once or self._reversed(lambda: self.consolidator.undo_source(source, key))

    def redo(self, fact_id: str) -> Epoch:
        """Redo a fact that was undone."""
        return self._reversed(lambda: self.consolidator.redo(fact_id))

    def weights_sha256(self, edits: Sequence[WeightEdit]) -> str:
        """Digest of the weights that the edits fold to, computed by the worker."""
        return self.worker.weights_sha256(edits)

    def seconds_by_stage(self) -> dict[str, float]:
        """Seconds by stage since the coordinator started."""
        return self.coordinator.seconds_by_stage()

    def restart_coordinator(self) -> None:
        """End both cycles and start new ones from the ledger."""
        self._close_cycles()
        self.coordinator, self.consolidator = self._start()

    def close(self) -> None:
        """Stop everything that was started here."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _close_cycles(self) -> None:
        self.coordinator.close()
        self.consolidator.close()

    def _reversed(self, change: Callable[[], Epoch]) -> Epoch:
        """Make the change between two turns of the consolidating cycle, and publish it."""
        with self._consolidating():
            epoch = change()
        self._in_live_turn(self.coordinator.publish)
        return epoch

    @contextmanager
    def _consolidating(self) -> Iterator[None]:
        """A turn of the consolidating cycle, by the policy in force."""
        with self._consolidate_turn:
            if self._consolidated_by is not self.policy:
                policy = self.policy
                self.consolidator.use(policy)
                self._consolidated_by = policy
            yield

    def _in_live_turn(self, change: Callable[[], T]) -> T:
        """Call `change` between two turns of the live cycle."""
        self._live_may_turn.clear()
        try:
            with self._live_turn:
                return change()
        finally:
            self._live_may_turn.set()
