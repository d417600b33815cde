"""One subject's key and target value, found for many subjects at once on the base model.

Knows how rows, keys, shares and targets go together. Does not know edits, caches or refusals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.solve import lone_direction
from guardedit.editing.optimise.arrivals import by_direction
from guardedit.editing.optimise.contexts import Contexts
from guardedit.editing.optimise.keys import mean_per_group
from guardedit.editing.optimise.objective import Objective
from guardedit.editing.optimise.rows import Row, RowTensors, fact_rows, keep_rows, row_tensors
from guardedit.editing.optimise.targets import Targets, optimise
from guardedit.editing.optimise.upper import UpperLayers
from guardedit.editing.settings import EditSettings
from guardedit.models.host import ModelHost
from guardedit.models.weights.ridge import Ridge


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """What a subject's edit shall be.

    Attributes:
        key: [f] float64, mean over wordings and contexts.
        value: [d] float64, v0: what the down projection puts out there, mean likewise.
        change: [d] float32, v* - v0: what shall arrive at the key.
        arrives: part of a residual that arrives there when the edit is alone; the residual to ask for is
            `change / arrives`.
        steps: optimisation steps taken.
        reached: fact id -> share of its bare wordings whose whole answer is predicted; 0 when the fact's
            own prompt is not among them.
        hardest: median over rows to change of the least probability of an answer token.
        kept: share of the rows to keep whose answer is still predicted.
        kept_kl_nats: mean KL(base || changed) over those.
    """

    key: Tensor
    value: Tensor
    change: Tensor
    arrives: float
    steps: int
    reached: dict[str, float]
    hardest: float
    kept: float
    kept_kl_nats: float


def solve_subjects(
    host: ModelHost,
    layer: int,
    groups: Sequence[SubjectGroup],
    *,
    ridge: Ridge,
    contexts: Contexts,
    settings: EditSettings,
) -> list[Solution]:
    """Keys and targets of some subjects; each as it would be alone, up to rounding.

    Args:
        host: unpatched, and locked by the caller so that it stays so.
        layer: the edited layer.
        groups: facts whose wordings hold the subject; questions to keep.
        ridge: of the layer, with the weights that the fold uses.
        contexts: prefixes.
        settings: the dials.

    Raises:
        CorrectionError: when a row cannot be encoded.
        EditDiverged: when a loss is not finite.
    """
    rows = [
        row for number, group in enumerate(groups) for row in _rows(host, number, group, contexts, settings)
    ]
    tensors = row_tensors(host.tokenizer, rows, context=host.context)
    upper = UpperLayers(host, layer, tensors)
    site = upper.sites([layer])[layer]
    keys = mean_per_group(site.keys, tensors, len(groups))  # [n, f]
    values = mean_per_group(site.values, tensors, len(groups))  # [n, d]
    directions = torch.stack([lone_direction(key, ridge.spread(key)) for key in keys])  # [n, f]
    # Scaled so that a whole change arrives at the mean key: step size and limit then do not depend on
    # how much of a residual the background lets through.
    arrives = (directions * keys).sum(1)  # [n]
    objective = Objective(
        upper,
        tensors,
        by_direction(upper, tensors, directions / arrives[:, None]),
        preservation_weight=settings.preservation_weight,
        enough=settings.confidence**0.5,
    )
    targets = optimise(objective, tensors, scale=values.norm(dim=1), width=upper.width, settings=settings)
    return [
        _solution(n, rows, tensors, targets, key=keys[n], value=values[n], arrives=float(arrives[n]))
        for n in range(len(groups))
    ]


def _rows(
    host: ModelHost, number: int, group: SubjectGroup, contexts: Contexts, settings: EditSettings
) -> list[Row]:
    open_questions = [q.prompt for q in group.keep if q.expected is None]
    answers = dict(zip(open_questions, host.complete(open_questions), strict=True))
    changed = [row for fact in group.facts for row in fact_rows(number, fact, group.subject, contexts)]
    return [*changed, *keep_rows(number, group, answers, limit=settings.keep_limit)]


def _solution(
    n: int,
    rows: Sequence[Row],
    tensors: RowTensors,
    targets: Targets,
    *,
    key: Tensor,
    value: Tensor,
    arrives: float,
) -> Solution:
    mine, scores = tensors.group == n, targets.scores
    kept = mine & tensors.keep
    bare: dict[str, list[bool]] = {}
    for index in (mine & ~tensors.keep & (tensors.context == 0)).nonzero()[:, 0].tolist():
        bare.setdefault(rows[index].fact, []).append(bool(scores.satisfied[index]))
    return Solution(
        key=key,
        value=value,
        change=targets.change[n],
        arrives=arrives,
        steps=int(targets.steps[n]),
        reached={fact: sum(said) / len(said) if said[0] else 0.0 for fact, said in bare.items()},
        hardest=float(scores.hardest[mine & ~tensors.keep].median()),
        kept=float(scores.satisfied[kept].float().mean()),
        kept_kl_nats=float(scores.loss_nats[kept].mean()),
    )
