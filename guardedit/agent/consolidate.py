"""Runs the consolidating cycle: moves facts from memory into the weights, in minutes, beside the live cycle.

    5 watch    measure the serving epoch for drift; after a breach roll back to last-good         `watching`
    6 promote  choose a batch, propose edits, try them under the guard, commit what passed       `promotion`
    7 repair   compare the served tensors with what they should be

The live cycle may write epochs meanwhile. So every commit is made on top of the epoch that is serving then,
with the facts that are still live. This cycle publishes nothing; the live cycle finds the new epoch in the
ledger.
"""

from __future__ import annotations

from guardedit.agent.batch import waiting
from guardedit.agent.kept import Kept, KeptFacts
from guardedit.agent.parts import Parts, StepReport
from guardedit.agent.promotion import Demoted, NotPromoted, Promoted, Promotion, promote
from guardedit.agent.watching import Watch
from guardedit.core.epoch import Epoch
from guardedit.core.errors import ConflictError, EditError, GuardError
from guardedit.core.protocols import Event


class Consolidate:
    """The consolidating cycle; one turn is one call of `step`. All its decisions are in the ledger."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.watch = Watch(parts)
        self.kept = KeptFacts(parts.ledger)
        self._filling_since_s: float | None = None
        self._repaired_at_s = parts.clock()
        if parts.limits.weights:
            self._report_capacity()

    def step(self) -> StepReport:
        """Watch, promote, watch the new epoch, repair. If the policy writes no weights: only repair.

        Edits that an earlier policy has made stay served then. They are not watched for drift: there may be
        no probes. Facts that wait for the weights wait on.
        """
        if not self.parts.limits.weights:
            self.repair()
            return StepReport(epoch=self.parts.ledger.epoch())
        try:
            return self._whole_turn()
        finally:
            self._emit("stage", name="")

    def _whole_turn(self) -> StepReport:
        breaches = self.check_drift()  # 5: nothing is promoted on top of an epoch that was not measured
        promotion = self.promote()  # 6
        if not isinstance(promotion, NotPromoted):
            breaches |= self.check_drift()
        self.repair()  # 7
        return StepReport(
            promoted=len(promotion.facts) if isinstance(promotion, Promoted) else 0,
            kept=len(promotion.kept),
            waiting=isinstance(promotion, NotPromoted) and promotion.waiting,
            epoch=self.parts.ledger.epoch(),
            breach="; ".join(sorted(set(breaches.values()))),
        )

    def check_drift(self) -> dict[str, str]:
        """5. Returns the facts that a breach put into quarantine, with the reason; usually none."""
        try:
            return self.watch.check()
        except (GuardError, ConflictError) as error:
            self._report_error("watch", error)
            return {}

    def promote(self) -> Promotion:
        """6. Promote one batch; the other facts stay in memory, with their reason in the ledger."""
        if self.watch.unfinished():
            return NotPromoted()
        if self._batch_is_filling():
            return NotPromoted(waiting=True)
        try:
            promotion = promote(self.parts, self.kept.now())
        except (EditError, GuardError, ConflictError) as error:
            self._report_error("propose", error)
            return NotPromoted()
        self._note_kept(promotion)
        match promotion:
            case Promoted(epoch=epoch, facts=facts):
                self._report_epoch(epoch, facts=len(facts))
            case Demoted(epoch=epoch):
                self._report_epoch(epoch, facts=0)
            case NotPromoted():
                pass
        return promotion

    def repair(self) -> list[str]:
        """7. Every `repair_every_s`: compare and repair the served tensors. Returns what was wrong."""
        now_s = self.parts.clock()
        if 0 <= now_s - self._repaired_at_s < self.parts.limits.repair_every_s:  # a clock may be set back
            return []
        self._repaired_at_s = now_s
        found = []
        for index, replica in enumerate(self.parts.replicas):
            for problem in replica.repair():
                found.append(problem)
                self.parts.ledger.note("tampered", {"replica": index, "problem": problem})
                self._emit("tampered", replica=str(index), problem=problem)
        return found

    def _batch_is_filling(self) -> bool:
        """Whether a small batch still waits for more facts; meanwhile its facts are answered from memory."""
        subjects = {f.key.subject for f in waiting(self.parts.ledger.live(), self.kept.now())}
        now = self.parts.clock()
        if not subjects or len(subjects) >= self.parts.limits.batch:
            self._filling_since_s = None
            return False
        if self._filling_since_s is None:
            self._filling_since_s = now
        if 0 <= now - self._filling_since_s < self.parts.limits.batch_wait_s:  # a clock may be set back
            return True
        self._filling_since_s = None
        return False

    def _note_kept(self, promotion: Promotion) -> None:
        """Note the facts that stay in memory, unless the same code and number of tries are noted already."""
        known = self.kept.now()
        new = {fact: why for fact, why in promotion.kept.items() if _is_new(why, known.get(fact))}
        if new:
            facts = {fact: why.to_json() for fact, why in new.items()}
            self.parts.ledger.note("kept", {"facts": facts})

    def _report_epoch(self, epoch: Epoch, *, facts: int) -> None:
        self._emit("settled", epoch=epoch.number, change=epoch.kind, facts=facts)
        self._report_capacity()

    def _report_capacity(self) -> None:
        ratio = self.parts.worker.capacity_ratio(self.parts.ledger.edits())
        self._emit("capacity", layer=self.parts.limits.layer, ratio=ratio)

    def _report_error(self, stage: str, error: Exception) -> None:
        self._emit("error", stage=stage, error=type(error).__name__, message=str(error))

    def _emit(self, kind: str, **fields: object) -> None:
        self.parts.observe(Event(kind=kind, fields=fields))


def _is_new(why: Kept, previous: Kept | None) -> bool:
    return previous is None or (previous.code, previous.tries) != (why.code, why.tries)
