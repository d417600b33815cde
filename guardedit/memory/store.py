"""The retrieval memory: every live fact, whatever its placement, found by asking about it.

A cache of the ledger: everything here is rebuilt from the facts. Knows tenants. Has no clock:
whoever recalls says what time it is, and a fact that has expired by then is as if it were not there.

Tenants: a question sees the facts of its own tenant and those of `default`; where both have a fact for the
same subject and relation, the tenant's own wins. Wordings are learned per tenant in the same way, so that
nothing a tenant writes changes what another tenant is answered.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from guardedit.core.epoch import Change
from guardedit.core.errors import MemoryIndexError
from guardedit.core.fact import Fact, FactKey
from guardedit.core.serving import Recall
from guardedit.memory.cache import load_indexes, save_indexes
from guardedit.memory.candidates import Candidate, candidates, read
from guardedit.memory.encoder import Encoder, Vectors
from guardedit.memory.expiry import Expiry
from guardedit.memory.fact_sets import changes_between, digest_after, facts_sha256
from guardedit.memory.index import KeyIndex, content_sha256
from guardedit.memory.scope import ScopeThresholds, judge_scope
from guardedit.memory.shelf import Entry, Shelf, entry_of, texts_of

DEFAULT_TENANT = "default"
#: The digest of a memory in which a change failed half-way: no set of facts has it.
BROKEN = ""
#: Facts that are encoded before they are put in, so that the encoder's cache still has their rows.
_AT_ONCE = 1000


class RetrievalMemory:
    """Implements `Memory`. One lock: a recall sees all of an `apply` or nothing of it.

    The lock is held for look-ups and for changes of the indexes, never while texts are encoded.
    """

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
        self._shelves: dict[str, Shelf] = {}  # without what has expired
        self._held: dict[FactKey, Fact] = {}
        self._digest = facts_sha256(())
        self._expiry = Expiry()
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._held)

    def facts(self) -> tuple[Fact, ...]:
        """All facts held, in no particular order; `rebuild` of them gives the same memory elsewhere."""
        with self._lock:
            return tuple(self._held.values())

    def prepare(self, changes: Sequence[Change]) -> None:
        """Encode what the changes bring, so that `apply` and `move` need not."""
        self._encoder.encode(texts_of(entry_of(change.fact) for change in changes if change.fact is not None))

    def apply(self, changes: Sequence[Change]) -> None:
        """Add, supersede and delete, as one step: what can fail comes first."""
        entries = self._entries(changes)
        with self._lock:
            self._apply(changes, entries)

    def move(self, changes: Sequence[Change], *, before: str, after: str) -> bool:
        """`apply` where just the facts of the digest `before` are held; False, and nothing done, elsewhere.

        Raises:
            MemoryIndexError: the changes do not lead to the digest `after`; nothing is done then.
        """
        entries = self._entries(changes)
        with self._lock:
            if self._digest != before:
                return False
            found = self._digest_after(changes)
            if found != after:
                raise MemoryIndexError(
                    f"these changes lead to facts with digest {found[:12]}, not {after[:12]}: "
                    "hand over all facts of the epoch instead"
                )
            self._apply(changes, entries)
        return True

    def hold(self, facts: Sequence[Fact]) -> str:
        """Move to exactly these facts by the smallest change; returns their digest."""
        wanted = {fact.key: fact for fact in facts}
        self.prepare(changes_between({fact.key: fact for fact in self.facts()}, wanted))
        with self._lock:
            if self._digest == BROKEN:
                self.rebuild(facts)
            changes = changes_between(self._held, wanted)
            self._apply(changes, self._entries(changes))
            return self._digest

    def recall(
        self, questions: Sequence[str], *, tenant: str = DEFAULT_TENANT, now_s: float | None = None
    ) -> list[Recall]:
        """Per question the fact it falls under: accept, unsure with the best guess, or out with none.

        Args:
            questions: in any number.
            tenant: whose facts are seen, beside those of `default`.
            now_s: seconds since 1970, UTC; None for facts whatever their time.
        """
        return [self._judged(found) for found in self.candidates(questions, tenant=tenant, now_s=now_s)]

    def recall_from(
        self, digest: str, questions: Sequence[str], *, tenant: str, now_s: float | None
    ) -> list[Recall] | None:
        """`recall` from exactly the facts of a digest; None when others are held."""
        found = self._found(questions, tenant=tenant, now_s=now_s, digest=digest)
        return None if found is None else [self._judged(row) for row in found]

    def candidates(
        self, questions: Sequence[str], *, tenant: str = DEFAULT_TENANT, now_s: float | None = None
    ) -> list[list[Candidate]]:
        """What `recall` chooses from, with all features: for calibration and for explaining."""
        return self._found(questions, tenant=tenant, now_s=now_s, digest=None) or []

    def digest(self) -> str:
        """Equal for equal sets of facts, however they were reached; compare with `facts_sha256`."""
        return self._digest

    def rebuild(self, facts: Sequence[Fact]) -> None:
        """Start over from the ledger."""
        self._start(facts, {})

    def save(self, folder: Path) -> str:
        """Write the indexes as a cache for `restore`; returns the digest to ask for then."""
        with self._lock:
            self._at(None)
            indexes = {tenant: shelf.index for tenant, shelf in self._shelves.items()}
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
        by_tenant: dict[str, list[Entry]] = {}
        for fact in facts:
            by_tenant.setdefault(fact.key.tenant, []).append(entry_of(fact))
        usable = {
            tenant: saved[tenant]
            for tenant, entries in by_tenant.items()
            if tenant in saved
            and saved[tenant].digest() == content_sha256({e.fact.id: e.keys for e in entries})
        }
        shelves = {tenant: Shelf(self._encoder, index=usable.get(tenant)) for tenant in by_tenant}
        for tenant, entries in by_tenant.items():
            self._fill(shelves[tenant], entries, encode=tenant not in usable)
        digest, expiry = facts_sha256(facts), Expiry()
        for entries in by_tenant.values():
            for entry in entries:
                expiry.note(entry)
        with self._lock:
            self._shelves, self._expiry, self._digest = shelves, expiry, digest
            self._held = {fact.key: fact for fact in facts}
        return len(usable) == len(by_tenant)

    def _fill(self, shelf: Shelf, entries: Sequence[Entry], *, encode: bool) -> None:
        for start in range(0, len(entries), _AT_ONCE):
            part = entries[start : start + _AT_ONCE]
            if encode:
                self._encoder.encode(texts_of(part))
            for entry in part:
                shelf.put(entry)

    def _judged(self, found: Sequence[Candidate]) -> Recall:
        verdict = judge_scope([candidate.features for candidate in found], self._thresholds)
        fact = None if verdict.winner is None else found[verdict.winner].entry.fact
        return Recall(scope=verdict.scope, score=verdict.score, margin=verdict.margin, fact=fact)

    def _found(
        self, questions: Sequence[str], *, tenant: str, now_s: float | None, digest: str | None
    ) -> list[list[Candidate]] | None:
        """Candidates of one moment; None when `digest` is given and other facts are held."""
        rows = self._rows(questions)
        while True:
            with self._lock:
                if digest is not None and digest != self._digest:
                    return None
                self._at(now_s)
                names = dict.fromkeys([tenant, DEFAULT_TENANT])
                shelves = [self._shelves[name] for name in names if name in self._shelves]
                reading = read(questions, shelves)
                missing = [text for text in reading.texts() if text not in rows]
                if not missing:
                    return candidates(reading, shelves, rows)
            # Again then, since a name that is new meanwhile makes new texts.
            rows |= self._rows(missing)

    def _rows(self, texts: Sequence[str]) -> dict[str, Vectors]:
        return dict(zip(texts, self._encoder.encode(texts), strict=True))

    def _entries(self, changes: Sequence[Change]) -> dict[FactKey, Entry]:
        """What is derived from the facts that come, all texts encoded."""
        entries = {change.key: entry_of(change.fact) for change in changes if change.fact is not None}
        self._encoder.encode(texts_of(entries.values()))
        return entries

    def _digest_after(self, changes: Iterable[Change]) -> str:
        last = {change.key: change.fact for change in changes}
        gone = [self._held[key] for key in last if key in self._held]
        return digest_after(self._digest, gone, [fact for fact in last.values() if fact is not None])

    def _apply(self, changes: Sequence[Change], entries: dict[FactKey, Entry]) -> None:
        after = self._digest_after(changes)
        self._digest = BROKEN
        for key, fact in {change.key: change.fact for change in changes}.items():
            self._expiry.forget(key)
            if fact is None:
                self._held.pop(key, None)
                self._drop(key)
            else:
                self._held[key] = fact
                self._shelf(key.tenant).put(entries[key])
                self._expiry.note(entries[key])
        self._digest = after

    def _at(self, now_s: float | None) -> None:
        """Take what has expired off the shelves, and put back what has not."""
        for entry in self._expiry.over(now_s):
            self._drop(entry.fact.key)
        for entry in self._expiry.back(now_s):
            self._shelf(entry.fact.key.tenant).put(entry)

    def _shelf(self, tenant: str) -> Shelf:
        if tenant not in self._shelves:
            self._shelves[tenant] = Shelf(self._encoder)
        return self._shelves[tenant]

    def _drop(self, key: FactKey) -> None:
        shelf = self._shelves.get(key.tenant)
        if shelf is None:
            return
        shelf.drop(key)
        if not shelf.entries:
            del self._shelves[key.tenant]
