"""Keys and optimised values for the `ridge` method, on the base model, for many subjects at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.solve import single_edit_direction
from guardedit.editing.optimise.contexts import Contexts
from guardedit.editing.optimise.keys import mean_per_group
from guardedit.editing.optimise.objective import Objective
from guardedit.editing.optimise.perturbations import along_directions
from guardedit.editing.optimise.rows import Row, RowTensors, fact_rows, keep_rows, row_tensors
from guardedit.editing.optimise.upper_layers import UpperLayers
from guardedit.editing.optimise.value_changes import ValueChanges, optimise_values
from guardedit.editing.settings import EditSettings
from guardedit.models.host import ModelHost
from guardedit.models.weights.ridge import Ridge


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """Key, value and optimised change of one subject.

    Attributes:
        key: [f] float64, mean over wordings and contexts.
        value: [d] float64, v0, the down projection's output at those places, with the same mean.
        change: [d] float32, v* - v0, the change of the output at the key.
        own_share: share of a residual that the edit's own key receives when the edit is alone in its layer;
            the edit's residual is `change / own_share`.
        steps: optimisation steps taken.
        reached: fact id -> share of its bare wordings whose whole answer is predicted; 0 when the fact's own
            prompt is not among them.
        hardest: lowest probability among a row's answer tokens, median over the rows to change.
        kept: share of the rows to keep whose answer is still predicted.
        kept_kl_nats: mean KL(base || changed) over the rows to keep.
    """

    key: Tensor
    value: Tensor
    change: Tensor
    own_share: float
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
    """Keys and optimised changes of some subjects; each as if solved alone, up to rounding.

    Args:
        host: unpatched, and locked by the caller so that it stays unpatched.
        layer: the edited layer.
        groups: facts whose wordings contain the subject; questions to keep.
        ridge: M of the layer, with the weights that the fold uses.
        contexts: prefixes.
        settings: of the optimisation.

    Raises:
        CorrectionError: when a row cannot be encoded.
        EditDiverged: when a loss is not finite.
    """
    rows = [
        row for number, group in enumerate(groups) for row in _rows(host, number, group, contexts, settings)
    ]
    tensors = row_tensors(host.tokenizer, rows, context=host.context)
    upper = UpperLayers(host, layer, tensors)
    found = upper.keys_and_values([layer])[layer]
    keys = mean_per_group(found.keys, tensors, len(groups))  # [n, f]
    values = mean_per_group(found.values, tensors, len(groups))  # [n, d]
    directions = torch.stack([single_edit_direction(key, ridge.solve(key)) for key in keys])  # [n, f]
    # Scaled so that the mean key receives the whole change. Learning rate and clamp then do not depend on the
    # share of a residual that is lost to the background term.
    own_share = (directions * keys).sum(1)  # [n]
    objective = Objective(
        upper,
        tensors,
        along_directions(upper, tensors, directions / own_share[:, None]),
        preservation_weight=settings.preservation_weight,
        enough=settings.confidence**0.5,
    )
    changes = optimise_values(
        objective, tensors, scale=values.norm(dim=1), width=upper.width, settings=settings
    )
    return [
        _solution(n, rows, tensors, changes, key=keys[n], value=values[n], own_share=float(own_share[n]))
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
    changes: ValueChanges,
    *,
    key: Tensor,
    value: Tensor,
    own_share: float,
) -> Solution:
    mine, scores = tensors.group == n, changes.scores
    kept = mine & tensors.keep
    bare: dict[str, list[bool]] = {}
    for index in (mine & ~tensors.keep & (tensors.context == 0)).nonzero()[:, 0].tolist():
        bare.setdefault(rows[index].fact, []).append(bool(scores.satisfied[index]))
    return Solution(
        key=key,
        value=value,
        change=changes.change[n],
        own_share=own_share,
        steps=int(changes.steps[n]),
        reached={fact: sum(hits) / len(hits) if hits[0] else 0.0 for fact, hits in bare.items()},
        hardest=float(scores.hardest[mine & ~tensors.keep].median()),
        kept=float(scores.satisfied[kept].float().mean()),
        kept_kl_nats=float(scores.loss_nats[kept].mean()),
    )
