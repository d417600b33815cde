"""Chooses the rows that each step of the joint optimisation evaluates."""

from __future__ import annotations

import torch
from torch import Tensor

from guardedit.editing.optimise.rows import RowTensors

#: A satisfied row rests: it is evaluated again after FIRST_REST steps. The rest doubles each further time
#: that it is satisfied, up to LONGEST_REST. Evaluating all rows every third step finds no more and costs
#: three times as much.
FIRST_REST, LONGEST_REST = 2, 16
#: Number of steps over which each row to change has one turn, unless it rests.
ROUNDS = 4
#: Answers to keep are lost when their rows are not evaluated for a long time. So these rows rest for at most
#: KEEP_REST steps, or CALM_REST when their loss is below CALM_NATS, because their gradient is then small as
#: well.
KEEP_REST, CALM_REST, CALM_NATS = 3, 8, 0.005


class RowSchedule:
    """Turns and rests of rows: each step evaluates about a quarter of a subject's rows, bare and prefixed.

    In the first half of the steps, bare and prefixed rows alternate. Satisfied rows rest for some steps. All
    rows of a subject pull its change to about the same place, so four steps on a quarter of the rows get
    further than one step on all rows, especially while that place is still far off.

    Args:
        rows: B rows.
        steps: of the optimisation.
    """

    def __init__(self, rows: RowTensors, steps: int) -> None:
        kinds = torch.stack([rows.group, (rows.context > 0).long(), rows.keep.long()], dim=1)
        _, kind = torch.unique(kinds, dim=0, return_inverse=True)
        count = torch.bincount(kind)[kind]
        self._rounds = torch.where(rows.keep, 1, count.clamp(max=ROUNDS))  # steps between a row's turns
        self._turn = _index_within(kind) % self._rounds
        self._keep, self._bare = rows.keep, rows.context == 0
        self._half = steps // 2 if bool((rows.context > 0).any()) else 0
        self._next = torch.zeros(len(rows.keep), dtype=torch.int64)  # step of the next evaluation
        self._rest = torch.zeros_like(self._next)  # steps between evaluations; 0: not satisfied

    @property
    def all_satisfied(self) -> bool:
        """Whether every row was satisfied when it was last evaluated."""
        return bool((self._rest > 0).all())

    def rows(self, step: int) -> Tensor:
        """[B] bool, rows to evaluate in this step; may be none."""
        due = self._next <= step
        if step >= self._half:
            return due & (step % self._rounds == self._turn)
        kind = self._keep | (self._bare == bool(step % 2))
        return due & kind & (step // 2 % self._rounds == self._turn)

    def record(self, step: int, evaluated: Tensor, satisfied: Tensor, loss_nats: Tensor) -> None:
        """Record a step: `satisfied` rows among the `evaluated` ones rest, longer each time; all [B]."""
        keep_rest = torch.where(loss_nats < CALM_NATS, CALM_REST, KEEP_REST)
        longest = torch.where(self._keep, keep_rest, LONGEST_REST)
        longer = torch.minimum((2 * self._rest).clamp(min=FIRST_REST), longest)
        self._rest = torch.where(evaluated, torch.where(satisfied, longer, 0), self._rest)
        self._next = torch.where(evaluated, step + self._rest, self._next)


def _index_within(kind: Tensor) -> Tensor:
    """For each row, how many rows before it have its kind."""
    order = kind.argsort(stable=True)
    first = torch.cumsum(torch.bincount(kind), 0) - torch.bincount(kind)
    index = torch.empty_like(kind)
    index[order] = torch.arange(len(kind)) - first[kind[order]]
    return index
