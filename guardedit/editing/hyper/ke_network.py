"""KnowledgeEditor's hypernetwork: from the text of an edit to a mask, a scale and a shift of its gradient.

De Cao et al. 2021, arXiv:2104.08164, section 4.1, with gradients in factored form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import rnn
from torch.nn.utils.parametrizations import weight_norm

from guardedit.editing.hyper.gradients import Gradient, LowRankChange
from guardedit.editing.hyper.network import EditCondition, HyperNetwork

#: Added to divisors.
TINY = 1e-12


class Modulation(nn.Module):
    """For one edited matrix [d, f]: maps the condition [E, c] to two rank-one matrices a, b and a gate.

    The columns of a and b are d times a softmax, so the mean of their entries is 1.
    """

    def __init__(self, condition: int, bottleneck: int, width: int, inner: int) -> None:
        super().__init__()
        self._shape = (width, width, inner, inner, 1)
        last = nn.Linear(bottleneck, sum(self._shape))
        with torch.no_grad():
            # Initially a is about -1 and b about 0 everywhere: a step of gradient descent.
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

    The gradient is scaled to norm sqrt(d f), so that its entries are about 1, like those of a. A mask of
    rank one keeps a gradient factored: `(g x^T) (.) (c r^T) = (c (.) g)(r (.) x)^T`, so an edit has rank
    T + 1 at most.

    Args:
        layers: the edited layers.
        width: d.
        inner: f.
        embedding: width of the token embeddings.
        lstm: hidden units in each direction.
        condition: size of the vector that describes an edit.
        bottleneck: hidden units of the network of each matrix.
        seed: of the initial weights.
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
        with torch.random.fork_rng(devices=[]):  # torch.nn draws initial weights from the global generator
            torch.manual_seed(seed)
            self.reader = nn.LSTM(embedding, lstm, batch_first=True, bidirectional=True)
            self.summary = nn.Sequential(nn.Linear(2 * lstm, condition), nn.Tanh())
            self.modulations = nn.ModuleList(
                [Modulation(condition, bottleneck, width, inner) for _ in self.layers]
            )
        #: Log of the mean change of an entry when the gate is 1; the paper fixes that change at 1.
        self.log_size = nn.Parameter(torch.full((len(self.layers),), -6.0))

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes of the matrix and of the network."""
        return dict(self._sizes)

    def summarise(self, condition: EditCondition) -> Tensor:
        """[E, c] in (-1, 1): a vector for each edit, from the LSTM's last state of each direction."""
        # Each token is normalised by itself, so that padding changes nothing.
        sizes = condition.embeddings.square().mean(-1, keepdim=True).sqrt() + TINY
        packed = rnn.pack_padded_sequence(
            condition.embeddings / sizes, condition.lengths, batch_first=True, enforce_sorted=False
        )
        _, (last, _) = self.reader(packed)  # [2, E, lstm]
        found: Tensor = self.summary(torch.cat([last[0], last[1]], dim=1))
        return found

    def forward(
        self, gradients: Mapping[int, Gradient], condition: EditCondition | None
    ) -> dict[int, LowRankChange]:
        """Layer -> changes of rank T + 1 at most."""
        assert condition is not None
        summary = self.summarise(condition)
        found = {}
        for place, layer in enumerate(self.layers):
            column_a, row_a, column_b, row_b, gate = self.modulations[place](summary)
            gradient = gradients[layer]
            scale = gate * self.log_size[place].exp()
            left = gradient.outputs * (column_a / _mean_size(gradient)[:, None])[:, None]  # [E, T, d]
            right = gradient.keys * row_a[:, None]  # [E, T, f]
            found[layer] = LowRankChange(
                left=scale[:, None, None] * torch.cat([left, column_b[:, None]], dim=1).transpose(1, 2),
                right=torch.cat([right, row_b[:, None]], dim=1).transpose(1, 2),
            )
        return found


def _mean_size(gradient: Gradient) -> Tensor:
    """[E]: root mean square of the entries of each gradient [d, f], from its factors."""
    keys, outputs = gradient.keys, gradient.outputs
    squares = ((keys @ keys.transpose(1, 2)) * (outputs @ outputs.transpose(1, 2))).sum((1, 2))
    return (squares.clamp(min=0) / (keys.shape[-1] * outputs.shape[-1])).sqrt() + TINY
