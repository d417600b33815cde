"""What the loop is made of: the seams it was given, and the few settings it obeys."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from guardedit.core.correction import Correction
from guardedit.core.decision import Decision
from guardedit.core.drift import Breach, Reading
from guardedit.core.epoch import Epoch
from guardedit.core.fact import Fact, FactKey
from guardedit.core.ledger import Ledger
from guardedit.core.probe import Inspection, Measurement, Probes, Question
from guardedit.core.protocols import Clock, Observer, Replica, Source, Worker
from guardedit.core.verdict import Gate, Verdict


class Guard(Protocol):
    """The collapse guard as the loop sees it; `NoGuard` has the same face."""

    def probes_for(
        self, batch: Sequence[Fact], live: Mapping[FactKey, Fact], *, seed: int, effort: int = 1
    ) -> Probes:
        """The texts and questions for one trial; samples are `effort` times their usual size."""

    def inspect(
        self, inspections: Sequence[Inspection], *, capacity_ratio: float
    ) -> tuple[Verdict, dict[str, tuple[Gate, ...]]]:
        """Tier 0: without a forward pass; the failing gates by fact id."""

    def judge(
        self, *, candidate: Measurement, serving: Measurement, base: Measurement, probes: Probes
    ) -> Verdict:
        """Tier 1: candidate against serving epoch and base."""


class Drift(Protocol):
    """Watches the serving epochs."""

    def update(self, reading: Reading) -> Breach | None:
        """Take the next epoch; a breach when it is one too many."""


class Bisected(Protocol):
    """The outcome of a bisection; `verdict` is that of the trial that accepted `kept`."""

    @property
    def kept(self) -> tuple[str, ...]:
        """Items that passed together."""

    @property
    def culprits(self) -> Mapping[str, Verdict]:
        """Items that did not, each with the verdict that convicted it."""

    @property
    def verdict(self) -> Verdict | None:
        """The accepting verdict; None when nothing was kept."""


class Bisect(Protocol):
    """Keeps as much of a batch as passes, and finds out what does not."""

    def __call__(
        self,
        items: Sequence[str],
        trial: Callable[[Sequence[str]], Verdict],
        *,
        names: Callable[[str], Collection[str]],
    ) -> Bisected:
        """`names` says by which fact ids a gate blames an item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What of the policy and the settings the loop itself obeys."""

    batch: int = 24  # subjects a trial
    batch_wait_s: float = 0.0  # how long a batch may wait to fill
    receive: int = 200  # messages a step
    capacity_ratio: float = 0.3
    drift_ratio: float = 1.05  # for the record; the drift watch enforces it
    shadow: bool = False
    newest_report_wins: bool = True  # else the last arrival does
    repair_every_s: float = 60.0  # between two comparisons of the served tensors
    layer: int = 0  # that is edited, for the record
    workers: int = 1  # model workers that a proposal is split over: its bytes depend on that
    trial_seed: int = 0  # of the guard's samples; the same in every trial, so that numbers compare


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything the loop talks to."""

    sources: Sequence[Source]
    ledger: Ledger
    decide: Callable[[Correction, Mapping[str, Any]], Decision]
    check: Callable[[Correction], None]  # raises CorrectionError for what only a tokenizer can tell
    reach: Callable[[Correction], Sequence[str]]  # names whose answers a correction can change
    known_questions: Callable[[str], Sequence[Question]]  # what the base model knows of a subject
    worker: Worker
    guard: Guard
    bisect: Bisect
    drift: Drift
    replicas: Sequence[Replica]
    observe: Observer
    clock: Clock
    limits: Limits
    settings_sha256: str  # of the editing settings: part of every remembered edit's name


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What one turn of one cycle, or of both, did. `away` is the first broker that could not be reached."""

    received: int = 0
    settled: int = 0
    promoted: int = 0
    turned_away: int = 0
    waiting: bool = False  # a batch is filling, or a trial is to be repeated
    epoch: Epoch | None = None
    breach: str = ""
    away: str = ""

    @property
    def changed(self) -> bool:
        """Whether something came in or was done."""
        return bool(self.received or self.settled or self.promoted or self.turned_away or self.breach)

    @property
    def idle(self) -> bool:
        """Nothing came in, nothing changed and nothing waits."""
        return not (self.changed or self.waiting)
