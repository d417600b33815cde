"""Value optimisation as published for ROME and MEMIT, for many subjects at once.

One change of the value per subject, added at the subject's last token, the same in every context (Meng et al.
2022, section 3.1; Meng et al. 2023, section 4.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.core.protocols import SubjectGroup
from guardedit.editing.optimise import perturbations
from guardedit.editing.optimise.contexts import Contexts
from guardedit.editing.optimise.descent import AdamUpdate, clamp_norm, descend
from guardedit.editing.optimise.keys import mean_per_group
from guardedit.editing.optimise.objective import Objective, RowScores
from guardedit.editing.optimise.rows import (
    Row,
    RowTensors,
    essence_row,
    moved,
    row_tensors,
)
from guardedit.editing.optimise.stopping import UntilLossBelow, mean_by_edit
from guardedit.editing.optimise.upper_layers import UpperLayers
from guardedit.models.host import ModelHost
from guardedit.naming import last_span


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueSettings:
    """Settings of the value optimisation: the reference code's for GPT-2 XL, except the learning rate.

    Attributes:
        learning_rate_ratio: distance the first Adam step moves, as a share of ||v0||. The reference code's
            0.5 is absolute and so depends on the model.
        steps: gradient steps.
        clamp_ratio: largest ||delta|| as a multiple of ||v0||.
        kl_weight: weight of the KL term that keeps the answer to "{subject} is a".
        decay: weight of ||delta|| / ||v0||^2 in the loss, as in the reference code.
        enough_nats: a subject stops when its loss is below this number of nats.
        extra_steps: a subject also stops when every answer token was the most likely one for this many steps
            in a row (MPES, Gupta et al. 2025, ENCORE); None: only `enough_nats` stops it.
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
    """Key, value and optimised change of one subject, on the model as it stands.

    Attributes:
        bare_key, mean_key: [f] float64, the key at the first bare prompt, and the mean over prompts and
            contexts.
        bare_value, mean_value: [d] float64, the down projection's output at the same places, without the
            change.
        change: [d] float64, delta = v* - v0, to be added at the subject's last token.
        loss_nats: at the last evaluation.
        steps: number of steps taken.
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
    value_settings: ValueSettings,
    all_wordings: bool = False,
    bare_share: float = 0.5,
) -> list[Value]:
    """Keys and value changes of some subjects at one layer; each as if found alone, up to rounding.

    The facts of a subject share one change (MEMIT-Merge), as methods with one key per subject need.

    Args:
        host: the model that the edit will change; locked by the caller.
        layer: where the change is added. MEMIT's change of the last edited layer's output is the same vector,
            since the MLP's output is added to the residual stream.
        groups: facts whose prompts contain the subject.
        contexts: prefixes.
        value_settings: of the optimisation.
        all_wordings: use every wording that contains the subject, not only the prompt.
        bare_share: weight of the bare wordings in mean keys and values (MEMIT: one half).

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
    found = upper.keys_and_values([layer])[layer]
    mean_keys = mean_per_group(found.keys, tensors, len(groups), bare_share=bare_share)
    mean_values = mean_per_group(found.values, tensors, len(groups), bare_share=bare_share)
    bare = [int((tensors.group == n).nonzero()[0, 0]) for n in range(len(groups))]
    scale = found.values[bare].norm(dim=1).float()  # [n]
    change, losses, steps = _optimise(upper, tensors, scale, value_settings)
    return [
        Value(
            bare_key=found.keys[bare[n]],
            mean_key=mean_keys[n],
            bare_value=found.values[bare[n]],
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
        group: facts whose prompts contain the subject.
        contexts: prefixes.
        all_wordings: also the fact's other wordings that contain the subject.
    """
    return [
        Row(
            group=number,
            subject=group.subject,
            prompt=text,
            answer=fact.target + contexts.end,
            context=n,
            fact=fact.id,
            at=at and moved(at, contexts.first_at(text, wording)),
        )
        for fact in group.facts
        for wording, at in (fact.located_wordings if all_wordings else fact.located_wordings[:1])
        if wording == fact.prompt or at or last_span(wording, group.subject)
        for n, text in enumerate(contexts.around(wording))
    ]


def _optimise(
    upper: UpperLayers, rows: RowTensors, scale: Tensor, settings: ValueSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """Changes [n, d], last losses [n] in nats, steps [n]; `scale` [n] is ||v0||."""
    n, width = len(scale), upper.width
    rate = settings.learning_rate_ratio * scale / width**0.5

    def loss(change: Tensor, evaluated: Tensor, scores: RowScores) -> Tensor:
        nll = mean_by_edit(scores.loss_nats, rows.group, evaluated & ~rows.keep, n)
        kl = mean_by_edit(scores.loss_nats, rows.group, evaluated & rows.keep, n)
        total: Tensor = nll + settings.kl_weight * kl + settings.decay * change.norm(dim=1) / scale**2
        return total

    def decay(change: Tensor) -> Tensor:
        slope: Tensor = settings.decay * change / (change.norm(dim=1).clamp(min=1e-12) * scale**2)[:, None]
        return slope

    perturb = perturbations.at_subject(upper, rows)
    objective = Objective(upper, rows, perturb, preservation_weight=settings.kl_weight)
    rule = UntilLossBelow(rows, loss, enough_nats=settings.enough_nats, extra_steps=settings.extra_steps)
    change, steps = descend(
        torch.zeros(n, width),
        edits=n,
        steps=settings.steps,
        gradient=objective.gradient,
        rule=rule,
        update=AdamUpdate(
            (n, width),
            rate=lambda _: rate[:, None],
            penalties=[decay],
            limit=lambda moved: clamp_norm(moved, settings.clamp_ratio * scale),
        ),
    )
    return change, rule.losses, steps
