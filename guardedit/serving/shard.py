"""One shard of the retrieval memory: the facts of a hash range, as of one epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from guardedit.core.epoch import Change
from guardedit.core.fact import Fact
from guardedit.core.protocols import Recall
from guardedit.memory.digests import facts_sha256
from guardedit.memory.store import RetrievalMemory


class MemoryShard:
    """Holds what its replica tells it to, and says when it holds something else.

    A shard that was killed comes back empty; its digest then disagrees with what the replica asks for, and
    the replica hands it the facts again.
    """

    def __init__(self, memory: RetrievalMemory) -> None:
        self._memory = memory
        self._digest = facts_sha256(())

    def hold(self, facts: Sequence[Fact]) -> str:
        """Move to exactly these facts by the smallest change; returns their digest."""
        held = {fact.key: fact for fact in self._memory.facts()}
        wanted = {fact.key: fact for fact in facts}
        gone = [Change(key, None) for key in held if key not in wanted]
        new = [Change(key, fact) for key, fact in wanted.items() if held.get(key) != fact]
        self._memory.apply([*gone, *new])
        self._digest = facts_sha256(facts)
        return self._digest

    def recall(self, questions: Sequence[str], *, scope: str, digest: str) -> list[Recall] | None:
        """What the memory says; None when it does not hold the facts of `digest`."""
        if digest != self._digest:
            return None
        return self._memory.recall(questions, scope=scope)


def shard_of(fact: Fact, shards: int) -> int:
    """Which shard a fact belongs to: by its key, so that versions of one fact meet in one place."""
    return int.from_bytes(hashlib.sha256(str(fact.key).encode()).digest()[:4], "big") % shards


def split(facts: Iterable[Fact], shards: int) -> list[list[Fact]]:
    """Facts by shard, in their order."""
    parts: list[list[Fact]] = [[] for _ in range(shards)]
    for fact in facts:
        parts[shard_of(fact, shards)].append(fact)
    return parts
