"""The state that a replica serves as one unit, and the interfaces that it needs of the model and the fold."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from guardedit.core.epoch import Epoch
from guardedit.core.fact import Placement
from guardedit.core.proposal import WeightEdit
from guardedit.core.serving import Answer, Recall, ScopedFact
from guardedit.memory.context import Prompts, respelt
from guardedit.models.bypass import Patch
from guardedit.models.text.asking import Asking
from guardedit.models.text.plain import plain
from guardedit.models.weights.folded import Folded, require_recorded
from guardedit.serving.sharded_facts import ShardDigests


class AnsweringModel(Protocol):
    """The part of `ModelHost` that a replica uses."""

    def patched(self, patch: Patch) -> AbstractContextManager[None]:
        """Run the model with edited weights inside the context."""

    def complete_drafted(self, asked: Sequence[tuple[str, str]]) -> list[str]:
        """Greedy answers to (prompt, expected answer) pairs; a correct expected answer saves time."""

    def complete(
        self,
        prompts: Sequence[str],
        *,
        max_new_tokens: int | None,
        cut: bool,
        beginnings: Sequence[str] = (),
    ) -> list[str]:
        """Greedy answers that begin with the given texts; with `cut` they end with their first sentence."""

    def asking_nats(self, asked: Sequence[Asking]) -> list[float]:
        """How likely the model thinks of a fact's old answer at each question, as log-probability."""

    def says(self, asked: Sequence[tuple[str, str]]) -> list[bool]:
        """For each (prompt, answer), whether `complete_drafted` would return exactly this answer."""

    def repair(self) -> list[str]:
        """Restore tensors of the base model that changed in memory; returns one sentence for each."""


class ReplicaFold(Protocol):
    """The part of `Fold` that a replica uses."""

    def folded(self, edits: Sequence[WeightEdit]) -> Folded:
        """The patch of these edits, with its digests."""

    def forget(self) -> None:
        """Drop cached tensors of the base model; they are read again at the next fold."""


@dataclass(frozen=True, slots=True)
class FoldedEdits:
    """Weight edits and their patch."""

    edits: tuple[WeightEdit, ...]
    folded: Folded


@dataclass(frozen=True, slots=True)
class ServedState:
    """Everything that answers depend on. Immutable; replaced by one assignment."""

    epoch: Epoch
    weights: FoldedEdits
    facts: ShardDigests


def folded_edits(
    fold: ReplicaFold, epoch: Epoch, edits: tuple[WeightEdit, ...] | None, *, served: ServedState | None
) -> FoldedEdits:
    """The folded edits of an epoch; the ones being served are reused if the digest is the same.

    Raises:
        UsageError: they do not fold to the digest in the epoch.
    """
    if served is not None and (edits is None or served.weights.folded.sha256 == epoch.weights_sha256):
        weights = served.weights
    else:
        weights = FoldedEdits(edits or (), fold.folded(edits or ()))
    if epoch.number:
        require_recorded(weights.folded.sha256, epoch)
    return weights


class RecalledFacts(NamedTuple):
    """The results of recalling some questions from the facts of one served state.

    Attributes:
        state: the served state.
        recalls: what the memory found for each question.
        used: the facts that answer each question; none where the model answers alone.
    """

    state: ServedState
    recalls: list[Recall]
    used: list[tuple[ScopedFact, ...]]

    @property
    def is_unsure(self) -> bool:
        """Whether a question may use a fact of unsure scope."""
        return any(one.scope == "unsure" for used in self.used for one in used)

    def expected_answers(self) -> list[str]:
        """For each question with one fact, its target as the probable answer; else ""."""
        return [plain(used[0].fact.target) if len(used) == 1 else "" for used in self.used]

    def prompts(self, questions: Sequence[str], prompts: Prompts) -> list[str]:
        """The texts for the model.

        Facts placed in memory are stated before their question. A question whose facts are in the weights is
        only respelled. Without a fact the question stays as it is.
        """
        found = []
        for used, question in zip(self.used, questions, strict=True):
            spelled = respelt([one.fact for one in used], question)
            stated = [one.fact for one in used if one.fact.placement is Placement.MEMORY]
            found.append(prompts.with_facts(stated, spelled) if stated else prompts.alone(spelled))
        return found

    def beginnings(self, questions: Sequence[str], prompts: Prompts) -> list[str]:
        """What each answer begins with, as data; "" where the model begins it."""
        return [
            plain(prompts.beginning(used, question))
            for used, question in zip(self.used, questions, strict=True)
        ]

    def answers(self, texts: Sequence[str]) -> list[Answer]:
        """What the model said, with where it comes from."""
        return [
            Answer(
                text=text,
                epoch=self.state.epoch.number,
                placement=placement_of(used),
                used=used,
                score=recall.score,
                scope=recall.scope,
                reason=recall.reason,
            )
            for text, used, recall in zip(texts, self.used, self.recalls, strict=True)
        ]


def placement_of(used: Sequence[ScopedFact]) -> str:
    """Where an answer comes from: `memory` where one of its facts is there, else `weights`, or `base`."""
    places = {one.fact.placement for one in used}
    return "base" if not places else "memory" if Placement.MEMORY in places else "weights"
