"""The facts that a replica serves, as its shards hold them: moved by increments, handed over again when lost.

Knows shards and facts. Does not know models or epochs. Not safe in several threads but for `recall`: whoever
moves holds the replica's lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guardedit.core.epoch import Change
from guardedit.core.errors import MemoryIndexError
from guardedit.core.fact import Fact, FactKey
from guardedit.core.serving import Recall
from guardedit.memory.fact_sets import changes_between, digest_after, facts_sha256
from guardedit.serving.shard import Shard, split

#: What is pinned of the facts: a digest for each shard.
Digests = tuple[str, ...]
#: Replicas that share a shard may be an epoch apart for a moment, and take it from each other.
_REFILLS = 50


@dataclass(frozen=True, slots=True)
class Move:
    """A change of the facts, worked out and prepared but not made: by shard, and where it leads."""

    parts: list[list[Change]]
    before: Digests
    after: Digests


class Holdings:
    """All facts served, split over the shards by key."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self._shards = list(shards)
        self._facts: list[dict[FactKey, Fact]] = [{} for _ in self._shards]
        self.digests: Digests = (facts_sha256(()),) * len(self._shards)

    def to(self, facts: Sequence[Fact]) -> Move:
        """The move to exactly these facts."""
        held = {key: fact for part in self._facts for key, fact in part.items()}
        return self.by(changes_between(held, {fact.key: fact for fact in facts}))

    def by(self, changes: Sequence[Change]) -> Move:
        """The move by some changes; each key's last one counts. Shards encode what comes."""
        parts = split({change.key: change for change in changes}.values(), len(self._shards))
        after = [self._after(n, part) for n, part in enumerate(parts)]
        for shard, part in zip(self._shards, parts, strict=True):
            if part:
                shard.prepare(part)
        return Move(parts, self.digests, tuple(after))

    def expect(self, facts: Sequence[Fact]) -> None:
        """Have the shards encode what these facts would bring."""
        parts = split([Change(fact.key, fact) for fact in facts], len(self._shards))
        for shard, part in zip(self._shards, parts, strict=True):
            if part:
                shard.prepare(part)

    def make(self, move: Move) -> None:
        """Move the shards. Should one fail, the others are found to hold other facts and are moved back."""
        for n, part in enumerate(move.parts):
            if part and not self._shards[n].move(part, move.before[n], move.after[n]):
                self._hand_over(n, _changed(self._facts[n], part), move.after[n])
        for n, part in enumerate(move.parts):
            if part:
                _change(self._facts[n], part)
        self.digests = move.after

    def recall(
        self, digests: Digests, questions: Sequence[str], *, tenant: str, now_s: float
    ) -> list[Recall] | None:
        """The best of what the shards say from the facts of the digests; None when one holds others."""
        found = []
        for shard, digest in zip(self._shards, digests, strict=True):
            said = shard.recall(questions, tenant=tenant, digest=digest, now_s=now_s)
            if said is None:
                return None
            found.append(said)
        return [max(each, key=_rank) for each in zip(*found, strict=True)]

    def recall_refilled(self, questions: Sequence[str], *, tenant: str, now_s: float) -> list[Recall]:
        """As `recall`, from the facts held here; a shard that holds others gets all of its own again."""
        for _ in range(_REFILLS):
            found = self.recall(self.digests, questions, tenant=tenant, now_s=now_s)
            if found is not None:
                return found
            for n, facts in enumerate(self._facts):
                self._hand_over(n, facts, self.digests[n])
        raise MemoryIndexError("a memory shard forgets what it was given: restart it")

    def _hand_over(self, n: int, facts: dict[FactKey, Fact], digest: str) -> None:
        if self._shards[n].hold(list(facts.values())) != digest:
            raise MemoryIndexError(f"memory shard {n} does not hold what it was given: restart it")

    def _after(self, n: int, changes: Sequence[Change]) -> str:
        gone = [self._facts[n][change.key] for change in changes if change.key in self._facts[n]]
        return digest_after(self.digests[n], gone, [change.fact for change in changes if change.fact])


def pinned_sha256(facts: Sequence[Fact], shards: int) -> list[str]:
    """What `ServingReplica.memory_sha256` must say for these facts."""
    return [facts_sha256(part) for part in split(facts, shards)]


def _changed(facts: dict[FactKey, Fact], changes: Sequence[Change]) -> dict[FactKey, Fact]:
    found = dict(facts)
    _change(found, changes)
    return found


def _change(facts: dict[FactKey, Fact], changes: Sequence[Change]) -> None:
    for key, fact in changes:
        if fact is None:
            facts.pop(key, None)
        else:
            facts[key] = fact


def _rank(recall: Recall) -> tuple[int, float]:
    order = ("out", "unsure", "accept").index(recall.scope)
    return order, recall.score if recall.score == recall.score else -1.0
