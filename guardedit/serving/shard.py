"""One shard of the retrieval memory: the facts of a hash range of subject names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from guardedit.core.epoch import Change
from guardedit.core.fact import Fact, FactKey
from guardedit.core.serving import Recall
from guardedit.memory.store import RetrievalMemory
from guardedit.naming import identity

Item = TypeVar("Item", Fact, Change)


class Shard(Protocol):
    """A memory shard, in this process or another one. Digests are those of `memory.fact_sets`."""

    def replace_facts(self, facts: Sequence[Fact]) -> str:
        """Change to exactly these facts; returns their digest."""

    def prepare(self, changes: Sequence[Change]) -> None:
        """Encode the texts of new facts, so that `apply_if` is fast."""

    def apply_if(self, changes: Sequence[Change], before: str, after: str) -> bool:
        """Apply the changes if the facts have the digest `before`; otherwise return False."""

    def recall(
        self, clauses: Sequence[str], *, tenant: str, digest: str, now_s: float | None
    ) -> list[Recall] | None:
        """For each clause of questions, the recall at `now_s`; None if the facts have another digest."""

    def subjects(self, texts: Sequence[str], *, tenant: str) -> list[list[str]]:
        """For each text, the subjects of facts that it names, as they are spelled there."""


class MemoryShard:
    """A shard in a `RetrievalMemory`. It reports when its facts are not the ones that a replica expects.

    A shard that was killed is empty when it is restarted. Its digest then differs from the one in the
    replica's call, and the replica loads the facts into it again. Thread-safe.
    """

    def __init__(self, memory: RetrievalMemory) -> None:
        self._memory = memory

    def replace_facts(self, facts: Sequence[Fact]) -> str:
        """Change to exactly these facts by the smallest list of changes; returns their digest."""
        return self._memory.replace_facts(facts)

    def prepare(self, changes: Sequence[Change]) -> None:
        """Encode the texts of new facts."""
        self._memory.prepare(changes)

    def apply_if(self, changes: Sequence[Change], before: str, after: str) -> bool:
        """Apply the changes if the facts have the digest `before`; otherwise return False.

        Raises:
            MemoryIndexError: the changes do not lead to the digest `after`.
        """
        return self._memory.apply_if(changes, before=before, after=after)

    def recall(
        self, clauses: Sequence[str], *, tenant: str, digest: str, now_s: float | None = None
    ) -> list[Recall] | None:
        """For each clause of questions, the recall at `now_s`; None if the facts have another digest."""
        return self._memory.recall_from(digest, clauses, tenant=tenant, now_s=now_s)

    def subjects(self, texts: Sequence[str], *, tenant: str) -> list[list[str]]:
        """For each text, the subjects of facts that it names, as they are spelled there."""
        return self._memory.subjects(texts, tenant=tenant)


def shard_of(key: FactKey, shards: int) -> int:
    """The shard of a fact, by the name of its subject.

    So all facts of a subject name are in one shard: all versions, all relations (the scope test compares
    them), and a tenant's fact together with the `default` fact that it hides.
    """
    if shards == 1:
        return 0
    return int.from_bytes(hashlib.sha256(identity(key.subject).encode()).digest()[:4], "big") % shards


def split(items: Iterable[Item], shards: int) -> list[list[Item]]:
    """Facts or changes, split by shard; their order is kept."""
    parts: list[list[Item]] = [[] for _ in range(shards)]
    for item in items:
        parts[shard_of(item.key, shards)].append(item)
    return parts
