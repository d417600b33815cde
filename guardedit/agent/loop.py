"""Runs both cycles in turn, and explains how a correction gets into the model. Open this file first.

Two cycles work on one ledger. They share nothing else, so they can run in two threads, two processes or two
actors, and neither waits for the other. Each is one class; its method `step` is one turn of the cycle.

    live cycle: a correction is answered from memory, milliseconds              live.py
      1 receive    store messages in the inbox, then acknowledge them           live.py
      2 decide     message -> correction -> the policy's decision               decider.py, deciding.py
      3 remember   write decisions and facts in one transaction                 live.py
      4 publish    switch every replica to the serving epoch                    live.py

    consolidating cycle: facts move from memory into the weights, minutes       consolidate.py
      5 watch      measure the serving epoch; after a breach roll back          watching.py, reversal.py
      6 promote    choose a batch of facts                                      promotion.py, batch.py
                   propose: the method makes weight edits for them              proposing.py
                   try: the guard measures them, bisection finds harmful ones   trial.py, judging.py
                   commit: a new epoch of the edits that passed                 promotion.py
                   keep the other facts in memory, with the reason              kept.py
      7 repair     compare served tensors with what they should be              consolidate.py

An operator's undo, redo and rollback are in reversal.py. The ledger, guard, model worker,
replicas and limits that the cycles work with are in parts.py.
"""

from __future__ import annotations

from dataclasses import replace

from guardedit.agent.consolidate import Consolidate
from guardedit.agent.live import Live
from guardedit.agent.parts import StepReport


class Loop:
    """Both cycles in turn, in one process. `runtime` drives the same two cycles, in turn or side by side."""

    def __init__(self, live: Live, consolidate: Consolidate) -> None:
        self.live, self.consolidate = live, consolidate

    def step(self) -> StepReport:
        """One turn of each cycle; the epoch that the second one made is published before this returns."""
        live = self.live.step()  # 1 receive, 2 decide, 3 remember, 4 publish
        consolidated = self.consolidate.step()  # 5 watch, 6 promote, 7 repair
        return replace(merge_reports(live, consolidated), epoch=self.live.publish())  # 4 publish again


def merge_reports(live: StepReport, consolidated: StepReport) -> StepReport:
    """One report of a turn of each cycle."""
    return replace(consolidated, received=live.received, settled=live.settled, away=live.away)
