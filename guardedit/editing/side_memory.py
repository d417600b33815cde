"""Training a masked side memory beside one matrix, for many facts at once, so that each has its own part.

Only one matrix changes, so what enters it is fixed, and gradient descent on it only ever adds products of a
gradient and a key: Delta = mask * sum_t v_t k_t^T over the tokens t of the training texts. The v_t are what
is kept here; a fact's part are those of its own texts. Knows the losses of WISE and its steps. Does not know
facts, payloads or shards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.core.errors import EditDiverged
from guardedit.editing.objective import Objective, Scores
from guardedit.editing.rows import RowTensors
from guardedit.editing.upper import Arriving, UpperLayers
from guardedit.models.host import ModelHost


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
        confidence: least probability of each target token that counts as satisfied.
    """

    steps: int = 60
    learning_rate_ratio: float = 0.3
    quiet: float = 0.5
    loud: float = 2.0
    gap: float = 1.0
    margin_weight: float = 1.0
    confidence: float = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What n facts wrote, before masking: `left` [d, t] and `right` [f, t], t columns a fact, float32.

    `satisfied` [n]: whether all of a fact's rows were answered before the last step.
    """

    left: list[Tensor]
    right: list[Tensor]
    steps: int
    satisfied: Tensor

    @property
    def sum(self) -> Tensor:
        """[d, f] float64: what all facts add before masking."""
        left, right = torch.cat(self.left, dim=1), torch.cat(self.right, dim=1)
        return left.double() @ right.double().t()


#: From what the facts add before masking, [d, f], to the whole change of the side memory, [d, f].
Whole = Callable[[Tensor], Tensor]


class SideMemory:
    """The side memory of one layer, seen by some rows from their first token on.

    Args:
        host: as the edits shall find it, without the side memory; locked by the caller.
        layer: whose matrix is copied.
        rows: of n groups, one a fact, without subjects; those to keep shall not excite the memory.
        unit: usual norm of what the matrix puts out.
        recipe: the dials.

    Attributes:
        keys: [B, S, f], what enters the matrix.
        asking: [B, f], the same where the answer begins.
    """

    def __init__(self, host: ModelHost, layer: int, rows: RowTensors, *, unit: float, recipe: Recipe) -> None:
        self._rows, self._unit, self._recipe = rows, unit, recipe
        self._upper = UpperLayers(host, layer, rows)
        self.keys = self._upper.keys.cpu()  # [B, S, f]
        self.asking = self.keys[torch.arange(len(rows.first)), rows.first]  # [B, f]
        self._n = int(rows.group.max()) + 1
        place = torch.arange(self.keys.shape[1])
        # A prompt must open the memory before its answer begins; other texts must not open it at all.
        last = torch.where(rows.keep, rows.lengths - 1, rows.first)
        self._judged = place <= last[:, None]  # [B, S]

    def activation(self, change: Tensor) -> Tensor:
        """[B]: most that a token of each row excites a side memory whose change is [d, f]."""
        return self._excited(self.keys @ change.float().t())

    def train(self, whole: Whole) -> Parts:
        """Descend until every fact is answered and every margin kept, or the steps are used up.

        Each fact moves by a step of its own length; a fact that has nothing to gain stands still.

        Raises:
            EditDiverged: when a number is not finite.
        """
        rows, recipe = self._rows, self._recipe
        values = torch.zeros(*self.keys.shape[:2], self._upper.width)  # [B, S, d]: the v_t
        nothing, satisfied = torch.zeros_like(values), torch.zeros(self._n, dtype=torch.bool)
        prefixes, taken = int(rows.context.max()), 0
        change = whole(self._sum(values)).float()

        def arrive(extra: Tensor, chunk: Tensor) -> Arriving:
            length = self._upper.length(chunk)
            return Arriving(self.keys[chunk, :length] @ change.t() + extra[chunk, :length])

        objective = Objective(
            self._upper, rows, arrive, preservation_weight=0.0, enough=recipe.confidence**0.5
        )
        for step in range(recipe.steps):
            turn = 1 + step % prefixes if prefixes else 0
            active = ~rows.keep & ((rows.context == 0) | (rows.context == turn))
            gradient, scores = objective.descend(nothing, active)
            losses, margin = self._margins(change)
            gradient += margin
            satisfied = self._satisfied(scores, active)
            losses = losses + self._mean(scores.loss_nats, active)
            moving = ~satisfied | (losses > recipe.margin_weight * 0.05)
            if not moving.any():
                break
            length = recipe.learning_rate_ratio * self._unit * losses.clamp(max=1.0) * moving  # [n]
            values -= self._scaled(gradient, length)
            change = whole(self._sum(values)).float()
            taken += 1
        if not bool(torch.isfinite(values).all()):
            raise EditDiverged("the side memory is not finite: lower the step size")
        return self._parts(values, taken, satisfied)

    def _excited(self, arriving: Tensor) -> Tensor:
        return arriving.norm(dim=-1).masked_fill(~self._judged, 0.0).max(dim=1).values

    def _margins(self, change: Tensor) -> tuple[Tensor, Tensor]:
        """Each fact's margin losses [n] in nats, and their gradient at every token [B, S, d]."""
        recipe, rows = self._recipe, self._rows
        with torch.enable_grad():
            at = (self.keys @ change.t()).requires_grad_()
            excited = self._excited(at) / self._unit  # [B]
            # The loudest of a fact's other texts; -1 where there are none.
            others = torch.full((self._n,), -1.0).scatter_reduce(
                0, rows.group[rows.keep], excited[rows.keep], "amax"
            )
            loss = torch.where(
                rows.keep,
                (excited - recipe.quiet).clamp(min=0),
                (recipe.loud - excited).clamp(min=0)
                + (others[rows.group] + recipe.gap - excited).clamp(min=0),
            )
            total = self._mean(loss, ~rows.keep) + self._mean(loss, rows.keep)
            (gradient,) = torch.autograd.grad(recipe.margin_weight * total.sum(), at)
        return recipe.margin_weight * total.detach(), gradient

    def _mean(self, values: Tensor, chosen: Tensor) -> Tensor:
        group = self._rows.group[chosen]
        total = torch.zeros(self._n).index_add(0, group, values[chosen])
        mean: Tensor = total / torch.bincount(group, minlength=self._n).clamp(min=1)
        return mean

    def _satisfied(self, scores: Scores, active: Tensor) -> Tensor:
        fine = scores.satisfied & (scores.hardest >= self._recipe.confidence)
        return torch.bincount(self._rows.group[active & ~fine], minlength=self._n) == 0

    def _scaled(self, gradient: Tensor, length: Tensor) -> Tensor:
        """The gradient with each fact's part so long that it moves its own tokens by `length` [n] at most."""
        scaled = torch.zeros_like(gradient)
        for n in range(self._n):
            mine = self._rows.group == n
            g, k = gradient[mine].flatten(0, 1), self.keys[mine].flatten(0, 1)  # [t, d], [t, f]
            moved = (k @ (k.t() @ g)).norm(dim=1).max()  # without the mask, which is 1 on average
            if moved > 0:
                scaled[mine] = gradient[mine] * (length[n] / moved)
        return scaled

    def _sum(self, values: Tensor) -> Tensor:
        """[d, f]: what all facts add before masking."""
        return values.flatten(0, 1).t() @ self.keys.flatten(0, 1)

    def _parts(self, values: Tensor, steps: int, satisfied: Tensor) -> Parts:
        left, right = [], []
        for n in range(self._n):
            mine = self._rows.group == n
            thin = thinned(values[mine].flatten(0, 1).t(), self.keys[mine].flatten(0, 1).t())
            left.append(thin[0])
            right.append(thin[1])
        return Parts(left=left, right=right, steps=steps, satisfied=satisfied)


def thinned(left: Tensor, right: Tensor, *, lost: float = 1e-4) -> tuple[Tensor, Tensor]:
    """A product [d, t] [t, f] in as few columns as leave out at most `lost` of its squared norm.

    The gradients of one fact point in few directions, its tokens are many.
    """
    q_left, r_left = torch.linalg.qr(left.double())
    q_right, r_right = torch.linalg.qr(right.double())
    U, s, Vh = torch.linalg.svd(r_left @ r_right.t(), full_matrices=False)
    rest = s.square().flip(0).cumsum(0).flip(0)  # [r]: squared norm from each column on
    rank = max(1, int((rest > lost * rest[0]).sum()))
    return (
        (q_left @ U[:, :rank] * s[:rank]).float(),
        (q_right @ Vh[:rank].t()).float(),
    )
