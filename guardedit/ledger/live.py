"""Queries of what is live: epochs, refs, facts and weight edits, each as of one moment."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Self

from guardedit.core.epoch import Change, Epoch
from guardedit.core.errors import LedgerCorrupt, WrongBaseModel
from guardedit.core.fact import Fact, FactKey
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Clock
from guardedit.core.serving import Snapshot, Update
from guardedit.ledger import epochs
from guardedit.ledger.state import Edits, State, advance, changes_between, edits_at, state_at
from guardedit.ledger.storage.blobs import Blobs
from guardedit.ledger.storage.database import Database, read_json


class LiveReader:
    """Reads the last committed transaction, and caches the state of the serving epoch.

    Threads take turns on one connection. A numbered epoch never changes. Epochs of other writers are read as
    changes on top of the cached state, so the cost of following one depends on how much it changed.
    """

    def __init__(self, database: Database, blobs: Blobs, clock: Clock) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock
        self._serving: State | None = None
        self._version = database.version()
        self._loaded: dict[tuple[str, str], WeightEdit] = {}

    def close(self) -> None:
        """Close the ledger."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def base_sha256(self) -> str:
        """Digest of the base model that this ledger belongs to."""
        return epochs.read_epoch(self._database, 0, edits=()).base_sha256

    def compare_base(self, base_sha256: str) -> None:
        """Raise WrongBaseModel when the ledger belongs to another model than `base_sha256`."""
        if (recorded := self.base_sha256) != base_sha256:
            raise WrongBaseModel(
                f"{self._database.path} belongs to base model {recorded}, the loaded one is {base_sha256}: "
                "load that model, or use another folder for this one"
            )

    # Epochs and what is live in them.

    def live(self, epoch: int | None = None) -> Mapping[FactKey, Fact]:
        """The live facts of an epoch (default: serving), those that changed last at the end.

        Later epochs do not change what was returned.
        """
        return MappingProxyType(self._state(epoch).facts)

    def edits(self, epoch: int | None = None) -> tuple[WeightEdit, ...]:
        """The live weight edits of an epoch (default: serving), sorted by digest, blobs verified."""
        live = self._serving_state().edits if epoch is None else self._edits_at(epoch)
        loaded = {(digest, facts): self._edit(digest, facts) for digest, facts in live.items()}
        if epoch is None:
            self._loaded = loaded
        return tuple(loaded.values())

    def snapshot(self, epoch: int | None = None) -> Snapshot:
        """An epoch (default: serving) with its edits and facts, read in one transaction."""
        with self._database.snapshot():
            return Snapshot(
                epoch=self.epoch(epoch),
                edits=self.edits(epoch),
                facts=tuple(self._state(epoch).facts.values()),
            )

    def changes_since(self, epoch: int) -> list[Change]:
        """The changes from an epoch to the serving one: each key once, in its latest state."""
        with self._database.snapshot():
            epochs.check_epoch(self._database, epoch)
            changes = changes_between(self._database, epoch, self.ref(epochs.SERVING))
        latest: dict[FactKey, Change] = {}
        for change in changes:
            latest.pop(change.key, None)
            latest[change.key] = change
        return list(latest.values())

    def update(self, after: int) -> Update:
        """The difference from epoch `after` to the serving one, read in one transaction."""
        with self._database.snapshot():
            serving, earlier = self.epoch(), epochs.read_epoch(self._database, after, edits=())
            edits_changed = self._database.row("SELECT 1 FROM epoch_edits WHERE epoch > ? LIMIT 1", (after,))
            same_weights = not edits_changed and earlier.weights_sha256 == serving.weights_sha256
            return Update(
                after=after,
                epoch=serving,
                changes=tuple(self.changes_since(after)),
                edits=None if same_weights else self.edits(),
            )

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
        """The epoch number that a ref points to."""
        return epochs.read_ref(self._database, name)

    def refs(self) -> dict[str, int]:
        """All refs by name."""
        return epochs.refs(self._database)

    def _serving_state(self) -> State:
        with self._database.snapshot():
            number, state = self.ref(epochs.SERVING), self._serving
            if state is None or state.number > number:
                state = state_at(self._database, number)
            elif state.number < number:
                state = advance(self._database, state, number)
        self._serving = state
        return state

    def _state(self, epoch: int | None) -> State:
        if epoch is None:
            return self._serving_state()
        epochs.check_epoch(self._database, epoch)
        return state_at(self._database, epoch)

    def _edits_at(self, epoch: int) -> Edits:
        epochs.check_epoch(self._database, epoch)
        return edits_at(self._database, epoch)

    def _edit(self, digest: str, facts: str) -> WeightEdit:
        return self._loaded.get((digest, facts)) or self._load(digest, facts)

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
