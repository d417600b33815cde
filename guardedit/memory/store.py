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
from guardedit.core.fact import Fact, FactKey
from guardedit.core.serving import Recall
from guardedit.memory.building import Contents, contents_of, entries_of
from guardedit.memory.candidates import Candidate, find_candidates, named_subjects, parse_questions
from guardedit.memory.encoder import Encoder, Vectors
from guardedit.memory.fact_sets import changes_between, count_new, digest_after, facts_sha256, require_digest
from guardedit.memory.judging import Judge, ScopeTest
from guardedit.memory.questions.choosing import merged
from guardedit.memory.questions.clauses import Clause, clauses_of
from guardedit.memory.scope import ScopeThresholds
from guardedit.memory.subject import shortened
from guardedit.memory.tenant_index import FactEntry, by_text, texts_of
from guardedit.memory.tenant_indexes import DEFAULT_TENANT, TenantIndexes

#: The digest after a change that failed half-way; no set of facts has this digest.
BROKEN = ""
#: Fewer changes are never worth new indexes.
_FEW = 1000
#: Most questions for which the indexes are read without a pause.
_TOGETHER = 64


class RetrievalMemory:
    """The facts that answer questions. Thread-safe: a recall sees either all of an `apply` or none of it.

    The lock is held while indexes are read or changed, never while texts are encoded.
    """

    def __init__(
        self,
        encoder: Encoder,
        thresholds: ScopeThresholds | None = None,
        judge: Judge | None = None,
        *,
        keeping: Encoder | None = None,
    ) -> None:
        """A memory without facts.

        Args:
            encoder: encodes questions.
            thresholds: of the scope test; default: those shipped for all-MiniLM-L6-v2 without a judge.
            judge: decides about scope; None: the features do.
            keeping: encodes the texts of facts, as `encoder` does, but keeps their vectors; default:
                `encoder`.

        Raises:
            MemoryIndexError: the thresholds were calibrated for another encoder or another judge.
        """
        self._encoder = encoder
        self._fact_encoder = encoder if keeping is None else keeping
        self._scope = ScopeTest.of(encoder, thresholds, judge)
        self._indexes = TenantIndexes(self._fact_encoder)
        self._facts: dict[FactKey, Fact] = {}  # with expired facts
        self._digest = facts_sha256(())
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._facts)

    def empty(self) -> RetrievalMemory:
        """A memory without facts, with the same encoder and thresholds."""
        return RetrievalMemory(
            self._encoder, self._scope.thresholds, self._scope.judge, keeping=self._fact_encoder
        )

    def facts(self) -> tuple[Fact, ...]:
        """All facts, those that changed last at the end. `rebuild` with them makes an equal memory."""
        with self._lock:
            return tuple(self._facts.values())

    def prepare(self, changes: Sequence[Change]) -> None:
        """Encode the texts of new facts ahead of time, so that `apply` and `apply_if` find them cached.

        Not for many changes: then `apply_if` builds new indexes, while the present ones are read.
        """
        if not self._are_many(changes):
            self._fact_encoder.encode(texts_of(entries_of(changes).values()))

    def apply(self, changes: Sequence[Change]) -> None:
        """Add, supersede and delete facts as one step. Encoding, which can fail, comes first."""
        if self._are_many(changes):
            self._apply_many(changes)
            return
        entries = entries_of(changes)
        rows = by_text(self._fact_encoder, texts_of(entries.values()))
        with self._lock:
            self._apply(changes, entries, rows)

    def apply_if(self, changes: Sequence[Change], *, before: str, after: str) -> bool:
        """`apply` if the facts have the digest `before`; otherwise change nothing and return False.

        Raises:
            MemoryIndexError: the changes do not lead to the digest `after`. Nothing was changed.
        """
        if self._are_many(changes):
            return self._apply_many(changes, before=before, after=after)
        entries = entries_of(changes)
        rows = by_text(self._fact_encoder, texts_of(entries.values()))
        with self._lock:
            if self._digest != before:
                return False
            require_digest(self._digest_after(changes), after)
            self._apply(changes, entries, rows)
        return True

    def replace_facts(self, facts: Sequence[Fact]) -> str:
        """Change to exactly these facts by the smallest list of changes; returns their digest."""
        wanted = {fact.key: fact for fact in facts}
        with self._lock:
            changes, is_broken = changes_between(self._facts, wanted), self._digest == BROKEN
        if is_broken or self._are_many(changes):
            built = contents_of(wanted, self._fact_encoder)
            self._use(built)
            return built.digest
        rows = by_text(self._fact_encoder, texts_of(entries_of(changes).values()))
        with self._lock:
            changes = changes_between(self._facts, wanted)
            entries = entries_of(changes)
            missing = [text for text in texts_of(entries.values()) if text not in rows]
            self._apply(changes, entries, rows | by_text(self._fact_encoder, missing))
            return self._digest

    def recall(
        self, questions: Sequence[str], *, tenant: str = DEFAULT_TENANT, now_s: float | None = None
    ) -> list[Recall]:
        """For each question, the facts that it asks for: see `choosing`.

        Args:
            questions: any number of questions. Of one that is longer than `subject.MOST_CHARACTERS`, only its
                beginning and its end are looked at.
            tenant: the tenant whose facts are visible, besides those of `default`.
            now_s: seconds since 1970, UTC; None makes expired facts visible too.
        """
        subjects_in = partial(self._subjects_in, tenant=tenant)
        split = [clauses_of(question, subjects_in) for question in questions]
        texts = [clause.text for clauses in split for clause in clauses]
        found = self.candidates(texts, tenant=tenant, now_s=now_s)
        recalls = iter(self._scope.recalls([clause for clauses in split for clause in clauses], found))
        return [merged([next(recalls) for _ in clauses]) for clauses in split]

    def recall_from(
        self, digest: str, clauses: Sequence[str], *, tenant: str, now_s: float | None
    ) -> list[Recall] | None:
        """`recall` if the facts have this digest, else None. The texts are not split any further."""
        found = self._find(clauses, tenant=tenant, now_s=now_s, digest=digest)
        if found is None:
            return None
        return self._scope.recalls([Clause(text, 0) for text in clauses], found)

    def candidates(
        self, questions: Sequence[str], *, tenant: str = DEFAULT_TENANT, now_s: float | None = None
    ) -> list[list[Candidate]]:
        """The candidates that `recall` chooses from, with all features; for calibration and explanations."""
        return self._find(questions, tenant=tenant, now_s=now_s, digest=None) or []

    def scored(
        self, questions: Sequence[str], *, tenant: str = DEFAULT_TENANT, now_s: float | None = None
    ) -> list[list[tuple[Fact, float]]]:
        """For each question, the facts that `recall` chooses from with their scores in [0, 1], best first."""
        return self._scope.scored(self.candidates(questions, tenant=tenant, now_s=now_s))

    def subjects(self, texts: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> list[list[str]]:
        """For each text, the subjects of facts that it names, as they are spelled there, in their order."""
        with self._lock:
            return [named_subjects(shortened(text), self._indexes.shown_to(tenant)) for text in texts]

    def digest(self) -> str:
        """Digest of the facts, as `facts_sha256` computes it; independent of the order of changes."""
        return self._digest

    def rebuild(self, facts: Sequence[Fact]) -> None:
        """Discard everything and build the indexes from these facts."""
        self._use(contents_of({fact.key: fact for fact in facts}, self._fact_encoder))

    def recall_of_search(
        self, questions: Sequence[str], *, tenant: str = DEFAULT_TENANT, k: int = 8
    ) -> float:
        """Share of the k keys nearest to each question that a search finds; 1 if it is exact."""
        rows = self._encoder.encode(questions)
        with self._lock:
            index = self._indexes.by_tenant.get(tenant)
            return 1.0 if index is None else index.recall(rows, k=k)

    def wait(self) -> None:
        """Wait until the indexes are not reorganised in the background."""
        with self._lock:
            indexes = list(self._indexes.by_tenant.values())
        for index in indexes:
            index.wait()

    def _are_many(self, changes: Sequence[Change]) -> bool:
        """Whether so many facts are new that new indexes are worth it."""
        if len(changes) <= _FEW:
            return False
        with self._lock:
            return count_new(self._facts, changes) > max(_FEW, len(self._facts) // 8)

    def _apply_many(
        self, changes: Sequence[Change], *, before: str | None = None, after: str | None = None
    ) -> bool:
        """`apply_if`, where new indexes take less time and memory than changing the present ones."""
        while True:
            with self._lock:
                digest, facts = self._digest, dict(self._facts)
            if before is not None and digest != before:
                return False
            for key, fact in changes:
                facts.pop(key, None)
                if fact is not None:
                    facts[key] = fact
            built = contents_of(facts, self._fact_encoder)
            if after is not None:
                require_digest(built.digest, after)
            with self._lock:
                if self._digest == digest:  # else another thread has changed the facts meanwhile
                    self._use(built)
                    return True

    def _use(self, built: Contents) -> None:
        with self._lock:
            self._facts, self._indexes, self._digest = built

    def _subjects_in(self, text: str, *, tenant: str) -> list[str]:
        return self.subjects([text], tenant=tenant)[0]

    def _find(
        self, questions: Sequence[str], *, tenant: str, now_s: float | None, digest: str | None
    ) -> list[list[Candidate]] | None:
        """Candidates from one state of the facts; None if `digest` is given and the facts have another."""
        texts, together = [shortened(question) for question in questions], _TOGETHER
        while True:
            wanted = self._digest if digest is None else digest
            found: list[list[Candidate]] = []
            for start in range(0, max(1, len(texts)), together):
                some = self._find_some(texts[start : start + together], tenant, now_s, wanted)
                if some is None:
                    break
                found += some
            else:
                return found
            if digest is not None:
                return None
            together = len(texts)  # the facts have changed between two batches

    def _find_some(
        self, questions: Sequence[str], tenant: str, now_s: float | None, digest: str
    ) -> list[list[Candidate]] | None:
        vectors = by_text(self._encoder, questions)
        while True:
            with self._lock:
                if digest != self._digest:
                    return None
                indexes = self._indexes.seen_by(tenant, now_s)
                parsed = parse_questions(questions, indexes)
                missing = [text for text in parsed.texts() if text not in vectors]
                if not missing:
                    return find_candidates(parsed, indexes, vectors)
            # Encode without the lock, then look again, because the subject of a new fact leads to new masked
            # texts.
            vectors |= by_text(self._encoder, missing)

    def _digest_after(self, changes: Iterable[Change]) -> str:
        last = {change.key: change.fact for change in changes}
        removed = [self._facts[key] for key in last if key in self._facts]
        return digest_after(self._digest, removed, [fact for fact in last.values() if fact is not None])

    def _apply(
        self, changes: Sequence[Change], entries: dict[FactKey, FactEntry], rows: dict[str, Vectors]
    ) -> None:
        after = self._digest_after(changes)
        self._digest = BROKEN
        last = {change.key: change.fact for change in changes}
        for key, fact in last.items():
            self._facts.pop(key, None)  # those that changed last are at the end, as in the ledger
            if fact is not None:
                self._facts[key] = fact
        self._indexes.change({key: entries.get(key) for key in last}, rows)
        self._digest = after
