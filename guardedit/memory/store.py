"""The retrieval memory: finds live facts, whatever their placement, by questions about them.

The memory is a cache of the ledger and can be rebuilt from the facts at any time. It has no clock: the caller
of a recall gives the time, and facts that have expired by then are invisible to it.

Tenants: a question sees the facts of its own tenant and those of `default`. If both have a fact for the same
subject and relation, the tenant's own fact is used. Wordings are also learned per tenant, so that nothing
that a tenant writes changes the answers of another tenant.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from functools import partial

from guardedit.core.epoch import Change
from guardedit.core.errors import MemoryIndexError
from guardedit.core.fact import Fact, FactKey
from guardedit.core.serving import Recall
from guardedit.memory.candidates import Candidate, find_candidates, named_subjects, parse_questions
from guardedit.memory.encoder import Encoder, Vectors
from guardedit.memory.expiry import Expiry
from guardedit.memory.fact_sets import changes_between, digest_after, facts_sha256
from guardedit.memory.questions.choosing import JudgedFact, merged, recall_of
from guardedit.memory.questions.clauses import Clause, clauses_of
from guardedit.memory.scope import ScopeThresholds, judge_scope
from guardedit.memory.tenant_index import FactEntry, TenantIndex, entry_of, texts_of

DEFAULT_TENANT = "default"
#: The digest after a change that failed half-way; no set of facts has this digest.
BROKEN = ""
#: Number of facts that are encoded and then added together, so that their vectors are still in the cache.
_BATCH = 1000


class RetrievalMemory:
    """The facts that answer questions. Thread-safe: a recall sees either all of an `apply` or none of it.

    The lock is held while indexes are read or changed, never while texts are encoded.
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
        self._indexes: dict[str, TenantIndex] = {}  # by tenant; without expired facts
        self._facts: dict[FactKey, Fact] = {}  # with expired facts
        self._digest = facts_sha256(())
        self._expiry = Expiry()
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._facts)

    def empty(self) -> RetrievalMemory:
        """A memory without facts, with the same encoder and thresholds."""
        return RetrievalMemory(self._encoder, self._thresholds)

    def facts(self) -> tuple[Fact, ...]:
        """All facts, in no particular order. `rebuild` with them makes an equal memory."""
        with self._lock:
            return tuple(self._facts.values())

    def prepare(self, changes: Sequence[Change]) -> None:
        """Encode the texts of new facts ahead of time, so that `apply` and `apply_if` find them cached."""
        self._encoder.encode(texts_of(entry_of(change.fact) for change in changes if change.fact is not None))

    def apply(self, changes: Sequence[Change]) -> None:
        """Add, supersede and delete facts as one step. Encoding, which can fail, comes first."""
        entries = self._encoded_entries(changes)
        with self._lock:
            self._apply(changes, entries)

    def apply_if(self, changes: Sequence[Change], *, before: str, after: str) -> bool:
        """`apply` if the facts have the digest `before`; otherwise change nothing and return False.

        Raises:
            MemoryIndexError: the changes do not lead to the digest `after`. Nothing was changed.
        """
        entries = self._encoded_entries(changes)
        with self._lock:
            if self._digest != before:
                return False
            found = self._digest_after(changes)
            if found != after:
                raise MemoryIndexError(
                    f"these changes lead to facts with digest {found[:12]}, not {after[:12]}: "
                    "load all facts of the epoch instead"
                )
            self._apply(changes, entries)
        return True

    def replace_facts(self, facts: Sequence[Fact]) -> str:
        """Change to exactly these facts by the smallest list of changes; returns their digest."""
        wanted = {fact.key: fact for fact in facts}
        self.prepare(changes_between({fact.key: fact for fact in self.facts()}, wanted))
        with self._lock:
            if self._digest == BROKEN:
                self.rebuild(facts)
            changes = changes_between(self._facts, wanted)
            self._apply(changes, self._encoded_entries(changes))
            return self._digest

    def recall(
        self, questions: Sequence[str], *, tenant: str = DEFAULT_TENANT, now_s: float | None = None
    ) -> list[Recall]:
        """For each question, the facts that it asks for: see `choosing`.

        Args:
            questions: any number of questions.
            tenant: the tenant whose facts are visible, besides those of `default`.
            now_s: seconds since 1970, UTC; None makes expired facts visible too.
        """
        subjects_in = partial(self._subjects_in, tenant=tenant)
        split = [clauses_of(question, subjects_in) for question in questions]
        texts = [clause.text for clauses in split for clause in clauses]
        found = iter(self.candidates(texts, tenant=tenant, now_s=now_s))
        return [merged([self._judge(clause, next(found)) for clause in clauses]) for clauses in split]

    def recall_from(
        self, digest: str, clauses: Sequence[str], *, tenant: str, now_s: float | None
    ) -> list[Recall] | None:
        """`recall` if the facts have this digest, else None. The texts are not split any further."""
        found = self._find(clauses, tenant=tenant, now_s=now_s, digest=digest)
        if found is None:
            return None
        return [self._judge(Clause(text, 0), row) for text, row in zip(clauses, found, strict=True)]

    def candidates(
        self, questions: Sequence[str], *, tenant: str = DEFAULT_TENANT, now_s: float | None = None
    ) -> list[list[Candidate]]:
        """The candidates that `recall` chooses from, with all features; for calibration and explanations."""
        return self._find(questions, tenant=tenant, now_s=now_s, digest=None) or []

    def subjects(self, texts: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> list[list[str]]:
        """For each text, the subjects of facts that it names, as they are spelled there, in their order."""
        with self._lock:
            indexes = [self._indexes[name] for name in {tenant, DEFAULT_TENANT} if name in self._indexes]
            return [named_subjects(text, indexes) for text in texts]

    def digest(self) -> str:
        """Digest of the facts, as `facts_sha256` computes it; independent of the order of changes."""
        return self._digest

    def rebuild(self, facts: Sequence[Fact]) -> None:
        """Discard everything and build the indexes from these facts."""
        by_tenant: dict[str, list[FactEntry]] = {}
        for fact in facts:
            by_tenant.setdefault(fact.key.tenant, []).append(entry_of(fact))
        indexes = {tenant: self._new_index(entries) for tenant, entries in by_tenant.items()}
        digest, expiry = facts_sha256(facts), Expiry()
        for entries in by_tenant.values():
            for entry in entries:
                expiry.add(entry)
        with self._lock:
            self._indexes, self._expiry, self._digest = indexes, expiry, digest
            self._facts = {fact.key: fact for fact in facts}

    def _new_index(self, entries: Sequence[FactEntry]) -> TenantIndex:
        index = TenantIndex(self._encoder)
        for start in range(0, len(entries), _BATCH):
            batch = entries[start : start + _BATCH]
            self._encoder.encode(texts_of(batch))
            for entry in batch:
                index.put(entry)
        return index

    def _subjects_in(self, text: str, *, tenant: str) -> list[str]:
        return self.subjects([text], tenant=tenant)[0]

    def _judge(self, clause: Clause, found: Sequence[Candidate]) -> Recall:
        """The facts that a clause asks for; among equally good ones the order is by whole-question cosine."""
        ordered = sorted(found, key=lambda one: (-one.features.full, one.entry.fact.id))
        judged = [
            JudgedFact(one.entry.fact, judge_scope([one.features], self._thresholds)) for one in ordered
        ]
        return recall_of(clause, judged)

    def _find(
        self, questions: Sequence[str], *, tenant: str, now_s: float | None, digest: str | None
    ) -> list[list[Candidate]] | None:
        """Candidates from one state of the facts; None if `digest` is given and the facts have another."""
        vectors = self._encode(questions)
        while True:
            with self._lock:
                if digest is not None and digest != self._digest:
                    return None
                self._show_and_hide(now_s)
                tenants = dict.fromkeys([tenant, DEFAULT_TENANT])
                indexes = [self._indexes[name] for name in tenants if name in self._indexes]
                parsed = parse_questions(questions, indexes)
                missing = [text for text in parsed.texts() if text not in vectors]
                if not missing:
                    return find_candidates(parsed, indexes, vectors)
            # Encode without the lock, then look again, because the subject of a new fact leads to new masked
            # texts.
            vectors |= self._encode(missing)

    def _encode(self, texts: Sequence[str]) -> dict[str, Vectors]:
        return dict(zip(texts, self._encoder.encode(texts), strict=True))

    def _encoded_entries(self, changes: Sequence[Change]) -> dict[FactKey, FactEntry]:
        """The entries of all new facts, their texts encoded."""
        entries = {change.key: entry_of(change.fact) for change in changes if change.fact is not None}
        self._encoder.encode(texts_of(entries.values()))
        return entries

    def _digest_after(self, changes: Iterable[Change]) -> str:
        last = {change.key: change.fact for change in changes}
        removed = [self._facts[key] for key in last if key in self._facts]
        return digest_after(self._digest, removed, [fact for fact in last.values() if fact is not None])

    def _apply(self, changes: Sequence[Change], entries: dict[FactKey, FactEntry]) -> None:
        after = self._digest_after(changes)
        self._digest = BROKEN
        for key, fact in {change.key: change.fact for change in changes}.items():
            self._expiry.remove(key)
            if fact is None:
                self._facts.pop(key, None)
                self._drop(key)
            else:
                self._facts[key] = fact
                self._index(key.tenant).put(entries[key])
                self._expiry.add(entries[key])
        self._digest = after

    def _show_and_hide(self, now_s: float | None) -> None:
        """Make the indexes show exactly the facts that are valid at `now_s`."""
        for entry in self._expiry.newly_expired(now_s):
            self._drop(entry.fact.key)
        for entry in self._expiry.valid_again(now_s):
            self._index(entry.fact.key.tenant).put(entry)

    def _index(self, tenant: str) -> TenantIndex:
        if tenant not in self._indexes:
            self._indexes[tenant] = TenantIndex(self._encoder)
        return self._indexes[tenant]

    def _drop(self, key: FactKey) -> None:
        index = self._indexes.get(key.tenant)
        if index is None:
            return
        index.drop(key)
        if not index.entries:
            del self._indexes[key.tenant]
