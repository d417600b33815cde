"""One shard of the retrieval memory: the facts of a hash range, as of one epoch."""

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
    """A memory shard, here or in another process. Digests are those of `memory.fact_sets`."""

    def hold(self, facts: Sequence[Fact]) -> str:
        """Move to exactly these facts; returns their digest."""

    def prepare(self, changes: Sequence[Change]) -> None:
        """Do what `move` needs and what nobody must wait for: encode the texts that come."""

    def move(self, changes: Sequence[Change], before: str, after: str) -> bool:
        """From the facts of one digest to those of another; False when others are held."""

    def recall(
        self, questions: Sequence[str], *, tenant: str, digest: str, now_s: float | None
    ) -> list[Recall] | None:
        """What the facts of the digest say at a moment; None when others are held."""


class MemoryShard:
    """Holds what its replica tells it to, and says when it holds something else.

    A shard that was killed comes back empty; its digest then disagrees with what the replica asks for, and
    the replica hands it the facts again. Safe in several threads, as its memory is.
    """

    def __init__(self, memory: RetrievalMemory) -> None:
        self._memory = memory

    def hold(self, facts: Sequence[Fact]) -> str:
        """Move to exactly these facts by the smallest change; returns their digest."""
        return self._memory.hold(facts)

    def prepare(self, changes: Sequence[Change]) -> None:
        """Encode the texts that come."""
        self._memory.prepare(changes)

    def move(self, changes: Sequence[Change], before: str, after: str) -> bool:
        """From the facts of one digest to those of another; False when others are held.

        Raises:
            MemoryIndexError: when the changes do not lead from one to the other.
        """
        return self._memory.move(changes, before=before, after=after)

    def recall(
        self, questions: Sequence[str], *, tenant: str, digest: str, now_s: float | None = None
    ) -> list[Recall] | None:
        """What the memory says at a moment; None when it does not hold the facts of `digest`."""
        return self._memory.recall_from(digest, questions, tenant=tenant, now_s=now_s)


def shard_of(key: FactKey, shards: int) -> int:
    """Which shard a fact belongs to: by its subject's name.

    So everything known of a name meets in one place: versions, relations that are told from each other, and
    a tenant's fact with the common one that it hides.
    """
    if shards == 1:
        return 0
    return int.from_bytes(hashlib.sha256(identity(key.subject).encode()).digest()[:4], "big") % shards


def split(items: Iterable[Item], shards: int) -> list[list[Item]]:
    """Facts or changes by shard, in their order."""
    parts: list[list[Item]] = [[] for _ in range(shards)]
    for item in items:
        parts[shard_of(item.key, shards)].append(item)
    return parts
