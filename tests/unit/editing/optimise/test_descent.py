from __future__ import annotations

import pytest
import torch

from guardedit.editing.optimise.descent import Adam, AdamUpdate, clamp_norm, descend
from guardedit.editing.optimise.objective import RowScores

#: One row for each of three edits.
ROWS = 3


def scores(loss: torch.Tensor) -> RowScores:
    return RowScores(loss_nats=loss, satisfied=loss < 1, hardest=torch.ones_like(loss))


def quadratic(parameters, evaluated):
    """Gradient of half the squared distance from 1, and the distance as the loss."""
    return parameters - 1.0, scores((parameters - 1.0).norm(dim=1))


class MoveUntil:
    """Edit n moves in the first `steps[n]` steps."""

    def __init__(self, *steps: int) -> None:
        self._steps, self.seen = torch.tensor(steps), []

    def rows(self, step, parameters):
        return torch.ones(ROWS, dtype=torch.bool) if step <= int(self._steps.max()) else None

    def moving(self, step, parameters, evaluated, scores):
        self.seen.append(step)
        return self._steps > step


def halve(step, parameters, gradient, moving):
    return torch.where(moving[:, None], parameters - 0.5 * gradient, parameters)


def test_each_edit_stops_at_its_own_step_and_the_others_go_on():
    rule = MoveUntil(0, 1, 3)
    found, taken = descend(torch.zeros(3, 2), edits=3, steps=10, gradient=quadratic, rule=rule, update=halve)
    assert taken.tolist() == [0, 1, 3]
    assert found[:, 0].tolist() == [0.0, 0.5, 0.875]
    assert rule.seen == [0, 1, 2, 3]


def test_the_steps_are_limited_and_an_update_without_a_moving_edit_is_skipped():
    def never(*_):
        raise AssertionError

    _, taken = descend(
        torch.zeros(3, 2), edits=3, steps=2, gradient=quadratic, rule=MoveUntil(9, 9, 9), update=halve
    )
    assert taken.tolist() == [2, 2, 2]
    descend(torch.zeros(3, 2), edits=3, steps=2, gradient=quadratic, rule=MoveUntil(0, 0, 0), update=never)


def test_an_adam_update_adds_penalties_limits_the_parameters_and_leaves_stopped_edits_alone():
    update = AdamUpdate(
        (2, 2),
        rate=lambda step: torch.tensor([[1.0], [10.0]]) / (step + 1),
        penalties=[lambda parameters: torch.full_like(parameters, -1.0)],
        limit=lambda moved: clamp_norm(moved, torch.tensor([9.0, 2.0])),
    )
    moved = update(0, torch.zeros(2, 2), torch.tensor([[3.0, -3.0], [5.0, 1.0]]), torch.tensor([True, True]))
    torch.testing.assert_close(moved[0], torch.tensor([-1.0, 1.0]))
    torch.testing.assert_close(moved[1], torch.tensor([-2.0, 0.0]), atol=1e-5, rtol=0)
    again = update(1, moved, torch.ones(2, 2), torch.tensor([True, False]))
    assert torch.equal(again[1], moved[1])
    assert not torch.equal(again[0], moved[0])


def test_a_change_within_the_ball_is_left_alone_and_a_longer_one_is_cut_to_its_radius():
    change = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    clamped = clamp_norm(change, torch.tensor([1.0, 1.0, 1.0]))
    assert clamped.norm(dim=1).tolist() == pytest.approx([1.0, 0.5, 0.0])


def test_adam_equals_torchs_own():
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(5, 2, 3, generator=generator)
    parameter = torch.nn.Parameter(torch.zeros(2, 3))
    reference = torch.optim.Adam([parameter], lr=0.1, eps=1e-8)
    mine, change = Adam((2, 3)), torch.zeros(2, 3)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        reference.step()
        change = change - 0.1 * mine.direction(gradient)
    torch.testing.assert_close(change, parameter.detach())
