"""Finds what is left to do in a home folder, and waits until another process has done it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from guardedit.agent.batch import waiting
from guardedit.agent.kept import KeptFacts
from guardedit.agent.proposing import stale
from guardedit.core.errors import UsageError
from guardedit.core.fact import Placement
from guardedit.core.protocols import Clock
from guardedit.ledger.reading import LedgerReader
from guardedit.ledger.storage.lock import driver_of
from guardedit.policy.schema import Policy
from guardedit.runtime.opening import begun, existing
from guardedit.runtime.operator.stages import Stage, read_stage
from guardedit.settings import Settings

#: Seconds between two looks at the ledger.
POLL_S = 0.5
#: So many looks in a row must find nothing: between two stages of a turn nothing is recorded as running.
QUIET = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """What the two cycles still have to do.

    Attributes:
        inbox: messages without a decision.
        weights: facts that wait for their first trial for the weights.
        undecided: facts whose trials could not decide so far; they are tried again.
        stale: edits in the weights whose facts were changed since; they wait to be removed or made again.
        unmeasured: whether the served weights wait for a reading of the drift watch.
        stage: what the consolidating cycle does now; None if nothing.
    """

    inbox: int
    weights: int
    undecided: int
    stale: int
    unmeasured: bool
    stage: Stage | None

    @property
    def nothing(self) -> bool:
        """Whether nothing is left."""
        return not (
            self.inbox or self.weights or self.undecided or self.stale or self.unmeasured or self.stage
        )

    def __str__(self) -> str:
        """For people.

        >>> str(Remaining(inbox=2, weights=0, undecided=1, stale=0, unmeasured=False, stage=None))
        'to be decided: 2 messages; undecided, to be tried again: 1 fact'
        """
        parts = [
            _part("to be decided", self.inbox, "message"),
            _part("waiting for the weights", self.weights, "fact"),
            _part("undecided, to be tried again", self.undecided, "fact"),
            _part("to be removed from the weights or made again", self.stale, "edit"),
            "the served weights are to be measured" * self.unmeasured,
            f"now {self.stage}" if self.stage else "",
        ]
        return "; ".join(part for part in parts if part) or "nothing is left to do"


def _part(what: str, count: int, noun: str) -> str:
    return f"{what}: {count} {noun}{'s' * (count != 1)}" if count else ""


def remaining(ledger: LedgerReader, settings: Settings, *, now_s: float, weights: bool) -> Remaining:
    """What is left at `now_s`.

    Args:
        ledger: open for reading.
        settings: names the home folder.
        now_s: seconds since 1970, UTC.
        weights: whether facts are moved into the weights. If not, those that wait for that wait forever.
    """
    counts, stale_edits = ledger.counts(), 0
    kept = KeptFacts(ledger).now() if weights and begun(ledger) else {}
    facts = waiting(ledger.live(), kept) if weights and begun(ledger) else []
    undecided = sum(fact.id in kept for fact in facts)
    if weights and begun(ledger):
        snapshot = ledger.snapshot()
        placed = [fact for fact in snapshot.facts if fact.placement is Placement.WEIGHTS]
        stale_edits = len(stale(snapshot.edits, placed))
    return Remaining(
        inbox=counts.inbox_waiting,
        weights=len(facts) - undecided,
        undecided=undecided,
        stale=stale_edits,
        unmeasured=weights and begun(ledger) and _unmeasured(ledger),
        stage=read_stage(settings.home, now_s=now_s),
    )


def wait_until_settled(
    settings: Settings,
    policy: Policy,
    *,
    timeout_s: float | None,
    tell: Callable[[Remaining], None] = lambda _: None,
    clock: Clock = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Remaining:
    """Wait until nothing is left to do, or for `timeout_s` seconds; returns what is left.

    Args:
        settings: names the home folder.
        policy: the policy of the process that runs the loop.
        timeout_s: None waits without limit.
        tell: called with what is left at every look.
        clock: seconds since 1970, UTC.
        sleep: waits so many seconds.

    Raises:
        UsageError: something is left, and no process runs the loop; or there is no ledger.
    """
    started_s, quiet = clock(), 0
    weights = policy.writes_weights and policy.mode == "enforce"
    while True:
        # Before the look: a loop that ends now has recorded what it did.
        runs = driver_of(settings.home) is not None
        with existing(settings) as ledger:
            left = remaining(ledger, settings, now_s=clock(), weights=weights)
        tell(left)
        quiet = quiet + 1 if left.nothing else 0
        if quiet >= (QUIET if runs else 1) or (timeout_s is not None and clock() - started_s >= timeout_s):
            return left
        if not (runs or left.nothing):
            raise UsageError(
                f"{left}, and no process runs the loop on {settings.home}: start `guardedit run`, or do what "
                "is left with `guardedit run --once`"
            )
        sleep(POLL_S)


def _unmeasured(ledger: LedgerReader) -> bool:
    """Whether the served weights differ from the base model's and were not the last ones measured."""
    serving = ledger.epoch().weights_sha256
    if serving == ledger.epoch(0).weights_sha256:
        return False
    readings = ledger.events(kinds=("reading",))
    return not readings or readings[-1][2].get("weights_sha256") != serving
