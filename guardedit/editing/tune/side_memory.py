"""A WISE side memory during training: its parameters, and its routing activations on the training texts.

Only one matrix changes, so its inputs are fixed, and gradient descent on it adds products of a gradient and a
key: Delta = sum_t v_t u_t^T over the tokens t of the training texts. The parameters are the v_t. With plain
gradient steps u_t would be the key k_t. But keys of one layer share directions with large norm, along which
such a step moves every token of every text. So steps are preconditioned with the second moments of background
text: u_t = M^-1 k_t, restricted to the columns that may change.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.editing.optimise.rows import RowTensors
from guardedit.editing.optimise.upper_layers import UpperLayers
from guardedit.models.host import ModelHost
from guardedit.models.weights.second_moments import SecondMoments


@dataclass(frozen=True, slots=True, kw_only=True)
class SideMemorySettings:
    """Settings of the training. Activations are in units of the median norm of the matrix's output.

    Attributes:
        steps: gradient steps.
        learning_rate_ratio: largest move of the value at any of a fact's tokens in one step, in the same
            units.
        alpha: largest activation of irrelevant texts.
        beta: least activation of edited prompts.
        gamma: least difference between the two.
        margin_weight: weight of the losses of these three margins, in nats per unit.
        slack_nats: margin loss below which the margins count as satisfied.
        softness: s in M = C + s I, in units of the mean diagonal entry of C.
        ratio: threshold as a share of the lowest activation of the edited prompts (published: .5 to .88).
        confidence: least probability of each target token that counts as satisfied.
    """

    steps: int = 60
    learning_rate_ratio: float = 0.3
    alpha: float = 0.5
    beta: float = 2.0
    gamma: float = 1.0
    margin_weight: float = 1.0
    slack_nats: float = 0.05
    softness: float = 0.1
    ratio: float = 0.7
    confidence: float = 0.3


class SideMemory:
    """The side memory of one layer on some rows.

    Args:
        host: the model to edit, without the side memory; locked by the caller.
        layer: whose matrix is copied.
        rows: of n groups, one for each fact, without subjects. Rows with `keep` are the irrelevant texts.
        moments: second moments of the layer.
        columns: [c], the columns of the matrix that may change.
        existing: [d, f], the current difference between the side memory and the matrix.
        settings: of the training.

    Attributes:
        rows, settings: as given.
        unit: median norm of the matrix's output.
        upper: the layers above `layer`.
        facts: n.
        keys: [B, S, f], inputs of the matrix.
        answer_keys: [B, f], inputs at the token that predicts the first answer token.
        tokens: for each fact, its t tokens as [B, S] bool.
        own_keys, directions: for each fact, k_t and u_t within the columns, [t, c].
    """

    def __init__(
        self,
        host: ModelHost,
        layer: int,
        rows: RowTensors,
        *,
        moments: SecondMoments,
        columns: Tensor,
        existing: Tensor,
        settings: SideMemorySettings,
    ) -> None:
        self.rows, self.unit, self.settings, self._columns = rows, moments.value_norm, settings, columns
        self.upper = UpperLayers(host, layer, rows)
        self.keys = self.upper.keys.cpu()  # [B, S, f]
        self.answer_keys = self.keys[torch.arange(len(rows.first)), rows.first]  # [B, f]
        self._existing = self.keys @ existing.float().t()  # [B, S, d]
        self.facts = int(rows.group.max()) + 1
        place = torch.arange(self.keys.shape[1])
        real = place <= rows.last[:, None]  # [B, S]
        C = moments.C[columns][:, columns]
        eye = torch.eye(len(columns), dtype=torch.float64)
        factor = torch.linalg.cholesky(C + settings.softness * C.diagonal().mean() * eye)
        self.tokens = [real & (rows.group == n)[:, None] for n in range(self.facts)]
        self._inside = self.keys[:, :, columns]  # [B, S, c]
        self.own_keys = [self._inside[mine] for mine in self.tokens]
        self.directions = [torch.cholesky_solve(k.t().double(), factor).t().float() for k in self.own_keys]
        # A prompt must be routed before its answer begins, at a token that it does not share with an
        # irrelevant text. Otherwise the loss of the prompt would push the activation of that token up, and
        # the loss of the irrelevant text would push it down.
        last = place == rows.first[:, None]  # [B, S]: the last token of the prompt
        own = (place <= rows.first[:, None]) & ~common_starts(rows.ids[:, : len(place)], rows.keep)
        own |= last & ~own.any(dim=1, keepdim=True)
        self._routing = torch.where(rows.keep[:, None], real, own)  # [B, S]: tokens whose activation counts

    def activation(self, n: int, change: Tensor) -> float:
        """The lowest activation that a change [d, f] has on the prompts of fact n."""
        mine = (self.rows.group == n) & ~self.rows.keep
        added = self.keys[mine] @ change.float().t()
        return float(_largest_norm(added, self._routing[mine]).min())

    def in_columns(self, right: Tensor) -> Tensor:
        """Expand `right` [c, r] to [f, r], with zero for all other columns of the matrix."""
        found = torch.zeros(self.keys.shape[2], right.shape[1])
        found[self._columns] = right
        return found

    def activations(self, added: Tensor) -> Tensor:
        """[B]: each row's activation, given what the side memory adds to the outputs, `added` [B, S, d]."""
        return _largest_norm(added, self._routing)

    def added(self, values: Tensor) -> Tensor:
        """[B, S, d]: what the side memory adds to the outputs; `values` [T, d] are the v_t of all facts."""
        change = values.t() @ torch.cat(self.directions)  # [d, c]
        return self._existing + self._inside @ change.t()


def _largest_norm(added: Tensor, tokens: Tensor) -> Tensor:
    """[b]: the largest norm of `added` [b, S, d] over the `tokens` [b, S] of each row."""
    largest: Tensor = added.norm(dim=-1).masked_fill(~tokens, 0.0).amax(dim=1)
    return largest


def common_starts(ids: Tensor, keep: Tensor) -> Tensor:
    """[B, S] bool: whether a row's tokens up to this one are also the first tokens of a row with `keep`.

    Args:
        ids: [B, S].
        keep: [B] bool.
    """
    found = torch.zeros_like(ids, dtype=torch.bool)
    for row in ids[keep]:
        found |= (ids == row).long().cumprod(dim=1).bool()
    return found
