"""Plain classes made Ray actors; `handles` look like the plain classes again.

An actor is a shell: its constructor builds the plain object from settings and policy, so that Ray can
run it again after a crash.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import ray

from guardedit import assembly
from guardedit.agent.parts import StepReport
from guardedit.core.errors import LedgerBusy
from guardedit.core.protocols import Event, Replica, Worker
from guardedit.models.worker import ModelWorker
from guardedit.policy.schema import Policy
from guardedit.runtime.consolidator import Consolidator
from guardedit.runtime.coordinator import Coordinator
from guardedit.runtime.handles import NAMESPACE, ShardHandle
from guardedit.runtime.local import Extra
from guardedit.serving.replica import ServingReplica
from guardedit.serving.shard import MemoryShard
from guardedit.settings import Settings

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
        bench = assembly.load_model(settings, policy, extra=extra)
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
        bench = assembly.load_model(settings, policy)
        super().__init__(bench.host, bench.fold, shards, use_unsure=policy.memory.unsure == "use_fact")
        # In shadow mode the base model answers, also when this actor was started again.
        snapshot = assembly.last_snapshot(settings, 0 if policy.mode == "shadow" else None)
        if snapshot is not None:
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
        worker: Worker,
        replicas: Sequence[Replica],
        *,
        guarded: bool,
    ) -> None:
        self._events: list[Event] = []
        super().__init__(settings, policy, worker, replicas, observe=self._events.append, guarded=guarded)

    def told(self) -> tuple[StepReport, list[Event]]:
        """One turn, and the events since this was last called."""
        report = self.step()
        events = list(self._events)
        del self._events[: len(events)]
        return report, events


def make(kind: type, *args: Any, name: str, **kwargs: Any) -> Any:
    """The one place where a class becomes an actor. It outlives this process; the next one finds it again."""
    options = {**_LIFE, "name": name}
    if issubclass(kind, ServingReplica | MemoryShard):
        options["max_concurrency"] = _QUESTIONS  # threads, so that questions do not wait for an epoch
    return ray.remote(**options)(kind).remote(*args, **kwargs)


def _threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)
