"""Optimise the changes that a batch of edits writes along its directions, through the edited model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.editing.joint.directions import Directions
from guardedit.editing.optimise.descent import AdamUpdate, Penalty, descend
from guardedit.editing.optimise.objective import Objective, RowScores
from guardedit.editing.optimise.perturbations import VisibleEdits, of_all_edits
from guardedit.editing.optimise.row_schedule import RowSchedule
from guardedit.editing.optimise.rows import Row, RowTensors
from guardedit.editing.optimise.upper_layers import UpperLayers
from guardedit.editing.settings import JointSettings

#: Seed of the random subsets of edits that rows see. A constant, so that equal inputs give equal bytes.
SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JointValues:
    """Optimised changes of n subjects.

    Attributes:
        left: [layers, n, d] float32, the vector that each subject writes along its direction in each layer.
        directions: layer -> directions, ascending.
        reached: fact id -> share of its bare wordings whose whole answer is predicted; 0 when the fact's own
            prompt is not among them.
        loss_nats: fact id -> mean loss over its bare wordings.
        own_prompt: fact id -> index into `rows` of the fact's own prompt.
        scores: scores of the bare rows, with all edits applied.
        rows: the rows that were scored.
    """

    left: Tensor
    directions: Mapping[int, Directions]
    reached: Mapping[str, float]
    loss_nats: Mapping[str, float]
    own_prompt: Mapping[str, int]
    scores: RowScores
    rows: RowTensors

    def diagnostics(self, n: int) -> dict[str, float]:
        """Diagnostics of one subject for the ledger; ratios are relative to ||v0||."""
        mine = self.rows.group == n
        changed, kept = mine & ~self.rows.keep & (self.rows.context == 0), mine & self.rows.keep
        ratios = [
            float(self.left[at, n].norm() / d.scale[n]) for at, d in enumerate(self.directions.values())
        ]
        return {
            "change_ratio": math.hypot(*ratios),
            "hardest": float(self.scores.hardest[changed].median()),
            "kept": float(self.scores.satisfied[kept].float().mean()),
            "kept_kl_nats": float(self.scores.loss_nats[kept].mean()),
        }


def optimise_jointly(
    upper: UpperLayers,
    rows: Sequence[Row],
    tensors: RowTensors,
    directions: Mapping[int, Directions],
    *,
    settings: JointSettings,
    fill: float = 1.0,
) -> JointValues:
    """Adam on all changes of all subjects in all layers, with a cosine schedule of the learning rate.

    Each step evaluates some rows of every subject and skips rows that are resting; see `RowSchedule`.

    Args:
        upper: the upper layers of the same rows, from the lowest edited layer on.
        rows: of n subjects.
        tensors: the same rows, encoded.
        directions: layer -> directions, ascending.
        settings: of the optimisation.
        fill: how full the layers are with these edits; the price of a change is proportional to it.

    Raises:
        EditDiverged: when a loss is not finite.
    """
    right = {layer: d.right.t() for layer, d in directions.items()}
    scale = torch.stack([d.scale for d in directions.values()])[..., None]  # [layers, n, 1]
    edits = scale.shape[1]
    visible = VisibleEdits(tensors, edits, seed=SEED) if settings.company else None
    with_all = Objective(
        upper,
        tensors,
        of_all_edits(upper, right),
        preservation_weight=settings.preservation_weight,
        enough=settings.confidence**0.5,
    )
    with_visible = with_all.with_perturb(of_all_edits(upper, right, visible=visible))
    start = torch.zeros(len(directions), edits, upper.width)
    left, _ = descend(
        start,
        edits=edits,
        steps=settings.steps,
        gradient=with_visible.gradient,
        rule=_UntilAllSatisfied(with_all, tensors, visible, settings),
        update=_update(start, scale, directions, settings, fill),
    )
    scores = with_all.score(left, tensors.context == 0)
    bare = _bare_rows(rows, tensors)
    hits = {fact: scores.satisfied[mine] for fact, mine in bare.items()}
    return JointValues(
        left=left,
        directions=directions,
        reached={fact: float(hit.float().mean()) * float(hit[0]) for fact, hit in hits.items()},
        loss_nats={fact: float(scores.loss_nats[mine].mean()) for fact, mine in bare.items()},
        own_prompt={fact: mine[0] for fact, mine in bare.items()},
        scores=scores,
        rows=tensors,
    )


def _update(
    start: Tensor,
    scale: Tensor,
    directions: Mapping[int, Directions],
    settings: JointSettings,
    fill: float,
) -> AdamUpdate:
    """Adam with a falling rate, a penalty on the length of each change and a price on all changes."""
    layers, width = start.shape[0], start.shape[-1]
    rate = settings.learning_rate_ratio * scale / (width**0.5 * layers)
    return AdamUpdate(
        start.shape,
        rate=lambda step: 0.5 * (1 + math.cos(math.pi * step / settings.steps)) * rate,
        penalties=[
            lambda left: 2 * settings.norm_penalty * left / (layers * scale**2),
            _price(directions, settings, fill),
        ],
    )


def _price(directions: Mapping[int, Directions], settings: JointSettings, fill: float) -> Penalty:
    """Gradient of the price of all changes, [layers, n, d] -> [layers, n, d]."""
    if settings.divergence_price:
        weight = settings.divergence_price
        parts = list(directions.values())
        return lambda left: (
            weight * torch.stack([d.divergence_gradient(one) for d, one in zip(parts, left, strict=True)])
        )
    price = torch.stack([d.price for d in directions.values()])  # [layers, n, n]
    return lambda left: 2 * settings.background_price * fill * price @ left


class _UntilAllSatisfied:
    """A stopping rule: all edits move until all rows are satisfied at once; satisfied rows rest meanwhile."""

    def __init__(
        self, with_all: Objective, rows: RowTensors, visible: VisibleEdits | None, settings: JointSettings
    ) -> None:
        self._with_all, self._rows, self._visible = with_all, rows, visible
        self._confidence = settings.confidence
        self._schedule = RowSchedule(rows, settings.steps)
        self._edits = torch.ones(int(rows.group.max()) + 1, dtype=torch.bool)

    def rows(self, step: int, parameters: Tensor) -> Tensor | None:
        """[B] bool, the scheduled rows; None to stop.

        Once every row was satisfied at its last evaluation, all rows are evaluated once more before the end,
        because those evaluations were at different steps.
        """
        if self._schedule.all_satisfied:
            everything = torch.ones_like(self._rows.keep)
            self._record(step, everything, self._with_all.score(parameters, everything))
            if self._schedule.all_satisfied:
                return None
        return self._schedule.rows(step)

    def moving(self, step: int, parameters: Tensor, evaluated: Tensor, scores: RowScores) -> Tensor:
        """[n] bool: all edits move in every step."""
        del parameters
        if self._visible:
            self._visible.draw()
        self._record(step, evaluated, scores)
        return self._edits

    def _record(self, step: int, evaluated: Tensor, scores: RowScores) -> None:
        satisfied = scores.confident(self._rows.keep, self._confidence)
        self._schedule.record(step, evaluated, satisfied, scores.loss_nats)


def _bare_rows(rows: Sequence[Row], tensors: RowTensors) -> dict[str, list[int]]:
    """Fact id -> indices of its rows without a prefix, its own prompt first."""
    found: dict[str, list[int]] = {}
    for index in (~tensors.keep & (tensors.context == 0)).nonzero()[:, 0].tolist():
        found.setdefault(rows[index].fact, []).append(index)
    return found
