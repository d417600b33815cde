"""The parts of both cycles: protocols of guard, drift watch and bisection, limits, the report of a turn."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from guardedit.core.correction import Correction
from guardedit.core.decision import Decision
from guardedit.core.drift import Breach, Reading
from guardedit.core.epoch import Epoch
from guardedit.core.fact import Fact, FactKey
from guardedit.core.ledger import Ledger
from guardedit.core.messages import Received
from guardedit.core.probe import Inspection, Measurement, Probes, Question
from guardedit.core.protocols import Clock, Observer, Replica, Source, Worker
from guardedit.core.verdict import Gate, Verdict
from guardedit.naming import Relations


class Guard(Protocol):
    """The guard as the loop uses it: `guard.CollapseGuard`, or `guard.NoGuard` for comparisons."""

    def probes_for(
        self, batch: Sequence[Fact], live: Mapping[FactKey, Fact], *, seed: int, effort: int = 1
    ) -> Probes:
        """The probes for one trial of `batch`; samples are `effort` times their usual size."""

    def inspect(
        self, inspections: Sequence[Inspection], *, capacity_ratio: float
    ) -> tuple[Verdict, dict[str, tuple[Gate, ...]]]:
        """Tier 0, without a forward pass: the verdict, and the failing gates by fact id."""

    def first_look(self, probes: Probes) -> Probes:
        """The probes with the part of their texts that is read first."""

    def judge(
        self,
        *,
        candidate: Measurement,
        serving: Measurement,
        base: Measurement,
        probes: Probes,
        final: bool = True,
    ) -> Verdict:
        """Tier 1: the verdict on a candidate, compared with the serving epoch and the base model.

        Without `final` it is one on the first look, and inconclusive where more texts could change it.
        """


class Drift(Protocol):
    """The drift watch over serving epochs: `guard.DriftWatch`."""

    def update(self, reading: Reading) -> Breach | None:
        """Take the reading of the next epoch; returns a breach if the drift is beyond its limit."""


class Bisected(Protocol):
    """The result of a bisection."""

    @property
    def accepted(self) -> tuple[str, ...]:
        """Items that one trial accepted together."""

    @property
    def harmful(self) -> Mapping[str, Verdict]:
        """Items that failed, each with its failing verdict."""

    @property
    def verdict(self) -> Verdict | None:
        """Of the trial that accepted `accepted`; None when nothing was accepted."""


class Bisect(Protocol):
    """Accepts as much of a batch as passes, and finds the harmful items: `guard.bisect`."""

    def __call__(
        self,
        items: Sequence[str],
        trial: Callable[[Sequence[str]], Verdict],
        *,
        names: Callable[[str], Collection[str]],
    ) -> Bisected:
        """Bisect the items with trials. `names` gives the fact ids by which gates refer to an item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The part of the policy and settings that the two cycles use themselves.

    Attributes:
        batch: most subjects in a trial.
        batch_wait_s: how long a smaller batch waits for more facts.
        receive: most messages per turn and source.
        capacity_ratio: upper limit of live keys over the effective free rank of the edited layer.
        drift_ratio: limit of the perplexity ratio to the base model, for reports; the watch enforces it.
        shadow: trials run and nothing is committed; replicas serve the base model.
        newest_report_wins: a report older than the live fact's is superseded; else the last arrival wins.
        repair_every_s: time between two comparisons of the served tensors.
        layer: the edited layer, for reports.
        weights: whether the policy routes to the weights. If not, the consolidating cycle proposes and
            measures nothing.
        workers: number of model workers that share a proposal; the bytes of its edits depend on it.
        trial_seed: seed of the guard's samples. The same in every trial, so that results are comparable.
    """

    batch: int = 24
    batch_wait_s: float = 0.0
    receive: int = 200
    capacity_ratio: float = 0.3
    drift_ratio: float = 1.05
    shadow: bool = False
    newest_report_wins: bool = True
    repair_every_s: float = 60.0
    layer: int = 0
    weights: bool = True
    workers: int = 1
    trial_seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything that the two cycles work with.

    Attributes:
        decide: the policy: (correction, context) -> decision.
        check: raises CorrectionError for problems that only the model's tokenizer can find.
        signed_by: the id of the key that signed a message, "" where its source has no keys; raises
            CorrectionError for one that its source must sign and that has no valid signature.
        reach: the names whose answers a correction can change.
        relations: the relations that the policy declares.
        known_questions: the questions about a subject that the base model answers correctly.
        settings_sha256: digest of the editing settings; part of the key of every stored edit.
    """

    sources: Sequence[Source]
    ledger: Ledger
    decide: Callable[[Correction, Mapping[str, Any]], Decision]
    check: Callable[[Correction], None]
    signed_by: Callable[[Received, Correction], str]
    reach: Callable[[Correction], Sequence[str]]
    known_questions: Callable[[str], Sequence[Question]]
    worker: Worker
    guard: Guard
    bisect: Bisect
    drift: Drift
    replicas: Sequence[Replica]
    observe: Observer
    clock: Clock
    limits: Limits
    settings_sha256: str
    relations: Relations = field(default_factory=Relations)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What one turn of one cycle, or of both, did.

    Attributes:
        received: new messages.
        settled: messages with a decision.
        promoted: facts that moved into the weights.
        kept: facts of the batch that are kept in memory.
        waiting: a batch is filling, or a trial is to be repeated.
        epoch: the serving epoch.
        breach: why facts were quarantined; empty without a breach.
        away: the error of the first source that could not be reached; empty if all could.
    """

    received: int = 0
    settled: int = 0
    promoted: int = 0
    kept: int = 0
    waiting: bool = False
    epoch: Epoch | None = None
    breach: str = ""
    away: str = ""

    @property
    def changed(self) -> bool:
        """Whether anything was received or done."""
        return bool(self.received or self.settled or self.promoted or self.kept or self.breach)

    @property
    def idle(self) -> bool:
        """Whether nothing was received, nothing changed and nothing waits."""
        return not (self.changed or self.waiting)
