"""A layout: the names of the modules of a decoder that editing needs."""

from __future__ import annotations

from dataclasses import dataclass


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
        parallel_attention: attention and MLP both read the layer's input, neither reads the other's output.
        after_mlp: path, inside a decoder layer, of a norm between the MLP's output and the residual stream;
            empty where there is none.
    """

    architectures: tuple[str, ...]
    decoder_layer: str
    mlp_out: str
    attention: str
    final_norm: str
    head: str
    embed: str
    parallel_attention: bool = False
    after_mlp: str = ""

    @property
    def decoder(self) -> tuple[str, str]:
        """Path of the module that runs the decoder layers, and the name of its list of layers."""
        path, _, name = self.decoder_layer.removesuffix(".{}").rpartition(".")
        return path, name

    def layer_name(self, layer: int) -> str:
        """Path of decoder layer `layer`, counted from 0."""
        return self.decoder_layer.format(layer)

    def mlp_out_name(self, layer: int) -> str:
        """Path of the down projection module: its input is the key k [f], its output the value [d]."""
        return f"{self.layer_name(layer)}.{self.mlp_out}"

    def mlp_name(self, layer: int) -> str:
        """Path of the MLP of decoder layer `layer`; empty where its parts belong to the layer itself."""
        inside = self.mlp_out.rpartition(".")[0]
        return f"{self.layer_name(layer)}.{inside}" if inside else ""

    def matrix_name(self, layer: int) -> str:
        """Parameter name of the down projection of decoder layer `layer`."""
        return f"{self.mlp_out_name(layer)}.weight"

    def after_mlp_name(self, layer: int) -> str:
        """Path of the norm after the MLP of decoder layer `layer`; empty where there is none."""
        return f"{self.layer_name(layer)}.{self.after_mlp}" if self.after_mlp else ""
