"""Value optimisation as published for ROME and MEMIT, for many subjects at once.

One change of the value a subject, at the subject's last token, the same in every context (Meng et al. 2022,
section 3.1; Meng et al. 2023, section 4.2). Knows the published recipe. Does not know keys or matrices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.core.protocols import SubjectGroup
from guardedit.editing.optimise.arrivals import at_subject
from guardedit.editing.optimise.contexts import Contexts
from guardedit.editing.optimise.keys import mean_per_group
from guardedit.editing.optimise.objective import Objective
from guardedit.editing.optimise.rows import STOP, Row, RowTensors, behind, essence_row, row_tensors
from guardedit.editing.optimise.targets import Adam, clamp
from guardedit.editing.optimise.upper import UpperLayers
from guardedit.models.host import ModelHost
from guardedit.naming import last_span


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The published dials, those of the reference code for GPT-2 XL unless said otherwise.

    Attributes:
        learning_rate_ratio: distance the first Adam step moves, as a share of ||v0||; the reference code's
            0.5 is absolute and so depends on the model.
        steps: gradient steps.
        clamp_ratio: largest ||delta|| as a multiple of ||v0||.
        kl_weight: of keeping what the model says after "{subject} is a".
        decay: weight of ||delta|| / ||v0||^2, the odd form of the reference code.
        enough_nats: a subject stops when its loss is below.
        extra_steps: stop as soon as every answer token is the most likely one for so many steps (MPES,
            Gupta et al. 2025, ENCORE); None: never before `enough_nats`.
    """

    learning_rate_ratio: float = 0.3
    steps: int = 20
    clamp_ratio: float = 4.0
    kl_weight: float = 0.0625
    decay: float = 0.5
    enough_nats: float = 0.05
    extra_steps: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """What was found for one subject on the model as it stands.

    Attributes:
        bare_key, mean_key: [f] float64, at the first bare prompt; over prompts and contexts.
        bare_value, mean_value: [d] float64, what the down projection puts out there now.
        change: [d] float64, what shall be added at the subject's last token.
        loss_nats: after the last step.
        steps: taken.
    """

    bare_key: Tensor
    mean_key: Tensor
    bare_value: Tensor
    mean_value: Tensor
    change: Tensor
    loss_nats: float
    steps: int


def find_values(
    host: ModelHost,
    layer: int,
    groups: Sequence[SubjectGroup],
    *,
    contexts: Contexts,
    recipe: Recipe,
    all_wordings: bool = False,
    bare_share: float = 0.5,
) -> list[Value]:
    """Keys and value changes of some subjects at one layer; each as it would be alone, up to rounding.

    The facts of a subject share one change (MEMIT-Merge, methods of one key a subject).

    Args:
        host: as the edit shall find it; locked by the caller.
        layer: where the change is made. MEMIT's change of the last edited layer's output is the same
            number, since the MLP's output is added to the residual stream.
        groups: facts whose prompts hold the subject.
        contexts: prefixes.
        recipe: the dials.
        all_wordings: use every wording that holds the subject, not only the prompt.
        bare_share: of the bare wordings in mean keys and values (MEMIT: one half).

    Raises:
        CorrectionError: when a row cannot be encoded.
        EditDiverged: when a loss is not finite.
    """
    rows = [
        row
        for n, group in enumerate(groups)
        for row in (
            *change_rows(n, group, contexts, all_wordings=all_wordings),
            essence_row(n, group.subject),
        )
    ]
    tensors = row_tensors(host.tokenizer, rows, context=host.context)
    upper = UpperLayers(host, layer, tensors)
    site = upper.sites([layer])[layer]
    mean_keys = mean_per_group(site.keys, tensors, len(groups), bare_share=bare_share)
    mean_values = mean_per_group(site.values, tensors, len(groups), bare_share=bare_share)
    bare = [int((tensors.group == n).nonzero()[0, 0]) for n in range(len(groups))]
    scale = site.values[bare].norm(dim=1).float()  # [n]
    objective = Objective(upper, tensors, at_subject(upper, tensors), preservation_weight=recipe.kl_weight)
    change, losses, steps = _descend(objective, tensors, scale, upper.width, recipe)
    return [
        Value(
            bare_key=site.keys[bare[n]],
            mean_key=mean_keys[n],
            bare_value=site.values[bare[n]],
            mean_value=mean_values[n],
            change=change[n].double(),
            loss_nats=float(losses[n]),
            steps=int(steps[n]),
        )
        for n in range(len(groups))
    ]


def change_rows(
    number: int, group: SubjectGroup, contexts: Contexts, *, all_wordings: bool = False
) -> list[Row]:
    """Each fact's own prompt in every context, with its new answer.

    Args:
        number: index of the group in the batch.
        group: facts whose prompts hold the subject.
        contexts: prefixes.
        all_wordings: the fact's other wordings too, where they hold the subject.
    """
    return [
        Row(
            group=number,
            subject=group.subject,
            prompt=text,
            answer=fact.target + STOP,
            context=n,
            fact=fact.id,
            at=behind(text, wording, at),
        )
        for fact in group.facts
        for wording, at in (fact.worded if all_wordings else fact.worded[:1])
        if wording == fact.prompt or at or last_span(wording, group.subject)
        for n, text in enumerate(contexts.around(wording))
    ]


def _descend(
    objective: Objective, rows: RowTensors, scale: Tensor, width: int, recipe: Recipe
) -> tuple[Tensor, Tensor, Tensor]:
    """Changes [n, d], last losses [n] in nats, steps [n]."""
    n = len(scale)
    change, adam = torch.zeros(n, width), Adam(n, width)
    losses, steps = torch.full((n,), math.nan), torch.zeros(n, dtype=torch.int64)
    running, streak = torch.ones(n, dtype=torch.bool), torch.zeros(n, dtype=torch.int64)
    rate = recipe.learning_rate_ratio * scale / width**0.5
    for _ in range(recipe.steps):
        active = running[rows.group]
        gradient, scores = objective.descend(change, active)
        nll = _mean(scores.loss_nats, rows.group, active & ~rows.keep, n)
        kl = _mean(scores.loss_nats, rows.group, active & rows.keep, n)
        norm = change.norm(dim=1)
        loss = nll + recipe.kl_weight * kl + recipe.decay * norm / scale**2
        losses = torch.where(running, loss, losses)
        missed = torch.bincount(rows.group[active & ~rows.keep & ~scores.satisfied], minlength=n) > 0
        streak = torch.where(missed, 0, streak + 1)
        running = running & (loss >= recipe.enough_nats)
        if recipe.extra_steps is not None:
            running = running & (streak < recipe.extra_steps)
        if not running.any():
            break
        gradient += recipe.decay * change / (norm.clamp(min=1e-12) * scale**2)[:, None]
        moved = clamp(change - rate[:, None] * adam.direction(gradient), recipe.clamp_ratio * scale)
        change = torch.where(running[:, None], moved, change)
        steps += running
    return change, losses, steps


def _mean(values: Tensor, group: Tensor, chosen: Tensor, n: int) -> Tensor:
    total = torch.zeros(n).index_add(0, group[chosen], values[chosen])
    return total / torch.bincount(group[chosen], minlength=n).clamp(min=1)
