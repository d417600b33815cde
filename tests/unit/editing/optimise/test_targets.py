from __future__ import annotations

import pytest
import torch

from guardedit.editing.optimise.targets import Adam, clamp


def test_a_change_within_the_ball_is_left_alone_and_a_longer_one_is_cut_to_its_radius():
    change = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    assert clamp(change, torch.tensor([1.0, 1.0, 1.0])).norm(dim=1).tolist() == pytest.approx([1.0, 0.5, 0.0])


def test_adam_equals_torchs_own():
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(5, 2, 3, generator=generator)
    parameter = torch.nn.Parameter(torch.zeros(2, 3))
    reference = torch.optim.Adam([parameter], lr=0.1, eps=1e-8)
    mine, change = Adam(2, 3), torch.zeros(2, 3)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        reference.step()
        change = change - 0.1 * mine.direction(gradient)
    torch.testing.assert_close(change, parameter.detach())
