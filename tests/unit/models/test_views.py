from __future__ import annotations

import pytest
import torch
from torch import nn

from guardedit.models.hooks import tap
from guardedit.models.host import ModelHost
from guardedit.models.views import with_module
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
