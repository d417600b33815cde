"""What the ledger does for those who write to it and read from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from guardedit.core.epoch import Change, Epoch
from guardedit.core.fact import Fact, FactKey
from guardedit.core.messages import Delivery, LastChange, Received, Settlement
from guardedit.core.proposal import WeightEdit
from guardedit.core.serving import Snapshot, Update
from guardedit.core.verdict import Verdict


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

    def known(self, correction_id: str) -> str | None:
        """Content digest of a settled correction of this id."""

    def released(self, seq: int) -> bool:
        """Whether an operator released this waiting row, so that it need not be held again."""

    def update(self, after: int) -> Update:
        """From an epoch to the one that serves, read in one transaction."""

    def canonical(self, key: FactKey) -> FactKey:
        """The key under which this name was first recorded; the key itself where it never was."""

    def latest_version(self, key: FactKey) -> int:
        """The highest version a key ever had; 0 for none."""

    def last_change(self, key: FactKey) -> LastChange | None:
        """The latest recorded change of a key; None where it never had a fact."""

    def reaching(self, names: Sequence[str], *, since_s: float) -> int:
        """Of these names (`naming.identity`) the one that most accepted corrections reached: how many."""

    def history(self, key: FactKey) -> Sequence[tuple[int, Fact | None, str]]:
        """(epoch, fact, correction id) for each change of a key, oldest first."""

    def find_fact(self, text: str) -> list[Fact]:
        """Facts by id or subject."""

    def recall_edit(self, content_key: str) -> WeightEdit | None:
        """An edit that was optimised before, byte for byte."""

    def served_edit(self, group_key: str) -> WeightEdit | None:
        """The edit that last stood for this group in an epoch, whatever it was made beside."""

    def remember_edits(self, made: Sequence[tuple[str, str, WeightEdit]]) -> None:
        """Keep (content key, group key, edit) of one proposal, all of them or none."""

    def events(
        self, *, since: int = 0, kinds: Sequence[str] | None = None
    ) -> Sequence[tuple[int, str, Mapping[str, Any]]]:
        """(sequence number, kind, body) of recorded events."""

    def timed_events(
        self, *, since: int = 0, kinds: Sequence[str] | None = None
    ) -> Sequence[tuple[int, float, str, Mapping[str, Any]]]:
        """The same with their times, seconds since 1970, UTC."""
