"""Runs the whole system on Ray: coordinator, consolidator, workers, memory shards and replica as actors."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import ray

from guardedit import assembly
from guardedit.agent.loop import merge_reports
from guardedit.agent.parts import StepReport
from guardedit.core.epoch import Epoch
from guardedit.core.errors import UsageError
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Worker
from guardedit.core.serving import Answer
from guardedit.memory.store import RetrievalMemory
from guardedit.models.host import ModelHost
from guardedit.policy.schema import Policy
from guardedit.runtime.actors import (
    CONSOLIDATOR,
    COORDINATOR,
    ConsolidatorActor,
    CoordinatorActor,
    ReplicaActor,
    ShardActor,
    WorkerActor,
    start_actor,
)
from guardedit.runtime.calls import call
from guardedit.runtime.coordinator import Status
from guardedit.runtime.handles import NAMESPACE, ReplicaHandle, ShardHandle, WorkerHandle
from guardedit.runtime.local import Extra
from guardedit.runtime.loopback import ADDRESS, joining, loopback_only
from guardedit.runtime.pool import WorkerPool
from guardedit.settings import Settings
from guardedit.telemetry.health import CONSOLIDATE


class RaySystem:
    """A running guardedit on a Ray cluster, or on one started here. A context manager.

    Args:
        settings: model, home folder, number of workers, and the address of the cluster, if there is one.
        policy: policy in force from now on.
        extra: editing methods that are not in the registry.
        guarded: False turns the guard off, for comparisons.
        log: write a structured line per event.
        shards: number of memory shards.
    """

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
        assembly.require_unchanged_base(settings)
        self._started = connect(settings)
        cores = os.cpu_count() or 1
        each, few = max(1, cores // settings.model_workers), max(1, cores // 2)
        self.workers: list[Any] = []
        for n in range(settings.model_workers):
            self.workers.append(start_actor(WorkerActor, settings, policy, extra, each, name=f"worker-{n}"))
            if n == 0:
                # The first worker fills the cache of second moments that the others read.
                _ = WorkerHandle("worker-0").base_sha256
        self.worker: Worker = WorkerPool([WorkerHandle(f"worker-{n}") for n in range(len(self.workers))])
        self.shards = [
            start_actor(ShardActor, settings, policy, few, name=f"shard-{n}") for n in range(shards)
        ]
        shard_handles = [ShardHandle(f"shard-{n}") for n in range(shards)]
        self.replica = start_actor(ReplicaActor, settings, policy, shard_handles, few, name="replica-0")
        self._replica = ReplicaHandle("replica-0")
        parts = (settings, policy, self.worker, [self._replica])
        self.coordinator = start_actor(CoordinatorActor, *parts, guarded=guarded, log=log, name=COORDINATOR)
        # Asked in the order of their need of each other: the one that cannot start gives the reason.
        call(self.replica.epoch)
        self._check_same_system()
        self.consolidator = start_actor(ConsolidatorActor, *parts, guarded=guarded, name=CONSOLIDATOR)
        self._driver = f"{socket.gethostname()}, process {os.getpid()}"

    def step(self) -> StepReport:
        """One turn of each cycle. If an actor dies, it is restarted and its turn is repeated."""
        report = merge_reports(self.step_live(), self.step_consolidate())
        return replace(report, epoch=self._published())

    def step_live(self, wait_s: float = 0.0) -> StepReport:
        """One turn of the live cycle, after waiting at most `wait_s` seconds for something new."""
        report: StepReport = call(self.coordinator.drive, self._driver, wait_s)
        return report

    def step_consolidate(self) -> StepReport:
        """One turn of the consolidating cycle. The live cycle publishes the epoch that it makes."""
        report: StepReport
        try:
            report, events = call(self.consolidator.turn)
        except Exception as error:
            call(self.coordinator.cycle_failed, CONSOLIDATE, f"{type(error).__name__}: {error}")
            raise
        call(self.coordinator.consolidated, events)
        return report

    def ask(
        self, prompts: Sequence[str], *, tenant: str = "default", max_tokens: int | None = None
    ) -> list[Answer]:
        """Answer all prompts from one epoch."""
        return self._replica.ask(prompts, tenant=tenant, max_tokens=max_tokens)

    def reading_parts(self) -> tuple[ModelHost, RetrievalMemory]:
        """A model and a memory that are loaded in this process: those of the actors are in theirs."""
        return assembly.load_host(self.settings), assembly.load_memory(self.settings, self.policy)

    def served(self) -> int | None:
        """Number of the epoch that the replica answers from; None before the first."""
        return self._replica.epoch()

    def use_policy(self, policy: Policy) -> None:
        """Raise UsageError: Ray starts a lost actor again with the policy that it was first given."""
        raise UsageError(
            f"on Ray, the policy {policy.sha256[:12]} needs a restart, since lost actors are started again "
            "with the one they were first given: start `guardedit run --runtime ray` again"
        )

    def status(self) -> Status:
        """The present state for an operator."""
        status: Status = call(self.coordinator.status)
        return status

    def metrics(self, accept: str = "") -> tuple[bytes, str]:
        """The metrics page, and its content type."""
        page: tuple[bytes, str] = call(self.coordinator.metrics, accept)
        return page

    def epoch(self) -> Epoch:
        """The serving epoch."""
        epoch: Epoch = call(self.coordinator.epoch)
        return epoch

    def roll_back(self, to: int, *, facts_too: bool = False) -> Epoch:
        """Serve the weights, or with `facts_too` everything, of an earlier epoch again."""
        epoch: Epoch = call(self.consolidator.roll_back, to, facts_too=facts_too)
        self._published()
        return epoch

    def undo(self, fact_id: str) -> Epoch:
        """Undo one fact."""
        at_once: Epoch | None = call(self.coordinator.undo, fact_id)
        if at_once is not None:
            return at_once
        epoch: Epoch = call(self.consolidator.undo, fact_id)
        self._published()
        return epoch

    def undo_source(self, source: str, key: str = "") -> Epoch:
        """Undo what a source wrote, or what one of its keys signed."""
        at_once: Epoch | None = call(self.coordinator.undo_source, source, key)
        if at_once is not None:
            return at_once
        epoch: Epoch = call(self.consolidator.undo_source, source, key)
        self._published()
        return epoch

    def redo(self, fact_id: str) -> Epoch:
        """Redo a fact that was undone."""
        epoch: Epoch = call(self.consolidator.redo, fact_id)
        self._published()
        return epoch

    def weights_sha256(self, edits: Sequence[WeightEdit]) -> str:
        """Digest of the weights that the edits fold to, computed by a worker."""
        return self.worker.weights_sha256(edits)

    def seconds_by_stage(self) -> dict[str, float]:
        """Seconds by stage since the coordinator started."""
        seconds: dict[str, float] = call(self.coordinator.seconds_by_stage)
        return seconds

    def restart_coordinator(self) -> None:
        """Kill the processes of both cycles. Ray restarts them, and they continue from the ledger."""
        for actor in (self.coordinator, self.consolidator):
            ray.kill(actor, no_restart=False)
        call(self.coordinator.epoch)

    def _published(self) -> Epoch:
        epoch: Epoch = call(self.coordinator.publish)
        return epoch

    def _check_same_system(self) -> None:
        """Check that a coordinator of an earlier run has the same home folder and policy."""
        wanted = str(self.settings.home.resolve()), self.policy.sha256
        found: tuple[str, str] = call(self.coordinator.home_and_policy)
        if found != wanted:
            raise UsageError(
                f"the coordinator of this Ray cluster works on {found[0]} with policy {found[1][:12]}, not "
                f"on {wanted[0]} with policy {wanted[1][:12]}: stop it, or use another cluster"
            )

    def kill(self, actor: Any) -> None:
        """Kill the process of one actor. Ray restarts it."""
        ray.kill(actor, no_restart=False)

    def close(self) -> None:
        """Stop the actors, and the cluster if it was started here."""
        for actor in (self.coordinator, self.consolidator, self.replica, *self.shards, *self.workers):
            ray.kill(actor, no_restart=True)
        if self._started:
            ray.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(settings: Settings) -> bool:
    """Join the cluster of the settings, or start one on the loopback address; True if one was started.

    Ray reads its token from the environment when it is imported, so it must be set before.

    Raises:
        UsageError: there is no token, or the cluster cannot be started or reached.
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
                    # By default Ray gives its workers the lowest priority: a busy machine hardly runs them.
                    _system_config={"worker_niceness": 0},
                )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UsageError(f"Ray cannot be started or reached: {error}; try --runtime local") from error
    return True
