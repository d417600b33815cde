"""The consolidating cycle: from the memory into the weights, in minutes, beside the live cycle.

    5 Watch     whatever serves is measured and judged for drift: back to last-good, find the culprits
    6 Promote   a batch of facts: propose, try under the guard, commit, or keep them in memory
    7 Repair    served tensors that changed in memory are found and mended

The ledger may move at any time meanwhile: every commit is made on top of what serves then, and takes along
only facts that are still live. Nothing here publishes; the live cycle sees the new epoch and does.
"""

from __future__ import annotations

from guardedit.agent.kept import Kept, KeptFacts
from guardedit.agent.parts import Parts, StepReport
from guardedit.agent.promotion import Promotion, promote, waiting
from guardedit.agent.watching import Watch
from guardedit.core.errors import ConflictError, EditError, GuardError
from guardedit.core.protocols import Event


class Consolidate:
    """One turn is one call of `step`; everything it decides is in the ledger."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.watch = Watch(parts)
        self.kept = KeptFacts(parts.ledger)
        self._filling_since_s: float | None = None
        self._repaired_at_s = parts.clock()
        self._tell_capacity()

    def step(self) -> StepReport:
        """Watch, promote, watch what that made, repair."""
        breaches = self.look()  # 5: nothing is built on what nobody has looked at
        promotion = self.promote()  # 6
        if promotion.epoch is not None:
            breaches |= self.look()
        self.repair()  # 7
        return StepReport(
            promoted=len(promotion.promoted),
            turned_away=len(promotion.kept),
            waiting=promotion.waiting,
            epoch=self.parts.ledger.epoch(),
            breach="; ".join(sorted(set(breaches.values()))),
        )

    def look(self) -> dict[str, str]:
        """5. Facts that a breach put into quarantine, with the reason; usually none."""
        try:
            return self.watch.look()
        except (GuardError, ConflictError) as error:
            self._failed("watch", error)
            return {}

    def promote(self) -> Promotion:
        """6. One batch; what cannot go to the weights stays in memory, with its reason on record."""
        if self.watch.unwatched():
            return Promotion()
        if self._batch_is_filling():
            return Promotion(waiting=True)
        try:
            promotion = promote(self.parts, self.kept.now())
        except (EditError, GuardError, ConflictError) as error:
            self._failed("propose", error)
            return Promotion()
        self._keep(promotion)
        if promotion.epoch is not None:
            facts = len(promotion.promoted)
            self._tell("settled", epoch=promotion.epoch.number, change="promote", facts=facts)
            self._tell_capacity()
        return promotion

    def repair(self) -> list[str]:
        """7. From time to time: are the tensors that answer those that should?"""
        now_s = self.parts.clock()
        if now_s - self._repaired_at_s < self.parts.limits.repair_every_s:
            return []
        self._repaired_at_s = now_s
        found = []
        for index, replica in enumerate(self.parts.replicas):
            for problem in replica.repair():
                found.append(problem)
                self.parts.ledger.note("tampered", {"replica": index, "problem": problem})
                self._tell("tampered", replica=str(index), problem=problem)
        return found

    def _batch_is_filling(self) -> bool:
        """A small batch may wait a little for company: its facts are live in memory meanwhile."""
        subjects = {f.key.subject for f in waiting(self.parts.ledger.live(), self.kept.now())}
        now = self.parts.clock()
        if not subjects or len(subjects) >= self.parts.limits.batch:
            self._filling_since_s = None
            return False
        if self._filling_since_s is None:
            self._filling_since_s = now
        if now - self._filling_since_s < self.parts.limits.batch_wait_s:
            return True
        self._filling_since_s = None
        return False

    def _keep(self, promotion: Promotion) -> None:
        """On record, but for what is on record already in the same words."""
        known = self.kept.now()
        new = {fact: why for fact, why in promotion.kept.items() if _news(why, known.get(fact))}
        if new:
            facts = {fact: why.to_json() for fact, why in new.items()}
            self.parts.ledger.note("kept", {"facts": facts})

    def _tell_capacity(self) -> None:
        ratio = self.parts.worker.capacity_ratio(self.parts.ledger.edits())
        self._tell("capacity", layer=self.parts.limits.layer, ratio=ratio)

    def _failed(self, stage: str, error: Exception) -> None:
        self._tell("error", stage=stage, error=type(error).__name__, message=str(error))

    def _tell(self, kind: str, **fields: object) -> None:
        self.parts.observe(Event(kind=kind, fields=fields))


def _news(why: Kept, before: Kept | None) -> bool:
    return before is None or (before.code, before.tries) != (why.code, why.tries)
