"""Runs the live cycle: from a message to an answer, in milliseconds. It never waits for a trial.

    1 receive   sources -> inbox of the ledger, then acknowledge
    2 decide    bytes -> correction -> the policy's decision -> settlement        `decider`
    3 remember  write settlements and facts in one transaction; remove expired facts
    4 publish   every replica switches to the serving epoch

Each step starts from the ledger and writes in one transaction, so after a crash between two steps it is
enough to open the ledger again. The cycle shares only the ledger with the other one, `consolidate`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush

from guardedit.agent.decider import Decider
from guardedit.agent.deciding import failed_letter
from guardedit.agent.parts import Parts, StepReport
from guardedit.agent.plan import COMMITS
from guardedit.agent.reversal import Undo, undo_of, undo_of_source
from guardedit.core.epoch import Change, Epoch
from guardedit.core.errors import ConflictError, LedgerError, SourceError
from guardedit.core.fact import Fact, FactKey
from guardedit.core.failpoints import failpoint
from guardedit.core.messages import Received, Settlement
from guardedit.core.protocols import Event, Replica
from guardedit.core.serving import Snapshot, Update

#: How often a batch, or a single message, is decided again after the ledger refused it.
MOST_REFUSALS = 5


class Live:
    """The live cycle; one turn is one call of `step`. State kept between turns only saves work."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.decider = Decider(parts)
        self._published: int | None = None
        self._refusals = 0  # in a row
        self._expiries: list[tuple[float, FactKey]] = []  # a heap of times, some of facts that are gone
        self._expiry_epoch: int | None = None  # the epoch up to which the heap is complete
        self.publish()

    def use(self, parts: Parts) -> None:
        """Work with other parts from the next turn on. What is published stays."""
        self.parts, self.decider = parts, Decider(parts)

    def step(self) -> StepReport:
        """Receive, decide, remember, publish."""
        received, away = self.receive()  # 1
        seen = self.parts.ledger.epoch().number
        pending = self.parts.ledger.pending(self.parts.limits.receive)
        settlements = self.decide(pending)  # 2
        settled = self.remember(settlements, pending, seen=seen)  # 3
        epoch = self.publish()  # 4
        self._report_counts()
        return StepReport(received=received, settled=settled, epoch=epoch, away=away)

    def receive(self) -> tuple[int, str]:
        """1. Store messages durably in the inbox, then acknowledge them to their source.

        Returns the number of new messages, and the error of the first source that could not be reached.
        """
        new, away = 0, ""
        for source in self.parts.sources:
            try:
                deliveries = source.pull(self.parts.limits.receive, 0.0)
                fresh = self.parts.ledger.receive(deliveries) if deliveries else 0
                failpoint("source.ack")
                if deliveries:
                    source.ack(deliveries)
                    self._emit("received", source=source.name, new=fresh)
            except SourceError as error:
                # Messages that it delivered are stored. The source is polled again in the next turn.
                self._emit("error", stage="receive", error=type(error).__name__, message=str(error))
                away = away or str(error)
                continue
            away = away or source.last_error
            new += fresh
        return new, away

    def decide(self, pending: Sequence[Received]) -> list[Settlement]:
        """2. One settlement for each waiting message, in order."""
        return self.decider.decide(pending)

    def remember(
        self, settlements: Sequence[Settlement], pending: Sequence[Received], *, seen: int | None = None
    ) -> int:
        """3. Write the settlements with their facts, and remove expired facts.

        Returns the number of settled messages. `seen` is the epoch that was decided on.
        """
        started = self.parts.clock()
        settled = self._settle(settlements, pending, seen) if settlements else 0
        changes = sum(settlement.change is not None for settlement in settlements) if settled else 0
        expired = self._expire()
        if changes or expired:
            epoch = self.parts.ledger.epoch().number
            seconds = self.parts.clock() - started
            self._emit("remembered", facts=changes + expired, epoch=epoch, seconds=seconds)
        return settled

    def publish(self) -> Epoch:
        """4. Switch every replica to the serving epoch. It receives only the changes since the last one."""
        epoch = self.parts.ledger.epoch()
        if self._published == epoch.number:
            return epoch
        failpoint("publish.before")
        update = self._update()
        for index, replica in enumerate(self.parts.replicas):
            started = self.parts.clock()
            served = self._switch(replica, update)
            seconds = self.parts.clock() - started
            self._emit("published", replica=str(index), epoch=served, seconds=seconds)
        self._published = epoch.number if update is None else update.epoch.number
        return epoch if update is None else update.epoch

    def undo(self, fact_id: str) -> Epoch | None:
        """Take back a fact; None if weights would have to change.

        Then it changes facts only, as a retraction does, and does not wait for the other cycle. A trial that
        is running leaves out the facts that are gone when it commits.

        Raises:
            UsageError: there is no such fact, or it is not live.
        """
        return self._without_weights(lambda: undo_of(self.parts, fact_id))

    def undo_source(self, source: str, key: str = "") -> Epoch | None:
        """Take back what a source wrote, or with `key` what this key signed; else as `undo`."""
        return self._without_weights(lambda: undo_of_source(self.parts, source, key))

    def _without_weights(self, asked: Callable[[], Undo]) -> Epoch | None:
        for _ in range(COMMITS):
            seen = self.parts.ledger.epoch().number
            changes, reason = asked()
            # An edit that is stale, and waits for its removal, counts as well.
            edited = {edit.subject for edit in self.parts.ledger.edits()}
            if any(change.key.subject in edited for change in changes):
                return None
            try:
                return self.parts.ledger.change_facts(changes, kind="undo", reason=reason, expected=seen)
            except ConflictError:
                continue  # the other cycle made an epoch, which may have moved the facts: look again
        return None

    def _settle(
        self, settlements: Sequence[Settlement], pending: Sequence[Received], seen: int | None
    ) -> int:
        """Write all settlements together; if that fails, decide and write each message by itself."""
        try:
            self.parts.ledger.settle(settlements, seen=seen)
        except ConflictError:
            # An operator changed one of these facts meanwhile: decide again next turn. After MOST_REFUSALS
            # turns, one message may be the reason: write each by itself, so that it does not block the rest.
            self._refusals += 1
            if self._refusals < MOST_REFUSALS:
                return 0
            self._settle_singly(pending)
        except LedgerError:
            raise
        except Exception:  # noqa: BLE001 - no message may stop the loop
            self._settle_singly(pending)
        self._refusals = 0
        return len(settlements)

    def _settle_singly(self, pending: Sequence[Received]) -> None:
        """Decide one message after the other, since each decision depends on what was stored before it."""
        for received in pending:
            failure: Exception | None = None
            for _ in range(MOST_REFUSALS):
                seen = self.parts.ledger.epoch().number
                try:
                    self.parts.ledger.settle(self.decide([received]), seen=seen)
                except LedgerError:
                    raise
                except Exception as error:  # noqa: BLE001 - as above
                    failure = error
                    continue
                break
            else:
                assert failure is not None
                self.parts.ledger.settle([failed_letter(received, "store", failure)])

    def _expire(self) -> int:
        """Remove expired facts. Returns their number."""
        now_s = self.parts.clock()
        self._note_expiries()
        due = []
        while self._expiries and self._expiries[0][0] <= now_s:
            due.append(heappop(self._expiries))
        if not due:
            return 0
        live = self.parts.ledger.live()
        keys = dict.fromkeys(key for _, key in due)
        expired = [Change(key, None) for key in keys if (fact := live.get(key)) and fact.expired(now_s)]
        try:
            if expired:
                reason = f"{len(expired)} facts reached valid_until"
                self.parts.ledger.change_facts(expired, kind="expire", reason=reason)
        except BaseException:  # not removed: to be tried again
            for one in due:
                heappush(self._expiries, one)
            raise
        return len(expired)

    def _note_expiries(self) -> None:
        """Put the times of new facts on the heap."""
        epoch, known = self.parts.ledger.epoch().number, self._expiry_epoch
        if epoch == known:
            return
        if known is None:
            facts: Iterable[Fact | None] = self.parts.ledger.live().values()
        else:
            facts = (change.fact for change in self.parts.ledger.changes_since(known))
        for fact in facts:
            if fact is not None and fact.valid_until_s is not None:
                heappush(self._expiries, (fact.valid_until_s, fact.key))
        self._expiry_epoch = epoch

    def _update(self) -> Update | None:
        """The changes since the published epoch; None if replicas need a snapshot, as in shadow mode."""
        if self._published is None or self.parts.limits.shadow:
            return None
        return self.parts.ledger.update(self._published)

    def _switch(self, replica: Replica, update: Update | None) -> int:
        if update is not None:
            try:
                return replica.follow(update)
            except ConflictError:
                pass  # it was restarted or missed an update: it gets the whole snapshot
        return replica.publish(self._snapshot())

    def _snapshot(self) -> Snapshot:
        """The serving epoch; in shadow mode the base model without facts."""
        if self.parts.limits.shadow:
            return Snapshot(epoch=self.parts.ledger.epoch(0), edits=(), facts=())
        return self.parts.ledger.snapshot()

    def _report_counts(self) -> None:
        """Events for the replicas' memory lookups and for the lag of the sources."""
        for replica in self.parts.replicas:
            for scope, count in replica.lookups().items():
                self._emit("memory_lookup", scope=scope, count=count)
        for source in self.parts.sources:
            # A source that cannot be reached has no lag; `receive` has reported the error.
            with contextlib.suppress(SourceError):
                lag = source.lag()
                self._emit("lag", source=source.name, waiting=lag.waiting, oldest_s=lag.oldest_s)

    def _emit(self, kind: str, **fields: object) -> None:
        self.parts.observe(Event(kind=kind, fields=fields))
