from __future__ import annotations

import pytest
import torch

from guardedit.core.errors import EditError
from guardedit.models.hooks import tap
from guardedit.models.host import ModelHost
from tests.tiny_models import FAMILIES, byte_tokenizer

IDS = torch.tensor([[5, 6, 7, 8]])


def hooks_of(model) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def test_the_key_times_the_matrix_is_the_value(host):
    module = host.mlp_out(1)
    with tap(module) as seen:
        host.model(input_ids=IDS)
    key, value = seen.seen()
    bias = 0 if getattr(module, "bias", None) is None else module.bias
    assert key.shape == (1, 4, 24)
    assert value.shape == (1, 4, 16)
    assert torch.allclose(key @ host.base_matrix(1).t() + bias, value, atol=1e-4)


def test_a_replaced_output_reaches_the_logits_and_gradients_flow_back(host):
    delta = torch.zeros(16, requires_grad=True)
    with tap(host.mlp_out(1), replace=lambda out: out + delta):
        logits = host.model(input_ids=IDS).logits
    logits[0, -1].logsumexp(0).backward()
    assert delta.grad is not None
    assert delta.grad.abs().max() > 0


def test_a_decoder_layer_can_be_tapped_whatever_it_returns(host):
    plain = host.model(input_ids=IDS).logits
    with tap(host.decoder_layer(0), replace=lambda out: out * 2) as seen:
        changed = host.model(input_ids=IDS).logits
    assert seen.seen()[1].shape == (1, 4, 16)
    assert not torch.allclose(plain, changed)


def test_stop_skips_the_later_layers(host):
    with tap(host.decoder_layer(2)) as later:
        with tap(host.mlp_out(0), stop=True) as seen:
            host.model(input_ids=IDS)
        assert seen.input is not None
    with pytest.raises(EditError, match="did not run"):
        later.seen()


def test_the_deepest_tap_ends_the_pass_for_all_inner_taps(gpt2):
    with tap(gpt2.mlp_out(1), stop=True) as deep, tap(gpt2.mlp_out(0)) as shallow:
        gpt2.model(input_ids=IDS)
    assert deep.input is not None
    assert shallow.input is not None
    assert hooks_of(gpt2.model) == 0


def test_an_inner_tap_does_not_catch_the_stop_of_an_outer_one(gpt2):
    after_inner = after_outer = False
    with tap(gpt2.mlp_out(1), stop=True):
        with tap(gpt2.mlp_out(0)):
            gpt2.model(input_ids=IDS)
        after_inner = True
    after_outer = True
    assert (after_inner, after_outer) == (False, True)


def test_hooks_are_gone_after_success_stop_and_errors(gpt2):
    def fail(_):
        raise RuntimeError("boom")

    with tap(gpt2.mlp_out(0)):
        assert hooks_of(gpt2.model) == 1
    with tap(gpt2.mlp_out(0), stop=True):
        gpt2.model(input_ids=IDS)
    with pytest.raises(RuntimeError, match="boom"), tap(gpt2.mlp_out(0), replace=fail):
        gpt2.model(input_ids=IDS)
    assert hooks_of(gpt2.model) == 0


def test_what_is_recorded_stays_as_it_was_where_the_model_goes_on_in_place():
    """Falcon adds attention's output to the very tensor that the down projection put out."""
    model = tiny_host("falcon")
    module = model.mlp_out(0)
    with torch.no_grad(), tap(module) as seen:
        model.model(input_ids=IDS)
    key, value = seen.seen()
    assert torch.allclose(key @ model.base_matrix(0).t(), value, atol=1e-6)


def test_with_rows_tokens_in_one_long_row_are_seen_in_their_batch():
    """OPT hands its down projection all tokens of all rows at once."""
    model, ids = tiny_host("opt"), torch.cat([IDS, IDS + 9])
    with torch.no_grad(), tap(model.mlp_out(0)) as flat:
        logits = model.model(input_ids=ids).logits
    assert flat.seen()[0].ndim == 2
    with torch.no_grad(), tap(model.mlp_out(0), rows=2, replace=lambda out: out * 1) as seen:
        assert torch.equal(model.model(input_ids=ids).logits, logits)
    assert seen.seen()[0].shape[:2] == seen.seen()[1].shape[:2] == ids.shape
    assert torch.equal(seen.seen()[0][1], flat.seen()[0][IDS.shape[1] :])


def test_gradients_reach_what_was_recorded(gpt2):
    shift = torch.zeros(16, requires_grad=True)
    with tap(gpt2.mlp_out(0), replace=lambda out: out + shift) as seen:
        loss = gpt2.model(input_ids=IDS).logits.logsumexp(-1).sum()
    (gradient,) = torch.autograd.grad(loss, seen.seen()[1])
    assert float(gradient.abs().max()) > 0


def tiny_host(family: str) -> ModelHost:
    tokenizer = byte_tokenizer()
    return ModelHost(FAMILIES[family](len(tokenizer)), tokenizer)
