from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from guardedit.core.errors import UnknownLayout
from guardedit.models.hooks import tap
from guardedit.models.layouts.cards import LAYOUTS, layer_count, layout_of
from guardedit.models.matrices import read_matrix
from tests.tiny_models import CARDED, FAMILIES, KIN, LAYERS, SQUARE, D, F

VOCABULARY = 300
IDS = torch.tensor([[30, 41, 52, 63]])
ALL = {**FAMILIES, **KIN, **SQUARE}


@pytest.fixture(params=list(ALL))
def family(request) -> PreTrainedModel:
    """A tiny model of every family, with biases and norms that are not zero and one."""
    model = ALL[request.param](VOCABULARY)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return model


@torch.no_grad()
def output(model: PreTrainedModel, name: str, *, change=None, at: str = "") -> torch.Tensor:
    """What module `name` puts out [.., width] while `change` is added to what module `at` does."""

    def added(out: torch.Tensor) -> torch.Tensor:
        return out if change is None else out + change.reshape(out.shape)

    with tap(model.get_submodule(at or name), replace=added), tap(model.get_submodule(name)) as seen:
        model(input_ids=IDS, use_cache=False)
    return seen.seen()[1].clone()


def test_every_name_on_a_card_is_a_module_of_its_architecture(host):
    layout = host.layout
    for name in (
        layout.layer_name(1),
        layout.mlp_out_name(1),
        f"{layout.layer_name(1)}.{layout.attention}",
        layout.final_norm,
        layout.head,
        layout.embed,
    ):
        assert isinstance(host.model.get_submodule(name), nn.Module)
    assert layer_count(host.model) == 3


def test_the_matrix_name_is_the_parameter_that_turns_keys_into_values(host):
    name = host.layout.matrix_name(2)
    assert name in dict(host.model.named_parameters())
    assert host.base_matrix(2).shape == (16, 24)


def test_parallel_attention_is_as_the_model_computes_it(host):
    # In a parallel layer, changing what attention puts out leaves the MLP's key of that layer alone.
    attention = host.decoder_layer(0).get_submodule(host.layout.attention)
    ids = torch.tensor([[3, 4, 5]])

    def key(factor: float) -> torch.Tensor:
        with tap(attention, replace=lambda out: out * factor), tap(host.mlp_out(0)) as seen:
            host.model(input_ids=ids)
        return seen.seen()[0]

    assert torch.equal(key(1.0), key(3.0)) == host.layout.parallel_attention


def test_every_name_of_a_layout_is_a_module_of_its_family(family):
    layout = layout_of(family)
    assert layer_count(family) == layer_count(family, layout) == LAYERS
    for layer in range(LAYERS):
        for part in (layout.mlp_out, layout.attention, layout.after_mlp):
            assert isinstance(
                family.get_submodule(f"{layout.layer_name(layer)}.{part}".rstrip(".")), nn.Module
            )
    assert family.get_submodule(layout.head) is family.get_output_embeddings()
    assert family.get_submodule(layout.embed) is family.get_input_embeddings()
    assert isinstance(family.get_submodule(layout.final_norm), nn.Module)


def test_the_down_projection_turns_keys_into_values(family):
    layout = layout_of(family)
    config = family.config
    square = D in (getattr(config, "intermediate_size", None), getattr(config, "n_inner", None))
    for layer in range(LAYERS):
        name = layout.mlp_out_name(layer)
        with torch.no_grad(), tap(family.get_submodule(name), stop=True) as seen:
            family(input_ids=IDS, use_cache=False)
        key, value = (part.reshape(-1, part.shape[-1]) for part in seen.seen())
        W = read_matrix(family, layout.matrix_name(layer))
        assert W.shape == (D, key.shape[1]) == (value.shape[1], D if square else F)
        bias = getattr(family.get_submodule(name), "bias", None)
        assert torch.allclose(value, key @ W.t() + (0 if bias is None else bias), atol=1e-5)


def test_a_change_of_the_value_arrives_in_the_layers_output(family):
    layout = layout_of(family)
    for layer in range(LAYERS):
        site, whole = layout.mlp_out_name(layer), layout.layer_name(layer)
        change = torch.randn(IDS.shape[1], D, generator=torch.Generator().manual_seed(layer))
        arrived = output(family, whole, change=change, at=site) - output(family, whole)
        expected = change
        if layout.after_mlp:
            norm = family.get_submodule(layout.after_mlp_name(layer))
            value = output(family, site)
            with torch.no_grad():
                expected = norm(value + change) - norm(value)
            assert not torch.allclose(expected, change.expand_as(expected), atol=1e-2)
        assert torch.allclose(arrived, expected.reshape(arrived.shape), atol=1e-4)


def test_only_attention_lets_tokens_meet(family):
    # With attention switched off, the last token's output cannot know the first token.
    layout = layout_of(family)
    whole = layout.layer_name(0)

    def last(first: int, *, silent: bool) -> torch.Tensor:
        def attended(out: torch.Tensor) -> torch.Tensor:
            return out * 0 if silent else out

        attention = family.get_submodule(f"{whole}.{layout.attention}")
        ids = torch.cat([torch.tensor([[first]]), IDS[:, 1:]], dim=1)
        with torch.no_grad(), tap(attention, replace=attended), tap(family.get_submodule(whole)) as seen:
            family(input_ids=ids, use_cache=False)
        return seen.seen()[1].reshape(-1, D)[-1]

    assert torch.equal(last(7, silent=True), last(200, silent=True))
    assert not torch.allclose(last(7, silent=False), last(200, silent=False))


def test_in_a_parallel_layer_the_key_does_not_hear_attention(family):
    layout = layout_of(family)
    attention = family.get_submodule(f"{layout.layer_name(1)}.{layout.attention}")
    mlp_out = family.get_submodule(layout.mlp_out_name(1))

    def key(factor: float) -> torch.Tensor:
        with torch.no_grad(), tap(attention, replace=lambda out: out * factor), tap(mlp_out) as seen:
            family(input_ids=IDS, use_cache=False)
        return seen.seen()[0]

    assert torch.equal(key(1.0), key(-1.0)) == layout.parallel_attention


def test_the_final_norm_reads_the_last_layer_and_the_head_reads_it(family):
    layout = layout_of(family)
    last = family.get_submodule(layout.layer_name(LAYERS - 1))
    norm, head = family.get_submodule(layout.final_norm), family.get_submodule(layout.head)
    with torch.no_grad(), tap(last) as above, tap(norm) as middle, tap(head) as below:
        family(input_ids=IDS, use_cache=False)
    assert torch.equal(above.seen()[1], middle.seen()[0])
    assert torch.equal(middle.seen()[1], below.seen()[0])


def test_an_unknown_architecture_is_named_together_with_the_known_ones():
    class Gpt3LMHeadModel(nn.Module):
        pass

    with pytest.raises(UnknownLayout, match=r"Gpt3LMHeadModel.*GPT2LMHeadModel.*LlamaForCausalLM"):
        layout_of(Gpt3LMHeadModel())


def test_every_family_that_is_called_known_has_a_card_and_every_card_a_family():
    built = {type(builder(VOCABULARY)).__name__ for builder in {**CARDED, **KIN}.values()}
    assert built == {name for card in LAYOUTS for name in card.architectures}


def test_no_architecture_stands_on_two_cards():
    names = [name for card in LAYOUTS for name in card.architectures]
    assert len(names) == len(set(names)) == 15
