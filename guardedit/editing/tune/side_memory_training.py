"""Training a side memory: gradient descent on the losses of WISE, for many facts together."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.core.errors import EditDiverged
from guardedit.editing.optimise.descent import descend
from guardedit.editing.optimise.objective import Objective, RowScores
from guardedit.editing.optimise.stopping import in_turn, mean_by_edit
from guardedit.editing.optimise.upper_layers import Perturbation
from guardedit.editing.tune.low_rank import truncated
from guardedit.editing.tune.side_memory import SideMemory


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedSideMemory:
    """Result of training for n facts.

    Attributes:
        factors: for each fact, its change of the matrix as `left` [d, r] and `right` [f, r], float32.
        steps: [n] int64, steps that moved the fact.
        satisfied: [n] bool, whether answers and margins were satisfied at the last evaluation.
    """

    factors: list[tuple[Tensor, Tensor]]
    steps: Tensor
    satisfied: Tensor


def train(memory: SideMemory) -> TrainedSideMemory:
    """Train until every fact is answered and its margins are satisfied, or all steps are taken.

    All facts are written into the same columns and are trained together; each has its own step length.

    Raises:
        EditDiverged: when a number is not finite.
    """
    counts = [len(directions) for directions in memory.directions]
    training = _Training(memory, counts)
    values, steps = descend(
        torch.zeros(sum(counts), memory.upper.width),  # the v_t of all facts
        edits=memory.facts,
        steps=memory.settings.steps,
        gradient=training.gradient,
        rule=training,
        update=training.update,
    )
    if not bool(torch.isfinite(values).all()):
        raise EditDiverged("the side memory is not finite: lower learning_rate_ratio")
    factors = [
        truncated(v.t(), u.t()) for v, u in zip(torch.split(values, counts), memory.directions, strict=True)
    ]
    placed = [(left, memory.in_columns(right)) for left, right in factors]
    return TrainedSideMemory(factors=placed, steps=steps, satisfied=training.streak > 0)


class _Training:
    """Gradient, stopping rule and update of `descend`.

    The parameters are the v_t of all facts, [T, d], fact after fact; the gradient is taken at every token of
    every row, [B, S, d].

    Attributes:
        streak: [n] int64, evaluations in a row in which the fact was satisfied.
    """

    def __init__(self, memory: SideMemory, counts: list[int]) -> None:
        self._memory, self._rows, self._settings = memory, memory.rows, memory.settings
        self._counts = counts
        # Every prefix must have had a turn before the training may stop.
        self._patience = max(int(self._rows.context.max()), 1)
        self.streak = torch.zeros(memory.facts, dtype=torch.int64)
        self._margin = self._loss = torch.zeros(memory.facts)
        self._objective = Objective(
            memory.upper,
            self._rows,
            lambda extra, chunk: Perturbation(extra[chunk, : memory.upper.suffix_length(chunk)]),
            preservation_weight=0.0,
            enough=self._settings.confidence**0.5,
        )

    def rows(self, step: int, parameters: Tensor) -> Tensor | None:
        """[B] bool: rows of all facts, even satisfied ones, because steps of other facts may undo them."""
        del parameters
        if bool((self.streak >= self._patience).all()):
            return None
        return ~self._rows.keep & in_turn(self._rows, step)

    def gradient(self, values: Tensor, evaluated: Tensor) -> tuple[Tensor, RowScores]:
        """Gradient of answer and margin losses at every token [B, S, d], and the scores of the rows."""
        added = self._memory.added(values)
        is_open, suffix = self._is_open(added), self._memory.upper.suffix_length

        def perturb(extra: Tensor, chunk: Tensor) -> Perturbation:
            return Perturbation((is_open * (added + extra))[chunk, : suffix(chunk)])

        objective = self._objective.with_perturb(perturb)
        slope, scores = objective.gradient(torch.zeros_like(added), evaluated)
        self._margin, pull = self._margins(added)
        nats = mean_by_edit(scores.loss_nats, self._rows.group, evaluated, self._memory.facts)
        self._loss = self._margin + nats
        return slope + pull, scores

    def moving(self, step: int, parameters: Tensor, evaluated: Tensor, scores: RowScores) -> Tensor:
        """[n] bool: facts that are not satisfied."""
        del step, parameters
        confident = scores.confident(self._rows.keep, self._settings.confidence)
        missed = torch.bincount(self._rows.group[evaluated & ~confident], minlength=self._memory.facts)
        satisfied = (missed == 0) & (self._margin <= self._settings.slack_nats)
        self.streak = torch.where(satisfied, self.streak + 1, 0)
        return ~satisfied

    def update(self, step: int, values: Tensor, gradient: Tensor, moving: Tensor) -> Tensor:
        """Move each fact's v_t [t, d] against the gradient at its tokens; returns all v_t, [T, d]."""
        del step
        lengths = self._settings.learning_rate_ratio * self._memory.unit * self._loss.clamp(max=1.0)  # [n]
        moved = values.clone()
        parts = torch.split(moved, self._counts)
        for n in moving.nonzero()[:, 0].tolist():
            parts[n].sub_(self._step(n, gradient[self._memory.tokens[n]], float(lengths[n])))
        return moved

    def _step(self, n: int, gradient: Tensor, length: float) -> Tensor:
        """The gradient [t, d] of fact n, scaled so that no token's value moves by more than `length`."""
        keys, directions = self._memory.own_keys[n], self._memory.directions[n]
        largest = float((keys @ (directions.t() @ gradient)).norm(dim=1).max())
        return gradient * (length / largest) if largest > 0 else torch.zeros_like(gradient)

    def _is_open(self, added: Tensor) -> Tensor:
        """[B, S, 1], 1 where a router would use the side memory if the row's fact were the only one.

        The model does not see what the memory adds before the router opens.
        """
        change = ~self._rows.keep
        least = torch.full((self._memory.facts,), torch.inf).scatter_reduce(
            0, self._rows.group[change], self._memory.activations(added)[change], "amin"
        )
        highest = added.norm(dim=-1).cummax(dim=1).values  # [B, S]
        is_open: Tensor = highest >= self._settings.ratio * least[self._rows.group, None]
        return is_open.float()[..., None]

    def _margins(self, added: Tensor) -> tuple[Tensor, Tensor]:
        """Each fact's margin losses [n] in nats, and their gradient at every token [B, S, d]."""
        settings, rows, n = self._settings, self._rows, self._memory.facts
        with torch.enable_grad():
            at = added.detach().requires_grad_()
            activation = self._memory.activations(at) / self._memory.unit  # [B]
            # The highest activation of a fact's irrelevant texts; without any, a number so low that gamma is
            # satisfied.
            irrelevant = torch.full((n,), -settings.gamma).scatter_reduce(
                0, rows.group[rows.keep], activation[rows.keep], "amax"
            )
            beta = (settings.beta - activation).clamp(min=0)
            gamma = (irrelevant[rows.group] + settings.gamma - activation).clamp(min=0)
            loss = torch.where(rows.keep, (activation - settings.alpha).clamp(min=0), beta + gamma)
            edited = mean_by_edit(loss, rows.group, ~rows.keep, n)
            total = settings.margin_weight * (edited + mean_by_edit(loss, rows.group, rows.keep, n))
            (gradient,) = torch.autograd.grad(total.sum(), at)
        return total.detach(), gradient
