"""The facts that a replica serves, split over memory shards.

Only `recall` is thread-safe: a caller that changes the facts must hold the replica's lock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from guardedit.core.epoch import Change
from guardedit.core.errors import MemoryIndexError
from guardedit.core.fact import Fact, FactKey
from guardedit.core.serving import Recall
from guardedit.memory.fact_sets import changes_between, digest_after, facts_sha256
from guardedit.memory.questions.choosing import merged, placed
from guardedit.memory.questions.clauses import clauses_of
from guardedit.serving.shard import Shard, split

#: The digest of the facts in each shard.
ShardDigests = tuple[str, ...]
#: Number of times that a recall reloads shards before it fails. Replicas that share a shard may be an epoch
#: apart for a moment, and then each of them reloads the shard with its own facts.
_RELOADS = 50


@dataclass(frozen=True, slots=True)
class PreparedChange:
    """A change of the facts, split by shard and encoded but not applied, with digests before and after."""

    parts: list[list[Change]]
    before: ShardDigests
    after: ShardDigests


class ShardedFacts:
    """All served facts, split over the shards by subject. Keeps a copy to reload a shard that lost them."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = list(shards)
        self._facts: list[dict[FactKey, Fact]] = [{} for _ in self._shards]
        self.digests: ShardDigests = (facts_sha256(()),) * len(self._shards)

    def prepare_facts(self, facts: Sequence[Fact]) -> PreparedChange:
        """The change from the current facts to exactly these."""
        current = {key: fact for part in self._facts for key, fact in part.items()}
        return self.prepare(changes_between(current, {fact.key: fact for fact in facts}))

    def prepare(self, changes: Sequence[Change]) -> PreparedChange:
        """Encode new facts in the shards and compute the digests. The last change of each key counts."""
        parts = split({change.key: change for change in changes}.values(), len(self._shards))
        after = [self._digest_after(n, part) for n, part in enumerate(parts)]
        self._encode(parts)
        return PreparedChange(parts, self.digests, tuple(after))

    def expect(self, facts: Sequence[Fact]) -> None:
        """Encode facts that may be added soon."""
        self._encode(split([Change(fact.key, fact) for fact in facts], len(self._shards)))

    def apply(self, change: PreparedChange) -> None:
        """Change the facts in all shards.

        If one shard fails, the others no longer have the expected digests, and the next recall reloads them.
        """
        for n, part in enumerate(change.parts):
            if part and not self._shards[n].apply_if(part, change.before[n], change.after[n]):
                facts = dict(self._facts[n])
                _apply(facts, part)
                self._reload(n, facts, change.after[n])
        for n, part in enumerate(change.parts):
            _apply(self._facts[n], part)
        self.digests = change.after

    def recall(
        self, digests: ShardDigests, questions: Sequence[str], *, tenant: str, now_s: float
    ) -> list[Recall] | None:
        """For each question, what all shards found together; None if a shard's facts have another digest.

        Questions are split here, because a shard knows only some of the subjects.
        """
        split = [clauses_of(question, partial(self._subjects_in, tenant=tenant)) for question in questions]
        clauses = [clause for each in split for clause in each]
        texts = [clause.text for clause in clauses]
        by_shard = []
        for shard, digest in zip(self._shards, digests, strict=True):
            recalls = shard.recall(texts, tenant=tenant, digest=digest, now_s=now_s)
            if recalls is None:
                return None
            by_shard.append(recalls)
        found = (
            placed(_of_shards(each), clause)
            for each, clause in zip(zip(*by_shard, strict=True), clauses, strict=True)
        )
        return [merged([next(found) for _ in each]) for each in split]

    def recall_with_reload(self, questions: Sequence[str], *, tenant: str, now_s: float) -> list[Recall]:
        """`recall` from the current facts. If a shard has other facts, all shards are reloaded.

        Raises:
            MemoryIndexError: a shard does not keep its facts.
        """
        for _ in range(_RELOADS):
            found = self.recall(self.digests, questions, tenant=tenant, now_s=now_s)
            if found is not None:
                return found
            for n, facts in enumerate(self._facts):
                self._reload(n, facts, self.digests[n])
        raise MemoryIndexError(f"a memory shard lost its facts {_RELOADS} times in a row: restart it")

    def subjects(self, texts: Sequence[str], *, tenant: str) -> list[list[str]]:
        """For each text, the subjects of facts that it names, as they are spelled there."""
        by_shard = [shard.subjects(texts, tenant=tenant) for shard in self._shards]
        return [
            list(dict.fromkeys(name for names in each for name in names))
            for each in zip(*by_shard, strict=True)
        ]

    def _subjects_in(self, text: str, *, tenant: str) -> list[str]:
        return self.subjects([text], tenant=tenant)[0]

    def _encode(self, parts: Sequence[Sequence[Change]]) -> None:
        for shard, part in zip(self._shards, parts, strict=True):
            if part:
                shard.prepare(part)

    def _reload(self, n: int, facts: dict[FactKey, Fact], digest: str) -> None:
        if self._shards[n].replace_facts(list(facts.values())) != digest:
            raise MemoryIndexError(f"memory shard {n} has other facts than were loaded into it: restart it")

    def _digest_after(self, n: int, changes: Sequence[Change]) -> str:
        removed = [self._facts[n][change.key] for change in changes if change.key in self._facts[n]]
        return digest_after(self.digests[n], removed, [change.fact for change in changes if change.fact])


def _apply(facts: dict[FactKey, Fact], changes: Sequence[Change]) -> None:
    """Change the dictionary in place, because copying all facts for each update would cost too much."""
    for key, fact in changes:
        if fact is None:
            facts.pop(key, None)
        else:
            facts[key] = fact


def _of_shards(recalls: Sequence[Recall]) -> Recall:
    """The recall that one memory with the facts of all shards would give.

    A shard that has no fact of the subject that a question names finds the nearest of its other facts. That
    counts only if no shard has one.
    """
    if named := [recall for recall in recalls if recall.named]:
        return merged(named)
    return max(recalls, key=lambda recall: -1.0 if math.isnan(recall.cosine) else recall.cosine)
