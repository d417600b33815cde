from __future__ import annotations

import pytest
import torch

from guardedit.editing.hyper.gradients import Gradient
from guardedit.editing.hyper.ke_network import KeNetwork
from guardedit.editing.hyper.network import EditCondition

E, T, F, D, EMBEDDING = 3, 5, 16, 8, 6


@pytest.fixture
def network() -> KeNetwork:
    return KeNetwork((1, 2), width=D, inner=F, embedding=EMBEDDING, lstm=4, condition=7, bottleneck=5, seed=1)


@pytest.fixture
def gradients() -> dict[int, Gradient]:
    generator = torch.Generator().manual_seed(0)
    used = torch.ones(E, T, dtype=torch.bool)
    return {
        layer: Gradient(
            torch.randn(E, T, F, generator=generator), torch.randn(E, T, D, generator=generator), used
        )
        for layer in (1, 2)
    }


@pytest.fixture
def condition() -> EditCondition:
    generator = torch.Generator().manual_seed(3)
    return EditCondition(torch.randn(E, 9, EMBEDDING, generator=generator), torch.tensor([9, 4, 6]))


def test_an_edit_is_the_masked_and_shifted_gradient_times_its_gate(network, gradients, condition):
    with torch.no_grad():
        for part in network.parameters():
            part.add_(torch.randn(part.shape, generator=torch.Generator().manual_seed(7)) * 0.3)
        found = network(gradients, condition)
        summary = network.summarise(condition)
        for place, layer in enumerate((1, 2)):
            column_a, row_a, column_b, row_b, gate = network.modulations[place](summary)
            assert (gate.shape, column_a.shape, row_a.shape) == ((E,), (E, D), (E, F))
            assert ((gate > 0) & (gate < 1)).all()
            torch.testing.assert_close(column_a.mean(1), torch.ones(E))
            grad = gradients[layer].outputs.transpose(1, 2) @ gradients[layer].keys  # [E, d, f]
            grad = grad / grad.square().mean((1, 2), keepdim=True).sqrt()
            a = column_a[:, :, None] * row_a[:, None]
            b = column_b[:, :, None] * row_b[:, None]
            assert torch.linalg.matrix_rank(a).tolist() == [1] * E
            wanted = (network.log_size[place].exp() * gate)[:, None, None] * (grad * a + b)
            change = found[layer].left @ found[layer].right.transpose(1, 2)
            torch.testing.assert_close(change, wanted, rtol=1e-4, atol=1e-6)


def test_its_rank_is_one_a_token_and_one_more(network, gradients, condition):
    change = network(gradients, condition)[1]
    assert change.left.shape == (E, D, T + 1)
    assert change.right.shape == (E, F, T + 1)


def test_before_training_it_points_down_the_gradient(network, gradients, condition):
    change = network(gradients, condition)[1]
    grad = gradients[1].outputs.transpose(1, 2) @ gradients[1].keys
    delta = change.left @ change.right.transpose(1, 2)
    cosine = torch.nn.functional.cosine_similarity(delta.flatten(1), grad.flatten(1))
    assert (cosine < -0.8).all()


def test_what_is_behind_a_text_is_not_read(network, condition):
    padded = condition.embeddings.clone()
    padded[1, 4:] = 100.0
    torch.testing.assert_close(
        network.summarise(EditCondition(padded, condition.lengths)), network.summarise(condition)
    )


def test_first_weights_depend_on_the_seed_alone(network):
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    again = KeNetwork(
        (1, 2), width=D, inner=F, embedding=EMBEDDING, lstm=4, condition=7, bottleneck=5, seed=1
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    for one, other in zip(network.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
