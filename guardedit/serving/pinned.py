"""What a replica is made of: the seams to model and fold, and what it pins as one.

Small and immutable; knows no locks.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from guardedit.core.epoch import Epoch
from guardedit.core.fact import Fact, Placement
from guardedit.core.proposal import WeightEdit
from guardedit.core.serving import Recall
from guardedit.memory.context import respelt, with_fact
from guardedit.models.bypass import Patch
from guardedit.models.weights.folded import Folded
from guardedit.serving.holdings import Digests


class Host(Protocol):
    """What a replica needs of a `ModelHost`."""

    def patched(self, patch: Patch) -> AbstractContextManager[None]:
        """Run as an edited model."""

    def complete_drafted(self, asked: Sequence[tuple[str, str]]) -> list[str]:
        """Greedy answers to prompts, each with what it may be."""

    def says(self, asked: Sequence[tuple[str, str]]) -> list[bool]:
        """Whether `complete_drafted` would give just this answer."""

    def repair(self) -> list[str]:
        """Mend the base model's tensors."""


class Folding(Protocol):
    """What a replica needs of a `Fold`."""

    def folded(self, edits: Sequence[WeightEdit]) -> Folded:
        """The patch of some edits, with its digest."""

    def forget(self) -> None:
        """Read the base model anew."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Edits, and what they folded to."""

    edits: tuple[WeightEdit, ...]
    folded: Folded


@dataclass(frozen=True, slots=True)
class Pinned:
    """Everything answers depend on, replaced as one."""

    epoch: Epoch
    weights: Weights
    facts: Digests


class Recalled(NamedTuple):
    """What the memory found, for some questions, in the facts of one epoch."""

    pinned: Pinned
    recalls: list[Recall]
    facts: list[Fact | None]  # those that answer

    def drafts(self) -> list[str]:
        """What the model may be expected to say: what it was told."""
        return [fact.target if fact else "" for fact in self.facts]

    def prompts(self, questions: Sequence[str]) -> list[str]:
        """The questions as the model is asked them."""
        return [
            question
            if fact is None
            else (with_fact if fact.placement is Placement.MEMORY else respelt)(fact, question)
            for fact, question in zip(self.facts, questions, strict=True)
        ]
