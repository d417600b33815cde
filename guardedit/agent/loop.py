"""The way of a correction, as five numbered steps. Open this file first.

    1 Receive   source -> inbox (durable) -> ack the broker
    2 Decide    bytes -> correction -> the policy's decision
    3 Remember  decisions and facts in one transaction; published, so live in memory
    4 Promote   a batch of facts: propose, try under the guard, commit, or leave them in memory
    5 Watch     drift over epochs: back to last-good, find the culprits, keep the innocent

A crash between any two steps is repaired by opening the ledger again: each step begins from what the
ledger says and writes in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from guardedit.agent.decider import Decider
from guardedit.agent.parts import Parts, StepReport
from guardedit.agent.promotion import Promotion, promote, waiting
from guardedit.agent.reversal import redo, roll_back, undo
from guardedit.agent.turned_away import TurnedAway
from guardedit.agent.watching import Watch
from guardedit.core.epoch import Change, Epoch
from guardedit.core.errors import EditError, GuardError, SourceError, UsageError
from guardedit.core.fact import Fact
from guardedit.core.failpoints import failpoint
from guardedit.core.protocols import Event, Received, Settlement, Snapshot


class Agent:
    """One turn of the loop is one call of `step`; everything it remembers is in the ledger."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.decider, self.watch = Decider(parts), Watch(parts)
        self.turned_away = TurnedAway(parts.journal)
        self._filling_since_s: float | None = None
        self.publish()

    def step(self) -> StepReport:
        """Receive, decide, remember, promote, watch; then publish what changed."""
        received = self.receive()  # 1
        settlements = self.decide(self.parts.journal.pending(self.parts.limits.receive))  # 2
        if self.remember(settlements):  # 3
            self.publish()
        promotion = self.promote()  # 4
        culprits = self.watch.look()  # 5
        self._turn_away(culprits)
        epoch = self.publish() if promotion.epoch or culprits else self.parts.journal.epoch()
        return StepReport(
            received=received,
            settled=len(settlements),
            promoted=len(promotion.promoted),
            turned_away=len(promotion.turned_away),
            waiting=promotion.waiting,
            epoch=epoch,
            breach="; ".join(sorted(set(culprits.values()))),
        )

    def receive(self) -> int:
        """1. Every message is durable in the inbox before its broker hears of it."""
        new = 0
        for source in self.parts.sources:
            try:
                deliveries = source.pull(self.parts.limits.receive, 0.0)
                fresh = self.parts.journal.receive(deliveries) if deliveries else 0
                failpoint("source.ack")
                if deliveries:
                    source.ack(deliveries)
                    self._tell("received", source=source.name, new=fresh)
            except SourceError as error:
                # The queue is away; what it gave us is safe, and it will be asked again next turn.
                self._tell("error", stage="receive", error=type(error).__name__, message=str(error))
                continue
            new += fresh
        return new

    def decide(self, pending: Sequence[Received]) -> list[Settlement]:
        """2. One settlement for each waiting message, in order."""
        return self.decider.decide(pending)

    def remember(self, settlements: Sequence[Settlement]) -> bool:
        """3. Decisions, fates and facts in one transaction; whether something is to be published."""
        started = self.parts.clock()
        changes = sum(settlement.change is not None for settlement in settlements)
        if settlements:
            self.parts.journal.settle(settlements)
        expired = [
            Change(key, None)
            for key, fact in self.parts.journal.live().items()
            if fact.valid_until_s is not None and fact.valid_until_s <= self.parts.clock()
        ]
        if expired:
            self._expire(expired)
        if changes or expired:
            self._tell(
                "remembered",
                facts=changes + len(expired),
                epoch=self.parts.journal.epoch().number,
                seconds=self.parts.clock() - started,
            )
        return bool(changes or expired)

    def promote(self) -> Promotion:
        """4. One batch; what cannot go to the weights stays in memory, with its reason on record."""
        if self._batch_is_filling():
            return Promotion(waiting=True)
        try:
            promotion = promote(self.parts, self.turned_away.now())
        except (EditError, GuardError) as error:
            self._tell("error", stage="propose", error=type(error).__name__, message=str(error))
            return Promotion()
        self._turn_away(promotion.turned_away)
        if promotion.epoch:
            facts = len(promotion.promoted)
            self._tell("settled", epoch=promotion.epoch.number, change="promote", facts=facts)
        return promotion

    def publish(self) -> Epoch:
        """Hand the serving epoch to every replica; each switches between two answers."""
        epoch = self.parts.journal.epoch()
        snapshot = self._served()
        failpoint("publish.before")
        for index, replica in enumerate(self.parts.replicas):
            started = self.parts.clock()
            served = replica.publish(snapshot)
            self._tell("published", replica=str(index), epoch=served, seconds=self.parts.clock() - started)
        return epoch

    def roll_back(self, to: int, *, facts_too: bool = False) -> Epoch:
        """Operator: serve an earlier epoch again; facts promoted since go back to memory."""
        epoch = roll_back(self.parts, to, trigger="manual", facts_too=facts_too)
        self.publish()
        return epoch

    def undo(self, fact_id: str, *, regate: bool = True) -> Epoch:
        """Operator: take back one fact, whatever came after it."""
        epoch = undo(self.parts, self._find(fact_id), regate=regate)
        self.publish()
        return epoch

    def redo(self, fact_id: str, *, regate: bool = True) -> Epoch:
        """Operator: bring back a fact that was undone."""
        epoch = redo(self.parts, self._find(fact_id), regate=regate)
        self.publish()
        return epoch

    def _batch_is_filling(self) -> bool:
        """A small batch may wait a little for company: its facts are live in memory meanwhile."""
        subjects = {f.key.subject for f in waiting(self.parts.journal.live(), self.turned_away.now())}
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

    def _expire(self, expired: Sequence[Change]) -> None:
        epoch = self.parts.journal.epoch()
        self.parts.journal.commit(
            expired,
            kind="expire",
            reason=f"{len(expired)} facts reached valid_until",
            edits=self.parts.journal.edits(),
            weights_sha256=epoch.weights_sha256,
            expected=epoch.number,
        )

    def _turn_away(self, reasons: Mapping[str, str]) -> None:
        known = self.turned_away.now()
        new = {fact: reason for fact, reason in reasons.items() if fact not in known}
        if new:
            self.parts.journal.note("turned_away", {"reasons": new})

    def _served(self) -> Snapshot:
        """What replicas are to answer from: in shadow mode the base model, whatever was decided."""
        journal = self.parts.journal
        if self.parts.limits.shadow:
            return Snapshot(epoch=journal.epochs()[0], edits=(), facts=())
        return Snapshot(epoch=journal.epoch(), edits=journal.edits(), facts=tuple(journal.live().values()))

    def _find(self, fact_id: str) -> Fact:
        found = self.parts.journal.find_fact(fact_id)
        if len(found) != 1:
            what = "no fact" if not found else f"{len(found)} facts"
            raise UsageError(f"{what} for {fact_id!r}: `guardedit facts list` shows the ids")
        return found[0]

    def _tell(self, kind: str, **fields: object) -> None:
        self.parts.observe(Event(kind=kind, fields=fields))
