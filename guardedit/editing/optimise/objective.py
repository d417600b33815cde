"""The loss that value optimisation minimises, and its gradient, over many rows at once.

Two kinds of answer tokens: those to change (negative log-likelihood of the target) and those to keep (KL
divergence from the base model, as in ROME, Meng et al. 2022, eq. 4). A row has tokens of one kind, except for
the reply of a chat model, which is kept up to its answer.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from guardedit.core.errors import EditDiverged
from guardedit.editing.optimise.rows import RowTensors
from guardedit.editing.optimise.upper_layers import Perturbation
from guardedit.models.threads import map_in_threads


@dataclass(frozen=True, slots=True, kw_only=True)
class RowScores:
    """How rows score under a perturbation. Rows that were not evaluated have NaN and False.

    Attributes:
        loss_nats: [B] mean over answer tokens. Tokens to change: how far the negative log-likelihood exceeds
            that of the probability `enough` of `Objective`. Tokens to keep: KL(base || perturbed). In a row
            with both, the sum of the two means, weighed as those of two rows.
        satisfied: [B] bool, every token to change is the most likely one, and where a token is to be kept,
            the most likely one is still that of the base model.
        hardest: [B] lowest probability among the tokens to change; 1 without any.
    """

    loss_nats: Tensor
    satisfied: Tensor
    hardest: Tensor

    def confident(self, keep: Tensor, confidence: float) -> Tensor:
        """[B] bool: satisfied, and unless `keep` [B], every answer token has at least this probability."""
        return self.satisfied & (keep | (self.hardest >= confidence))


class AnswerLogits(Protocol):
    """Logits of the answer tokens of rows. `UpperLayers` is the fast implementation."""

    def chunks(self, active: Tensor) -> list[Tensor]:
        """Row indices for each pass over the `active` rows [B] bool."""

    def answer_ids(self, chunk: Tensor) -> Tensor:
        """[m] ids of the answer tokens of some rows, row after row."""

    def answer_rows(self, chunk: Tensor) -> Tensor:
        """[m] for each answer token, the index into `chunk` of its row."""

    def answer_numbers(self, chunk: Tensor) -> Tensor:
        """[m] for each answer token, its number among the answer tokens of all rows."""

    def answer_kept(self, chunk: Tensor) -> Tensor:
        """[m] bool, for each answer token, whether it is to stay what the base model says."""

    def logits(self, chunk: Tensor, perturbation: Perturbation | None) -> Tensor:
        """Float32 logits of the answer tokens, [m, vocabulary], in the order of `answer_ids`."""


#: (parameters, row indices [b]) -> what is added to the MLP outputs of those rows.
Perturb = Callable[[Tensor, Tensor], Perturbation]


class Objective:
    """Per group: mean loss of its rows to change, plus `preservation_weight` times that of its rows to keep.

    Args:
        upper: the upper layers of the same rows.
        rows: B rows of n groups.
        perturb: maps the parameters to changes of the rows' activations; differentiable.
        preservation_weight: weight of the KL terms.
        enough: probability beyond which an answer token is not pushed further. Pushing further makes the
            change longer, and long changes are what harms everything else.
    """

    def __init__(
        self,
        upper: AnswerLogits,
        rows: RowTensors,
        perturb: Perturb,
        *,
        preservation_weight: float,
        enough: float = 1.0,
    ) -> None:
        self._upper, self._rows, self._perturb = upper, rows, perturb
        self._preservation_weight, self._slack_nats = preservation_weight, -math.log(enough)
        self._base_logp, self._base_index = self._base_answers()
        self._base_best = self._base_logp.argmax(-1) if len(self._base_logp) else self._base_index  # [k]

    def with_perturb(self, perturb: Perturb) -> Objective:
        """The same objective with another `perturb`; the base model's answers are not computed again."""
        other = copy.copy(self)
        other._perturb = perturb  # noqa: SLF001  # its own class
        return other

    def _base_answers(self) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the base model at the k answer tokens to keep, [k, vocabulary].

        The second result [numbers] int64 maps an answer token's number among all rows to its place in the
        first result, or to -1.
        """
        found, numbers = [], []
        with torch.no_grad():
            for chunk in self._upper.chunks(self._rows.changes > self._rows.first):
                kept = self._upper.answer_kept(chunk)
                found.append(self._upper.logits(chunk, None)[kept].log_softmax(-1))
                numbers.append(self._upper.answer_numbers(chunk)[kept])
        if not found:
            return torch.empty(0, 0), torch.empty(0, dtype=torch.int64)
        number = torch.cat(numbers)
        index = torch.full((int(number.max()) + 1,), -1)
        index[number] = torch.arange(len(number))
        return torch.cat(found), index

    def gradient(self, parameters: Tensor, active: Tensor) -> tuple[Tensor, RowScores]:
        """Gradient of the sum of the groups' losses, shaped like the parameters, and the rows' scores.

        Args:
            parameters: argument of `perturb`, float32.
            active: [B] bool, rows to evaluate.

        Raises:
            EditDiverged: when a loss is not finite.
        """
        weight = self._weights(active)

        def run(chunk: Tensor) -> tuple[Tensor, RowScores]:
            at = parameters.detach().requires_grad_()
            scores = self._scores(chunk, self._perturb(at, chunk))
            total = (scores.loss_nats * weight[chunk]).sum()
            if not torch.isfinite(total):
                raise EditDiverged(f"the optimisation loss is {total.item()}: lower learning_rate_ratio")
            return torch.autograd.grad(total, at)[0], scores

        chunks = self._upper.chunks(active)
        found = map_in_threads(run, chunks)
        gradient = torch.zeros_like(parameters)
        for part, _ in found:
            gradient += part
        return gradient, self._joined(list(zip(chunks, (scores for _, scores in found), strict=True)))

    def score(self, parameters: Tensor, active: Tensor) -> RowScores:
        """The scores of the `active` rows [B] bool, without a gradient."""

        def run(chunk: Tensor) -> RowScores:
            with torch.no_grad():  # set per thread
                return self._scores(chunk, self._perturb(parameters.detach(), chunk))

        chunks = self._upper.chunks(active)
        return self._joined(list(zip(chunks, map_in_threads(run, chunks), strict=True)))

    def _weights(self, active: Tensor) -> Tensor:
        """[B] weights: 1 over a group's active rows to change, `preservation_weight` over those to keep."""
        weight, groups = torch.zeros(len(active)), int(self._rows.group.max()) + 1
        for kind, total in (
            (active & ~self._rows.keep, 1.0),
            (active & self._rows.keep, self._preservation_weight),
        ):
            count = torch.bincount(self._rows.group[kind], minlength=groups)
            weight[kind] = total / count[self._rows.group[kind]]
        return weight

    def _scores(self, chunk: Tensor, perturbation: Perturbation) -> RowScores:
        """Scores of the rows `chunk` [b], in that order; `loss_nats` carries the gradient."""
        logp = self._upper.logits(chunk, perturbation).log_softmax(-1)  # [m, V]
        rows, tokens = self._upper.answer_rows(chunk), self._upper.answer_ids(chunk)
        kept = self._upper.answer_kept(chunk)  # [m]
        answer_logp = logp.gather(1, tokens[:, None])[:, 0]
        loss, best = (-answer_logp - self._slack_nats).clamp(min=0.0), tokens
        if kept.any():
            base = self._base_index[self._upper.answer_numbers(chunk)[kept]]
            kl = kl_div(logp[kept], self._base_logp[base], log_target=True, reduction="none").sum(-1)
            loss = loss.masked_scatter(kept, kl)
            best = best.masked_scatter(kept, self._base_best[base])
        count = torch.bincount(rows, minlength=len(chunk))
        loss = loss * self._shares(rows, kept, count)
        missed = torch.bincount(rows[logp.detach().argmax(-1) != best], minlength=len(chunk))
        chances = answer_logp.detach().exp().masked_fill(kept, 1.0)
        return RowScores(
            loss_nats=torch.zeros(len(chunk)).index_add(0, rows, loss) / count,
            satisfied=missed == 0,
            hardest=torch.ones(len(chunk)).scatter_reduce(0, rows, chances, "amin"),
        )

    def _shares(self, rows: Tensor, kept: Tensor, count: Tensor) -> Tensor:
        """[m] factors on the losses of answer tokens; 1 in rows with tokens of one kind.

        With them a row's mean over its `count` [b] tokens is as `RowScores` defines it.
        """
        of_kept = torch.bincount(rows[kept], minlength=len(count))
        mixed = ((of_kept > 0) & (of_kept < count))[rows]
        keeping = self._preservation_weight * (count / of_kept.clamp(min=1))[rows]
        changing = (count / (count - of_kept).clamp(min=1))[rows]
        return torch.where(mixed, torch.where(kept, keeping, changing), 1.0)

    def _joined(self, parts: Sequence[tuple[Tensor, RowScores]]) -> RowScores:
        """Scores of some chunks, placed among all B rows."""
        rows = len(self._rows.keep)
        loss, hardest = torch.full((rows,), torch.nan), torch.full((rows,), torch.nan)
        satisfied = torch.zeros(rows, dtype=torch.bool)
        for chunk, scores in parts:
            loss[chunk] = scores.loss_nats.detach()
            hardest[chunk], satisfied[chunk] = scores.hardest, scores.satisfied
        return RowScores(loss_nats=loss, satisfied=satisfied, hardest=hardest)
