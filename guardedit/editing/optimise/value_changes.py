"""Optimised values: a change of the MLP output at the subject's last token, found by gradient descent.

One change per subject, shared by all its rows (MEMIT-Merge), stopped when every answer token is predicted
(MPES, ENCORE section 3).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.editing.optimise.descent import AdamUpdate, clamp_norm, descend
from guardedit.editing.optimise.objective import Objective, RowScores
from guardedit.editing.optimise.rows import RowTensors
from guardedit.editing.optimise.stopping import UntilSatisfied
from guardedit.editing.settings import EditSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueChanges:
    """Optimised changes of n subjects.

    Attributes:
        change: [n, d] float32.
        steps: [n] int64, steps that moved each change.
        scores: scores of all rows, with the changes applied.
    """

    change: Tensor
    steps: Tensor
    scores: RowScores


def optimise_values(
    objective: Objective, rows: RowTensors, *, scale: Tensor, width: int, settings: EditSettings
) -> ValueChanges:
    """Adam on one change per subject; subjects do not influence each other.

    Args:
        objective: over the same rows.
        rows: B rows of n subjects.
        scale: [n], ||v0||; learning rate, penalty and clamp are relative to it.
        width: d.
        settings: of the optimisation.

    Raises:
        EditDiverged: when a loss is not finite.
    """
    scale = scale.float()
    rate = settings.learning_rate_ratio * scale / width**0.5
    change, steps = descend(
        torch.zeros(len(scale), width),
        edits=len(scale),
        steps=settings.steps,
        gradient=objective.gradient,
        rule=UntilSatisfied(rows, confidence=settings.confidence, extra_steps=settings.extra_steps),
        update=AdamUpdate(
            (len(scale), width),
            rate=lambda _: rate[:, None],
            penalties=[lambda change: 2 * settings.norm_penalty * change / scale[:, None] ** 2],
            limit=lambda moved: clamp_norm(moved, settings.clamp_ratio * scale),
        ),
    )
    everything = torch.ones_like(rows.keep)
    return ValueChanges(change=change, steps=steps, scores=objective.score(change, everything))
