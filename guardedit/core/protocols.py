"""The seams: what the loop needs of a queue, a ledger, a model, a memory, an editor and a clock.

Small on purpose. Every implementation passes the conformance tests of its protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from guardedit.core.epoch import Change, Epoch
from guardedit.core.fact import Fact, FactKey
from guardedit.core.messages import Delivery, Lag, Received, Settlement
from guardedit.core.probe import Inspection, Measurement, Probes, Question
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.serving import Answer, Recall, Snapshot, Update
from guardedit.core.verdict import Verdict

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


class Ledger(Protocol):
    """The append-only truth. Every method that writes is one transaction and one durable commit.

    Two writers may be open on one ledger, the live and the consolidating cycle; a compare-and-swap of the
    serving epoch is all that joins them.
    """

    @property
    def base_sha256(self) -> str:
        """Digest of the base model this ledger belongs to."""

    def receive(self, deliveries: Sequence[Delivery]) -> int:
        """Commit the raw bytes to the inbox; returns how many are new."""

    def pending(self, limit: int) -> list[Received]:
        """Oldest undecided inbox rows."""

    def settle(
        self, settlements: Sequence[Settlement], *, kind: str = "remember", seen: int | None = None
    ) -> Epoch:
        """Record decisions, fates and fact changes; a new epoch when anything changed.

        `seen` is the epoch that was decided on: ConflictError where a fact of these keys was taken back,
        brought back or superseded since. A move between memory and weights is no conflict.
        """

    def change_facts(self, changes: Sequence[Change], *, kind: str, reason: str) -> Epoch:
        """A new epoch in which only facts change, on top of whatever serves; weights and edits stay."""

    def commit(
        self,
        changes: Sequence[Change],
        *,
        kind: str,
        reason: str,
        edits: Sequence[WeightEdit],
        weights_sha256: str,
        expected: int,
        verdict: Verdict | None = None,
        good: int | None = None,
    ) -> Epoch:
        """A new serving epoch on top of epoch `expected`; ConflictError when that is not serving.

        `good` moves `last-good` in the same transaction: to the new epoch where it is the new number, else
        to an earlier one. None leaves the ledger's own rule.
        """

    def note(self, kind: str, body: Mapping[str, Any]) -> None:
        """Append an event that changes no fact: a rejected trial, a reading, a quarantine."""

    def snapshot(self, epoch: int | None = None) -> Snapshot:
        """An epoch (default: serving) with its edits and facts, read in one transaction."""

    def changes_since(self, epoch: int) -> list[Change]:
        """From the facts of an epoch to those that serve: each key once, in its latest state."""

    def live(self, epoch: int | None = None) -> dict[FactKey, Fact]:
        """The live facts of an epoch (default: serving)."""

    def edits(self, epoch: int | None = None) -> tuple[WeightEdit, ...]:
        """The live weight edits of an epoch (default: serving), in canonical order."""

    def epoch(self, number: int | None = None) -> Epoch:
        """An epoch by number (default: serving)."""

    def epochs(self) -> list[Epoch]:
        """All epochs, oldest first."""

    def ref(self, name: str) -> int:
        """The epoch number a ref points to."""

    def move_ref(self, name: str, *, to: int, expected: int | None) -> None:
        """Compare-and-swap a ref; ConflictError when it points elsewhere."""


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


class LanguageModel(Protocol):
    """A loaded model as plain floats and texts."""

    def token_logprobs(self, texts: Sequence[str]) -> list[list[float]]:
        """Per text, log p of tokens 2..N in nats; empty for texts of one token."""

    def complete(self, prompts: Sequence[str]) -> list[str]:
        """Greedy continuation of each prompt up to the end of the answer."""


class Workbench(Protocol):
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
