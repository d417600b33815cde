"""Training some columns of a side memory beside one matrix, for many facts together.

Only one matrix changes, so what enters it is fixed, and gradient descent on it only ever adds products of a
gradient and a key: Delta = sum_t v_t u_t^T over the tokens t of the training texts. The v_t are what is kept
here, and u_t = M^-1 k_t, both within the chosen columns: keys of one layer share long directions, along which
a plain step moves every token of every text; M, the background's second moments, holds them back. Knows the
losses of WISE and its steps. Does not know facts, payloads or shards.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.core.errors import EditDiverged
from guardedit.editing.optimise.objective import Objective, Scores
from guardedit.editing.optimise.rows import RowTensors
from guardedit.editing.optimise.upper import Arriving, UpperLayers
from guardedit.editing.tune.thinning import thinned
from guardedit.models.host import ModelHost
from guardedit.models.weights.statistics import SecondMoments


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The dials. Activations are in units of the usual norm of what the matrix puts out.

    Attributes:
        steps: gradient steps.
        learning_rate_ratio: most that one step moves the value of any of a fact's tokens, in units.
        quiet: alpha, how much a text that does not matter may excite the side memory.
        loud: beta, how much an edited prompt shall excite it.
        gap: gamma, how much more than the former the latter shall.
        margin_weight: of these three, in nats per unit.
        slack_nats: margin loss that counts as none.
        softness: of M = C + softness I, in units of the mean diagonal entry of C.
        ratio: threshold as a share of how much the quietest prompt excites the memory (published: .5 to .88).
        confidence: least probability of each target token that counts as satisfied.
    """

    steps: int = 60
    learning_rate_ratio: float = 0.3
    quiet: float = 0.5
    loud: float = 2.0
    gap: float = 1.0
    margin_weight: float = 1.0
    slack_nats: float = 0.05
    softness: float = 0.1
    ratio: float = 0.7
    confidence: float = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What n facts wrote.

    Attributes:
        thin: for each fact `left` [d, r] and `right` [f, r], float32.
        steps: [n], taken.
        satisfied: [n] bool, whether answers and margins held when it was last looked at.
    """

    thin: list[tuple[Tensor, Tensor]]
    steps: Tensor
    satisfied: Tensor


class SideMemory:
    """The side memory of one layer, seen by some rows from their first token on.

    Args:
        host: as the edits shall find it, without the side memory; locked by the caller.
        layer: whose matrix is copied.
        rows: of n groups, one a fact, without subjects; those to keep shall not excite the memory.
        moments: of the layer.
        columns: [c], those of the matrix that may change.
        standing: [d, f], what the side memory adds to the matrix already.
        recipe: the dials.

    Attributes:
        keys: [B, S, f], what enters the matrix.
        asking: [B, f], the same where the answer begins.
    """

    def __init__(
        self,
        host: ModelHost,
        layer: int,
        rows: RowTensors,
        *,
        moments: SecondMoments,
        columns: Tensor,
        standing: Tensor,
        recipe: Recipe,
    ) -> None:
        self._rows, self._unit, self._recipe, self._columns = rows, moments.value_norm, recipe, columns
        self._upper = UpperLayers(host, layer, rows)
        self.keys = self._upper.keys.cpu()  # [B, S, f]
        self.asking = self.keys[torch.arange(len(rows.first)), rows.first]  # [B, f]
        self._standing = self.keys @ standing.float().t()  # [B, S, d]
        self._n = int(rows.group.max()) + 1
        place = torch.arange(self.keys.shape[1])
        real = place <= rows.last[:, None]  # [B, S]
        C = moments.C[columns][:, columns]
        eye = torch.eye(len(columns), dtype=torch.float64)
        factor = torch.linalg.cholesky(C + recipe.softness * C.diagonal().mean() * eye)
        # For each fact its tokens, as [B, S] bool, and their k_t and u_t [t, c].
        self._mine = [real & (rows.group == n)[:, None] for n in range(self._n)]
        self._inside = self.keys[:, :, columns]  # [B, S, c]
        self._own = [self._inside[mine] for mine in self._mine]
        self._spread = [torch.cholesky_solve(k.t().double(), factor).t().float() for k in self._own]
        # A prompt must open the memory before its answer begins, by what it has not in common with a text to
        # leave alone: pushed up by one and down by the other, the loudest token would stand still otherwise.
        asking = place == rows.first[:, None]  # [B, S]
        own = (place <= rows.first[:, None]) & ~common_starts(rows.ids[:, : len(place)], rows.keep)
        own |= asking & ~own.any(dim=1, keepdim=True)
        self._judged = torch.where(rows.keep[:, None], real, own)  # [B, S]

    def activation(self, n: int, change: Tensor) -> float:
        """How much a change [d, f] is excited by the prompt of fact n that excites it least."""
        mine = (self._rows.group == n) & ~self._rows.keep
        arriving = self.keys[mine] @ change.float().t()
        return float(self._excited(arriving, self._judged[mine]).min())

    def train(self) -> Parts:
        """Descend until every fact is answered and its margins are kept, or the steps are used up.

        All facts are written into the same columns and see what the others write there; each moves by a step
        of its own length.

        Raises:
            EditDiverged: when a number is not finite.
        """
        rows, recipe = self._rows, self._recipe
        values = [torch.zeros(len(u), self._upper.width) for u in self._spread]  # [t, d] each: the v_t
        nothing, arriving = torch.zeros_like(self._standing), self._standing.clone()  # [B, S, d]
        open_at = self._open_at(arriving)
        objective = Objective(
            self._upper,
            rows,
            lambda extra, chunk: Arriving((open_at * (arriving + extra))[chunk, : self._upper.length(chunk)]),
            preservation_weight=0.0,
            enough=recipe.confidence**0.5,
        )
        prefixes = int(rows.context.max())
        # Every prefix must have had its turn before a fact may stop.
        streak, steps = torch.zeros(self._n, dtype=torch.int64), torch.zeros(self._n, dtype=torch.int64)
        for step in range(recipe.steps):
            if bool((streak >= max(prefixes, 1)).all()):
                break
            turn = 1 + step % prefixes if prefixes else 0
            # All facts are looked at to the end: what others write may undo what one had reached.
            active = ~rows.keep & ((rows.context == 0) | (rows.context == turn))
            gradient, scores = objective.descend(nothing, active)
            margin, pull = self._margins(arriving)
            losses = margin + self._mean(scores.loss_nats, active)
            fine = self._satisfied(scores, active) & (margin <= recipe.slack_nats)
            streak, moving = torch.where(fine, streak + 1, 0), ~fine
            length = recipe.learning_rate_ratio * self._unit * losses.clamp(max=1.0)  # [n]
            for n in moving.nonzero()[:, 0].tolist():
                values[n] -= self._step(n, (gradient + pull)[self._mine[n]], float(length[n]))
            change = torch.cat(values).t() @ torch.cat(self._spread)  # [d, c]
            arriving = self._standing + self._inside @ change.t()
            open_at = self._open_at(arriving)
            steps += moving
        if not all(bool(torch.isfinite(v).all()) for v in values):
            raise EditDiverged("the side memory is not finite: lower the step size")
        thin = [thinned(v.t(), u.t()) for v, u in zip(values, self._spread, strict=True)]
        whole = [(left, self._in_columns(right)) for left, right in thin]
        return Parts(thin=whole, steps=steps, satisfied=streak > 0)

    def _in_columns(self, right: Tensor) -> Tensor:
        """[c, r] to [f, r], 0 in all other columns of the matrix."""
        found = torch.zeros(self.keys.shape[2], right.shape[1])
        found[self._columns] = right
        return found

    @staticmethod
    def _excited(arriving: Tensor, judged: Tensor) -> Tensor:
        """[b]: the most that a judged token of each row is moved."""
        most: Tensor = arriving.norm(dim=-1).masked_fill(~judged, 0.0).amax(dim=1)
        return most

    def _open_at(self, arriving: Tensor) -> Tensor:
        """[B, S, 1], 1 where a router would let the side memory speak, were each fact the only one.

        What it does before the router opens is not heard, so nothing can be built on it.
        """
        least = torch.full((self._n,), torch.inf).scatter_reduce(
            0,
            self._rows.group[~self._rows.keep],
            self._excited(arriving, self._judged)[~self._rows.keep],
            "amin",
        )
        highest = arriving.norm(dim=-1).cummax(dim=1).values  # [B, S]
        is_open: Tensor = highest >= self._recipe.ratio * least[self._rows.group, None]
        return is_open.float()[..., None]

    def _margins(self, arriving: Tensor) -> tuple[Tensor, Tensor]:
        """Each fact's margin losses [n] in nats, and their gradient at every token [B, S, d]."""
        recipe, rows = self._recipe, self._rows
        with torch.enable_grad():
            at = arriving.detach().requires_grad_()
            excited = self._excited(at, self._judged) / self._unit  # [B]
            # The loudest of a fact's other texts; so quiet that no gap is missing where there are none.
            others = torch.full((self._n,), -recipe.gap).scatter_reduce(
                0, rows.group[rows.keep], excited[rows.keep], "amax"
            )
            loud = (recipe.loud - excited).clamp(min=0)
            gap = (others[rows.group] + recipe.gap - excited).clamp(min=0)
            loss = torch.where(rows.keep, (excited - recipe.quiet).clamp(min=0), loud + gap)
            total = recipe.margin_weight * (self._mean(loss, ~rows.keep) + self._mean(loss, rows.keep))
            (gradient,) = torch.autograd.grad(total.sum(), at)
        return total.detach(), gradient

    def _mean(self, values: Tensor, chosen: Tensor) -> Tensor:
        group = self._rows.group[chosen]
        total = torch.zeros(self._n).index_add(0, group, values[chosen])
        mean: Tensor = total / torch.bincount(group, minlength=self._n).clamp(min=1)
        return mean

    def _satisfied(self, scores: Scores, active: Tensor) -> Tensor:
        fine = scores.satisfied & (scores.hardest >= self._recipe.confidence)
        return torch.bincount(self._rows.group[active & ~fine], minlength=self._n) == 0

    def _step(self, n: int, gradient: Tensor, length: float) -> Tensor:
        """The gradient [t, d] of fact n, so long that it moves none of its tokens by more than `length`."""
        moved = float((self._own[n] @ (self._spread[n].t() @ gradient)).norm(dim=1).max())
        return gradient * (length / moved) if moved > 0 else torch.zeros_like(gradient)


def common_starts(ids: Tensor, keep: Tensor) -> Tensor:
    """[B, S] bool: whether a row's tokens up to here are also the first ones of a row that is kept.

    Args:
        ids: [B, S].
        keep: [B] bool.
    """
    found = torch.zeros_like(ids, dtype=torch.bool)
    for row in ids[keep]:
        found |= (ids == row).long().cumprod(dim=1).bool()
    return found
