"""Fine-tuning of one matrix on one fact at a time, many facts side by side.

Adam on the whole matrix, W0 + Delta, with the fact as the only example (the fine-tuning baseline of Meng et
al. 2022 and of everyone since). Only one matrix changes, so what enters it is fixed: the layers below run
once, and each fact has a Delta of its own. Knows steps and limits. Does not know facts or payloads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from guardedit.core.errors import EditDiverged
from guardedit.editing.optimise.arrivals import by_matrix
from guardedit.editing.optimise.keys import at_subject
from guardedit.editing.optimise.objective import Objective
from guardedit.editing.optimise.rows import RowTensors
from guardedit.editing.optimise.targets import Adam
from guardedit.editing.optimise.upper import Arriving, UpperLayers
from guardedit.models.host import ModelHost

#: Numbers of all Deltas that are trained at once; there are about six tensors of that size.
NUMBERS_AT_ONCE = 2**25


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The dials; steps and stop as published.

    Attributes:
        learning_rate_ratio: how far the first step moves the value where the answer begins, as a share of
            its norm. The published learning rate of 5e-4 is absolute, and what it does depends on the size
            of keys and values and on the width: a step of Adam is about `rate` in every entry, so it moves
            W k by up to rate ||k||_1 in each of d coordinates. On the demo model 25 steps do not suffice at
            0.06, and from 0.1 on one edit harms other answers more than it need.
        steps: gradient steps.
        enough_nats: a fact is done when its loss is below.
        clamp_steps: largest |Delta_ij|, in first steps; None for no limit. The published limits of FT-L are
            between a tenth of and four times its learning rate.
    """

    learning_rate_ratio: float = 0.08
    steps: int = 25
    enough_nats: float = 1e-2
    clamp_steps: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What was found for one fact.

    Attributes:
        change: [d, f] float32, Delta.
        key: [f, m] float32, what entered the matrix where its m answer tokens are predicted.
        loss_nats: before the last step; its mean over answer tokens.
        steps: taken.
    """

    change: Tensor
    key: Tensor
    loss_nats: float
    steps: int


def facts_at_once(host: ModelHost, layer: int) -> int:
    """How many facts fit into memory side by side; at least one."""
    return max(1, NUMBERS_AT_ONCE // host.base_matrix(layer).numel())


def tune(host: ModelHost, layer: int, rows: RowTensors, recipe: Recipe) -> list[Tuned]:
    """A Delta for each group of rows; each as it would be alone, up to rounding.

    Args:
        host: as the edits shall find it; locked by the caller.
        layer: whose down projection is tuned.
        rows: of n groups, without subjects.
        recipe: the dials.

    Raises:
        EditDiverged: when a loss or a change is not finite.
    """
    n, (d, f) = int(rows.group.max()) + 1, host.base_matrix(layer).shape
    rate = _rates(host, layer, rows, n, recipe)
    upper = UpperLayers(host, layer, rows)
    arrive = by_matrix(upper, rows)

    def arrive_flat(change: Tensor, chunk: Tensor) -> Arriving:
        return arrive(change.view(n, d, f), chunk)

    objective = Objective(upper, rows, arrive_flat, preservation_weight=0.0)
    change, losses, steps = _descend(objective, rows, rate, d * f, recipe)
    if not bool(torch.isfinite(change).all()):
        raise EditDiverged("fine-tuning gave weights that are not finite: lower the learning rate")
    answering = [upper.keys[rows.group == group][upper.asked[rows.group == group]] for group in range(n)]
    return [
        Tuned(
            change=change[group].view(d, f),
            key=answering[group].t().cpu(),
            loss_nats=float(losses[group]),
            steps=int(steps[group]),
        )
        for group in range(n)
    ]


def _rates(host: ModelHost, layer: int, rows: RowTensors, n: int, recipe: Recipe) -> Tensor:
    """[n]: learning rates, from key and value where each group's first answer begins."""
    site = at_subject(host, layer, replace(rows, subject_at=rows.first))
    each = site.values.norm(dim=1) / (site.keys.abs().sum(1) * site.values.shape[1] ** 0.5)
    first = [int((rows.group == group).nonzero()[0, 0]) for group in range(n)]
    rates: Tensor = recipe.learning_rate_ratio * each[first].float()
    return rates


def _descend(
    objective: Objective, rows: RowTensors, rate: Tensor, width: int, recipe: Recipe
) -> tuple[Tensor, Tensor, Tensor]:
    """Changes [n, d f], last losses [n] in nats, steps [n]."""
    n = len(rate)
    change, adam = torch.zeros(n, width), Adam(n, width)
    losses, steps = torch.full((n,), math.nan), torch.zeros(n, dtype=torch.int64)
    running = torch.ones(n, dtype=torch.bool)
    limit = math.inf if recipe.clamp_steps is None else recipe.clamp_steps
    for _ in range(recipe.steps):
        active = running[rows.group]
        gradient, scores = objective.descend(change, active)
        total = torch.zeros(n).index_add(0, rows.group[active], scores.loss_nats[active])
        loss = total / torch.bincount(rows.group[active], minlength=n).clamp(min=1)
        losses = torch.where(running, loss, losses)
        running = running & (loss >= recipe.enough_nats)
        if not running.any():
            break
        moved = change - rate[:, None] * adam.direction(gradient)
        moved = moved.clamp(-limit * rate[:, None], limit * rate[:, None])
        change = torch.where(running[:, None], moved, change)
        steps += running
    return change, losses, steps
