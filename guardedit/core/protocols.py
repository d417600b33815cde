"""The seams: what the loop needs of a queue, a ledger, a model, a memory, an editor and a clock.

Small on purpose. Every implementation passes the conformance tests of its protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from guardedit.core.epoch import Change
from guardedit.core.fact import Fact
from guardedit.core.messages import Delivery, Lag
from guardedit.core.probe import Inspection, Measurement, Probes, Question
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.serving import Answer, Recall, Snapshot, Update

#: Seconds since 1970, UTC. An argument everywhere, so that a stream can be replayed.
Clock = Callable[[], float]


class Source(Protocol):
    """A queue of corrections. At-least-once is enough: the ledger makes effects happen once.

    `ack` removes a message from the broker, `nack` asks for it again after a delay, `dead` removes it
    with a reason. All may raise SourceError; the caller backs off. `away` is what the last failure had to
    say, empty as soon as something worked: between two tries a pull just brings nothing.
    """

    name: str
    away: str

    def pull(self, max_n: int, wait_s: float) -> list[Delivery]:
        """Up to `max_n` messages, waiting at most `wait_s` for the first."""

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """The inbox holds them durably; the broker may forget them."""

    def nack(self, deliveries: Sequence[Delivery], delay_s: float) -> None:
        """Not taken; hand them over again."""

    def dead(self, delivery: Delivery, reason: str) -> None:
        """Never hand it over again."""

    def lag(self) -> Lag:
        """How much waits."""

    def close(self) -> None:
        """Give the connection back; unacknowledged messages return to the queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectGroup:
    """All facts of one subject that shall be in the weights together, and what must stay as it is."""

    subject: str
    facts: tuple[Fact, ...]
    keep: tuple[Question, ...] = ()  # the subject's other answers, to be preserved


class Editor(Protocol):
    """An editing method. `propose` leaves the model's bytes alone, whatever happens."""

    name: str

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One weight edit a subject; facts that cannot be edited are refused with a reason.

        `live` are the serving epoch's edits; a method whose edits do not depend on them ignores it.
        """


class Worker(Protocol):
    """A model worker: one base model, on which edits are proposed and measured but never kept."""

    @property
    def base_sha256(self) -> str:
        """Digest of the base model's tensors and configuration."""

    def propose(self, method: str, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """Ask the named editing method."""

    def inspect(self, edits: Sequence[WeightEdit], live: Sequence[WeightEdit]) -> list[Inspection]:
        """Tier 0 numbers for each of `edits`, folded together with `live`; no forward pass."""

    def capacity_ratio(self, edits: Sequence[WeightEdit]) -> float:
        """Live keys over the effective free rank of the edited layer."""

    def weights_sha256(self, edits: Sequence[WeightEdit]) -> str:
        """Digest of the folded matrices."""

    def measure(self, edits: Sequence[WeightEdit], probes: Probes) -> Measurement:
        """Run the probes on fold(base, edits)."""


class Memory(Protocol):
    """The retrieval memory. Holds every live fact, whatever its placement; a cache of the ledger."""

    def apply(self, changes: Sequence[Change]) -> None:
        """Add, supersede and delete, as one step."""

    def recall(
        self, questions: Sequence[str], *, tenant: str = "default", now_s: float | None = None
    ) -> list[Recall]:
        """For each question the fact that it is about, if any; none that has expired at `now_s`."""

    def digest(self) -> str:
        """Equal for equal sets of facts, however they were reached."""

    def rebuild(self, facts: Sequence[Fact]) -> None:
        """Start over from the ledger."""


class Replica(Protocol):
    """Answers questions, pinned to one epoch. Asking and publishing may overlap; neither waits long."""

    def publish(self, snapshot: Snapshot) -> int:
        """Switch to the snapshot; returns the epoch number now served."""

    def follow(self, update: Update) -> int:
        """Switch to the next epoch; ConflictError when another one than `update.after` is served."""

    def expect(self, facts: Sequence[Fact]) -> None:
        """These facts may come: have their texts encoded in one go, before anybody waits for them."""

    def ask(self, prompts: Sequence[str], *, tenant: str = "default") -> list[Answer]:
        """Answer every prompt from one and the same epoch."""

    def says(self, asked: Sequence[tuple[str, str]], *, tenant: str = "default") -> list[bool]:
        """For each (prompt, answer) whether `ask` would give just this answer; far cheaper than asking."""

    def lookups(self) -> dict[str, int]:
        """Questions put to the memory by scope, since this was last asked."""

    def repair(self) -> list[str]:
        """Compare the served tensors with what they should be and mend them; what was wrong, in sentences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something the loop did, for logs and metrics. Observers may not break the flow."""

    kind: str
    correction_id: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)


Observer = Callable[[Event], None]
