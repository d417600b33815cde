"""Fine-tune one matrix for one fact at a time, for many facts at once.

Adam on the whole matrix, W0 + Delta, with the fact as the only example (the fine-tuning baseline of Meng et
al. 2022 and most papers since). Only one matrix changes, so its inputs are fixed: the layers below run once,
and each fact has its own Delta.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from guardedit.core.errors import EditDiverged
from guardedit.editing.optimise.descent import AdamUpdate, descend
from guardedit.editing.optimise.keys import keys_and_values
from guardedit.editing.optimise.objective import Objective, RowScores
from guardedit.editing.optimise.perturbations import of_whole_matrix
from guardedit.editing.optimise.rows import RowTensors
from guardedit.editing.optimise.stopping import UntilLossBelow, mean_by_edit
from guardedit.editing.optimise.upper_layers import Perturbation, UpperLayers
from guardedit.models.host import ModelHost

#: Most numbers in all Deltas that are trained at once; about six tensors of that size are in memory.
NUMBERS_AT_ONCE = 2**25


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningSettings:
    """Settings of the tuning; steps and stopping rule as published.

    Attributes:
        learning_rate_ratio: how far the first step moves the value where the answer begins, as a share of
            its norm. The published learning rate of 5e-4 is absolute, and its effect depends on the norms of
            keys and values and on the width: a step of Adam is about `rate` in every entry, so it moves W k
            by up to rate ||k||_1 in each of d coordinates. On the demo model, 25 steps are too few at 0.06,
            and from 0.1 on an edit harms other answers more than necessary.
        steps: gradient steps.
        enough_nats: a fact is done when its loss is below this number of nats.
        clamp_steps: largest |Delta_ij|, as a multiple of the first step; None for no limit. The published
            limits of FT-L are between a tenth of and four times its learning rate.
    """

    learning_rate_ratio: float = 0.08
    steps: int = 25
    enough_nats: float = 1e-2
    clamp_steps: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """Result for one fact.

    Attributes:
        change: [d, f] float32, Delta.
        key: [f, m] float32, keys at the tokens that predict the fact's m answer tokens.
        loss_nats: mean over answer tokens, before the last step.
        steps: number of steps taken.
    """

    change: Tensor
    key: Tensor
    loss_nats: float
    steps: int


def facts_at_once(host: ModelHost, layer: int) -> int:
    """Number of facts that are trained at once, so that their Deltas fit into memory; at least one."""
    return max(1, NUMBERS_AT_ONCE // host.base_matrix(layer).numel())


def tune(host: ModelHost, layer: int, rows: RowTensors, settings: TuningSettings) -> list[Tuned]:
    """A Delta for each group of rows. Groups are independent of each other, up to rounding.

    Args:
        host: the model to edit, as it stands; locked by the caller.
        layer: the layer whose down projection is tuned.
        rows: of n groups, without subjects.
        settings: of the tuning.

    Raises:
        EditDiverged: when a loss or a change is not finite.
    """
    n, (d, f) = int(rows.group.max()) + 1, host.base_matrix(layer).shape
    rate = _rates(host, layer, rows, n, settings)
    upper = UpperLayers(host, layer, rows)
    perturb = of_whole_matrix(upper, rows)

    def perturb_flat(change: Tensor, chunk: Tensor) -> Perturbation:
        return perturb(change.view(n, d, f), chunk)

    objective = Objective(upper, rows, perturb_flat, preservation_weight=0.0)
    change, losses, steps = _optimise(objective, rows, rate, d * f, settings)
    if not bool(torch.isfinite(change).all()):
        raise EditDiverged("fine-tuning gave weights that are not finite: lower the learning rate")
    answering = [upper.keys[rows.group == group][upper.predicting[rows.group == group]] for group in range(n)]
    return [
        Tuned(
            change=change[group].view(d, f),
            key=answering[group].t().cpu(),
            loss_nats=float(losses[group]),
            steps=int(steps[group]),
        )
        for group in range(n)
    ]


def _rates(host: ModelHost, layer: int, rows: RowTensors, n: int, settings: TuningSettings) -> Tensor:
    """[n]: learning rates, from key and value at the token before the first answer of each group."""
    site = keys_and_values(host, layer, replace(rows, subject_at=rows.first))
    each = site.values.norm(dim=1) / (site.keys.abs().sum(1) * site.values.shape[1] ** 0.5)
    first = [int((rows.group == group).nonzero()[0, 0]) for group in range(n)]
    rates: Tensor = settings.learning_rate_ratio * each[first].float()
    return rates


def _optimise(
    objective: Objective, rows: RowTensors, rate: Tensor, width: int, settings: TuningSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """Changes [n, d f], last losses [n] in nats, steps [n]; `rate` [n] are the learning rates."""
    n, limit = len(rate), math.inf if settings.clamp_steps is None else settings.clamp_steps

    def loss(_change: Tensor, evaluated: Tensor, scores: RowScores) -> Tensor:
        return mean_by_edit(scores.loss_nats, rows.group, evaluated, n)

    rule = UntilLossBelow(rows, loss, enough_nats=settings.enough_nats)
    change, steps = descend(
        torch.zeros(n, width),
        edits=n,
        steps=settings.steps,
        gradient=objective.gradient,
        rule=rule,
        update=AdamUpdate(
            (n, width),
            rate=lambda _: rate[:, None],
            limit=lambda moved: moved.clamp(-limit * rate[:, None], limit * rate[:, None]),
        ),
    )
    return change, rule.losses, steps
