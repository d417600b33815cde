"""A serving replica: one model and the read path of the memory, pinned to one epoch at a time.

The way of a question: the memory says whether a live fact covers it. A fact placed in memory is put in
front of the question; one placed in the weights is left to them; without a fact the model answers alone.

The way of an epoch: texts are encoded and weights folded first; then, under a short lock, the shards get
their changes and one pointer is replaced.
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
from guardedit.core.serving import Answer, Recall, Snapshot, Update
from guardedit.serving.holdings import Holdings, Move
from guardedit.serving.pinned import Folding, Host, Pinned, Recalled, Weights
from guardedit.serving.shard import Shard

#: How often a question looks without the lock before it waits for whoever switches.
_TRIES = 2


class ServingReplica:
    """Answers from exactly one epoch. Safe in several threads; questions do not wait for an epoch.

    A question reads the pointer and asks the shards for the facts that the pointer names. Only where a shard
    holds others, as for the moment between its change and the pointer's, does it wait for the lock. So facts,
    weights and number of an answer are of one epoch, whoever else publishes, even to the same shards.

    Args:
        host: best one that no trial holds, such as a `ModelHost.twin`.
        fold: of the same base model.
        shards: of the memory, at least one.
        use_unsure: put an uncertain fact in front of the question too.
        clock: says when a fact has expired.
    """

    def __init__(
        self,
        host: Host,
        fold: Folding,
        shards: Sequence[Shard],
        *,
        use_unsure: bool = False,
        clock: Clock = time.time,
    ) -> None:
        self._host = host
        self._fold = fold
        self._use_unsure = use_unsure
        self._clock = clock
        self._lookups: Counter[str] = Counter()
        self._holdings = Holdings(shards)
        self._pinned: Pinned | None = None
        self._publishing = threading.Lock()  # one epoch after the other; held while folding
        self._lock = threading.Lock()  # of pointer and shards; held for changes only
        self._counting = threading.Lock()

    def publish(self, snapshot: Snapshot) -> int:
        """Switch to a snapshot; what it has in common with the epoch served is neither folded nor encoded.

        Raises:
            UsageError: when the folded weights are not those the epoch names; the old epoch goes on.
        """
        with self._publishing:
            weights = self._weights(snapshot.epoch, snapshot.edits)
            move = self._holdings.to(snapshot.facts)
            return self._switch(snapshot.epoch, weights, move)

    def follow(self, update: Update) -> int:
        """Switch to the next epoch by what changed; nothing happens where it is served already.

        Raises:
            ConflictError: when another epoch than `update.after` is served; publish a snapshot then.
            UsageError: as `publish`.
        """
        with self._publishing:
            pinned = self._pinned
            if pinned is not None and pinned.epoch == update.epoch:  # the call was made twice
                return update.epoch.number
            if pinned is None or pinned.epoch.number != update.after:
                raise ConflictError(
                    f"the update follows epoch {update.after}, this replica serves "
                    f"{pinned.epoch.number if pinned else 'none'}: publish a snapshot"
                )
            weights = self._weights(update.epoch, update.edits)
            return self._switch(update.epoch, weights, self._holdings.by(update.changes))

    def ask(self, prompts: Sequence[str], *, tenant: str = "default") -> list[Answer]:
        """Answer all prompts from one epoch.

        Raises:
            UsageError: before anything was published.
            MemoryIndexError: when a shard cannot be brought to the epoch's facts.
        """
        found = self._recall(prompts, tenant)
        self._count(found.recalls)
        with self._host.patched(found.pinned.weights.folded.patch):
            texts = self._host.complete_drafted(
                list(zip(found.prompts(prompts), found.drafts(), strict=True))
            )
        return [
            Answer(
                text=text,
                epoch=found.pinned.epoch.number,
                placement=fact.placement.value if fact else "base",
                fact_id=fact.id if fact else "",
                score=recall.score,
                scope=recall.scope,
            )
            for text, fact, recall in zip(texts, found.facts, found.recalls, strict=True)
        ]

    def expect(self, facts: Sequence[Fact]) -> None:
        """These facts may come: their texts, questions included, are encoded in one go."""
        self._holdings.expect(facts)

    def says(self, asked: Sequence[tuple[str, str]], *, tenant: str = "default") -> list[bool]:
        """For each (prompt, answer) whether `ask` would give just this answer, by one forward pass.

        Not counted in `lookups`. Errors as `ask`.
        """
        questions = [question for question, _ in asked]
        found = self._recall(questions, tenant)
        answers = [answer for _, answer in asked]
        with self._host.patched(found.pinned.weights.folded.patch):
            return self._host.says(list(zip(found.prompts(questions), answers, strict=True)))

    def repair(self) -> list[str]:
        """Compare every served tensor with what was loaded or folded, and mend it; what was wrong.

        Questions wait for one tensor at a time.

        Raises:
            WrongBaseModel: when a tensor of the base model cannot be loaded again.
            UsageError: when the edits held here no longer fold to what the epoch names.
        """
        told = self._host.repair()
        if told:
            self._fold.forget()
        pinned = self._pinned
        changed = pinned.weights.folded.changed() if pinned else []
        if changed:
            self._fold_anew()
        return [
            *told,
            *(f"{name} of the edited weights was changed in memory; folded anew" for name in changed),
        ]

    def memory_sha256(self) -> list[str]:
        """Digest of the facts each shard should hold, as pinned."""
        return list(self._pinned.facts) if self._pinned else []

    def lookups(self) -> dict[str, int]:
        """Questions put to the memory by scope, since this was last asked."""
        with self._counting:
            found, self._lookups = dict(self._lookups), Counter()
        return found

    def epoch(self) -> int | None:
        """The epoch now served."""
        return self._pinned.epoch.number if self._pinned else None

    def _weights(self, epoch: Epoch, edits: tuple[WeightEdit, ...] | None) -> Weights:
        """The weights that the epoch names: those served where they are the same, else folded."""
        pinned = self._pinned
        if pinned is not None and (edits is None or pinned.weights.folded.sha256 == epoch.weights_sha256):
            weights = pinned.weights
        else:
            weights = Weights(edits or (), self._fold.folded(edits or ()))
        found = weights.folded.sha256
        if epoch.number and found != epoch.weights_sha256:
            raise UsageError(
                f"epoch {epoch.number} folds to {found[:12]} here, its record says "
                f"{epoch.weights_sha256[:12]}: this replica has another model or moments"
            )
        return weights

    def _fold_anew(self) -> None:
        with self._publishing:
            pinned = self._serving()
            if not pinned.weights.folded.changed():  # another epoch meanwhile
                return
            self._fold.forget()
            was, now = pinned.weights.folded, self._fold.folded(pinned.weights.edits)
            if now.sha256 != was.sha256:
                raise UsageError(
                    f"epoch {pinned.epoch.number} was folded to {was.sha256[:12]}, now it folds to "
                    f"{now.sha256[:12]}: its edits changed in memory too, publish it from the ledger"
                )
            with self._lock:
                self._pinned = replace(pinned, weights=replace(pinned.weights, folded=now))

    def _switch(self, epoch: Epoch, weights: Weights, move: Move) -> int:
        with self._lock:
            self._holdings.make(move)
            self._pinned = Pinned(epoch, weights, move.after)
        return epoch.number

    def _recall(self, questions: Sequence[str], tenant: str) -> Recalled:
        now_s = self._clock()
        for _ in range(_TRIES):
            pinned = self._serving()
            recalls = self._holdings.recall(pinned.facts, questions, tenant=tenant, now_s=now_s)
            if recalls is not None:
                return self._recalled(pinned, recalls)
        with self._lock:  # an epoch is being switched, or a shard came back empty
            pinned = self._serving()
            recalls = self._holdings.recall_refilled(questions, tenant=tenant, now_s=now_s)
        return self._recalled(pinned, recalls)

    def _recalled(self, pinned: Pinned, recalls: list[Recall]) -> Recalled:
        return Recalled(pinned, recalls, [self._fact_for(recall) for recall in recalls])

    def _serving(self) -> Pinned:
        if self._pinned is None:
            raise UsageError("this replica serves nothing yet: publish an epoch first")
        return self._pinned

    def _fact_for(self, recall: Recall) -> Fact | None:
        used = recall.scope == "accept" or (recall.scope == "unsure" and self._use_unsure)
        return recall.fact if used else None

    def _count(self, recalls: Sequence[Recall]) -> None:
        with self._counting:
            self._lookups.update(recall.scope for recall in recalls)
