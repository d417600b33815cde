"""A serving replica: one model and the read path of the memory, pinned to one epoch at a time.

The way of a question: the memory says whether a live fact covers it. A fact placed in memory is put in
front of the question; one placed in the weights is left to them; without a fact the model answers alone.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from guardedit.core.errors import MemoryIndexError, UsageError
from guardedit.core.fact import Fact, Placement
from guardedit.core.protocols import Answer, Recall, Snapshot
from guardedit.memory.context import with_fact
from guardedit.memory.digests import facts_sha256
from guardedit.models.bypass import Patch
from guardedit.models.fold import Fold
from guardedit.models.host import ModelHost
from guardedit.serving.shard import split

_OUT = Recall(scope="out")


class Shard(Protocol):
    """A memory shard, here or in another process."""

    def hold(self, facts: Sequence[Fact]) -> str:
        """Move to exactly these facts."""

    def recall(self, questions: Sequence[str], *, scope: str, digest: str) -> list[Recall] | None:
        """None when other facts are held."""


@dataclass(frozen=True)
class _Pinned:
    """Everything answers depend on, replaced as one."""

    snapshot: Snapshot
    patch: Patch
    parts: list[list[Fact]]
    digests: list[str]


class ServingReplica:
    """Answers from exactly one epoch; `publish` waits for the answer in hand.

    Args:
        use_unsure: put an uncertain fact in front of the question too.
    """

    def __init__(
        self,
        host: ModelHost,
        fold: Fold,
        shards: Sequence[Shard],
        *,
        use_unsure: bool = False,
    ) -> None:
        self._host = host
        self._fold = fold
        self._shards = list(shards)
        self._use_unsure = use_unsure
        self._lookups: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._pinned: _Pinned | None = None

    def publish(self, snapshot: Snapshot) -> int:
        """Switch to a snapshot between two answers. The patch is folded before the switch.

        Raises:
            UsageError: when the folded weights are not those the epoch names; the old epoch goes on.
        """
        sha256 = self._fold.weights_sha256(snapshot.edits)
        if snapshot.epoch.number and sha256 != snapshot.epoch.weights_sha256:
            raise UsageError(
                f"epoch {snapshot.epoch.number} folds to {sha256[:12]} here, its record says "
                f"{snapshot.epoch.weights_sha256[:12]}: this replica has another model or moments"
            )
        patch = self._fold.fold(snapshot.edits)
        parts = split(snapshot.facts, len(self._shards))
        with self._lock:
            digests = [shard.hold(part) for shard, part in zip(self._shards, parts, strict=True)]
            self._pinned = _Pinned(snapshot, patch, parts, digests)
        return snapshot.epoch.number

    def ask(self, prompts: Sequence[str], *, scope: str = "default") -> list[Answer]:
        """Answer all prompts from one epoch.

        Raises:
            UsageError: before anything was published.
            MemoryIndexError: when a shard cannot be brought to the epoch's facts.
        """
        with self._lock:
            pinned = self._pinned
            if pinned is None:
                raise UsageError("this replica serves nothing yet: publish an epoch first")
            recalls = self._recall(pinned, prompts, scope)
            used = [self._fact_for(recall) for recall in recalls]
            asked = [
                with_fact(fact, prompt) if fact and fact.placement is Placement.MEMORY else prompt
                for fact, prompt in zip(used, prompts, strict=True)
            ]
            with self._host.patched(pinned.patch):
                texts = self._host.complete(asked)
        epoch = pinned.snapshot.epoch.number
        return [
            Answer(
                text=text,
                epoch=epoch,
                placement=fact.placement.value if fact else "base",
                fact_id=fact.id if fact else "",
                score=recall.score,
                scope=recall.scope,
            )
            for text, fact, recall in zip(texts, used, recalls, strict=True)
        ]

    def memory_sha256(self) -> list[str]:
        """Digest of the facts each shard should hold, as pinned."""
        return list(self._pinned.digests) if self._pinned else []

    def lookups(self) -> dict[str, int]:
        """Questions put to the memory by scope, since this was last asked."""
        with self._lock:
            found, self._lookups = dict(self._lookups), Counter()
        return found

    def epoch(self) -> int | None:
        """The epoch now served."""
        return self._pinned.snapshot.epoch.number if self._pinned else None

    def _fact_for(self, recall: Recall) -> Fact | None:
        self._lookups[recall.scope] += 1
        if recall.scope == "accept" or (recall.scope == "unsure" and self._use_unsure):
            return recall.fact
        return None

    def _recall(self, pinned: _Pinned, prompts: Sequence[str], scope: str) -> list[Recall]:
        best = [_OUT] * len(prompts)
        for index, shard in enumerate(self._shards):
            found = shard.recall(prompts, scope=scope, digest=pinned.digests[index])
            if found is None:
                # Restarted, so empty: hand it the pinned facts again.
                shard.hold(pinned.parts[index])
                found = shard.recall(prompts, scope=scope, digest=pinned.digests[index])
            if found is None:
                raise MemoryIndexError(f"memory shard {index} does not hold what it was given: restart it")
            best = [max(pair, key=_rank) for pair in zip(best, found, strict=True)]
        return best


def _rank(recall: Recall) -> tuple[int, float]:
    order = ("out", "unsure", "accept").index(recall.scope)
    return order, recall.score if recall.score == recall.score else -1.0


def pinned_sha256(facts: Sequence[Fact], shards: int) -> list[str]:
    """What `memory_sha256` must say for these facts."""
    return [facts_sha256(part) for part in split(facts, shards)]
