"""The coordinator: owns the live cycle, the brokers and the metrics. A plain class; one per ledger folder.

It holds no truth. Killed at any moment, its constructor opens the ledger again and goes on from there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import guardedit
from guardedit import assembly
from guardedit.agent.kept import KeptFacts
from guardedit.agent.live import Live
from guardedit.agent.parts import StepReport
from guardedit.core.epoch import Epoch
from guardedit.core.fact import Placement
from guardedit.core.messages import Delivery
from guardedit.core.protocols import Event, Observer, Replica, Worker
from guardedit.policy.schema import Policy
from guardedit.runtime.spent import Spent
from guardedit.settings import Settings
from guardedit.telemetry.exporter import registry
from guardedit.telemetry.fan_out import fan_out
from guardedit.telemetry.logs import LogObserver
from guardedit.telemetry.observer import MetricsObserver
from guardedit.telemetry.server import MetricsServer

#: How often an idle live cycle looks whether somebody wrote to the ledger: one pragma, some microseconds.
POLL_S = 0.001
#: How often it asks its brokers.
BROKER_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What an operator wants to know at a glance."""

    epoch: int
    last_good: int
    memory: int  # live facts by placement
    weights: int
    waiting: int  # in the inbox
    dead_letters: int
    turned_away: int  # facts that something keeps out of the weights
    capacity_ratio: float  # of the edited layer, last told; NaN before
    perplexity_ratio: float  # serving over base, last measured; NaN before any
    trials: dict[str, int]
    rollbacks: int


class Coordinator:
    """The live cycle on a ledger of its own; a second one is refused by the ledger's lock."""

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        worker: Worker,
        replicas: Sequence[Replica],
        *,
        guarded: bool = True,
        log: bool = False,
    ) -> None:
        self.settings = settings
        self._policy_sha256 = policy.sha256
        self._spent, self._seen = Spent(), MetricsObserver()
        observers: list[Observer] = [self._seen, self._spent, *([LogObserver()] if log else [])]
        self.observe: Observer = fan_out(observers)
        self._metrics: MetricsServer | None = None
        with ExitStack() as undo:
            base = worker.base_sha256
            self._ledger = assembly.open_ledger(
                settings, policy, base_sha256=base, clock=time.time, role="live"
            )
            undo.callback(self._ledger.close)
            assembly.check_base(settings, self._ledger)
            sources = assembly.open_sources(settings)
            for source in sources:
                undo.callback(source.close)
            if settings.metrics is not None:
                self._metrics = self._page([source.name for source in sources], base)
                undo.callback(self._metrics.close)
            self.observe(Event(kind="state", fields={"state": "running"}))
            self.live = Live(
                assembly.build_parts(
                    settings=settings,
                    policy=policy,
                    ledger=self._ledger,
                    worker=worker,
                    replicas=replicas,
                    sources=sources,
                    observe=self.observe,
                    clock=time.time,
                    guarded=guarded,
                )
            )
            self._close: Callable[[], None] = undo.pop_all().close

    def step(self, wait_s: float = 0.0) -> StepReport:
        """One turn of the live cycle, after waiting at most so long for something new."""
        self._wait(wait_s)
        return self.live.step()

    def publish(self) -> Epoch:
        """Have every replica follow to the serving epoch, whoever made it."""
        return self.live.publish()

    def hear(self, events: Sequence[Event]) -> None:
        """Take events of the other cycle in, for metrics and logs."""
        for event in events:
            self.observe(event)

    def receive(self, deliveries: Sequence[Delivery]) -> int:
        """Put messages into the inbox; they are durable when this returns."""
        return self._ledger.receive(deliveries)

    def whose(self) -> tuple[str, str]:
        """The home folder, and the digest of the policy."""
        return str(self.settings.home.resolve()), self._policy_sha256

    def status(self) -> Status:
        """Where things stand."""
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
            turned_away=len(KeptFacts(self._ledger).now()),
            capacity_ratio=max(self._seen.seen().capacity.values(), default=math.nan),
            perplexity_ratio=math.exp(readings[-1][2]["log_ratio_to_base"]) if readings else math.nan,
            trials=dict(counts.trials),
            rollbacks=sum(counts.rollbacks.values()),
        )

    def epoch(self) -> Epoch:
        """The serving epoch."""
        return self._ledger.epoch()

    def spent(self) -> dict[str, float]:
        """Seconds by stage since this process started, both cycles."""
        return self._spent.seconds()

    def metrics_url(self) -> str:
        """Where `/metrics` listens; empty when it does not."""
        return self._metrics.url if self._metrics else ""

    def close(self) -> None:
        """Give the ledger, its lock, the brokers and the port back."""
        self._close()

    def _wait(self, wait_s: float) -> None:
        """Until another process wrote to the ledger; a broker cannot tell, so it is asked often."""
        until_s = time.monotonic() + (min(wait_s, BROKER_S) if self.live.parts.sources else wait_s)
        while time.monotonic() < until_s and not self._ledger.moved():
            time.sleep(POLL_S)

    def _page(self, sources: Sequence[str], base: str) -> MetricsServer:
        address = self.settings.metrics
        assert address is not None
        page = registry(
            read=self._ledger.counts,
            seen=self._seen.seen,
            sources=[*sources, "submit"],
            build={
                "version": guardedit.__version__,
                "model": base[:12],
                "policy_sha": self._policy_sha256[:12],
            },
        )
        return MetricsServer(page, host=address.host, port=address.port)
