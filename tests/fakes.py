"""Fakes of everything that the loop works with but the ledger, so that its tests take milliseconds.

The edits of the fake worker are readable text; the verdicts of the fake guard depend on their subjects.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from guardedit.agent.parts import Limits, Parts
from guardedit.core.decision import Decision, Route
from guardedit.core.drift import Breach, Reading
from guardedit.core.errors import ConflictError, UsageError
from guardedit.core.fact import Fact, FactKey
from guardedit.core.messages import Delivery, Lag
from guardedit.core.probe import Inspection, Measurement, Probes, Question, QuestionKind
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import Event, SubjectGroup
from guardedit.core.serving import Answer, Snapshot, Update
from guardedit.core.verdict import Gate, Outcome, Verdict, combine
from guardedit.guard.bisection import bisect
from guardedit.naming import identity

BASE = "b" * 64


@dataclass
class FakeClock:
    """Stands still until it is moved; seconds since 1970."""

    now_s: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class FakeWorker:
    """Makes edits whose payload is their subject, facts and the subjects of the same proposal."""

    refuses: Mapping[str, str] = field(default_factory=dict)  # subject -> why
    breaks_on: frozenset[str] = frozenset()  # subjects for which the method raises an unexpected error
    proposed: list[tuple[str, ...]] = field(default_factory=list)  # subjects of each proposal
    during: Any = None  # called while a measurement runs
    base_sha256: str = BASE

    def propose(self, method: str, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        subjects = tuple(group.subject for group in groups)
        if self.breaks_on & set(subjects):
            raise ZeroDivisionError("an unexpected error")
        self.proposed.append(subjects)
        able = [group for group in groups if group.subject not in self.refuses]
        refused = {f.id: self.refuses[g.subject] for g in groups if g not in able for f in g.facts}
        return Proposal(
            method=method, edits=tuple(edit_of(g, beside=subjects) for g in able), refused=refused
        )

    def inspect(self, edits: Sequence[WeightEdit], live: Sequence[WeightEdit]) -> list[Inspection]:
        return [
            Inspection(
                digest=edit.digest,
                facts=edit.facts,
                finite=True,
                relative_size=0.1,
                value_ratio=1.0,
                key_outlier=1.0,
                background_error=0.0,
            )
            for edit in edits
        ]

    def capacity_ratio(self, edits: Sequence[WeightEdit]) -> float:
        return 0.01 * len(edits)

    def weights_sha256(self, edits: Sequence[WeightEdit]) -> str:
        digests = sorted({edit.digest for edit in edits})
        return hashlib.sha256(json.dumps(digests).encode()).hexdigest() if digests else BASE

    def measure(self, edits: Sequence[WeightEdit], probes: Probes) -> Measurement:
        if self.during is not None:
            self.during()
        return Measurement(
            weights_sha256=self.weights_sha256(edits),
            logprobs=tuple((-1.0,) * 4 for _ in probes.texts),
            answers={"edits": json.dumps(sorted(edit.subject for edit in edits))},
        )


def edit_of(group: SubjectGroup, *, beside: Sequence[str] = ()) -> WeightEdit:
    facts = tuple(sorted(fact.id for fact in group.facts))
    payload = json.dumps([group.subject, facts, sorted(beside)]).encode()
    return WeightEdit(
        subject=group.subject,
        facts=facts,
        method=group.facts[0].method,
        payload=payload,
        diagnostics={"change_ratio": 0.1},
    )


@dataclass
class FakeGuard:
    """Rejects candidates with an edit of a `harmful` subject; with a `doubtful` one they are inconclusive.

    `together` are pairs that pass alone but not together; of a `leaning` pair, the first passes only beside
    the second. A `broken` guard cannot measure anything.
    """

    harmful: set[str] = field(default_factory=set)
    doubtful: set[str] = field(default_factory=set)
    together: set[frozenset[str]] = field(default_factory=set)
    leaning: set[tuple[str, str]] = field(default_factory=set)
    broken: bool = False
    gate: str = "perplexity_ratio_to_serving"
    judged: list[tuple[str, ...]] = field(default_factory=list)  # subjects of each candidate
    efforts: list[int] = field(default_factory=list)

    def probes_for(
        self, batch: Sequence[Fact], live: Mapping[FactKey, Fact], *, seed: int, effort: int = 1
    ) -> Probes:
        self.efforts.append(effort)
        return Probes(texts=("a text",))

    def inspect(
        self, inspections: Sequence[Inspection], *, capacity_ratio: float
    ) -> tuple[Verdict, dict[str, tuple[Gate, ...]]]:
        return Verdict(outcome=Outcome.ACCEPT), {}

    def first_look(self, probes: Probes) -> Probes:
        return probes

    def judge(
        self,
        *,
        candidate: Measurement,
        serving: Measurement,
        base: Measurement,
        probes: Probes,
        final: bool = True,
    ) -> Verdict:
        inside = set(json.loads(candidate.answers["edits"]))
        if candidate is not serving:
            self.judged.append(tuple(sorted(inside)))
        if self.broken:
            return combine((self._gate(Outcome.ERROR),))
        fallen = any(first in inside and second not in inside for first, second in self.leaning)
        if fallen or inside & self.harmful or any(pair <= inside for pair in self.together):
            return combine((self._gate(Outcome.REJECT),))
        return combine((self._gate(Outcome.INCONCLUSIVE if inside & self.doubtful else Outcome.ACCEPT),))

    def _gate(self, outcome: Outcome) -> Gate:
        value = 1.0 if outcome is Outcome.ACCEPT else 1.5
        return Gate(name=self.gate, value=value, limit=1.01, at_most=True, outcome=outcome)


@dataclass
class FakeDrift:
    """Reports a breach for the epochs in `breaches`."""

    breaches: set[int] = field(default_factory=set)
    readings: list[Reading] = field(default_factory=list)

    def update(self, reading: Reading) -> Breach | None:
        self.readings.append(reading)
        if reading.epoch in self.breaches:
            return Breach(reason="ratio_to_base", value=1.2, limit=1.05, epoch=reading.epoch)
        return None


@dataclass
class FakeReplica:
    """Records what was published to it; answers from facts alone."""

    facts: dict[FactKey, Fact] = field(default_factory=dict)
    edits: tuple[WeightEdit, ...] = ()
    number: int | None = None
    handed: list[Snapshot | Update] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def publish(self, snapshot: Snapshot) -> int:
        self.handed.append(snapshot)
        self.facts = {fact.key: fact for fact in snapshot.facts}
        self.edits, self.number = snapshot.edits, snapshot.epoch.number
        return snapshot.epoch.number

    def follow(self, update: Update) -> int:
        if self.number != update.after:
            raise ConflictError(f"serves {self.number}, not {update.after}")
        self.handed.append(update)
        for key, fact in update.changes:
            self.facts.pop(key, None)
            if fact is not None:
                self.facts[key] = fact
        self.edits = self.edits if update.edits is None else update.edits
        self.number = update.epoch.number
        return self.number

    def expect(self, facts: Sequence[Fact]) -> None: ...

    def ask(
        self, prompts: Sequence[str], *, tenant: str = "default", max_tokens: int | None = None
    ) -> list[Answer]:
        if self.number is None:
            raise UsageError("nothing is published")
        return [Answer(text=self._text(p), epoch=self.number, placement="memory") for p in prompts]

    def says(self, asked: Sequence[tuple[str, str]], *, tenant: str = "default") -> list[bool]:
        return [self._text(prompt) == answer for prompt, answer in asked]

    def lookups(self) -> dict[str, int]:
        return {}

    def repair(self) -> list[str]:
        found, self.problems = self.problems, []
        return found

    def _text(self, prompt: str) -> str:
        return next((f.target for f in self.facts.values() if prompt in f.wordings), "as before")


@dataclass
class FakeSource:
    """A broker in memory; `on_ack` is called when something is acknowledged."""

    waiting: list[Delivery] = field(default_factory=list)
    on_ack: Any = None
    name: str = "fake"
    last_error: str = ""

    def pull(self, max_n: int, wait_s: float) -> list[Delivery]:
        return self.waiting[:max_n]

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        if self.on_ack is not None:
            self.on_ack(deliveries)
        self.waiting = [one for one in self.waiting if one not in deliveries]

    def lag(self) -> Lag:
        return Lag(waiting=len(self.waiting), oldest_s=0.0)

    def close(self) -> None: ...


def to_weights(correction: Any, context: Mapping[str, Any]) -> Decision:
    """A policy that accepts every correction; below confidence 0.9 only for the memory."""
    sure = correction.provenance.confidence >= 0.9 and correction.valid_until_s is None
    route = Route.WEIGHTS if sure else Route.MEMORY
    return Decision(
        route=route, rule="all", reason="let pass", policy_sha256="p" * 64, method="fake" if sure else ""
    )


def known_questions(subject: str) -> tuple[Question, ...]:
    return (
        Question(prompt=f"{subject} is", kind=QuestionKind.SAME_SUBJECT, expected="known", subject=subject),
    )


def parts_on(ledger: Any, clock: FakeClock, **others: Any) -> Parts:
    """Everything that the loop works with, faked except for the ledger."""
    heard: list[Event] = []
    parts = Parts(
        sources=(),
        ledger=ledger,
        decide=to_weights,
        check=lambda _: None,
        signed_by=lambda *_: "",
        reach=lambda correction: (identity(correction.subject),),
        known_questions=known_questions,
        worker=FakeWorker(),
        guard=FakeGuard(),
        bisect=bisect,
        drift=FakeDrift(),
        replicas=(),
        observe=heard.append,
        clock=clock,
        limits=Limits(),
        settings_sha256="s" * 64,
    )
    return replace(parts, **others)


def raw(subject: str, target: str, **others: Any) -> bytes:
    """A message about a subject's home."""
    body = {
        "subject": subject,
        "relation": "home",
        "prompt": "The home of {} is",
        "target_new": target,
        "provenance": {"source": "test", "confidence": 1.0},
        **others,
    }
    return json.dumps({name: value for name, value in body.items() if value is not None}).encode()


def delivered(*messages: bytes, name: str = "test") -> list[Delivery]:
    return [
        Delivery(raw=message, source="submit", position=f"{name}:{n}") for n, message in enumerate(messages)
    ]
