from __future__ import annotations

import pytest
import torch

from guardedit.editing.hyper.gradients import Gradient
from guardedit.editing.hyper.mend_network import MendNetwork, RunningNorm

E, T, F, D = 3, 5, 16, 8


@pytest.fixture
def network() -> MendNetwork:
    return MendNetwork((1, 2), width=D, inner=F, rank=4)


def gradient(seed: int) -> Gradient:
    generator = torch.Generator().manual_seed(seed)
    used = torch.ones(E, T, dtype=torch.bool)
    used[0, 3:] = False
    blank = ~used[..., None]
    return Gradient(
        torch.randn(E, T, F, generator=generator).masked_fill(blank, 0),
        torch.randn(E, T, D, generator=generator).masked_fill(blank, 0),
        used,
    )


def test_before_training_it_is_the_identity_so_that_an_edit_is_a_step_down_the_gradient(network):
    gradients = {1: gradient(1), 2: gradient(2)}
    changes = network(gradients, None)
    for place, layer in enumerate((1, 2)):
        keys, outputs = network.transformed(gradients[layer], place)
        assert torch.equal(keys, gradients[layer].keys)
        assert torch.equal(outputs, gradients[layer].outputs)
        step = outputs.transpose(1, 2) @ keys
        found = changes[layer].left @ changes[layer].right.transpose(1, 2)
        torch.testing.assert_close(found, -1e-3 * step)


def test_after_observing_it_is_the_identity_of_what_is_normalised(network):
    gradients = {1: gradient(1), 2: gradient(2)}
    network.observe(gradients)
    keys, outputs = network.transformed(gradients[1], 0)
    seen = torch.cat([keys, outputs], dim=-1)[gradients[1].used]
    torch.testing.assert_close(seen.mean(0), torch.zeros(F + D), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen.std(0), torch.ones(F + D), atol=1e-4, rtol=0)


def test_tokens_without_a_gradient_bring_nothing_whatever_the_statistics(network):
    gradients = {1: gradient(1), 2: gradient(2)}
    network.observe(gradients)
    changes = network(gradients, None)
    assert not changes[1].left[0, :, 3:].any()
    assert not changes[1].right[0, :, 3:].any()


def test_statistics_in_portions_are_those_of_everything(network):
    rows = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)) * 3 + 1
    whole, parts = RunningNorm(6), RunningNorm(6)
    whole.observe(rows)
    for part in rows.split([1, 0, 14, 25]):
        parts.observe(part)
    torch.testing.assert_close(parts(rows), whole(rows))


def test_layers_share_the_network_and_keep_a_scale_and_a_shift_each(network):
    with torch.no_grad():
        network.transforms[0].shift[1] += 1.0
    same = gradient(1)
    first, second = network.transformed(same, 0)[0], network.transformed(same, 1)[0]
    assert torch.equal(first, same.keys)
    torch.testing.assert_close(second[same.used], same.keys[same.used] + 1)
