"""Layout cards: where each architecture keeps the parts that editing needs.

Knows module names, as data. Does not know tensors, and loads nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from torch import nn

from guardedit.core.errors import UnknownLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Module names of one decoder family; `{}` stands for the layer number.

    Attributes:
        architectures: names as in `config.architectures`.
        decoder_layer: path of a decoder layer, e.g. `transformer.h.{}`.
        mlp_out: the down projection inside it, the matrix W that maps keys to values.
        attention: the attention module inside it.
        final_norm: path of the last norm before the head.
        head: path of the language model head; its weight may be tied to `embed`.
        embed: path of the token embedding.
        parallel_attention: attention and MLP read the same normed input.
    """

    architectures: tuple[str, ...]
    decoder_layer: str
    mlp_out: str
    attention: str
    final_norm: str
    head: str
    embed: str
    parallel_attention: bool = False

    def layer_name(self, layer: int) -> str:
        """Path of decoder layer `layer`, counted from 0."""
        return self.decoder_layer.format(layer)

    def mlp_out_name(self, layer: int) -> str:
        """Path of the down projection module: its input is the key k [f], its output the value [d]."""
        return f"{self.layer_name(layer)}.{self.mlp_out}"

    def matrix_name(self, layer: int) -> str:
        """Parameter name of the down projection of decoder layer `layer`."""
        return f"{self.mlp_out_name(layer)}.weight"


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
    architectures=("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM"),
    decoder_layer="model.layers.{}",
    mlp_out="mlp.down_proj",
    attention="self_attn",
    final_norm="model.norm",
    head="lm_head",
    embed="model.embed_tokens",
)
LAYOUTS: tuple[Layout, ...] = (GPT2, GPTJ, GPT_NEOX, LLAMA)


def layout_of(model: nn.Module) -> Layout:
    """The card that fits the model's class.

    Raises:
        UnknownLayout: naming the architecture and the known ones.
    """
    architecture = type(model).__name__
    cards = {name: card for card in LAYOUTS for name in card.architectures}
    if architecture not in cards:
        near = get_close_matches(architecture, cards, n=1)
        hint = f" (nearest: {near[0]})" if near else ""
        raise UnknownLayout(
            f"no layout card for {architecture}{hint}; known: {', '.join(sorted(cards))}. "
            f"Add a card to guardedit/models/layouts.py or choose one of these architectures"
        )
    return cards[architecture]


def layer_count(model: nn.Module) -> int:
    """How many decoder layers the model has."""
    path, _, _ = layout_of(model).decoder_layer.rpartition(".")
    layers = model.get_submodule(path)
    assert isinstance(layers, nn.ModuleList)
    return len(layers)
