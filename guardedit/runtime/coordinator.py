"""The coordinator: owns the ledger, runs the loop, exposes the metrics. A plain class; single writer.

It holds no truth. Killed at any moment, its constructor opens the ledger again and goes on from there.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import guardedit
from guardedit import assembly
from guardedit.agent.parts import StepReport
from guardedit.core.epoch import Epoch
from guardedit.core.errors import SourceError
from guardedit.core.fact import Placement
from guardedit.core.protocols import Delivery, Event, Observer, Replica, Workbench
from guardedit.policy.schema import Policy
from guardedit.settings import Settings
from guardedit.telemetry.exporter import registry
from guardedit.telemetry.fan_out import fan_out
from guardedit.telemetry.logs import LogObserver
from guardedit.telemetry.observer import MetricsObserver
from guardedit.telemetry.server import MetricsServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What an operator wants to know at a glance."""

    epoch: int
    last_good: int
    memory: int  # live facts by placement
    weights: int
    waiting: int  # in the inbox
    dead_letters: int
    turned_away: int
    capacity_ratio: float
    perplexity_ratio: float  # serving over base, last measured; NaN before any
    trials: dict[str, int]
    rollbacks: int


class Coordinator:
    """One per ledger folder; a second one is refused by the ledger's lock."""

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        workbench: Workbench,
        replicas: Sequence[Replica],
        *,
        guarded: bool = True,
        log: bool = False,
    ) -> None:
        self.settings = settings
        self._policy_sha256 = policy.sha256
        card = assembly.find_card(settings, workbench.base_sha256)
        self._layer = assembly.edit_layer(policy, settings, card)
        self._ratio = float("nan")
        self._spent: dict[str, float] = {}  # seconds by stage, in this process
        self._bench = workbench
        self._ledger = assembly.open_ledger(
            settings, policy, base_sha256=workbench.base_sha256, clock=time.time
        )
        seen = MetricsObserver()
        observers: list[Observer] = [seen, self._note_event, *([LogObserver()] if log else [])]
        sources = assembly.open_sources(settings)
        try:
            self._metrics = None
            assembly.check_base(settings, self._ledger)
            if settings.metrics is not None:
                page = registry(
                    read=self._ledger.counts,
                    seen=seen.seen,
                    sources=[source.name for source in sources] + ["submit"],
                    build={
                        "version": guardedit.__version__,
                        "model": workbench.base_sha256[:12],
                        "policy_sha": policy.sha256[:12],
                    },
                )
                self._metrics = MetricsServer(page, host=settings.metrics.host, port=settings.metrics.port)
            self._observe = fan_out(observers)
            self._observe(Event(kind="state", fields={"state": "running"}))
            self.agent = assembly.build_agent(
                settings=settings,
                policy=policy,
                ledger=self._ledger,
                workbench=workbench,
                replicas=replicas,
                check=assembly.tokenizer_check(settings),
                sources=sources,
                observe=self._observe,
                clock=time.time,
                guarded=guarded,
            )
        except BaseException:
            self.close()
            raise

    def step(self) -> StepReport:
        """One turn of the loop."""
        report = self.agent.step()
        for replica in self.agent.parts.replicas:
            for scope, count in replica.lookups().items():
                self._observe(Event(kind="memory_lookup", fields={"scope": scope, "count": count}))
        for source in self.agent.parts.sources:
            # A queue that is away cannot say; the turn itself has reported that.
            with contextlib.suppress(SourceError):
                lag = source.lag()
                fields = {"source": source.name, "waiting": lag.waiting, "oldest_s": lag.oldest_s}
                self._observe(Event(kind="lag", fields=fields))
        if report.promoted or report.breach:
            ratio = self._bench.capacity_ratio(self._ledger.edits())
            self._observe(Event(kind="capacity", fields={"layer": self._layer, "ratio": ratio}))
        return replace(report, epoch=self._ledger.epoch())

    def receive(self, deliveries: Sequence[Delivery]) -> int:
        """Put messages into the inbox; they are durable when this returns."""
        return self._ledger.receive(deliveries)

    def roll_back(self, to: int, *, facts_too: bool = False) -> Epoch:
        """Serve the weights, or everything, of an earlier epoch."""
        return self.agent.roll_back(to, facts_too=facts_too)

    def undo(self, fact_id: str) -> Epoch:
        """Take one fact back."""
        return self.agent.undo(fact_id)

    def redo(self, fact_id: str) -> Epoch:
        """Bring one fact back."""
        return self.agent.redo(fact_id)

    def whose(self) -> tuple[str, str]:
        """The home folder, and the digest of the policy."""
        return str(self.settings.home.resolve()), self._policy_sha256

    def status(self) -> Status:
        """Where things stand."""
        live = self._ledger.live().values()
        counts = self._ledger.counts()
        return Status(
            epoch=self._ledger.epoch().number,
            last_good=self._ledger.ref("last-good"),
            memory=sum(fact.placement is Placement.MEMORY for fact in live),
            weights=sum(fact.placement is Placement.WEIGHTS for fact in live),
            waiting=counts.inbox_waiting,
            dead_letters=counts.dead_letters,
            turned_away=len(self.agent.turned_away.now()),
            capacity_ratio=self._bench.capacity_ratio(self._ledger.edits()),
            perplexity_ratio=self._ratio,
            trials=dict(counts.trials),
            rollbacks=sum(counts.rollbacks.values()),
        )

    def epoch(self) -> Epoch:
        """The serving epoch."""
        return self._ledger.epoch()

    def spent(self) -> dict[str, float]:
        """Seconds by stage since this process started."""
        return dict(self._spent)

    def metrics_url(self) -> str:
        """Where `/metrics` listens; empty when it does not."""
        return self._metrics.url if self._metrics else ""

    def close(self) -> None:
        """Give the ledger, its lock and the port back."""
        if getattr(self, "_metrics", None) is not None:
            self._metrics.close()  # type: ignore[union-attr]  # just tested
        for source in self.agent.parts.sources if hasattr(self, "agent") else ():
            source.close()
        self._ledger.close()

    def _note_event(self, event: Event) -> None:
        seconds: Any = event.fields.get("seconds")
        if isinstance(seconds, float):
            self._spent[event.kind] = self._spent.get(event.kind, 0.0) + seconds
        if event.kind == "watched":
            self._ratio = float(event.fields["perplexity_ratio"])
