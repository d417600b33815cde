"""The interface of the ledger: the `Ledger` protocol, the kinds of its events, and its totals."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from guardedit.core.decision import Decision
from guardedit.core.epoch import Change, Epoch
from guardedit.core.fact import Fact, FactKey
from guardedit.core.messages import Delivery, LastChange, Received, Settlement
from guardedit.core.proposal import WeightEdit
from guardedit.core.serving import Snapshot, Update
from guardedit.core.verdict import Verdict

NAN = float("nan")


class EventKind(StrEnum):
    """Kinds of ledger events. Their names are part of the hash chain and never change."""

    # Written by the ledger's own methods. Tables follow from all of them but `approved`, `fact_released`.
    RECEIVED = "received"  # a delivery came into the inbox
    SETTLED = "settled"  # an inbox row got its fate
    RELEASED = "released"  # a held correction is to be decided again
    RETRIED = "retried"  # a dead letter is to be read again
    DROPPED = "dropped"  # a dead letter is no longer listed
    EPOCH = "epoch"  # a new serving epoch
    REF = "ref"  # a ref other than `serving` moved
    EDITS = "edits"  # weight edits were made and are kept for reuse
    APPROVED = "approved"  # a person approved a held correction
    FACT_RELEASED = "fact_released"  # a fact may be promoted again
    PUBLISHED = "published"  # a replica of a destination reached another phase
    ACTIVATED = "activated"  # a destination answers from an epoch from now on
    PUBLISH_PROBLEM = "publish_problem"  # what keeps a replica of a destination from going on

    # Written with `Ledger.note`; they change no fact.
    BASE = "base"  # digests of the base model's parts
    PROPOSED = "proposed"  # an editing method made edits for these facts, or refused them
    TRIAL = "trial"  # a verdict that made no epoch
    READING = "reading"  # a drift reading of the serving epoch
    KEPT = "kept"  # facts that stay out of the weights, with reasons
    TAMPERED = "tampered"  # a served tensor had changed in memory and was repaired


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Totals since the ledger was made, and a few present values, for the metrics. A missing key is zero.

    The ledger reads all of them in one transaction, so they agree with each other. `corrections`, `gates`,
    `rollbacks`, `trials` and `tensors_repaired` are exported as counters and must never fall: they count
    recorded events, not the present state of rows that can change.

    Attributes:
        corrections: (source, route, outcome) -> settlements recorded. `source` is the delivery's
            source; `route` a `Route` value, "" where nothing was decided; `outcome` a `Fate` value.
            A correction that was held and later accepted is two settlements. Rows that still wait
            (`received`) are not counted here but in `inbox_waiting`.
        gates: (gate, outcome) -> gates in recorded verdicts; `outcome` an `Outcome` value.
        rollbacks: trigger -> rollbacks of the serving epoch. Triggers: `drift` (a breach), `manual`
            (an operator).
        facts: `Placement` value -> live facts of the serving epoch.
        trials: `Outcome` value -> recorded verdicts.
        dead_letters: dead letters still listed; retried and dropped ones no longer count.
        inbox_waiting: inbox rows without a settlement.
        inbox_oldest_s: age of the oldest of them, in seconds; NaN when none waits.
        serving_epoch: number of the epoch behind the `serving` ref.
        epoch_created_at_s: when that epoch was made, seconds since 1970, UTC.
        edits_live: weight edits live in the serving epoch.
        tensors_repaired: served tensors that were found changed in memory and repaired.
        published: (destination, replica) -> the epoch that it answers from; 0 before the first one.
        publish_problems: (destination, replica) pairs that cannot go on at present.
    """

    corrections: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    gates: Mapping[tuple[str, str], int] = field(default_factory=dict)
    rollbacks: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, int] = field(default_factory=dict)
    trials: Mapping[str, int] = field(default_factory=dict)
    dead_letters: int = 0
    inbox_waiting: int = 0
    inbox_oldest_s: float = NAN
    serving_epoch: int = 0
    epoch_created_at_s: float = NAN
    edits_live: int = 0
    tensors_repaired: int = 0
    published: Mapping[tuple[str, str], int] = field(default_factory=dict)
    publish_problems: Collection[tuple[str, str]] = ()


#: Reads the totals for the exporter, in the thread of the scrape; may raise LedgerError.
ReadCounts = Callable[[], Counts]


class Ledger(Protocol):
    """The append-only record. Every method that writes is one transaction and one durable commit.

    Two writers may be open on one ledger, the live and the consolidating cycle. They coordinate only by a
    compare-and-swap of the serving epoch.
    """

    @property
    def base_sha256(self) -> str:
        """Digest of the base model that this ledger belongs to."""

    # The inbox.

    def receive(self, deliveries: Sequence[Delivery]) -> int:
        """Commit the raw bytes to the inbox; returns how many are new."""

    def pending(self, limit: int) -> list[Received]:
        """The oldest undecided inbox rows."""

    def decided_content(self, correction_id: str) -> str | None:
        """`content_sha256` of the decided correction with this id; None when none is decided."""

    def released_for(self, seq: int, decision: Decision) -> bool:
        """Whether people released this waiting row, with approvals that are enough for this holding of it."""

    # New epochs.

    def settle(
        self, settlements: Sequence[Settlement], *, kind: str = "remember", seen: int | None = None
    ) -> Epoch:
        """Record decisions, fates and fact changes; a new epoch when any fact changed.

        `seen` is the epoch that the decisions are based on: ConflictError where a fact of these keys was
        removed, restored or superseded since. A move between memory and weights is no conflict.
        """

    def change_facts(
        self, changes: Sequence[Change], *, kind: str, reason: str, expected: int | None = None
    ) -> Epoch:
        """A new epoch on top of the serving one in which only facts change; weights and edits stay.

        ConflictError when another epoch than `expected` is serving.
        """

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
        last_good: int | None = None,
    ) -> Epoch:
        """A new serving epoch on top of epoch `expected`; ConflictError when another one is serving.

        `last_good` moves the ref `last-good` in the same transaction: the number of the new epoch or of an
        earlier one. None leaves it to the ledger's own rule.
        """

    def note(self, kind: str, body: Mapping[str, Any]) -> None:
        """Append an event that changes no fact: a rejected trial, a drift reading, a quarantine."""

    # Epochs and what is live in them.

    def snapshot(self, epoch: int | None = None) -> Snapshot:
        """An epoch (default: serving) with its edits and facts, read in one transaction."""

    def update(self, after: int) -> Update:
        """The difference from epoch `after` to the serving one, read in one transaction."""

    def changes_since(self, epoch: int) -> list[Change]:
        """The changes from an epoch to the serving one: each key once, in its latest state."""

    def live(self, epoch: int | None = None) -> Mapping[FactKey, Fact]:
        """The live facts of an epoch (default: serving)."""

    def edits(self, epoch: int | None = None) -> tuple[WeightEdit, ...]:
        """The live weight edits of an epoch (default: serving), in canonical order."""

    def epoch(self, number: int | None = None) -> Epoch:
        """An epoch by number (default: serving)."""

    def epochs(self) -> list[Epoch]:
        """All epochs, oldest first."""

    def ref(self, name: str) -> int:
        """The epoch number that a ref points to."""

    def move_ref(self, name: str, *, to: int, expected: int | None) -> None:
        """Compare-and-swap a ref; ConflictError when it points elsewhere."""

    # The history of facts.

    def canonical(self, key: FactKey) -> FactKey:
        """The key under which this name was first recorded; `key` itself where it never was."""

    def latest_version(self, key: FactKey) -> int:
        """The highest version that a key ever had; 0 for none."""

    def last_change(self, key: FactKey) -> LastChange | None:
        """The latest recorded change of a key; None where it never had a fact."""

    def corrections_reaching(self, names: Sequence[str], *, since_s: float) -> int:
        """The largest number of accepted corrections that reached one of these names (`naming.identity`)."""

    def history(self, key: FactKey) -> Sequence[tuple[int, Fact | None, str]]:
        """(epoch, fact, correction id) for each change of a key, oldest first."""

    def find_fact(self, text: str) -> list[Fact]:
        """Facts by id or subject."""

    def corrections_from(self, source: str, key: str = "") -> frozenset[str]:
        """Ids of the accepted corrections of a source; with `key` only those that this key signed."""

    def keys_changed_by(self, corrections: Collection[str]) -> Sequence[FactKey]:
        """The keys that one of these corrections changed, in the order of the first change."""

    # Weight edits that were made before.

    def recall_edit(self, content_key: str) -> WeightEdit | None:
        """An edit that was optimised before, byte for byte."""

    def served_edit(self, group_key: str) -> WeightEdit | None:
        """The last edit of this group that an epoch served, whichever edits it was optimised with."""

    def remember_edits(self, made: Sequence[tuple[str, str, WeightEdit]]) -> None:
        """Keep (content key, group key, edit) of one proposal, all of them or none."""

    # Events.

    def events(
        self, *, since: int = 0, kinds: Sequence[str] | None = None
    ) -> Sequence[tuple[int, str, Mapping[str, Any]]]:
        """(sequence number, kind, body) of recorded events."""

    def timed_events(
        self, *, since: int = 0, kinds: Sequence[str] | None = None
    ) -> Sequence[tuple[int, float, str, Mapping[str, Any]]]:
        """(sequence number, seconds since 1970 UTC, kind, body) of recorded events."""
