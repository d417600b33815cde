"""Target values: a change of the MLP output at the subject's last token, found by gradient.

One change per subject, shared by all its rows (MEMIT-Merge), stopped when every answer token is predicted
(MPES, ENCORE section 3). Knows steps and when to stop. Does not know keys, matrices or facts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.editing.optimise.objective import Objective, Scores
from guardedit.editing.optimise.rows import RowTensors
from guardedit.editing.settings import EditSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What was found for n subjects: `change` [n, d] float32, `steps` [n], and the scores of all rows."""

    change: Tensor
    steps: Tensor
    scores: Scores


def optimise(
    objective: Objective, rows: RowTensors, *, scale: Tensor, width: int, settings: EditSettings
) -> Targets:
    """Adam on one change per subject; subjects do not influence each other.

    Each step takes the bare rows and those of one prefix in turn.

    Args:
        objective: over the same rows.
        rows: B rows of n subjects.
        scale: [n], ||v0||: steps and limits are relative to it.
        width: d.
        settings: the dials.

    Raises:
        EditDiverged: when a loss is not finite.
    """
    scale = scale.float()
    change, adam = torch.zeros(len(scale), width), Adam(len(scale), width)
    steps, streak = torch.zeros(len(scale), dtype=torch.int64), torch.zeros(len(scale), dtype=torch.int64)
    prefixes = int(rows.context.max())
    # Every prefix must have had its turn before a subject may stop.
    patience = max(settings.extra_steps, prefixes, 1)
    rate = settings.learning_rate_ratio * scale / width**0.5
    for step in range(settings.steps):
        running = streak < patience
        if not running.any():
            break
        turn = 1 + step % prefixes if prefixes else 0
        active = running[rows.group] & ((rows.context == 0) | (rows.context == turn))
        gradient, scores = objective.descend(change, active)
        fine = scores.satisfied & (rows.keep | (scores.hardest >= settings.confidence))
        missed = torch.bincount(rows.group[active & ~fine], minlength=len(scale)) > 0
        streak = torch.where(running, torch.where(missed, 0, streak + 1), streak)
        running &= streak < patience
        gradient += 2 * settings.norm_penalty * change / scale[:, None] ** 2
        moved = clamp(change - rate[:, None] * adam.direction(gradient), settings.clamp_ratio * scale)
        change = torch.where(running[:, None], moved, change)
        steps += running
    everything = torch.ones_like(rows.keep)
    return Targets(change=change, steps=steps, scores=objective.score(change, everything))


def clamp(change: Tensor, limit: Tensor) -> Tensor:
    """Project each row of `change` [n, d] on the ball of radius `limit` [n]."""
    shrink: Tensor = (limit / change.norm(dim=1).clamp(min=1e-12)).clamp(max=1.0)  # [n]
    return change * shrink[:, None]


class Adam:
    """Adam (Kingma & Ba 2015) on the rows of one matrix, so that rows may stop at different steps."""

    def __init__(self, rows: int, width: int, *, beta1: float = 0.9, beta2: float = 0.999) -> None:
        self._betas = beta1, beta2
        self._first, self._second = torch.zeros(rows, width), torch.zeros(rows, width)
        self._steps = 0

    def direction(self, gradient: Tensor) -> Tensor:
        """The step for a learning rate of one; each coordinate is about one long at first."""
        (beta1, beta2), self._steps = self._betas, self._steps + 1
        self._first = torch.lerp(gradient, self._first, beta1)
        self._second = torch.lerp(gradient**2, self._second, beta2)
        first = self._first / (1 - beta1**self._steps)
        second = self._second / (1 - beta2**self._steps)
        return first / (second.sqrt() + 1e-8)
