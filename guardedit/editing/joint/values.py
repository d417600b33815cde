"""What a batch of edits writes along its directions, found by gradient through the model they make together.

Knows steps and the price of a change. Does not know edits or refusals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.editing.joint.directions import Directions
from guardedit.editing.optimise.arrivals import Company, all_together
from guardedit.editing.optimise.objective import Objective, Scores
from guardedit.editing.optimise.rests import Rests
from guardedit.editing.optimise.rows import Row, RowTensors
from guardedit.editing.optimise.targets import Adam
from guardedit.editing.optimise.upper import UpperLayers
from guardedit.editing.settings import JointSettings

#: Of the company that rows see; a constant, so that equal input gives equal bytes.
SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JointValues:
    """What was found for n subjects.

    Attributes:
        left: [layers, n, d] float32.
        directions: by layer, ascending.
        reached: fact id -> share of its bare wordings whose whole answer is predicted; 0 when the fact's
            own prompt is not among them.
        lacking_nats: fact id -> mean loss over its bare wordings.
        own: fact id -> index into `rows` of its own prompt.
        scores: of the bare rows, with all edits in place.
        rows: as scored.
    """

    left: Tensor
    directions: Mapping[int, Directions]
    reached: Mapping[str, float]
    lacking_nats: Mapping[str, float]
    own: Mapping[str, int]
    scores: Scores
    rows: RowTensors

    def diagnostics(self, n: int) -> dict[str, float]:
        """Plain numbers of one subject for the ledger; ratios are to ||v0||."""
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


def optimise_together(
    upper: UpperLayers,
    rows: Sequence[Row],
    tensors: RowTensors,
    directions: Mapping[int, Directions],
    *,
    settings: JointSettings,
    fill: float = 1.0,
) -> JointValues:
    """Adam on all changes of all subjects in all layers, with a step length that falls like a cosine.

    Each step looks at some rows of every subject, less what is satisfied already; see `Rests`.

    Args:
        upper: over the rows, from the lowest of the layers on.
        rows: of n subjects.
        tensors: the same as B rows.
        directions: by layer, ascending.
        settings: the dials.
        fill: how full the layers are with these edits; the price of a change is in proportion.

    Raises:
        EditDiverged: when a loss is not finite.
    """
    layers = list(directions)
    columns = {layer: d.right.t() for layer, d in directions.items()}
    company = Company(tensors, len(columns[layers[0]]), seed=SEED) if settings.company else None
    all_there = Objective(
        upper,
        tensors,
        all_together(upper, columns),
        preservation_weight=settings.preservation_weight,
        enough=settings.confidence**0.5,
    )
    in_company = all_there.when(all_together(upper, columns, company=company))
    scale = torch.stack([d.scale for d in directions.values()])[..., None]  # [layers, n, 1]
    price = torch.stack([d.price for d in directions.values()])  # [layers, n, n]
    left = torch.zeros(len(layers), scale.shape[1], upper.width)
    adam = Adam(left.shape[0] * left.shape[1], upper.width)
    rate = settings.learning_rate_ratio * scale / (upper.width**0.5 * len(layers))
    rests = Rests(tensors, settings.steps)
    everything = torch.ones(len(rows), dtype=torch.bool)

    def fine(scores: Scores) -> Tensor:
        return scores.satisfied & (tensors.keep | (scores.hardest >= settings.confidence))

    for step in range(settings.steps):
        if rests.all_done:
            # Each when it was last looked at, which is not yet all at once.
            scores = all_there.score(left, everything)
            rests.saw(step, everything, fine(scores), scores.loss_nats)
            if rests.all_done:
                break
        active = rests.awake(step)
        gradient, scores = in_company.descend(left, active)
        if company:
            company.draw()
        rests.saw(step, active, fine(scores), scores.loss_nats)
        gradient += 2 * settings.norm_penalty * left / (len(layers) * scale**2)
        gradient += 2 * settings.background_price * fill * price @ left
        falling = 0.5 * (1 + math.cos(math.pi * step / settings.steps))
        left = left - falling * rate * adam.direction(gradient.flatten(0, 1)).view_as(left)
    scores = all_there.score(left, tensors.context == 0)
    asked = _bare_rows(rows, tensors)
    hits = {fact: scores.satisfied[mine] for fact, mine in asked.items()}
    return JointValues(
        left=left,
        directions=directions,
        reached={fact: float(hit.float().mean()) * float(hit[0]) for fact, hit in hits.items()},
        lacking_nats={fact: float(scores.loss_nats[mine].mean()) for fact, mine in asked.items()},
        own={fact: mine[0] for fact, mine in asked.items()},
        scores=scores,
        rows=tensors,
    )


def _bare_rows(rows: Sequence[Row], tensors: RowTensors) -> dict[str, list[int]]:
    """Fact id -> its rows without a prefix, its own prompt first."""
    found: dict[str, list[int]] = {}
    for index in (~tensors.keep & (tensors.context == 0)).nonzero()[:, 0].tolist():
        found.setdefault(rows[index].fact, []).append(index)
    return found
