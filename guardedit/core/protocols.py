"""Protocols of a queue, a model worker, an editing method, a replica and a clock, as the loop uses them.

Kept small on purpose. Every implementation passes the conformance tests of its protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from guardedit.core.fact import Fact
from guardedit.core.messages import Delivery, Lag
from guardedit.core.probe import Inspection, Measurement, Probes, Question
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.serving import Answer, Snapshot, Update

#: Seconds since 1970, UTC. Passed as an argument everywhere, so that a stream can be replayed.
Clock = Callable[[], float]


class Source(Protocol):
    """A queue of corrections. At-least-once delivery is enough: the ledger makes effects happen once.

    `ack` removes a message from the broker. Every method may raise SourceError; the caller backs off.

    Attributes:
        name: recorded with each delivery.
        last_error: message of the last failure, empty as soon as something works again. While a source
            waits before its next attempt, `pull` returns nothing instead of raising.
    """

    name: str
    last_error: str

    def pull(self, max_n: int, wait_s: float) -> list[Delivery]:
        """Up to `max_n` messages, waiting at most `wait_s` seconds for the first."""

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """The inbox holds these durably; the broker may forget them."""

    def lag(self) -> Lag:
        """How many messages wait, and since when."""

    def close(self) -> None:
        """Close the connection; unacknowledged messages return to the queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectGroup:
    """All facts of one subject that are to be in the weights together.

    Attributes:
        subject: what the facts are about.
        facts: the facts.
        keep: questions about the subject whose answers must be preserved.
    """

    subject: str
    facts: tuple[Fact, ...]
    keep: tuple[Question, ...] = ()


class MethodEditor(Protocol):
    """An editing method. `propose` never leaves the model's bytes changed, not even when it fails."""

    name: str

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One weight edit for each subject; facts that cannot be edited are refused with a reason.

        `live` are the serving epoch's edits; a method whose edits do not depend on them ignores it.
        """


class Worker(Protocol):
    """A process with a loaded base model. Edits are proposed and measured on it and never kept in it."""

    @property
    def base_sha256(self) -> str:
        """Digest of the base model's tensors and configuration."""

    def propose(self, method: str, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """The proposal of the named editing method."""

    def inspect(self, edits: Sequence[WeightEdit], live: Sequence[WeightEdit]) -> list[Inspection]:
        """Tier 0 numbers for each of `edits`, folded together with `live`; no forward pass."""

    def capacity_ratio(self, edits: Sequence[WeightEdit]) -> float:
        """Live keys over the effective free rank of the edited layer."""

    def weights_sha256(self, edits: Sequence[WeightEdit]) -> str:
        """Digest of the folded matrices."""

    def measure(self, edits: Sequence[WeightEdit], probes: Probes) -> Measurement:
        """Run the probes on fold(base, edits)."""


class Replica(Protocol):
    """Answers questions, all of one call from one epoch. Questions and publishing hardly delay each other."""

    def publish(self, snapshot: Snapshot) -> int:
        """Switch to the snapshot; returns the number of the epoch now served."""

    def follow(self, update: Update) -> int:
        """Switch to the next epoch; ConflictError when another one than `update.after` is served."""

    def expect(self, facts: Sequence[Fact]) -> None:
        """Encode the texts of these facts in one batch now, since they may become live soon."""

    def ask(
        self, prompts: Sequence[str], *, tenant: str = "default", max_tokens: int | None = None
    ) -> list[Answer]:
        """One answer for each prompt, all from the same epoch.

        `max_tokens` asks for answers of so many tokens; without it each ends with its first sentence.
        """

    def says(self, asked: Sequence[tuple[str, str]], *, tenant: str = "default") -> list[bool]:
        """For each (prompt, answer) whether `ask` would give exactly this answer; far cheaper than `ask`."""

    def lookups(self) -> dict[str, int]:
        """Memory look-ups by resulting scope since the last call."""

    def repair(self) -> list[str]:
        """Compare the served tensors with what they should be and repair them.

        Returns one sentence for each tensor that was wrong.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that the loop did, for logs and metrics. Not an event of the ledger."""

    kind: str
    correction_id: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)


#: Called with every event; must not raise.
Observer = Callable[[Event], None]
