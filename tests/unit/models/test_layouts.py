from __future__ import annotations

import pytest
import torch
from torch import nn

from guardedit.core.errors import UnknownLayout
from guardedit.models.layouts import LAYOUTS, layer_count, layout_of


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
    from guardedit.models.hooks import tap

    attention = host.decoder_layer(0).get_submodule(host.layout.attention)
    ids = torch.tensor([[3, 4, 5]])

    def key(factor: float) -> torch.Tensor:
        with tap(attention, replace=lambda out: out * factor), tap(host.mlp_out(0)) as seen:
            host.model(input_ids=ids)
        return seen.seen()[0]

    assert torch.equal(key(1.0), key(3.0)) == host.layout.parallel_attention


def test_an_unknown_architecture_is_named_together_with_the_known_ones():
    class Gpt3LMHeadModel(nn.Module):
        pass

    with pytest.raises(UnknownLayout, match=r"Gpt3LMHeadModel.*GPT2LMHeadModel.*LlamaForCausalLM"):
        layout_of(Gpt3LMHeadModel())


def test_no_architecture_stands_on_two_cards():
    names = [name for card in LAYOUTS for name in card.architectures]
    assert len(names) == len(set(names)) == 6
