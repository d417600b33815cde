"""KnowledgeEditor's network: the text of an edit decides how its gradient is masked, scaled and shifted.

De Cao et al. 2021, arXiv:2104.08164, section 4.1. Knows gradients in factored form. Does not know any model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import rnn
from torch.nn.utils.parametrizations import weight_norm

from guardedit.editing.hyper.gradients import Change, Gradient
from guardedit.editing.hyper.network import Condition, HyperNetwork

#: Below it a gradient counts as zero.
TINY = 1e-12


class Modulation(nn.Module):
    """Condition [E, c] to two rank-one matrices and a gate, for one matrix [d, f].

    Columns come out of a softmax and are multiplied by d, so that their mean is 1.
    """

    def __init__(self, condition: int, bottleneck: int, width: int, inner: int) -> None:
        super().__init__()
        self._shape = (width, width, inner, inner, 1)
        last = nn.Linear(bottleneck, sum(self._shape))
        with torch.no_grad():
            # At first a = -1 and b = 0 about everywhere: a step down the gradient.
            last.weight.mul_(0.1)
            last.bias.zero_()
            last.bias[2 * width : 2 * width + inner] = -1.0
        self.net = nn.Sequential(weight_norm(nn.Linear(condition, bottleneck)), nn.Tanh(), weight_norm(last))

    def forward(self, condition: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Column and row of a, column and row of b, gate: [E, d], [E, f], [E, d], [E, f], [E]."""
        column_a, column_b, row_a, row_b, gate = self.net(condition).split(self._shape, dim=1)
        width = self._shape[0]
        a, b = width * column_a.softmax(-1), width * column_b.softmax(-1)
        return a, row_a, b, row_b, gate.sigmoid()[:, 0]


class KeNetwork(HyperNetwork):
    """`Delta = size * gate * (grad (.) a + b)` with a and b of rank one, for each edited matrix.

    The gradient is scaled to norm sqrt(d f), so that its numbers are about 1 as those of a are. A mask of
    rank one keeps the factors of a gradient: `(g x^T) (.) (c r^T) = (c (.) g)(r (.) x)^T`, so an edit has
    rank T + 1 at most.

    Args:
        layers: edited.
        width: d.
        inner: f.
        embedding: width of the token embeddings.
        lstm: hidden units in each direction.
        condition: numbers that describe an edit.
        bottleneck: hidden units of the network of each matrix.
        seed: of the first weights.
    """

    method = "ke"
    smoothing = 0.1
    conditioned = True

    def __init__(
        self,
        layers: Sequence[int],
        *,
        width: int,
        inner: int,
        embedding: int,
        lstm: int,
        condition: int,
        bottleneck: int,
        seed: int = 0,
    ) -> None:
        super().__init__(layers)
        self._sizes = {
            "width": width, "inner": inner, "embedding": embedding,
            "lstm": lstm, "condition": condition, "bottleneck": bottleneck,
        }  # fmt: skip
        with torch.random.fork_rng(devices=[]):  # torch.nn draws first weights from the global generator
            torch.manual_seed(seed)
            self.reader = nn.LSTM(embedding, lstm, batch_first=True, bidirectional=True)
            self.summary = nn.Sequential(nn.Linear(2 * lstm, condition), nn.Tanh())
            self.modulations = nn.ModuleList(
                [Modulation(condition, bottleneck, width, inner) for _ in self.layers]
            )
        #: Log of the largest mean change of an entry; a fixed 1 in the publication.
        self.log_size = nn.Parameter(torch.full((len(self.layers),), -6.0))

    @property
    def sizes(self) -> dict[str, int]:
        """Of the matrix and of the network."""
        return dict(self._sizes)

    def summarise(self, condition: Condition) -> Tensor:
        """[E, c] in (-1, 1), from the last state of each direction."""
        # Each token by itself, so that padding changes nothing.
        sizes = condition.embeddings.square().mean(-1, keepdim=True).sqrt() + TINY
        packed = rnn.pack_padded_sequence(
            condition.embeddings / sizes, condition.lengths, batch_first=True, enforce_sorted=False
        )
        _, (last, _) = self.reader(packed)  # [2, E, lstm]
        found: Tensor = self.summary(torch.cat([last[0], last[1]], dim=1))
        return found

    def forward(self, gradients: Mapping[int, Gradient], condition: Condition | None) -> dict[int, Change]:
        """By layer, rank T + 1 at most."""
        assert condition is not None
        summary = self.summarise(condition)
        found = {}
        for place, layer in enumerate(self.layers):
            column_a, row_a, column_b, row_b, gate = self.modulations[place](summary)
            gradient = gradients[layer]
            scale = gate * self.log_size[place].exp()
            left = gradient.outputs * (column_a / _mean_size(gradient)[:, None])[:, None]  # [E, T, d]
            right = gradient.keys * row_a[:, None]  # [E, T, f]
            found[layer] = Change(
                left=scale[:, None, None] * torch.cat([left, column_b[:, None]], dim=1).transpose(1, 2),
                right=torch.cat([right, row_b[:, None]], dim=1).transpose(1, 2),
            )
        return found


def _mean_size(gradient: Gradient) -> Tensor:
    """Root mean square of the entries of each gradient [d, f], without making it: [E]."""
    keys, outputs = gradient.keys, gradient.outputs
    squares = ((keys @ keys.transpose(1, 2)) * (outputs @ outputs.transpose(1, 2))).sum((1, 2))
    return (squares.clamp(min=0) / (keys.shape[-1] * outputs.shape[-1])).sqrt() + TINY
