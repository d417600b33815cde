"""Everything that can be asked of the ledger. Writes nothing, so any number of processes may use it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Self

from guardedit.core.counts import Counts
from guardedit.core.epoch import Epoch
from guardedit.core.errors import LedgerCorrupt
from guardedit.core.fact import Fact, FactKey
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Clock, Received
from guardedit.core.receipt import Fate, Receipt
from guardedit.ledger import epochs, history, inbox
from guardedit.ledger.blobs import Blobs
from guardedit.ledger.chain import EventRow
from guardedit.ledger.counts import read_counts
from guardedit.ledger.database import Database, read_json
from guardedit.ledger.state import State, edits_at, state_at
from guardedit.ledger.verify import problems


class LedgerReader:
    """Answers from the last committed transaction; keeps the serving epoch's facts in memory.

    Threads take turns on one connection. A numbered epoch never changes, so its answers do not either.
    Methods raise UsageError for what does not exist and LedgerCorrupt for what cannot be trusted.
    """

    def __init__(self, database: Database, blobs: Blobs, clock: Clock) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._serving: State | None = None
        self._loaded: dict[tuple[str, str], WeightEdit] = {}

    def close(self) -> None:
        """Give the file back."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def base_sha256(self) -> str:
        """Digest of the base model this ledger belongs to."""
        return epochs.read_epoch(self._database, 0, {}).base_sha256

    # Epochs and what is live in them.

    def live(self, epoch: int | None = None) -> dict[FactKey, Fact]:
        """The live facts of an epoch (default: serving), those that changed last at the end."""
        return dict(self._state(epoch).facts)

    def edits(self, epoch: int | None = None) -> tuple[WeightEdit, ...]:
        """The live weight edits of an epoch (default: serving), sorted by digest, blobs verified."""
        wanted = self._serving_state().edits if epoch is None else self._edits_at(epoch)
        loaded = {(d, of): self._loaded.get((d, of)) or self._load(d, of) for d, of in wanted.items()}
        if epoch is None:
            self._loaded = loaded
        return tuple(loaded.values())

    def epoch(self, number: int | None = None) -> Epoch:
        """An epoch by number (default: serving)."""
        if number is not None:
            return epochs.read_epoch(self._database, number)
        state = self._serving_state()
        return epochs.read_epoch(self._database, state.number, state.edits)

    def epochs(self) -> list[Epoch]:
        """All epochs, oldest first."""
        return epochs.read_epochs(self._database)

    def ref(self, name: str) -> int:
        """The epoch number a ref points to."""
        return epochs.read_ref(self._database, name)

    def refs(self) -> dict[str, int]:
        """All refs by name."""
        return epochs.refs(self._database)

    def verdict(self, epoch: int) -> dict[str, Any] | None:
        """The verdict that let an epoch be served, as recorded; None for epochs without a trial."""
        return history.verdict(self._database, epoch)

    def recall_edit(self, content_key: str) -> WeightEdit | None:
        """An edit that was optimised before, byte for byte; None when it was not."""
        row = self._database.row("SELECT digest, facts FROM edit_cache WHERE content_key = ?", (content_key,))
        return None if row is None else self._loaded.get((row[0], row[1])) or self._load(row[0], row[1])

    # Facts and corrections.

    def history(self, key: FactKey) -> list[history.Version]:
        """Every recorded change of a key as (epoch, fact or None, correction id), oldest first."""
        return history.history(self._database, key)

    def find_fact(self, text: str) -> list[Fact]:
        """Live facts whose id or subject is `text`; where none is live, the latest that had this id."""
        return history.find_fact(self._database, text)

    def latest_version(self, key: FactKey) -> int:
        """The highest version a key ever had; 0 for none."""
        return history.latest_version(self._database, key)

    def subject_edits(self, subject: str, *, since_s: float) -> int:
        """How many corrections of a subject were accepted at or after a time (seconds since 1970, UTC)."""
        return history.subject_edits(self._database, subject, since_s=since_s)

    def receipt(self, correction_id: str) -> Receipt | None:
        """What became of a correction; None for an unknown id."""
        return inbox.receipt(self._database, correction_id)

    def decision(self, correction_id: str) -> dict[str, Any] | None:
        """The latest decision about a correction with its trace, as recorded; None without one."""
        return history.decision(self._database, correction_id)

    # The inbox.

    def pending(self, limit: int) -> list[Received]:
        """Oldest undecided inbox rows."""
        return inbox.pending(self._database, limit)

    def known(self, correction_id: str) -> str | None:
        """`content_sha256` of the decided correction of this id; None when none is decided.

        The same content means a duplicate, another one a reused id. Rows of one and the same batch do
        not know of each other here: whoever settles a batch compares them.
        """
        return inbox.known(self._database, correction_id)

    def entries(self, fate: Fate | None = None, *, limit: int = 100) -> list[inbox.Entry]:
        """The newest inbox rows of a fate (default: of any), oldest first."""
        return inbox.entries(self._database, fate=fate, limit=limit)

    def released(self, seq: int) -> bool:
        """Whether an operator released this waiting row, so that it need not be held again."""
        row = self._database.row("SELECT released FROM inbox WHERE seq = ?", (seq,))
        return bool(row and row[0])

    def dead_letters(self) -> list[inbox.DeadLetter]:
        """All dead letters that were neither retried nor dropped, oldest first."""
        return inbox.dead_letters(self._database)

    def dead_letter(self, seq: int) -> inbox.DeadLetter:
        """One dead letter by its inbox number."""
        return inbox.dead_letter(self._database, seq)

    # The whole.

    def events(
        self, *, since: int = 0, kinds: Sequence[str] | None = None
    ) -> list[tuple[int, str, Mapping[str, Any]]]:
        """(sequence number, kind, body) of the events after number `since`, of these kinds or of all."""
        return [(row.seq, row.kind, row.read()) for row in self.log(since=since, kinds=kinds)]

    def log(self, *, since: int = 0, kinds: Sequence[str] | None = None) -> list[EventRow]:
        """Events as they are stored, with time and hash."""
        rows = self._database.rows(
            "SELECT * FROM events WHERE seq > ? AND (? OR kind IN (SELECT value FROM json_each(?)))"
            " ORDER BY seq",
            (since, kinds is None, json.dumps(list(kinds or ()))),
        )
        return [EventRow(*row) for row in rows]

    def counts(self) -> Counts:
        """All totals, computed from the recorded rows in one read transaction."""
        return read_counts(self._database, now_s=self._clock())

    def verify(self) -> list[str]:
        """Everything that is not as it was written, in sentences; empty for a sound ledger."""
        return problems(self._database, self._blobs)

    def _serving_state(self) -> State:
        number = self.ref(epochs.SERVING)
        state = self._serving
        if state is None or state.number != number:
            # Only in a process that reads: the writer sets the state with every commit.
            self._serving = state = state_at(self._database, number)
        return state

    def _state(self, epoch: int | None) -> State:
        if epoch is None:
            return self._serving_state()
        epochs.read_epoch(self._database, epoch, {})
        return state_at(self._database, epoch)

    def _edits_at(self, epoch: int) -> dict[str, str]:
        epochs.read_epoch(self._database, epoch, {})
        return edits_at(self._database, epoch)

    def _load(self, digest: str, facts: str) -> WeightEdit:
        row = self._database.row(
            "SELECT subject, method, diagnostics FROM edits WHERE digest = ? AND facts = ?", (digest, facts)
        )
        if row is None:
            raise LedgerCorrupt(
                f"weight edit {digest[:12]} is live but not recorded: run `guardedit verify` and "
                "restore the folder from a backup"
            )
        return WeightEdit(
            subject=row[0],
            facts=tuple(read_json(facts)),
            method=row[1],
            payload=self._blobs.get(digest),
            diagnostics=read_json(row[2]),
        )
