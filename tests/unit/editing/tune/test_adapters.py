from __future__ import annotations

import pytest
import torch

from guardedit.editing.tune.adapters import adapter_factors, shared_copy, with_adapters
from guardedit.models.hooks import tap

LAYERS = (0, 2)


def made(host, seed: int = 0, rank: int = 4):
    generator = torch.Generator().manual_seed(seed)
    return with_adapters(host, LAYERS, rank=rank, alpha=8, generator=generator)


def test_a_shared_copy_has_its_own_way_to_the_named_module_and_nothing_else(host):
    name = host.layout.mlp_out_name(1)
    view = shared_copy(host.model, [name])
    assert view.get_submodule(name) is host.model.get_submodule(name)
    parent = name.rpartition(".")[0]
    assert view.get_submodule(parent) is not host.model.get_submodule(parent)
    other = host.layout.layer_name(2)
    assert view.get_submodule(other) is host.model.get_submodule(other)


def test_fresh_adapters_change_nothing(host):
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        view, _ = made(host)
        assert torch.equal(view(ids).logits, host.model(ids).logits)


def test_what_an_adapter_adds_is_its_factors_times_the_key(host):
    ids = torch.tensor([[5, 6, 7, 8]])
    view, adapters = made(host)
    with torch.no_grad():
        for adapter in adapters:
            adapter.B.normal_(generator=torch.Generator().manual_seed(1))
        with tap(host.mlp_out(0)) as base, tap(view.get_submodule(host.layout.mlp_out_name(0))) as whole:
            view(ids)
    key, value = base.seen()
    left, right = adapter_factors(adapters[0])
    torch.testing.assert_close(whole.seen()[1] - value, key @ right @ left.t(), rtol=1e-4, atol=1e-4)


def test_equal_seeds_give_equal_adapters_and_the_global_random_state_stays(host):
    before = torch.random.get_rng_state()
    first, again, other = (made(host, seed)[1][0].A for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_model_keeps_its_modules_flags_and_attributes(host, digest):
    before = digest(host), {name: id(module) for name, module in host.model.named_modules()}
    names = set(vars(host.model))
    view, adapters = made(host)
    assert any(adapter.A.requires_grad for adapter in adapters)
    assert (digest(host), {name: id(module) for name, module in host.model.named_modules()}) == before
    assert set(vars(host.model)) == names
    assert view is not host.model


@pytest.mark.parametrize("layer", [1])
def test_layers_that_are_not_named_get_no_adapter(host, layer):
    view, _ = made(host)
    name = host.layout.mlp_out_name(layer)
    assert view.get_submodule(name) is host.model.get_submodule(name)
