"""What an operator can do to the serving epoch: roll back, undo, redo. The work is done in `reversal`."""

from __future__ import annotations

from guardedit.agent.parts import Parts
from guardedit.agent.reversal import redo, roll_back, undo
from guardedit.core.epoch import Epoch
from guardedit.core.errors import UsageError
from guardedit.core.fact import Fact


class Operator:
    """The operator's changes of the serving epoch. Each makes a new epoch, which the live cycle publishes."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def roll_back(self, to: int, *, facts_too: bool = False) -> Epoch:
        """Serve an earlier epoch again; facts promoted since then return to memory and stay there."""
        return roll_back(self.parts, to, trigger="manual", facts_too=facts_too)

    def undo(self, fact_id: str) -> Epoch:
        """Take back one fact, whichever facts came after it."""
        return undo(self.parts, self._find(fact_id))

    def redo(self, fact_id: str) -> Epoch:
        """Bring back a fact that was undone."""
        return redo(self.parts, self._find(fact_id))

    def _find(self, fact_id: str) -> Fact:
        found = self.parts.ledger.find_fact(fact_id)
        if len(found) != 1:
            count = "no fact" if not found else f"{len(found)} facts"
            raise UsageError(
                f"{count} found for {fact_id!r}: give the id of one, `guardedit facts list` shows them"
            )
        return found[0]
