"""Handles of Ray actors by name: each implements the protocol of the actor's plain class.

A handle is pickled as its name, because it is an argument of constructors, which Ray may run again after the
process that created the handle has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import ray

from guardedit.core.epoch import Change
from guardedit.core.fact import Fact
from guardedit.core.probe import Inspection, Measurement, Probes
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.core.serving import Answer, Recall, Snapshot, Update
from guardedit.runtime.calls import call

NAMESPACE = "guardedit"


class _Handle:
    """An actor by its name, looked up at the first call."""

    def __init__(self, name: str) -> None:
        self._name = name

    @cached_property
    def _actor(self) -> Any:
        return ray.get_actor(self._name, namespace=NAMESPACE)

    def __reduce__(self) -> tuple[type[_Handle], tuple[str]]:
        return type(self), (self._name,)


class WorkerHandle(_Handle):
    """A `Worker` in another process."""

    @property
    def base_sha256(self) -> str:
        """Digest of the base model."""
        return str(call(self._actor.base))

    def propose(self, method: str, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """Propose edits with the named method."""
        found: Proposal = call(self._actor.propose, method, groups, live)
        return found

    def inspect(self, edits: Sequence[WeightEdit], live: Sequence[WeightEdit]) -> list[Inspection]:
        """Inspect edits without a forward pass."""
        found: list[Inspection] = call(self._actor.inspect, edits, live)
        return found

    def capacity_ratio(self, edits: Sequence[WeightEdit]) -> float:
        """Live keys over free rank."""
        return float(call(self._actor.capacity_ratio, edits))

    def weights_sha256(self, edits: Sequence[WeightEdit]) -> str:
        """Digest of the folded matrices."""
        return str(call(self._actor.weights_sha256, edits))

    def measure(self, edits: Sequence[WeightEdit], probes: Probes) -> Measurement:
        """Measure edits on the probes."""
        found: Measurement = call(self._actor.measure, edits, probes)
        return found


class ShardHandle(_Handle):
    """A memory shard in another process."""

    def replace_facts(self, facts: Sequence[Fact]) -> str:
        """Change to exactly these facts; returns their digest."""
        return str(call(self._actor.replace_facts, facts))

    def prepare(self, changes: Sequence[Change]) -> None:
        """Encode the texts of new facts."""
        call(self._actor.prepare, changes)

    def apply_if(self, changes: Sequence[Change], before: str, after: str) -> bool:
        """Apply the changes if the facts have the digest `before`; otherwise return False."""
        return bool(call(self._actor.apply_if, changes, before, after))

    def subjects(self, texts: Sequence[str], *, tenant: str) -> list[list[str]]:
        """For each text, the subjects of facts that it names, as they are spelled there."""
        found: list[list[str]] = call(self._actor.subjects, texts, tenant=tenant)
        return found

    def recall(
        self, clauses: Sequence[str], *, tenant: str, digest: str, now_s: float | None = None
    ) -> list[Recall] | None:
        """Per clause of a question the recall at time `now_s`; None if the facts have another digest."""
        found: list[Recall] | None = call(
            self._actor.recall, clauses, tenant=tenant, digest=digest, now_s=now_s
        )
        return found


class ReplicaHandle(_Handle):
    """A `Replica` in another process."""

    def publish(self, snapshot: Snapshot) -> int:
        """Switch to a snapshot."""
        return int(call(self._actor.publish, snapshot))

    def follow(self, update: Update) -> int:
        """Switch to the next epoch."""
        return int(call(self._actor.follow, update))

    def expect(self, facts: Sequence[Fact]) -> None:
        """Encode the texts of facts that may be published soon."""
        call(self._actor.expect, facts)

    def ask(
        self, prompts: Sequence[str], *, tenant: str = "default", max_tokens: int | None = None
    ) -> list[Answer]:
        """Answer all prompts from one epoch."""
        found: list[Answer] = call(self._actor.ask, prompts, tenant=tenant, max_tokens=max_tokens)
        return found

    def says(self, asked: Sequence[tuple[str, str]], *, tenant: str = "default") -> list[bool]:
        """For each (prompt, answer) whether `ask` would return exactly this answer."""
        found: list[bool] = call(self._actor.says, asked, tenant=tenant)
        return found

    def epoch(self) -> int | None:
        """The epoch that is served; None before the first."""
        found: int | None = call(self._actor.epoch)
        return found

    def repair(self) -> list[str]:
        """Compare the served tensors with what they should be and restore them."""
        found: list[str] = call(self._actor.repair)
        return found

    def lookups(self) -> dict[str, int]:
        """Number of questions by scope since the last call."""
        found: dict[str, int] = call(self._actor.lookups)
        return found
