"""The retrieval memory: every live fact, whatever its placement, found by asking about it.

A cache of the ledger: everything here is rebuilt from the facts. Knows scopes (tenants), not expiry; a
fact that is no longer valid is retracted by whoever watches the clock.

Scopes: a question sees the facts of its own scope and those of `default`; where both have a fact for the
same subject and relation, the scope's own wins. Wordings are learned per scope in the same way, so that
nothing a tenant writes changes what another tenant is answered.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from guardedit.core.epoch import Change
from guardedit.core.errors import MemoryIndexError
from guardedit.core.fact import Fact
from guardedit.core.protocols import Recall
from guardedit.memory.cache import load_indexes, save_indexes
from guardedit.memory.candidates import Candidate, candidates
from guardedit.memory.encoder import Encoder
from guardedit.memory.index import KeyIndex, content_sha256
from guardedit.memory.scope import ScopeThresholds, judge_scope
from guardedit.memory.shelf import Entry, Shelf, entry_of, texts_of

DEFAULT_SCOPE = "default"


def facts_sha256(facts: Iterable[Fact]) -> str:
    """Digest of a set of facts with all their fields; the order does not matter."""
    rows = sorted(json.dumps(fact.to_json(), sort_keys=True) for fact in facts)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


class RetrievalMemory:
    """Implements `Memory`. One lock: a recall sees all of an `apply` or nothing of it."""

    def __init__(self, encoder: Encoder, thresholds: ScopeThresholds | None = None) -> None:
        """`thresholds` default to those shipped for all-MiniLM-L6-v2.

        Raises:
            MemoryIndexError: the thresholds were calibrated for another encoder.
        """
        self._encoder = encoder
        self._thresholds = ScopeThresholds.load() if thresholds is None else thresholds
        if self._thresholds.encoder_sha256 != encoder.sha256:
            raise MemoryIndexError(
                f"scope thresholds are for encoder {self._thresholds.encoder_sha256[:12]}, this one is "
                f"{encoder.sha256[:12]}: run `python -m guardedit.memory.calibrate --encoder NAME`"
            )
        self._shelves: dict[str, Shelf] = {}
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return sum(len(shelf.entries) for shelf in self._shelves.values())

    def facts(self) -> tuple[Fact, ...]:
        """All facts held, in no particular order; `rebuild` of them gives the same memory elsewhere."""
        with self._lock:
            return tuple(e.fact for shelf in self._shelves.values() for e in shelf.entries.values())

    def apply(self, changes: Sequence[Change]) -> None:
        """Add, supersede and delete, as one step: what can fail comes first."""
        entries = {id(change): entry_of(change.fact) for change in changes if change.fact is not None}
        self._encoder.encode(texts_of(entries.values()))
        with self._lock:
            for change in changes:
                if change.fact is None:
                    self._drop(change)
                else:
                    self._shelf(change.key.scope).put(entries[id(change)])

    def recall(self, questions: Sequence[str], *, scope: str = DEFAULT_SCOPE) -> list[Recall]:
        """Per question the fact it falls under: accept, unsure with the best guess, or out with none."""
        recalls = []
        for found in self.candidates(questions, scope=scope):
            verdict = judge_scope([candidate.features for candidate in found], self._thresholds)
            fact = None if verdict.winner is None else found[verdict.winner].entry.fact
            recalls.append(Recall(scope=verdict.scope, score=verdict.score, margin=verdict.margin, fact=fact))
        return recalls

    def candidates(self, questions: Sequence[str], *, scope: str = DEFAULT_SCOPE) -> list[list[Candidate]]:
        """What `recall` chooses from, with all features: for calibration and for explaining."""
        with self._lock:
            names = dict.fromkeys([scope, DEFAULT_SCOPE])
            shelves = [self._shelves[name] for name in names if name in self._shelves]
            return candidates(questions, shelves, self._encoder)

    def digest(self) -> str:
        """Equal for equal sets of facts, however they were reached; compare with `facts_sha256`."""
        return facts_sha256(self.facts())

    def rebuild(self, facts: Sequence[Fact]) -> None:
        """Start over from the ledger."""
        self._start(facts, {})

    def save(self, folder: Path) -> str:
        """Write the indexes as a cache for `restore`; returns the digest to ask for then."""
        with self._lock:
            indexes = {scope: shelf.index for scope, shelf in self._shelves.items()}
            return save_indexes(indexes, folder, encoder_sha256=self._encoder.sha256)

    def restore(self, facts: Sequence[Fact], folder: Path, *, sha256: str) -> bool:
        """Like `rebuild`, with the saved vectors where they can be trusted; False where they could not.

        A cache that is missing, changed, of another encoder or of other facts is passed over.
        """
        try:
            saved = load_indexes(folder, sha256=sha256, encoder_sha256=self._encoder.sha256)
        except MemoryIndexError:
            saved = {}
        return self._start(facts, saved)

    def _start(self, facts: Sequence[Fact], saved: dict[str, KeyIndex]) -> bool:
        by_scope: dict[str, list[Entry]] = {}
        for fact in facts:
            by_scope.setdefault(fact.key.scope, []).append(entry_of(fact))
        usable = {
            scope: saved[scope]
            for scope, entries in by_scope.items()
            if scope in saved
            and saved[scope].digest() == content_sha256({e.fact.id: e.keys for e in entries})
        }
        fresh = [e for scope, entries in by_scope.items() if scope not in usable for e in entries]
        self._encoder.encode(texts_of(fresh))
        shelves = {}
        for scope, entries in by_scope.items():
            shelves[scope] = Shelf(self._encoder, index=usable.get(scope))
            for entry in entries:
                shelves[scope].put(entry)
        with self._lock:
            self._shelves = shelves
        return len(usable) == len(by_scope)

    def _shelf(self, scope: str) -> Shelf:
        if scope not in self._shelves:
            self._shelves[scope] = Shelf(self._encoder)
        return self._shelves[scope]

    def _drop(self, change: Change) -> None:
        shelf = self._shelves.get(change.key.scope)
        if shelf is None:
            return
        shelf.drop(change.key)
        if not shelf.entries:
            del self._shelves[change.key.scope]
