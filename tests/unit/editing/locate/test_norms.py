from __future__ import annotations

import torch
from torch import nn

from guardedit.editing.locate.norms import before_norm


class RootMeanSquare(nn.Module):
    def __init__(self, gain: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(gain)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * x / x.pow(2).mean(-1, keepdim=True).sqrt()


def test_a_change_before_the_norm_gives_the_wanted_direction_after_it():
    gain = torch.tensor([0.5, 2.0, -1.0, 3.0])
    norm, v = RootMeanSquare(gain), torch.tensor([[1.0, -2.0, 0.5, 1.0]], dtype=torch.float64)
    change = torch.tensor([[0.3, 1.0, -0.7, 0.2]], dtype=torch.float64)
    wanted = norm((v + change).float()).double() - norm(v.float()).double()
    change_before = before_norm(norm, v, wanted)
    torch.testing.assert_close(norm((v + change_before).float()), norm((v + change).float()))
    assert torch.equal(before_norm(None, v, change), change)
