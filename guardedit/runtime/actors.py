"""Plain classes made Ray actors, and the handles that look like the plain classes again.

An actor is a shell: its constructor builds the plain object from settings and policy, so that Ray can
run it again after a crash. A handle implements the protocol the object implements; it travels as the
actor's name, because a constructor's arguments must outlive whoever made them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import ray

from guardedit import assembly
from guardedit.agent.parts import StepReport
from guardedit.core.epoch import Change
from guardedit.core.errors import LedgerBusy
from guardedit.core.fact import Fact
from guardedit.core.probe import Inspection, Measurement, Probes
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import (
    Answer,
    Event,
    Recall,
    Replica,
    Snapshot,
    SubjectGroup,
    Update,
    Workbench,
)
from guardedit.models.worker import ModelWorker
from guardedit.policy.schema import Policy
from guardedit.runtime.calls import call
from guardedit.runtime.consolidator import Consolidator
from guardedit.runtime.coordinator import Coordinator
from guardedit.runtime.local import Extra
from guardedit.serving.replica import ServingReplica
from guardedit.serving.shard import MemoryShard
from guardedit.settings import Settings

NAMESPACE = "guardedit"
COORDINATOR = "coordinator"
CONSOLIDATOR = "consolidator"
#: How long after its last turn a driver still counts as driving, in seconds.
LEASE_S = 10.0
#: Restart for ever: an actor that cannot start says why in every call.
_LIFE: Mapping[str, Any] = {
    "max_restarts": -1,
    "num_cpus": 0,
    "lifetime": "detached",
    "get_if_exists": True,
    "namespace": NAMESPACE,
}


#: Calls that a replica or a shard takes at the same time.
_QUESTIONS = 8


class WorkerShell(ModelWorker):
    """A model worker that loads its own model."""

    def __init__(self, settings: Settings, policy: Policy, extra: Extra | None, threads: int) -> None:
        _threads(threads)
        assembly.unchanged_base(settings)  # also when it is started again
        bench = assembly.load_bench(settings, policy, extra=extra)
        super().__init__(bench.host, bench.fold, bench.editors)

    def base(self) -> str:
        """Properties cannot be called remotely."""
        return self.base_sha256


class ShardShell(MemoryShard):
    """A memory shard that loads its own encoder; it comes back empty and is told what to hold."""

    def __init__(self, settings: Settings, policy: Policy, threads: int) -> None:
        _threads(threads)
        super().__init__(assembly.load_memory(settings, policy))


class ReplicaShell(ServingReplica):
    """A serving replica that finds the serving epoch in the ledger when it starts."""

    def __init__(
        self, settings: Settings, policy: Policy, shards: Sequence[ShardHandle], threads: int
    ) -> None:
        _threads(threads)
        assembly.unchanged_base(settings)
        bench = assembly.load_bench(settings, policy)
        super().__init__(bench.host, bench.fold, shards, use_unsure=policy.memory.unsure == "use_fact")
        snapshot = assembly.last_snapshot(settings)
        if snapshot is not None and policy.mode != "shadow":
            self.publish(snapshot)


class CoordinatorShell(Coordinator):
    """The live cycle with handles for what runs elsewhere. It is driven by one driver at a time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._driver, self._driven_at_s = "", -LEASE_S

    def drive(self, driver: str, wait_s: float = 0.0) -> StepReport:
        """One turn for a driver; LedgerBusy while another one drives."""
        now_s = time.monotonic()
        if driver != self._driver and now_s - self._driven_at_s < LEASE_S:
            raise LedgerBusy(
                f"{self.settings.home} is driven by {self._driver}: stop that one, or wait {LEASE_S:g} s "
                "after it has died"
            )
        self._driver, self._driven_at_s = driver, now_s
        return self.step(wait_s)


class ConsolidatorShell(Consolidator):
    """The other cycle; what it would tell its observers travels with the report of its turn."""

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        workbench: Workbench,
        replicas: Sequence[Replica],
        *,
        guarded: bool,
    ) -> None:
        self._events: list[Event] = []
        super().__init__(settings, policy, workbench, replicas, observe=self._events.append, guarded=guarded)

    def told(self) -> tuple[StepReport, list[Event]]:
        """One turn, and the events since this was last called."""
        report = self.step()
        events = list(self._events)
        del self._events[: len(events)]
        return report, events


class _Handle:
    """An actor by its name, looked up when it is first called."""

    def __init__(self, name: str) -> None:
        self._name = name

    @cached_property
    def _actor(self) -> Any:
        return ray.get_actor(self._name, namespace=NAMESPACE)

    def __reduce__(self) -> tuple[type[_Handle], tuple[str]]:
        return type(self), (self._name,)


class WorkerHandle(_Handle):
    """A `Workbench` in another process."""

    @property
    def base_sha256(self) -> str:
        """Digest of the base model."""
        return str(call(self._actor.base))

    def propose(self, method: str, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """Ask the named editing method there."""
        found: Proposal = call(self._actor.propose, method, groups, live)
        return found

    def inspect(self, edits: Sequence[WeightEdit], live: Sequence[WeightEdit]) -> list[Inspection]:
        """Tier 0 numbers."""
        found: list[Inspection] = call(self._actor.inspect, edits, live)
        return found

    def capacity_ratio(self, edits: Sequence[WeightEdit]) -> float:
        """Live keys over free rank."""
        return float(call(self._actor.capacity_ratio, edits))

    def weights_sha256(self, edits: Sequence[WeightEdit]) -> str:
        """Digest of the folded matrices."""
        return str(call(self._actor.weights_sha256, edits))

    def measure(self, edits: Sequence[WeightEdit], probes: Probes) -> Measurement:
        """Run the probes there."""
        found: Measurement = call(self._actor.measure, edits, probes)
        return found


class ShardHandle(_Handle):
    """A memory shard in another process."""

    def hold(self, facts: Sequence[Fact]) -> str:
        """Move to exactly these facts."""
        return str(call(self._actor.hold, facts))

    def prepare(self, changes: Sequence[Change]) -> None:
        """Encode the texts that come."""
        call(self._actor.prepare, changes)

    def move(self, changes: Sequence[Change], before: str, after: str) -> bool:
        """From the facts of one digest to those of another; False when others are held."""
        return bool(call(self._actor.move, changes, before, after))

    def recall(
        self, questions: Sequence[str], *, scope: str, digest: str, now_s: float | None = None
    ) -> list[Recall] | None:
        """What the memory says at a moment; None when it holds other facts."""
        found: list[Recall] | None = call(
            self._actor.recall, questions, scope=scope, digest=digest, now_s=now_s
        )
        return found


class ReplicaHandle(_Handle):
    """A `Replica` in another process."""

    def publish(self, snapshot: Snapshot) -> int:
        """Switch to a snapshot."""
        return int(call(self._actor.publish, snapshot))

    def follow(self, update: Update) -> int:
        """Switch to the next epoch."""
        return int(call(self._actor.follow, update))

    def expect(self, facts: Sequence[Fact]) -> None:
        """These facts may come."""
        call(self._actor.expect, facts)

    def ask(self, prompts: Sequence[str], *, scope: str = "default") -> list[Answer]:
        """Answer all prompts from one epoch."""
        found: list[Answer] = call(self._actor.ask, prompts, scope=scope)
        return found

    def says(self, asked: Sequence[tuple[str, str]], *, scope: str = "default") -> list[bool]:
        """Whether `ask` would give just these answers."""
        found: list[bool] = call(self._actor.says, asked, scope=scope)
        return found

    def repair(self) -> list[str]:
        """Mend the served tensors."""
        found: list[str] = call(self._actor.repair)
        return found

    def lookups(self) -> dict[str, int]:
        """Lookups by scope since last asked."""
        found: dict[str, int] = call(self._actor.lookups)
        return found


def make(kind: type, *args: Any, name: str, **kwargs: Any) -> Any:
    """The one place where a class becomes an actor. It outlives this process; the next one finds it again."""
    options = {**_LIFE, "name": name}
    if issubclass(kind, ServingReplica | MemoryShard):
        options["max_concurrency"] = _QUESTIONS  # threads, so that questions do not wait for an epoch
    return ray.remote(**options)(kind).remote(*args, **kwargs)


def _threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)
