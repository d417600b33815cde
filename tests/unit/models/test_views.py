from __future__ import annotations

import pytest
import torch
from torch import nn

from guardedit.models.hooks import tap
from guardedit.models.host import ModelHost
from guardedit.models.views import only_at_tokens, with_additions, with_module
from tests.tiny_models import FAMILIES, byte_tokenizer

IDS = torch.tensor([[30, 41, 52, 63]])


@pytest.fixture(params=list(FAMILIES))
def host(request) -> ModelHost:
    tokenizer = byte_tokenizer()
    model = FAMILIES[request.param](len(tokenizer))
    with torch.no_grad():  # large enough for caps and scales to show
        model.get_output_embeddings().weight.mul_(20)
    return ModelHost(model, tokenizer)


def test_the_head_makes_the_models_own_logits_of_final_hidden_states(host):
    with torch.no_grad(), tap(host.model.get_submodule(host.layout.head)) as seen:
        logits = host.model(input_ids=IDS).logits[0]
        torch.testing.assert_close(host.head_logits(seen.seen()[0][0]), logits, rtol=1e-6, atol=1e-6)


def test_some_models_do_not_put_out_what_their_head_does():
    """So that the test above says something."""
    tokenizer = byte_tokenizer()
    host = ModelHost(FAMILIES["cohere"](len(tokenizer)), tokenizer)
    with torch.no_grad(), tap(host.model.get_submodule(host.layout.head)) as seen:
        logits = host.model(input_ids=IDS).logits
    assert not torch.allclose(seen.seen()[1], logits)


def test_a_view_shares_all_modules_but_one_and_leaves_the_model_alone(host):
    path, before = host.layout.mlp_out_name(1), dict(host.model.named_modules())
    other = nn.Identity()
    view = with_module(host.model, path, other)
    assert view.get_submodule(path) is other
    assert dict(host.model.named_modules()) == before
    parents = {path.rsplit(".", n)[0] for n in range(path.count(".") + 1)}
    for name, module in view.named_modules():
        if name and name not in parents:
            assert module is before[name]


def test_what_a_module_adds_is_a_function_of_what_enters_it(host):
    path = host.layout.mlp_out_name(1)
    W = torch.randn(host.base_matrix(1).shape, generator=torch.Generator().manual_seed(0))
    view = with_additions(host.model, {path: lambda keys: keys @ W.t()}, rows=1)
    with (
        torch.no_grad(),
        tap(host.mlp_out(1), rows=1) as inner,
        tap(view.get_submodule(path), rows=1) as outer,
    ):
        view(input_ids=IDS)
    key, value = inner.seen()
    torch.testing.assert_close(outer.seen()[1], value + key @ W.t(), rtol=1e-5, atol=1e-6)


def test_a_module_that_runs_at_some_tokens_puts_out_the_same_there_and_nothing_elsewhere(host):
    path = host.layout.mlp_name(1)
    if not path:
        pytest.skip("this family's decoder layer is its own MLP")
    wanted = torch.tensor([[False, True, False, True]])
    view = only_at_tokens(host.model, path, wanted)
    with torch.no_grad(), tap(view.get_submodule(path)) as part:
        view(input_ids=IDS)
    with torch.no_grad(), tap(host.model.get_submodule(path)) as whole:
        host.model(input_ids=IDS)
    expected, found = whole.seen()[1], part.seen()[1]
    torch.testing.assert_close(found[wanted], expected[wanted], rtol=1e-4, atol=1e-6)
    assert not found[~wanted].any()


def test_a_module_that_is_stood_around_still_shows_its_parameters(host):
    path = host.layout.mlp_out_name(0)
    view = with_additions(host.model, {path: lambda keys: keys}, rows=1)
    assert view.get_submodule(path).weight is host.mlp_out(0).weight
    with pytest.raises(AttributeError, match="nothing"):
        _ = view.get_submodule(path).nothing
