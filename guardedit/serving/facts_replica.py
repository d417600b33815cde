"""The memory alone at one epoch at a time, for questions that another server answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from guardedit.core.epoch import Epoch
from guardedit.core.errors import ConflictError, UsageError
from guardedit.core.protocols import Clock
from guardedit.core.serving import Recall, ScopedFact, Snapshot, Update
from guardedit.serving.shard import Shard
from guardedit.serving.sharded_facts import PreparedChange, ShardDigests, ShardedFacts


@dataclass(frozen=True, slots=True)
class _Served:
    epoch: Epoch
    facts: ShardDigests


@dataclass(frozen=True, slots=True, kw_only=True)
class RecalledAlone:
    """What the memory found for some questions, at one epoch.

    Attributes:
        epoch: the epoch.
        recalls: what the memory found for each question.
        used: the facts that answer each question.
    """

    epoch: int
    recalls: list[Recall]
    used: list[tuple[ScopedFact, ...]]


class FactsReplica:
    """Finds facts of one epoch; all of them count as in memory, since the other server has no edits.

    Thread-safe. Only one thread publishes.

    Args:
        shards: the memory shards, at least one.
        use_unsure: whether to use facts of `unsure` scope, too.
        clock: seconds since 1970, UTC; decides which facts have expired.
    """

    def __init__(
        self, shards: Sequence[Shard], *, use_unsure: bool = False, clock: Clock = time.time
    ) -> None:
        self._facts, self._use_unsure, self._clock = ShardedFacts(shards), use_unsure, clock
        self._served: _Served | None = None
        self._lock = threading.Lock()

    def publish(self, snapshot: Snapshot) -> int:
        """Switch to a snapshot; returns its number."""
        return self._switch(snapshot.epoch, self._facts.prepare_facts(snapshot.facts))

    def follow(self, update: Update) -> int:
        """Switch to the next epoch by its changes.

        Raises:
            ConflictError: the served epoch is not `update.after`.
        """
        served = self.epoch()
        if served != update.after:
            raise ConflictError(f"the update follows epoch {update.after}, this replica serves {served}")
        return self._switch(update.epoch, self._facts.prepare(update.changes))

    def epoch(self) -> int | None:
        """Number of the served epoch; None before the first."""
        return self._served.epoch.number if self._served else None

    def recalled(self, questions: Sequence[str], *, tenant: str = "default") -> RecalledAlone:
        """What the memory finds for the questions, at one epoch.

        Raises:
            UsageError: no epoch has been published yet.
        """
        now_s = self._clock()
        served = self._now()
        recalls = self._facts.recall(served.facts, questions, tenant=tenant, now_s=now_s)
        if recalls is None:
            with self._lock:  # the epoch is being switched, or a shard was restarted and is empty
                served = self._now()
                recalls = self._facts.recall_with_reload(questions, tenant=tenant, now_s=now_s)
        scopes = ("accept", "unsure") if self._use_unsure else ("accept",)
        used = [tuple(one for one in recall.found if one.scope in scopes) for recall in recalls]
        return RecalledAlone(epoch=served.epoch.number, recalls=recalls, used=used)

    def subjects(self, texts: Sequence[str], *, tenant: str = "default") -> list[list[str]]:
        """For each text, the subjects of live facts that it names, as they are spelled there."""
        return self._facts.subjects(texts, tenant=tenant)

    def _now(self) -> _Served:
        if self._served is None:
            raise UsageError("this replica serves no epoch yet: publish one first")
        return self._served

    def _switch(self, epoch: Epoch, change: PreparedChange) -> int:
        with self._lock:
            self._facts.apply(change)
            self._served = _Served(epoch, change.after)
        return epoch.number
