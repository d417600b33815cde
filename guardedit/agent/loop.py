"""The way of a correction. Open this file first.

    live         1 receive   2 decide   3 remember   4 publish          milliseconds
    consolidate  5 watch     6 promote  7 repair                        minutes

`live.py` and `consolidate.py` are the two cycles, each readable from top to bottom. They share the ledger and
nothing else, so they may run in two threads, two processes or two actors, and neither waits for the other.
Here they take turns in one process: that is what a test, the demo and an operator's command want.
"""

from __future__ import annotations

from dataclasses import replace

from guardedit.agent.consolidate import Consolidate
from guardedit.agent.live import Live
from guardedit.agent.parts import StepReport


class Agent:
    """Both cycles in turn."""

    def __init__(self, live: Live, consolidate: Consolidate) -> None:
        self.live, self.consolidate = live, consolidate

    def step(self) -> StepReport:
        """One turn of each; what the second made is published before it returns."""
        report = both(self.live.step(), self.consolidate.step())
        return replace(report, epoch=self.live.publish())


def both(live: StepReport, consolidated: StepReport) -> StepReport:
    """One report of a turn of each."""
    return replace(consolidated, received=live.received, settled=live.settled, away=live.away)
