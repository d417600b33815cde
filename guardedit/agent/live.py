"""The live cycle: from a message to an answer, in milliseconds. It never waits for a trial.

    1 Receive   source -> inbox (durable) -> ack the broker
    2 Decide    bytes -> correction -> the policy's decision
    3 Remember  decisions and facts in one transaction; what has expired goes
    4 Publish   every replica follows to the serving epoch, whoever made it

A crash between any two steps is repaired by opening the ledger again: each step begins from what the ledger
says and writes in one transaction. `consolidate` is the other cycle; they share nothing but the ledger.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

from guardedit.agent.decider import Decider
from guardedit.agent.deciding import poisoned
from guardedit.agent.parts import Parts, StepReport
from guardedit.core.epoch import Change, Epoch
from guardedit.core.errors import ConflictError, LedgerError, SourceError
from guardedit.core.failpoints import failpoint
from guardedit.core.messages import Received, Settlement
from guardedit.core.protocols import Event, Replica
from guardedit.core.serving import Snapshot, Update

#: How often in a row a batch, or a message by itself, is decided again before it counts as refused.
MOST_REFUSALS = 5


class Live:
    """One turn is one call of `step`. What it remembers between turns spares work and decides nothing."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.decider = Decider(parts)
        self._published: int | None = None
        self._refused_in_a_row = 0
        self._expiry_of: int | None = None  # the epoch whose first expiry is known
        self._first_expiry_s = math.inf
        self.publish()

    def step(self) -> StepReport:
        """Receive, decide, remember, publish."""
        received, away = self.receive()  # 1
        seen = self.parts.ledger.epoch().number
        pending = self.parts.ledger.pending(self.parts.limits.receive)
        settlements = self.decide(pending)  # 2
        settled = self.remember(settlements, pending, seen=seen)  # 3
        epoch = self.publish()  # 4
        self._count()
        return StepReport(received=received, settled=settled, epoch=epoch, away=away)

    def receive(self) -> tuple[int, str]:
        """1. Every message is durable in the inbox before its broker hears of it.

        Returns how many are new, and what the first broker that is away had to say.
        """
        new, away = 0, ""
        for source in self.parts.sources:
            try:
                deliveries = source.pull(self.parts.limits.receive, 0.0)
                fresh = self.parts.ledger.receive(deliveries) if deliveries else 0
                failpoint("source.ack")
                if deliveries:
                    source.ack(deliveries)
                    self._tell("received", source=source.name, new=fresh)
            except SourceError as error:
                # The queue is away; what it gave us is safe, and it will be asked again next turn.
                self._tell("error", stage="receive", error=type(error).__name__, message=str(error))
                away = away or str(error)
                continue
            away = away or source.away
            new += fresh
        return new, away

    def decide(self, pending: Sequence[Received]) -> list[Settlement]:
        """2. One settlement for each waiting message, in order."""
        return self.decider.decide(pending)

    def remember(
        self, settlements: Sequence[Settlement], pending: Sequence[Received], *, seen: int | None = None
    ) -> int:
        """3. Decisions, fates and facts in one transaction; how many messages were settled."""
        started = self.parts.clock()
        settled = self._settle(settlements, pending, seen) if settlements else 0
        changes = sum(settlement.change is not None for settlement in settlements) if settled else 0
        expired = self._expire()
        if changes or expired:
            epoch = self.parts.ledger.epoch().number
            seconds = self.parts.clock() - started
            self._tell("remembered", facts=changes + expired, epoch=epoch, seconds=seconds)
        return settled

    def publish(self) -> Epoch:
        """4. Every replica answers from the serving epoch; it is handed only what changed."""
        epoch = self.parts.ledger.epoch()
        if self._published == epoch.number:
            return epoch
        failpoint("publish.before")
        update = self._update()
        for index, replica in enumerate(self.parts.replicas):
            started = self.parts.clock()
            served = self._follow(replica, update)
            seconds = self.parts.clock() - started
            self._tell("published", replica=str(index), epoch=served, seconds=seconds)
        self._published = epoch.number if update is None else update.epoch.number
        return epoch if update is None else update.epoch

    def _settle(
        self, settlements: Sequence[Settlement], pending: Sequence[Received], seen: int | None
    ) -> int:
        """All together; where that fails, each message is decided and stored by itself."""
        try:
            self.parts.ledger.settle(settlements, seen=seen)
        except ConflictError:
            # An operator changed one of these facts meanwhile: decide again. What is refused by itself, and
            # again, would hold up everybody behind it.
            self._refused_in_a_row += 1
            if self._refused_in_a_row < MOST_REFUSALS:
                return 0
            self._settle_singly(pending)
        except LedgerError:
            raise
        except Exception:  # noqa: BLE001 - no message may stop the loop
            self._settle_singly(pending)
        self._refused_in_a_row = 0
        return len(settlements)

    def _settle_singly(self, pending: Sequence[Received]) -> None:
        """Decided anew one after the other, since each depends on what could be stored before it."""
        for received in pending:
            failed: Exception | None = None
            for _ in range(MOST_REFUSALS):
                seen = self.parts.ledger.epoch().number
                try:
                    self.parts.ledger.settle(self.decide([received]), seen=seen)
                except LedgerError:
                    raise
                except Exception as error:  # noqa: BLE001 - as above
                    failed = error
                    continue
                break
            else:
                assert failed is not None
                self.parts.ledger.settle([poisoned(received, "store", failed)])

    def _expire(self) -> int:
        """Facts whose time is over go. They are looked for when one can be over, not in every turn."""
        epoch, now_s = self.parts.ledger.epoch().number, self.parts.clock()
        if epoch == self._expiry_of and now_s < self._first_expiry_s:
            return 0
        live = self.parts.ledger.live()
        expired = [Change(key, None) for key, fact in live.items() if fact.expired(now_s)]
        if expired:
            reason = f"{len(expired)} facts reached valid_until"
            epoch = self.parts.ledger.change_facts(expired, kind="expire", reason=reason).number
        times = (fact.valid_until_s for fact in live.values() if not fact.expired(now_s))
        self._expiry_of = epoch
        self._first_expiry_s = min((time for time in times if time is not None), default=math.inf)
        return len(expired)

    def _update(self) -> Update | None:
        """What replicas lack; None where they need everything, or are to serve the base model only."""
        if self._published is None or self.parts.limits.shadow:
            return None
        return self.parts.ledger.update(self._published)

    def _follow(self, replica: Replica, update: Update | None) -> int:
        if update is not None:
            try:
                return replica.follow(update)
            except ConflictError:
                pass  # it was started anew, or missed an update: it gets everything
        return replica.publish(self._everything())

    def _everything(self) -> Snapshot:
        """In shadow mode replicas answer from the base model, whatever was decided."""
        if self.parts.limits.shadow:
            return Snapshot(epoch=self.parts.ledger.epoch(0), edits=(), facts=())
        return self.parts.ledger.snapshot()

    def _count(self) -> None:
        """Tell what replicas were asked and how far behind the brokers are."""
        for replica in self.parts.replicas:
            for scope, count in replica.lookups().items():
                self._tell("memory_lookup", scope=scope, count=count)
        for source in self.parts.sources:
            # A queue that is away cannot say; `receive` has reported that.
            with contextlib.suppress(SourceError):
                lag = source.lag()
                self._tell("lag", source=source.name, waiting=lag.waiting, oldest_s=lag.oldest_s)

    def _tell(self, kind: str, **fields: object) -> None:
        self.parts.observe(Event(kind=kind, fields=fields))
