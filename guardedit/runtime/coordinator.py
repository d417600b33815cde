"""The coordinator: owns the live cycle, the sources, and the metrics server. One per ledger folder.

It has no state of its own that must survive. After a kill at any moment, a new coordinator opens the ledger
and continues from there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from guardedit import assembly
from guardedit.agent.kept import KeptFacts
from guardedit.agent.live import Live
from guardedit.agent.parts import StepReport
from guardedit.core.epoch import Epoch
from guardedit.core.fact import Placement
from guardedit.core.messages import Delivery
from guardedit.core.protocols import Event, Observer, Replica, Source, Worker
from guardedit.policy.schema import Policy
from guardedit.runtime.stage_seconds import StageSeconds
from guardedit.settings import Address, Settings
from guardedit.telemetry.exporter import MetricsPage, registry
from guardedit.telemetry.fan_out import fan_out
from guardedit.telemetry.health import CONSOLIDATE, LIVE, Health
from guardedit.telemetry.logs import LogObserver
from guardedit.telemetry.observer import MetricsObserver
from guardedit.telemetry.server import MetricsServer, encoded
from guardedit.version import VERSION

#: How often an idle live cycle checks whether another process wrote to the ledger: one pragma, microseconds.
POLL_S = 0.001
#: How often an idle live cycle polls its sources.
BROKER_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The state of a running system for an operator.

    Attributes:
        epoch: number of the serving epoch.
        last_good: number of the last good epoch.
        memory: number of live facts placed in memory.
        weights: number of live facts placed in the weights.
        waiting: messages in the inbox.
        dead_letters: dead letters that were neither retried nor dropped.
        kept_in_memory: number of facts that are kept out of the weights for some reason.
        capacity_ratio: live keys over free rank of the edited layer; NaN before the first event.
        perplexity_ratio: serving epoch over base model, last measured; NaN before any measurement.
        trials: verdict -> number of trials.
        rollbacks: number of rollbacks.
    """

    epoch: int
    last_good: int
    memory: int
    weights: int
    waiting: int
    dead_letters: int
    kept_in_memory: int
    capacity_ratio: float
    perplexity_ratio: float
    trials: dict[str, int]
    rollbacks: int


class Coordinator:
    """The live cycle on a ledger object of its own. The ledger's lock refuses a second coordinator.

    Args:
        settings: home folder, sources and metrics address.
        policy: policy in force from now on.
        worker: proposes and measures edits.
        replicas: follow the serving epoch.
        guarded: False turns the guard off, for comparisons.
        log: write a structured line per event.
        monotonic: monotonic seconds, for `/healthz`.

    Raises:
        LedgerBusy: another coordinator has the ledger.
        SourceError: a source cannot be opened. Nothing stays open, and the lock is free again.
    """

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        worker: Worker,
        replicas: Sequence[Replica],
        *,
        guarded: bool = True,
        log: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self._policy = policy
        self._seconds, self._metrics = StageSeconds(), MetricsObserver()
        observers: list[Observer] = [self._metrics, self._seconds, *([LogObserver()] if log else [])]
        self.observe: Observer = fan_out(observers)
        with ExitStack() as opened:
            base = worker.base_sha256
            self._ledger = assembly.open_ledger(
                settings, policy, base_sha256=base, clock=time.time, role="live"
            )
            opened.callback(self._ledger.close)
            assembly.check_base(settings, self._ledger)
            sources = assembly.open_sources(settings)
            for source in sources:
                opened.callback(source.close)
            self._health = Health(check_ledger=self._ledger.refs, clock=monotonic)
            self._build = {"version": VERSION, "model": base[:12], "policy_sha": policy.sha256[:12]}
            self._page = self._registry(sources)
            if settings.metrics is not None:
                opened.enter_context(self._metrics_server(settings.metrics))
            self.observe(Event(kind="state", fields={"state": "running"}))
            self._parts_for = partial(
                assembly.build_parts,
                settings=settings,
                ledger=self._ledger,
                worker=worker,
                replicas=replicas,
                sources=sources,
                observe=self.observe,
                clock=time.time,
                guarded=guarded,
            )
            self.live = Live(self._parts_for(policy=policy))
            self._opened = opened.pop_all()

    def use(self, policy: Policy) -> None:
        """Decide by another policy from the next turn on. Not to be called during a turn.

        Raises:
            UsageError, PolicyError: it cannot be used. Nothing has changed then.
        """
        self.live.use(self._parts_for(policy=policy))
        self._ledger.use_policy(policy.sha256)
        self._policy, self._build["policy_sha"] = policy, policy.sha256[:12]

    def step(self, wait_s: float = 0.0) -> StepReport:
        """One turn of the live cycle, after waiting at most `wait_s` seconds for something new."""
        with self.turn(LIVE):
            self._wait(wait_s)
            return self.live.step()

    @contextmanager
    def turn(self, cycle: str) -> Iterator[None]:
        """A context around one turn of a cycle in this process, for `/healthz`."""
        try:
            yield
        except Exception as error:
            self.cycle_failed(cycle, f"{type(error).__name__}: {error}")
            raise
        self._turned(cycle)

    def consolidated(self, events: Sequence[Event]) -> None:
        """Record a turn of the consolidating cycle in another process, with its events."""
        for event in events:
            self.observe(event)
        self._turned(CONSOLIDATE)

    def cycle_failed(self, cycle: str, error: str) -> None:
        """Record that a cycle ended with an error."""
        self._health.failed(cycle, error)
        self.observe(Event(kind="state", fields={"state": "failed"}))

    def publish(self) -> Epoch:
        """Switch every replica to the serving epoch, whichever cycle made it."""
        return self.live.publish()

    def undo(self, fact_id: str) -> Epoch | None:
        """Take back a fact and publish that; None if weights would have to change."""
        return self._published(self.live.undo(fact_id))

    def undo_source(self, source: str, key: str = "") -> Epoch | None:
        """Take back what a source wrote and publish that; None if weights would have to change."""
        return self._published(self.live.undo_source(source, key))

    def receive(self, deliveries: Sequence[Delivery]) -> int:
        """Put messages into the inbox; they are durable when this returns. Returns how many are new."""
        return self._ledger.receive(deliveries)

    def home_and_policy(self) -> tuple[str, str]:
        """The home folder, and the digest of the policy."""
        return str(self.settings.home.resolve()), self._policy.sha256

    def status(self) -> Status:
        """The present state for an operator."""
        live = self._ledger.live().values()
        counts = self._ledger.counts()
        readings = self._ledger.events(kinds=("reading",))
        return Status(
            epoch=self._ledger.epoch().number,
            last_good=self._ledger.ref("last-good"),
            memory=sum(fact.placement is Placement.MEMORY for fact in live),
            weights=sum(fact.placement is Placement.WEIGHTS for fact in live),
            waiting=counts.inbox_waiting,
            dead_letters=counts.dead_letters,
            kept_in_memory=len(KeptFacts(self._ledger).now()),
            capacity_ratio=max(self._metrics.values().capacity.values(), default=math.nan),
            perplexity_ratio=math.exp(readings[-1][2]["log_ratio_to_base"]) if readings else math.nan,
            trials=dict(counts.trials),
            rollbacks=sum(counts.rollbacks.values()),
        )

    def metrics(self, accept: str = "") -> tuple[bytes, str]:
        """The metrics page, and its content type: the one that the header `accept` prefers."""
        return encoded(self._page, accept)

    def epoch(self) -> Epoch:
        """The serving epoch."""
        return self._ledger.epoch()

    def seconds_by_stage(self) -> dict[str, float]:
        """Seconds by stage since this process started, of both cycles."""
        return self._seconds.seconds()

    def close(self) -> None:
        """Close the metrics server, the sources and the ledger, and release its lock."""
        self._opened.close()

    def _published(self, made: Epoch | None) -> Epoch | None:
        if made is not None:
            self.live.publish()
        return made

    def _turned(self, cycle: str) -> None:
        was_failing = self._health.failing()
        self._health.turned(cycle)
        if was_failing and not self._health.failing():
            self.observe(Event(kind="state", fields={"state": "running"}))

    def _wait(self, wait_s: float) -> None:
        """Wait until another process writes to the ledger. Sources cannot notify, so they are polled."""
        until_s = time.monotonic() + (min(wait_s, BROKER_S) if self.live.parts.sources else wait_s)
        while time.monotonic() < until_s and not self._ledger.changed_elsewhere():
            time.sleep(POLL_S)

    def _registry(self, sources: Sequence[Source]) -> MetricsPage:
        return registry(
            read=self._ledger.counts,
            observed=self._metrics.values,
            sources=[*(source.name for source in sources), "submit"],
            build=self._build,
            mode=self._policy.mode,
        )

    def _metrics_server(self, address: Address) -> MetricsServer:
        return MetricsServer(self._page, health=self._health.report, host=address.host, port=address.port)
