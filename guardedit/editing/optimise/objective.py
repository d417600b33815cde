"""The loss of value optimisation and its gradient, over many rows at once.

Knows answers to bring about and answers to keep. Does not know steps, keys or matrices.
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
from guardedit.editing.optimise.upper import Arriving
from guardedit.models.threads import each


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What a change does to the rows that were looked at; elsewhere NaN and False.

    Attributes:
        loss_nats: [B] mean over answer tokens: negative log-likelihood beyond that of `enough`, or
            KL(base || changed) for rows to keep.
        satisfied: [B] bool, every answer token is the most likely one (rows to keep: still the same).
        hardest: [B] least probability of an answer token.
    """

    loss_nats: Tensor
    satisfied: Tensor
    hardest: Tensor


class Answering(Protocol):
    """Logits at the answer tokens of rows; `UpperLayers` computes what is needed and nothing else."""

    def chunks(self, active: Tensor) -> list[Tensor]:
        """Indices of `active` rows [B] bool, as many together as shall run at once."""

    def answers(self, chunk: Tensor) -> Tensor:
        """Ids of the answer tokens of some rows, row after row, [m]."""

    def owners(self, chunk: Tensor) -> Tensor:
        """For each answer token, the index into `chunk` of its row, [m]."""

    def places(self, chunk: Tensor) -> Tensor:
        """For each answer token, its number among those of all rows, [m]."""

    def logits(self, chunk: Tensor, arriving: Arriving | None) -> Tensor:
        """Float32 logits of the answer tokens, [m, vocabulary], in the order of `answers`."""


#: From parameters and [b] row indices to what arrives at those rows.
Arrive = Callable[[Tensor, Tensor], Arriving]


class Objective:
    """Per group: mean over its rows to change, plus `preservation_weight` times that over its rows to keep.

    Args:
        upper: over the same rows.
        rows: B rows of n groups.
        arrive: what the parameters do at the rows; differentiable.
        preservation_weight: of the KL terms.
        enough: probability from which on an answer token is not pushed any further. What is pushed past
            need makes the change longer, and its length is what harms everything else.
    """

    def __init__(
        self,
        upper: Answering,
        rows: RowTensors,
        arrive: Arrive,
        *,
        preservation_weight: float,
        enough: float = 1.0,
    ) -> None:
        self._upper, self._rows, self._arrive = upper, rows, arrive
        self._preservation_weight, self._slack_nats = preservation_weight, -math.log(enough)
        self._reference, self._referred = self._answers_to_keep()
        self._kept = self._reference.argmax(-1) if len(self._reference) else self._referred  # [k]

    def when(self, arrive: Arrive) -> Objective:
        """The same objective of parameters that do something else at the rows."""
        other = copy.copy(self)
        other._arrive = arrive  # noqa: SLF001  # its own class
        return other

    def _answers_to_keep(self) -> tuple[Tensor, Tensor]:
        """Log-probabilities the base model gives at the rows to keep, [k, V], and which are whose.

        The latter: for the number of an answer token among all rows', the row of the former, or -1.
        """
        found, places = [], []
        with torch.no_grad():
            for chunk in self._upper.chunks(self._rows.keep):
                found.append(self._upper.logits(chunk, None).log_softmax(-1))
                places.append(self._upper.places(chunk))
        if not found:
            return torch.empty(0, 0), torch.empty(0, dtype=torch.int64)
        place = torch.cat(places)
        referred = torch.full((int(place.max()) + 1,), -1)
        referred[place] = torch.arange(len(place))
        return torch.cat(found), referred

    def descend(self, parameters: Tensor, active: Tensor) -> tuple[Tensor, Scores]:
        """Gradient of the summed groups' losses, shaped like the parameters, and the rows' scores.

        Args:
            parameters: what `arrive` takes, float32.
            active: [B] bool, rows to look at.

        Raises:
            EditDiverged: when a loss is not finite.
        """
        weight = self._weights(active)

        def run(chunk: Tensor) -> tuple[Tensor, Scores]:
            at = parameters.detach().requires_grad_()
            scores = self._rows_of(chunk, self._arrive(at, chunk))
            total = (scores.loss_nats * weight[chunk]).sum()
            if not torch.isfinite(total):
                raise EditDiverged("value optimisation gave a loss that is not finite: lower the step size")
            return torch.autograd.grad(total, at)[0], scores

        chunks = self._upper.chunks(active)
        found = each(run, chunks)
        gradient = torch.zeros_like(parameters)
        for slope, _ in found:
            gradient += slope
        return gradient, self._joined(list(zip(chunks, (scores for _, scores in found), strict=True)))

    def score(self, parameters: Tensor, active: Tensor) -> Scores:
        """The same without a gradient."""

        def run(chunk: Tensor) -> Scores:
            with torch.no_grad():  # a setting of each thread
                return self._rows_of(chunk, self._arrive(parameters.detach(), chunk))

        chunks = self._upper.chunks(active)
        return self._joined(list(zip(chunks, each(run, chunks), strict=True)))

    def _weights(self, active: Tensor) -> Tensor:
        """[B]: each group's rows to change weigh one together, its rows to keep `preservation_weight`."""
        weight, groups = torch.zeros(len(active)), int(self._rows.group.max()) + 1
        for kind, total in (
            (active & ~self._rows.keep, 1.0),
            (active & self._rows.keep, self._preservation_weight),
        ):
            count = torch.bincount(self._rows.group[kind], minlength=groups)
            weight[kind] = total / count[self._rows.group[kind]]
        return weight

    def _rows_of(self, chunk: Tensor, arriving: Arriving) -> Scores:
        logp = self._upper.logits(chunk, arriving).log_softmax(-1)  # [m, V]
        owners, tokens, keep = self._upper.owners(chunk), self._upper.answers(chunk), self._rows.keep[chunk]
        said = logp.gather(1, tokens[:, None])[:, 0]
        loss, best = (-said - self._slack_nats).clamp(min=0.0), tokens
        if keep.any():
            mine = keep[owners]
            referred = self._referred[self._upper.places(chunk)[mine]]
            kl = kl_div(logp[mine], self._reference[referred], log_target=True, reduction="none").sum(-1)
            loss = loss.masked_scatter(mine, kl)
            best = best.masked_scatter(mine, self._kept[referred])
        count = torch.bincount(owners, minlength=len(chunk))
        missed = torch.bincount(owners[logp.detach().argmax(-1) != best], minlength=len(chunk))
        return Scores(
            loss_nats=torch.zeros(len(chunk)).index_add(0, owners, loss) / count,
            satisfied=missed == 0,
            hardest=torch.ones(len(chunk)).scatter_reduce(0, owners, said.detach().exp(), "amin"),
        )

    def _joined(self, parts: Sequence[tuple[Tensor, Scores]]) -> Scores:
        rows = len(self._rows.keep)
        loss, hardest = torch.full((rows,), torch.nan), torch.full((rows,), torch.nan)
        satisfied = torch.zeros(rows, dtype=torch.bool)
        for chunk, scores in parts:
            loss[chunk] = scores.loss_nats.detach()
            hardest[chunk], satisfied[chunk] = scores.hardest, scores.satisfied
        return Scores(loss_nats=loss, satisfied=satisfied, hardest=hardest)
