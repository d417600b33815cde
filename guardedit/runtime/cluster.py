"""The same system on Ray: one coordinator, model workers, memory shards and serving replicas as actors."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import ray

from guardedit import assembly
from guardedit.agent.loop import both
from guardedit.agent.parts import StepReport
from guardedit.core.epoch import Epoch
from guardedit.core.errors import UsageError
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Worker
from guardedit.core.serving import Answer
from guardedit.policy.schema import Policy
from guardedit.runtime.actors import (
    CONSOLIDATOR,
    COORDINATOR,
    ConsolidatorShell,
    CoordinatorShell,
    ReplicaShell,
    ShardShell,
    WorkerShell,
    make,
)
from guardedit.runtime.calls import call
from guardedit.runtime.coordinator import Status
from guardedit.runtime.handles import NAMESPACE, ReplicaHandle, ShardHandle, WorkerHandle
from guardedit.runtime.local import Extra
from guardedit.runtime.loopback import ADDRESS, joining, loopback_only
from guardedit.runtime.pool import WorkerPool
from guardedit.settings import Settings


class RaySystem:
    """A running guardedit on a Ray cluster, or on one started here. A context manager."""

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        *,
        extra: Extra | None = None,
        guarded: bool = True,
        log: bool = False,
        shards: int = 1,
    ) -> None:
        self.settings, self.policy = settings, policy
        assembly.unchanged_base(settings)
        self._started = connect(settings)
        cores = os.cpu_count() or 1
        each, few = max(1, cores // settings.model_workers), max(1, cores // 2)
        self.workers: list[Any] = []
        for n in range(settings.model_workers):
            self.workers.append(make(WorkerShell, settings, policy, extra, each, name=f"worker-{n}"))
            if n == 0:
                # The first one fills the cache of second moments that the others read.
                _ = WorkerHandle("worker-0").base_sha256
        self.worker: Worker = WorkerPool([WorkerHandle(f"worker-{n}") for n in range(len(self.workers))])
        self.shards = [make(ShardShell, settings, policy, few, name=f"shard-{n}") for n in range(shards)]
        held = [ShardHandle(f"shard-{n}") for n in range(shards)]
        self.replica = make(ReplicaShell, settings, policy, held, few, name="replica-0")
        self._replica = ReplicaHandle("replica-0")
        parts = (settings, policy, self.worker, [self._replica])
        self.coordinator = make(CoordinatorShell, *parts, guarded=guarded, log=log, name=COORDINATOR)
        self._check_whose()
        self.consolidator = make(ConsolidatorShell, *parts, guarded=guarded, name=CONSOLIDATOR)
        self._driver = f"{socket.gethostname()}, process {os.getpid()}"

    def step(self) -> StepReport:
        """One turn of each cycle; an actor that dies in it is restarted and the turn taken again."""
        report = both(self.step_live(), self.step_consolidate())
        return replace(report, epoch=self._published())

    def step_live(self, wait_s: float = 0.0) -> StepReport:
        """One turn of the live cycle, after waiting at most so long for something new."""
        report: StepReport = call(self.coordinator.drive, self._driver, wait_s)
        return report

    def step_consolidate(self) -> StepReport:
        """One turn of the consolidating cycle; the live one publishes what it made."""
        report: StepReport
        report, events = call(self.consolidator.told)
        call(self.coordinator.hear, events)
        return report

    def ask(self, prompts: Sequence[str], *, tenant: str = "default") -> list[Answer]:
        """Ask a replica."""
        return self._replica.ask(prompts, tenant=tenant)

    def status(self) -> Status:
        """Where things stand."""
        status: Status = call(self.coordinator.status)
        return status

    def epoch(self) -> Epoch:
        """The serving epoch."""
        epoch: Epoch = call(self.coordinator.epoch)
        return epoch

    def roll_back(self, to: int, *, facts_too: bool = False) -> Epoch:
        """Serve an earlier epoch again."""
        epoch: Epoch = call(self.consolidator.roll_back, to, facts_too=facts_too)
        self._published()
        return epoch

    def undo(self, fact_id: str) -> Epoch:
        """Take one fact back."""
        epoch: Epoch = call(self.consolidator.undo, fact_id)
        self._published()
        return epoch

    def redo(self, fact_id: str) -> Epoch:
        """Bring one fact back."""
        epoch: Epoch = call(self.consolidator.redo, fact_id)
        self._published()
        return epoch

    def weights_sha256(self, edits: Sequence[WeightEdit]) -> str:
        """Fold on the worker."""
        return self.worker.weights_sha256(edits)

    def spent(self) -> dict[str, float]:
        """Seconds by stage."""
        spent: dict[str, float] = call(self.coordinator.spent)
        return spent

    def restart_coordinator(self) -> None:
        """Kill the processes of both cycles; Ray starts others, which read the ledger."""
        for actor in (self.coordinator, self.consolidator):
            ray.kill(actor, no_restart=False)
        call(self.coordinator.epoch)

    def _published(self) -> Epoch:
        epoch: Epoch = call(self.coordinator.publish)
        return epoch

    def _check_whose(self) -> None:
        """The actors of an earlier run go on with ours only if they are about the same."""
        wanted = str(self.settings.home.resolve()), self.policy.sha256
        found: tuple[str, str] = call(self.coordinator.whose)
        if found != wanted:
            raise UsageError(
                f"this Ray cluster's coordinator works on {found[0]} with policy {found[1][:12]}, not on "
                f"{wanted[0]} with {wanted[1][:12]}: stop that one, or give this one a cluster of its own"
            )

    def kill(self, actor: Any) -> None:
        """Kill one actor's process; Ray starts another."""
        ray.kill(actor, no_restart=False)

    def close(self) -> None:
        """Stop what this object started, and nothing else."""
        for actor in (self.coordinator, self.consolidator, self.replica, *self.shards, *self.workers):
            ray.kill(actor, no_restart=True)
        if self._started:
            ray.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(settings: Settings) -> bool:
    """Join the cluster of the settings, or start one on the loopback address; whether one was started.

    Ray reads its token from the environment when it is imported, so it has to be there before.

    Raises:
        UsageError: without a token, or when the cluster cannot be reached.
    """
    if ray.is_initialized():
        return False
    if os.environ.get("RAY_AUTH_MODE") != "token":
        raise UsageError(
            "Ray would start without a token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN before its import"
        )
    try:
        if settings.ray_address:
            with joining(settings.ray_address):
                ray.init(address=settings.ray_address, namespace=NAMESPACE, log_to_driver=False)
        else:
            with loopback_only():
                ray.init(
                    namespace=NAMESPACE,
                    include_dashboard=False,
                    _node_ip_address=ADDRESS,
                    object_store_memory=128 * 2**20,
                    configure_logging=True,
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                    # Ray gives its workers the lowest priority; on a busy machine they would hardly start.
                    _system_config={"worker_niceness": 0},
                )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UsageError(f"Ray cannot be started or reached: {error}; try --runtime local") from error
    return True
