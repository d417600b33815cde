"""What a person does to the serving epoch: roll back, undo, redo. The algebra is in `reversal`."""

from __future__ import annotations

from guardedit.agent.parts import Parts
from guardedit.agent.reversal import redo, roll_back, undo
from guardedit.core.epoch import Epoch
from guardedit.core.errors import UsageError
from guardedit.core.fact import Fact


class Operator:
    """What a person may have done to the serving epoch; each is a new epoch that the live cycle publishes."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def roll_back(self, to: int, *, facts_too: bool = False) -> Epoch:
        """Serve an earlier epoch again; facts promoted since go back to memory and stay there."""
        return roll_back(self.parts, to, trigger="manual", facts_too=facts_too)

    def undo(self, fact_id: str, *, regate: bool = True) -> Epoch:
        """Take back one fact, whatever came after it."""
        return undo(self.parts, self._find(fact_id), regate=regate)

    def redo(self, fact_id: str, *, regate: bool = True) -> Epoch:
        """Bring back a fact that was undone."""
        return redo(self.parts, self._find(fact_id), regate=regate)

    def _find(self, fact_id: str) -> Fact:
        found = self.parts.ledger.find_fact(fact_id)
        if len(found) != 1:
            what = "no fact" if not found else f"{len(found)} facts"
            raise UsageError(f"{what} for {fact_id!r}: `guardedit facts list` shows the ids")
        return found[0]
