"""Gradient descent on n edits at once, each of which may stop at its own step.

All methods that optimise through `UpperLayers` share this loop. They differ in the `StoppingRule`, which
chooses the rows that a step evaluates and the edits that it moves, and in the `Update`, which computes the
moves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from guardedit.editing.optimise.objective import RowScores

#: (parameters, rows to evaluate [B] bool) -> gradient in the form that `Update` takes, and the scores of the
#: rows.
Gradient = Callable[[Tensor, Tensor], tuple[Tensor, RowScores]]
#: (step, parameters, gradient, edits to move [n] bool) -> new parameters; may change the gradient in place.
Update = Callable[[int, Tensor, Tensor, Tensor], Tensor]
#: Parameters -> gradient of a penalty, of the same shape.
Penalty = Callable[[Tensor], Tensor]


class StoppingRule(Protocol):
    """Which rows each step evaluates, and which edits it moves."""

    def rows(self, step: int, parameters: Tensor) -> Tensor | None:
        """[B] bool, rows to evaluate in this step; None ends the descent."""

    def moving(self, step: int, parameters: Tensor, evaluated: Tensor, scores: RowScores) -> Tensor:
        """[n] bool, edits that this step moves, given the scores of the `evaluated` rows [B] bool."""


def descend(
    start: Tensor, *, edits: int, steps: int, gradient: Gradient, rule: StoppingRule, update: Update
) -> tuple[Tensor, Tensor]:
    """Take at most `steps` steps; returns the parameters and how many steps moved each edit, [n] int64.

    Args:
        start: the first parameters.
        edits: n.
        steps: largest number of steps.
        gradient: evaluated once a step, before the update.
        rule: may stop each edit, or all of them.
        update: called when at least one edit moves; leaves the other edits' parameters as they are.
    """
    parameters, taken = start, torch.zeros(edits, dtype=torch.int64)
    for step in range(steps):
        evaluated = rule.rows(step, parameters)
        if evaluated is None:
            break
        slope, scores = gradient(parameters, evaluated)
        moving = rule.moving(step, parameters, evaluated, scores)
        if bool(moving.any()):
            parameters = update(step, parameters, slope, moving)
            taken += moving
    return parameters, taken


class Adam:
    """Adam (Kingma & Ba 2015) for parameters of one shape, whose rows may stop at different steps."""

    def __init__(self, shape: Sequence[int], *, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self._betas = beta1, beta2
        self._first, self._second = torch.zeros(*shape), torch.zeros(*shape)
        self._steps = 0

    def direction(self, gradient: Tensor) -> Tensor:
        """The step to subtract at learning rate 1; in the first step every entry is about 1 in size."""
        (beta1, beta2), self._steps = self._betas, self._steps + 1
        self._first = torch.lerp(gradient, self._first, beta1)
        self._second = torch.lerp(gradient**2, self._second, beta2)
        first = self._first / (1 - beta1**self._steps)
        second = self._second / (1 - beta2**self._steps)
        return first / (second.sqrt() + 1e-8)


class AdamUpdate:
    """An Adam step with penalties on the parameters and a limit on their size.

    Args:
        shape: of the parameters, [..., n, width].
        rate: step -> learning rates, broadcastable to the parameters.
        penalties: gradients that are added to that of the objective, in this order.
        limit: maps moved parameters to allowed ones.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        rate: Callable[[int], Tensor],
        penalties: Sequence[Penalty] = (),
        limit: Callable[[Tensor], Tensor] = lambda moved: moved,
    ) -> None:
        self._adam, self._rate, self._penalties, self._limit = Adam(shape), rate, penalties, limit

    def __call__(self, step: int, parameters: Tensor, gradient: Tensor, moving: Tensor) -> Tensor:
        """See `Update`."""
        for penalty in self._penalties:
            gradient += penalty(parameters)
        moved = self._limit(parameters - self._rate(step) * self._adam.direction(gradient))
        return torch.where(moving[:, None], moved, parameters)


def clamp_norm(change: Tensor, limit: Tensor) -> Tensor:
    """Project each row of `change` [n, d] onto the ball of radius `limit` [n]."""
    shrink: Tensor = (limit / change.norm(dim=1).clamp(min=1e-12)).clamp(max=1.0)  # [n]
    return change * shrink[:, None]
