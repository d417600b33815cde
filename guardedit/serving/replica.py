"""A serving replica: one model and the memory in front of it, at one epoch at a time.

When a question arrives, the memory decides whether a live fact covers it. A fact placed in memory is stated
before the question; a fact placed in the weights is not. Without a fact the model answers by itself.

When a new epoch arrives, texts are encoded and weights folded first. Then, under a lock that is held only
briefly, the shards are changed and one pointer is replaced.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from guardedit.core.epoch import Epoch
from guardedit.core.errors import ConflictError, UsageError
from guardedit.core.fact import Fact
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Clock
from guardedit.core.serving import Answer, Recall, ScopedFact, Snapshot, Update
from guardedit.memory.context import Prompts
from guardedit.serving.constrained import Constraint
from guardedit.serving.served_state import (
    AnsweringModel,
    FoldedEdits,
    RecalledFacts,
    ReplicaFold,
    ServedState,
    folded_edits,
)
from guardedit.serving.shard import Shard
from guardedit.serving.sharded_facts import PreparedChange, ShardedFacts

#: Number of times that a question tries to recall without the lock before it waits for a switch to finish.
_TRIES = 2


class ServingReplica:
    """Answers from exactly one epoch. Thread-safe; questions do not wait while an epoch is prepared.

    A question reads the pointer to the served state and recalls from shards that have the digests in it. It
    waits for the lock only if a shard has other facts, for example between the change of the shard and the
    change of the pointer. So facts, weights and epoch number of an answer belong to one epoch, even if other
    replicas publish to the same shards.

    Args:
        host: the model; preferably one that no trial uses, such as a `ModelHost.twin`.
        fold: the fold of the same base model.
        shards: the memory shards, at least one.
        use_unsure: whether to use facts of `unsure` scope, too.
        clock: seconds since 1970, UTC; decides which facts have expired.
        prompts: the texts that the model is given; default: those of the embedded model.
    """

    def __init__(
        self,
        host: AnsweringModel,
        fold: ReplicaFold,
        shards: Sequence[Shard],
        *,
        use_unsure: bool = False,
        clock: Clock = time.time,
        prompts: Prompts | None = None,
    ) -> None:
        self._host = host
        self._fold = fold
        self._use_unsure = use_unsure
        self._clock = clock
        self._prompts = prompts or Prompts()
        self._constraint = Constraint(self._prompts)
        self._lookups: Counter[str] = Counter()
        self._facts = ShardedFacts(shards)
        self._state: ServedState | None = None
        self._publishing = threading.Lock()  # one epoch at a time; held while folding
        self._lock = threading.Lock()  # of the pointer and the shards; held only while they change
        self._counting = threading.Lock()

    def publish(self, snapshot: Snapshot) -> int:
        """Switch to a snapshot and return its number. Only differences from the served epoch are computed.

        Raises:
            UsageError: the edits do not fold to the digest in the epoch. The old epoch stays served.
        """
        with self._publishing:
            weights = self._weights(snapshot.epoch, snapshot.edits)
            return self._switch(snapshot.epoch, weights, self._facts.prepare_facts(snapshot.facts))

    def follow(self, update: Update) -> int:
        """Switch to the next epoch by applying its changes. Does nothing if that epoch is already served.

        Raises:
            ConflictError: the served epoch is not `update.after`; publish a snapshot instead.
            UsageError: as `publish`.
        """
        with self._publishing:
            state = self._state
            if state is not None and state.epoch == update.epoch:  # the call was repeated
                return update.epoch.number
            if state is None or state.epoch.number != update.after:
                raise ConflictError(
                    f"the update follows epoch {update.after}, this replica serves "
                    f"{state.epoch.number if state else 'none'}: publish a snapshot"
                )
            weights = self._weights(update.epoch, update.edits)
            return self._switch(update.epoch, weights, self._facts.prepare(update.changes))

    def ask(
        self, prompts: Sequence[str], *, tenant: str = "default", max_tokens: int | None = None
    ) -> list[Answer]:
        """Answer all prompts from one epoch.

        Args:
            prompts: the questions.
            tenant: whose facts are used, besides those of the tenant `default`.
            max_tokens: the answers go on for so many tokens, or until the model ends them; default: an answer
                ends with its first sentence.

        Raises:
            UsageError: no epoch has been published yet.
            MemoryIndexError: a shard cannot be loaded with the epoch's facts.
        """
        found = self._recall(prompts, tenant)
        self._count(found.recalls)
        with self._host.patched(found.state.weights.folded.patch):
            found = self._asked_for(found)
            texts = self._texts(found, prompts, max_tokens)
        return found.answers(texts)

    def recalled(self, questions: Sequence[str], *, tenant: str = "default") -> RecalledFacts:
        """What the memory finds for the questions, pinned to one epoch; the model does not run.

        For callers that run the model themselves: `asked_for` then lets the model judge questions of unsure
        scope, and `state.weights.folded.patch` of the result is the epoch's weights. Raises as `ask`.
        """
        found = self._recall(questions, tenant)
        self._count(found.recalls)
        return found

    def asked_for(self, found: RecalledFacts) -> RecalledFacts:
        """The facts that the questions ask for, as the model judges where the scope test is unsure."""
        if self._prompts.asking_nats is None or not found.is_unsure:
            return found
        with self._host.patched(found.state.weights.folded.patch):
            return self._asked_for(found)

    def subjects(self, texts: Sequence[str], *, tenant: str = "default") -> list[list[str]]:
        """For each text, the subjects of live facts that it names, as they are spelled there."""
        return self._facts.subjects(texts, tenant=tenant)

    @property
    def prompts(self) -> Prompts:
        """The texts that the model is given."""
        return self._prompts

    def expect(self, facts: Sequence[Fact]) -> None:
        """Encode the texts of facts that may be published soon, all in one batch."""
        self._facts.expect(facts)

    def says(self, asked: Sequence[tuple[str, str]], *, tenant: str = "default") -> list[bool]:
        """For each (prompt, answer), whether `ask` would return exactly this answer; one forward pass.

        Not counted in `lookups`. Raises as `ask`.
        """
        questions = [question for question, _ in asked]
        found = self._recall(questions, tenant)
        answers = [answer for _, answer in asked]
        with self._host.patched(found.state.weights.folded.patch):
            if self._prompts.forces or any(self._constraint.forces(used) for used in found.used):
                texts = self._texts(self._asked_for(found), questions, None)
                return [text == answer for text, answer in zip(texts, answers, strict=True)]
            return self._host.says(list(zip(found.prompts(questions, self._prompts), answers, strict=True)))

    def given(
        self, questions: Sequence[str], *, tenant: str = "default", prompts: Prompts | None = None
    ) -> list[str]:
        """For each question, the text that `ask` gives to the model: with its fact where memory answers it.

        What `ask` does with the model's answer, see `constrained`, does not show here. Not counted in
        `lookups`. Raises as `ask`.

        Args:
            questions: the questions.
            tenant: as for `ask`.
            prompts: another form and announcement; default: those that are served.
        """
        found = self._recall(questions, tenant)
        with self._host.patched(found.state.weights.folded.patch):
            return self._asked_for(found).prompts(questions, prompts or self._prompts)

    def repair(self) -> list[str]:
        """Compare every served tensor with what was loaded or folded, and restore it if it changed.

        Questions wait for one tensor at most. Returns one sentence for each changed tensor.

        Raises:
            WrongBaseModel: a tensor of the base model cannot be loaded again.
            UsageError: the edits in memory no longer fold to the digest in the epoch.
        """
        problems = self._host.repair()
        if problems:
            self._fold.forget()
        state = self._state
        changed = state.weights.folded.changed() if state else []
        if changed:
            self._fold_again()
        return [
            *problems,
            *(f"{name} of the edited weights was changed in memory; folded again" for name in changed),
        ]

    def lookups(self) -> dict[str, int]:
        """Number of questions by scope since the last call of this method."""
        with self._counting:
            found, self._lookups = dict(self._lookups), Counter()
        return found

    def epoch(self) -> int | None:
        """Number of the served epoch; None before the first."""
        return self._state.epoch.number if self._state else None

    def _weights(self, epoch: Epoch, edits: tuple[WeightEdit, ...] | None) -> FoldedEdits:
        return folded_edits(self._fold, epoch, edits, served=self._state)

    def _fold_again(self) -> None:
        with self._publishing:
            state = self._served()
            if not state.weights.folded.changed():  # another epoch was published meanwhile
                return
            self._fold.forget()
            old, new = state.weights.folded, self._fold.folded(state.weights.edits)
            if new.sha256 != old.sha256:
                raise UsageError(
                    f"epoch {state.epoch.number} was folded to {old.sha256[:12]}, now it folds to "
                    f"{new.sha256[:12]}: its edits changed in memory too, publish it from the ledger"
                )
            with self._lock:
                self._state = replace(state, weights=replace(state.weights, folded=new))

    def _switch(self, epoch: Epoch, weights: FoldedEdits, change: PreparedChange) -> int:
        with self._lock:
            self._facts.apply(change)
            self._state = ServedState(epoch, weights, change.after)
        return epoch.number

    def _recall(self, questions: Sequence[str], tenant: str) -> RecalledFacts:
        now_s = self._clock()
        for _ in range(_TRIES):
            state = self._served()
            recalls = self._facts.recall(state.facts, questions, tenant=tenant, now_s=now_s)
            if recalls is not None:
                return self._recalled(state, recalls)
        with self._lock:  # the epoch is being switched, or a shard was restarted and is empty
            state = self._served()
            recalls = self._facts.recall_with_reload(questions, tenant=tenant, now_s=now_s)
        return self._recalled(state, recalls)

    def _recalled(self, state: ServedState, recalls: list[Recall]) -> RecalledFacts:
        return RecalledFacts(state, recalls, [self._used(recall) for recall in recalls])

    def _served(self) -> ServedState:
        if self._state is None:
            raise UsageError("this replica serves no epoch yet: publish one first")
        return self._state

    def _asked_for(self, found: RecalledFacts) -> RecalledFacts:
        return found._replace(used=self._constraint.asked_for(self._host, found.used))

    def _texts(self, found: RecalledFacts, questions: Sequence[str], max_tokens: int | None) -> list[str]:
        given = found.prompts(questions, self._prompts)
        begun = found.beginnings(questions, self._prompts)
        if max_tokens is None and not any(begun):
            texts = self._host.complete_drafted(list(zip(given, found.expected_answers(), strict=True)))
        else:
            texts = self._host.complete(
                given, max_new_tokens=max_tokens, cut=max_tokens is None, beginnings=begun
            )
        return [
            self._constraint.obeyed(used, question, text)
            for used, question, text in zip(found.used, questions, texts, strict=True)
        ]

    def _used(self, recall: Recall) -> tuple[ScopedFact, ...]:
        return tuple(one for one in recall.found if self._use_unsure or one.scope == "accept")

    def _count(self, recalls: Sequence[Recall]) -> None:
        with self._counting:
            self._lookups.update(recall.scope for recall in recalls)
