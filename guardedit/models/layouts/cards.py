"""Layout cards of known architectures, and the layout of a loaded model, with or without a card."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches

from torch import nn

from guardedit.core.errors import UnknownLayout
from guardedit.models.layouts.layout import Layout
from guardedit.models.layouts.structure import Structure, find_structure

GPT2 = Layout(
    architectures=("GPT2LMHeadModel",),
    decoder_layer="transformer.h.{}",
    mlp_out="mlp.c_proj",
    attention="attn",
    final_norm="transformer.ln_f",
    head="lm_head",
    embed="transformer.wte",
)
GPTJ = Layout(
    architectures=("GPTJForCausalLM",),
    decoder_layer="transformer.h.{}",
    mlp_out="mlp.fc_out",
    attention="attn",
    final_norm="transformer.ln_f",
    head="lm_head",
    embed="transformer.wte",
    parallel_attention=True,
)
GPT_NEOX = Layout(
    architectures=("GPTNeoXForCausalLM",),
    decoder_layer="gpt_neox.layers.{}",
    mlp_out="mlp.dense_4h_to_h",
    attention="attention",
    final_norm="gpt_neox.final_layer_norm",
    head="lm_head",  # `embed_out` in checkpoints; transformers renames it on load
    embed="gpt_neox.embed_in",
    parallel_attention=True,
)
LLAMA = Layout(
    architectures=(
        "LlamaForCausalLM",  # also Llama 3.x and SmolLM2
        "MistralForCausalLM",
        "MinistralForCausalLM",
        "Phi3ForCausalLM",  # Phi-3 and Phi-4: gate and up projection are one matrix, the key is the same
        "Qwen2ForCausalLM",
        "Qwen3ForCausalLM",
        "SmolLM3ForCausalLM",
    ),
    decoder_layer="model.layers.{}",
    mlp_out="mlp.down_proj",
    attention="self_attn",
    final_norm="model.norm",
    head="lm_head",
    embed="model.embed_tokens",
)
GEMMA2 = Layout(  # a norm between MLP and residual stream
    architectures=("Gemma2ForCausalLM", "Gemma3ForCausalLM", "Olmo2ForCausalLM", "Olmo3ForCausalLM"),
    decoder_layer="model.layers.{}",
    mlp_out="mlp.down_proj",
    attention="self_attn",
    final_norm="model.norm",
    head="lm_head",
    embed="model.embed_tokens",
    after_mlp="post_feedforward_layernorm",
)
PHI = Layout(
    architectures=("PhiForCausalLM",),
    decoder_layer="model.layers.{}",
    mlp_out="mlp.fc2",
    attention="self_attn",
    final_norm="model.final_layernorm",
    head="lm_head",  # with a bias
    embed="model.embed_tokens",
    parallel_attention=True,
)
LAYOUTS: tuple[Layout, ...] = (GPT2, GPTJ, GPT_NEOX, LLAMA, GEMMA2, PHI)


def layout_of(model: nn.Module) -> Layout:
    """The card of the model's class; without a card, the layout that `find_structure` finds.

    Raises:
        UnknownLayout: as `read_structure`.
    """
    return read_structure(model).layout


def read_structure(model: nn.Module) -> Structure:
    """The layout of a model, and how it was found; the account is empty if there is a card.

    Raises:
        UnknownLayout: names the architecture, the known ones and what is unclear about this one.
    """
    architecture = type(model).__name__
    cards = {name: card for card in LAYOUTS for name in card.architectures}
    if architecture in cards:
        return Structure(layout=_configured(cards[architecture], model), account=())
    try:
        return find_structure(model)
    except UnknownLayout as error:
        near = get_close_matches(architecture, cards, n=1)
        hint = f" (nearest: {near[0]})" if near else ""
        raise UnknownLayout(
            f"no layout card for {architecture}{hint}; known: {', '.join(sorted(cards))}. "
            f"Its structure is not clear: {error}. "
            f"Add a card to guardedit/models/layouts/cards.py or choose one of these architectures"
        ) from error


def layer_count(model: nn.Module, layout: Layout | None = None) -> int:
    """Number of decoder layers; pass `layout` where it is known, to avoid finding it again."""
    path, _, _ = (layout or layout_of(model)).decoder_layer.rpartition(".")
    layers = model.get_submodule(path)
    assert isinstance(layers, nn.ModuleList)
    return len(layers)


def _configured(card: Layout, model: nn.Module) -> Layout:
    """The card; for GPT-NeoX the configuration says whether attention and MLP are parallel."""
    config = getattr(model, "config", None)
    parallel = getattr(config, "use_parallel_residual", card.parallel_attention)
    return replace(card, parallel_attention=parallel)
