"""Stopping rules of `descend` for edits that do not influence each other."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from guardedit.editing.optimise.objective import RowScores
from guardedit.editing.optimise.rows import RowTensors

#: (parameters, evaluated rows [B] bool, scores) -> each edit's loss [n] in nats.
EditLoss = Callable[[Tensor, Tensor, RowScores], Tensor]


class UntilSatisfied:
    """An edit stops when its rows were satisfied in enough consecutive evaluations (MPES, ENCORE section 3).

    Each step evaluates the bare rows and those of one context prefix in turn.

    Args:
        rows: B rows of n edits.
        confidence: least probability of an answer token to change.
        extra_steps: required evaluations in a row; raised to the number of prefixes, so that each has a turn.
    """

    def __init__(self, rows: RowTensors, *, confidence: float, extra_steps: int) -> None:
        self._rows, self._confidence = rows, confidence
        self._patience = max(extra_steps, int(rows.context.max()), 1)
        self._edits = int(rows.group.max()) + 1
        self._streak = torch.zeros(self._edits, dtype=torch.int64)

    def rows(self, step: int, parameters: Tensor) -> Tensor | None:
        """[B] bool: rows of edits that have not stopped, with one context prefix in turn; None to stop."""
        del parameters
        running = self._streak < self._patience
        return running[self._rows.group] & in_turn(self._rows, step) if running.any() else None

    def moving(self, step: int, parameters: Tensor, evaluated: Tensor, scores: RowScores) -> Tensor:
        """[n] bool: edits that have not stopped after this evaluation."""
        del step, parameters
        satisfied = scores.confident(self._rows.keep, self._confidence)
        missed = torch.bincount(self._rows.group[evaluated & ~satisfied], minlength=self._edits) > 0
        running = self._streak < self._patience
        self._streak = torch.where(running, torch.where(missed, 0, self._streak + 1), self._streak)
        return self._streak < self._patience


class UntilLossBelow:
    """An edit stops when its loss is below a limit, or its answers are predicted for some steps in a row.

    Each step evaluates all rows of the edits that have not stopped.

    Args:
        rows: B rows of n edits.
        loss: computes the loss of each edit.
        enough_nats: the limit.
        extra_steps: steps in a row with every answer token the most likely one; None: only the loss counts.

    Attributes:
        losses: [n] each edit's loss at its last evaluation; NaN before the first.
    """

    def __init__(
        self, rows: RowTensors, loss: EditLoss, *, enough_nats: float, extra_steps: int | None = None
    ) -> None:
        self._rows, self._loss = rows, loss
        self._enough_nats, self._extra_steps = enough_nats, extra_steps
        self._edits = int(rows.group.max()) + 1
        self._running = torch.ones(self._edits, dtype=torch.bool)
        self._streak = torch.zeros(self._edits, dtype=torch.int64)
        self.losses = torch.full((self._edits,), math.nan)

    def rows(self, step: int, parameters: Tensor) -> Tensor | None:
        """[B] bool: all rows of edits that have not stopped; None to stop."""
        del step, parameters
        return self._running[self._rows.group] if self._running.any() else None

    def moving(self, step: int, parameters: Tensor, evaluated: Tensor, scores: RowScores) -> Tensor:
        """[n] bool: edits that have not stopped after this evaluation."""
        del step
        loss = self._loss(parameters, evaluated, scores)
        self.losses = torch.where(self._running, loss, self.losses)
        self._running = self._running & (loss >= self._enough_nats)
        if self._extra_steps is not None:
            unpredicted = evaluated & ~self._rows.keep & ~scores.satisfied
            missed = torch.bincount(self._rows.group[unpredicted], minlength=self._edits) > 0
            self._streak = torch.where(missed, 0, self._streak + 1)
            self._running = self._running & (self._streak < self._extra_steps)
        return self._running


def in_turn(rows: RowTensors, step: int) -> Tensor:
    """[B] bool: bare rows, and the rows of one context prefix, which changes from step to step."""
    prefixes = int(rows.context.max())
    turn = 1 + step % prefixes if prefixes else 0
    return (rows.context == 0) | (rows.context == turn)


def mean_by_edit(values: Tensor, group: Tensor, chosen: Tensor, edits: int) -> Tensor:
    """[n] mean value of each edit's `chosen` rows; 0 without any. `values`, `group` and `chosen` are [B]."""
    total = torch.zeros(edits).index_add(0, group[chosen], values[chosen])
    mean: Tensor = total / torch.bincount(group[chosen], minlength=edits).clamp(min=1)
    return mean
