"""Which rows a step of the optimisation looks at. Knows what was satisfied when; runs no model."""

from __future__ import annotations

import torch
from torch import Tensor

from guardedit.editing.optimise.rows import RowTensors

#: A row that was satisfied is looked at again after so many steps, and after twice as many each further time
#: that it is. Looking at all rows every third step finds no more and costs three times as much.
LOOK_AGAIN, LONGEST_REST = 2, 16
#: Steps in which all rows of a subject that are awake have their turn.
ROUNDS = 4
#: Answers to keep are lost by what nobody asks them about, so they never rest for long, but for those that
#: have hardly moved (nats): their gradient is as small.
KEEP_REST, CALM_REST, CALM_NATS = 3, 8, 0.005


class Rests:
    """Which rows a step looks at: of each subject's, a quarter of the bare ones and of those behind prefixes.

    In the first half of the steps it is the one kind or the other, in turn. Rows that were satisfied rest.
    All rows of a subject pull its change to about the same place, so that four steps on a quarter of them go
    further than one on all, the more so while the place is still far off.

    Args:
        rows: B rows.
        steps: of the optimisation.
    """

    def __init__(self, rows: RowTensors, steps: int) -> None:
        kinds = torch.stack([rows.group, (rows.context > 0).long(), rows.keep.long()], dim=1)
        _, kind = torch.unique(kinds, dim=0, return_inverse=True)
        place = _place_within(kind)
        many = torch.bincount(kind)[kind]
        self._rounds = torch.where(rows.keep, 1, many.clamp(max=ROUNDS))  # steps between a row's turns
        self._turn = place % self._rounds
        self._keep, self._bare = rows.keep, rows.context == 0
        self._half = steps // 2 if bool((rows.context > 0).any()) else 0
        self._next = torch.zeros(len(rows.keep), dtype=torch.int64)  # step of the next look
        self._rest = torch.zeros_like(self._next)  # steps between looks; 0: not satisfied

    @property
    def all_done(self) -> bool:
        """Every row was satisfied when it was last looked at."""
        return bool((self._rest > 0).all())

    def awake(self, step: int) -> Tensor:
        """[B] bool."""
        due = self._next <= step
        if step >= self._half:
            return due & (step % self._rounds == self._turn)
        kind = self._keep | (self._bare == bool(step % 2))
        return due & kind & (step // 2 % self._rounds == self._turn)

    def saw(self, step: int, active: Tensor, fine: Tensor, loss_nats: Tensor) -> None:
        """After a step: `fine` [B] of the `active` rows rest, for longer each time."""
        keep_rest = torch.where(loss_nats < CALM_NATS, CALM_REST, KEEP_REST)
        longest = torch.where(self._keep, keep_rest, LONGEST_REST)
        longer = torch.minimum((2 * self._rest).clamp(min=LOOK_AGAIN), longest)
        self._rest = torch.where(active, torch.where(fine, longer, 0), self._rest)
        self._next = torch.where(active, step + self._rest, self._next)


def _place_within(kind: Tensor) -> Tensor:
    """For each row, how many rows before it are of its kind."""
    order = kind.argsort(stable=True)
    first = torch.cumsum(torch.bincount(kind), 0) - torch.bincount(kind)
    place = torch.empty_like(kind)
    place[order] = torch.arange(len(kind)) - first[kind[order]]
    return place
