"""The Ray actors: subclasses of the plain classes, with constructors that Ray can run again after a crash.

Such a constructor builds the object from settings and policy. Callers use the classes in `handles`.
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
#: A driver keeps the coordinator for this many seconds after its last turn.
LEASE_S = 10.0
#: Actors restart without limit. If one cannot start, every call raises the reason.
_OPTIONS: Mapping[str, Any] = {
    "max_restarts": -1,
    "num_cpus": 0,
    "lifetime": "detached",
    "get_if_exists": True,
    "namespace": NAMESPACE,
}
#: How many calls a replica or a shard runs at the same time.
_CONCURRENT_CALLS = 8


class WorkerActor(ModelWorker):
    """A model worker that loads its own model."""

    def __init__(self, settings: Settings, policy: Policy, extra: Extra | None, threads: int) -> None:
        _use_threads(threads)
        assembly.require_unchanged_base(settings)  # checked at a restart too
        loaded = assembly.load_model(settings, policy, extra=extra)
        super().__init__(loaded.host, loaded.fold, loaded.editors)

    def base(self) -> str:
        """`base_sha256` as a method: Ray cannot call properties."""
        return self.base_sha256


class ShardActor(MemoryShard):
    """A memory shard that loads its own encoder. After a restart it is empty until a replica reloads it."""

    def __init__(self, settings: Settings, policy: Policy, threads: int) -> None:
        _use_threads(threads)
        super().__init__(assembly.load_memory(settings, policy, keep=True))


class ReplicaActor(ServingReplica):
    """A serving replica that starts with the serving epoch of the ledger."""

    def __init__(
        self, settings: Settings, policy: Policy, shards: Sequence[ShardHandle], threads: int
    ) -> None:
        _use_threads(threads)
        assembly.require_unchanged_base(settings)
        loaded = assembly.load_model(settings, policy)
        super().__init__(
            loaded.host,
            loaded.fold,
            shards,
            use_unsure=policy.memory.unsure == "use_fact",
            prompts=assembly.load_prompts(settings, policy),
        )
        # In shadow mode the base model answers, also after a restart of this actor.
        snapshot = assembly.last_snapshot(settings, 0 if policy.mode == "shadow" else None)
        if snapshot is not None:
            self.publish(snapshot)


class CoordinatorActor(Coordinator):
    """The live cycle, driven by one driver process at a time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._driver, self._driven_at_s = "", -LEASE_S

    def drive(self, driver: str, wait_s: float = 0.0) -> StepReport:
        """One turn of the live cycle; LedgerBusy while another process drives it."""
        now_s = time.monotonic()
        if driver != self._driver and now_s - self._driven_at_s < LEASE_S:
            raise LedgerBusy(
                f"{self.settings.home} is driven by {self._driver}: stop that one, or wait {LEASE_S:g} s "
                "after it has died"
            )
        self._driver, self._driven_at_s = driver, now_s
        return self.step(wait_s)


class ConsolidatorActor(Consolidator):
    """The consolidating cycle. Its events are returned with the report of each turn."""

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

    def turn(self) -> tuple[StepReport, list[Event]]:
        """One turn, and the events since the last call."""
        report = self.step()
        events = list(self._events)
        del self._events[: len(events)]
        return report, events


def start_actor(kind: type, *args: Any, name: str, **kwargs: Any) -> Any:
    """Start an instance of the class as a detached actor, or find the running actor of this name."""
    options = {**_OPTIONS, "name": name}
    if issubclass(kind, ServingReplica | MemoryShard):
        options["max_concurrency"] = _CONCURRENT_CALLS  # so that questions do not wait for a publication
    return ray.remote(**options)(kind).remote(*args, **kwargs)


def _use_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)
