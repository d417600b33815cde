"""Implements all queries of the ledger. Writes nothing, so any number of processes may use it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from guardedit.core.decision import Decision
from guardedit.core.fact import Fact, FactKey
from guardedit.core.ledger import Counts
from guardedit.core.messages import Fate, LastChange, Receipt, Received
from guardedit.core.proposal import WeightEdit
from guardedit.ledger import approvals, history, inbox, publications
from guardedit.ledger.counts import read_counts
from guardedit.ledger.history import TimedChange
from guardedit.ledger.live import LiveReader
from guardedit.ledger.publications import Activation, Publication
from guardedit.ledger.storage.chain import EventRow
from guardedit.ledger.verify import problems


class LedgerReader(LiveReader):
    """Queries of facts, corrections, messages and events, in addition to what is live.

    Methods raise UsageError for what does not exist and LedgerCorrupt for what cannot be trusted.
    """

    # Weight edits that were made before.

    def recall_edit(self, content_key: str) -> WeightEdit | None:
        """An edit that was optimised before, byte for byte; None when there is none."""
        row = self._database.row(
            "SELECT digest, facts FROM edit_cache WHERE content_key = ?"
            " ORDER BY event_seq DESC, n DESC LIMIT 1",
            (content_key,),
        )
        return None if row is None else self._edit(*row)

    def served_edit(self, group_key: str) -> WeightEdit | None:
        """The last edit of this group that an epoch served, whichever edits it was optimised with."""
        row = self._database.row(
            "SELECT digest, facts FROM epoch_edits JOIN edit_cache USING (digest, facts)"
            " WHERE group_key = ? ORDER BY epoch DESC LIMIT 1",
            (group_key,),
        )
        return None if row is None else self._edit(*row)

    # Facts and corrections.

    def history(self, key: FactKey) -> list[history.Version]:
        """Every recorded change of a key as (epoch, fact or None, correction id), oldest first."""
        return history.history(self._database, key)

    def timed_changes(self, last: int) -> list[TimedChange]:
        """Every recorded change of every key up to epoch `last`, with its times, oldest first."""
        return history.timed_changes(self._database, last)

    def find_fact(self, text: str) -> list[Fact]:
        """Live facts with this id or a subject of this name; if there is none, the latest fact of this id."""
        return history.find_fact(self._database, text)

    def removed_facts(self, subject: str) -> list[Fact]:
        """The last fact of each key of this subject that is not live now, the earliest first."""
        return history.removed_facts(self._database, subject)

    def canonical(self, key: FactKey) -> FactKey:
        """The key under which this name was first recorded; `key` itself where it never was."""
        return history.canonical(self._database, key)

    def last_change(self, key: FactKey) -> LastChange | None:
        """The latest recorded change of a key; None where it never had a fact."""
        return history.last_change(self._database, key)

    def latest_version(self, key: FactKey) -> int:
        """The highest version that a key ever had; 0 for none."""
        return history.latest_version(self._database, key)

    def corrections_reaching(self, names: Sequence[str], *, since_s: float) -> int:
        """The largest number of accepted corrections that reached one of these names (`naming.identity`).

        Only corrections that were accepted at or after `since_s` count, seconds since 1970, UTC.
        """
        return history.corrections_reaching(self._database, names, since_s=since_s)

    def corrections_from(self, source: str, key: str = "") -> frozenset[str]:
        """Ids of the accepted corrections of a source; with `key` only those that this key signed."""
        return history.corrections_from(self._database, source, key)

    def keys_changed_by(self, corrections: Collection[str]) -> list[FactKey]:
        """The keys that one of these corrections changed, in the order of the first change."""
        return history.keys_changed_by(self._database, corrections)

    def receipt(self, correction_id: str) -> Receipt | None:
        """What became of a correction; None for an unknown id."""
        return inbox.receipt(self._database, correction_id)

    def decision(self, correction_id: str) -> dict[str, Any] | None:
        """The latest decision about a correction with its trace, as recorded; None without one."""
        return history.decision(self._database, correction_id)

    def verdict(self, epoch: int) -> dict[str, Any] | None:
        """The verdict that accepted an epoch, as recorded; None for epochs without a trial."""
        return history.verdict(self._database, epoch)

    # The inbox.

    def pending(self, limit: int) -> list[Received]:
        """The oldest undecided inbox rows."""
        return inbox.pending(self._database, limit)

    def decided_content(self, correction_id: str) -> str | None:
        """`content_sha256` of the decided correction with this id; None when none is decided.

        A correction with the same content is a duplicate; with other content it reuses the id. Rows that are
        being settled in one batch are not decided yet: the caller has to compare them with each other.
        """
        return inbox.decided_content(self._database, correction_id)

    def entries(self, fate: Fate | None = None, *, limit: int = 100) -> list[inbox.Entry]:
        """The newest inbox rows of a fate (default: of any), oldest first."""
        return inbox.entries(self._database, fate=fate, limit=limit)

    def released(self, seq: int) -> bool:
        """Whether an operator released this waiting row."""
        row = self._database.row("SELECT released FROM inbox WHERE seq = ?", (seq,))
        return bool(row and row[0])

    def released_for(self, seq: int, decision: Decision) -> bool:
        """Whether people released this waiting row, with approvals that are enough for this holding of it.

        They are if the same rule held it before, or if this one needs no more than were given.
        """
        if not self.released(seq):
            return False
        found = self.approvals(seq)
        given = [by for by in found.by if not decision.approvers or by in decision.approvers]
        return found.rule == decision.rule or len(given) >= decision.approvals

    def approvals(self, seq: int) -> approvals.Approvals:
        """The approvals of the held correction in inbox row `seq` that count now."""
        return approvals.approvals(self._database, seq, now_s=self._clock())

    def approvals_given(self) -> int:
        """How many approvals were ever given."""
        return approvals.count(self._database)

    def dead_letters(self) -> list[inbox.DeadLetter]:
        """All dead letters that were neither retried nor dropped, oldest first."""
        return inbox.dead_letters(self._database)

    def dead_letter(self, seq: int) -> inbox.DeadLetter:
        """One dead letter by its inbox number."""
        return inbox.dead_letter(self._database, seq)

    # What was published.

    def publications(self) -> list[Publication]:
        """What every replica of every destination has, the earliest epoch first."""
        return publications.publications(self._database)

    def activations(self) -> dict[str, Activation]:
        """Destination -> what it answers from."""
        return publications.activations(self._database)

    def replaced_at_s(self, destination: str) -> dict[str, float | None]:
        """Name -> when the destination switched away from it; None for the active one."""
        return publications.replaced_at_s(self._database, destination)

    def publish_problems(self) -> dict[tuple[str, str], tuple[str, float]]:
        """(destination, replica) -> what keeps it from going on, and since when."""
        return publications.problems(self._database)

    def published_epochs(self) -> dict[tuple[str, str], int]:
        """(destination, replica) -> the epoch that it answers from; 0 before the first one."""
        return publications.served(self._database)

    # Events, totals and checks.

    def events(
        self, *, since: int = 0, kinds: Sequence[str] | None = None
    ) -> list[tuple[int, str, Mapping[str, Any]]]:
        """(sequence number, kind, body) of the events after number `since`; `kinds` None: of all kinds."""
        return [(row.seq, row.kind, row.read()) for row in self.log(since=since, kinds=kinds)]

    def timed_events(
        self, *, since: int = 0, kinds: Sequence[str] | None = None
    ) -> list[tuple[int, float, str, Mapping[str, Any]]]:
        """Like `events`, as (sequence number, seconds since 1970 UTC, kind, body)."""
        return [(row.seq, row.at_s, row.kind, row.read()) for row in self.log(since=since, kinds=kinds)]

    def changed_elsewhere(self) -> bool:
        """Whether another process or object wrote since the last call; costs microseconds."""
        version = self._database.version()
        changed, self._version = version != self._version, version
        return changed

    def log(self, *, since: int = 0, kinds: Sequence[str] | None = None) -> list[EventRow]:
        """Like `events`, as they are stored, with time and hashes."""
        rows = self._database.rows(
            "SELECT * FROM events WHERE seq > ? AND (? OR kind IN (SELECT value FROM json_each(?)))"
            " ORDER BY seq",
            (since, kinds is None, json.dumps(list(kinds or ()))),
        )
        return [EventRow(*row) for row in rows]

    def counts(self) -> Counts:
        """All totals, computed from the recorded rows in one read transaction."""
        return read_counts(self._database, self._serving_state, now_s=self._clock())

    def verify(self) -> list[str]:
        """One sentence for each thing that is not as it was written; empty for a sound ledger."""
        return problems(self._database, self._blobs)
