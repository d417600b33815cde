"""Logits of the answer tokens of many rows, as a function of the changes that edits make to MLP outputs.

In a causal model the layers up to the lowest edited one, and the tokens before the subject's last token, do
not depend on the edit. They run once (`lower_pass`); only the layers above, from the subject's last token on,
run in the optimisation loop. (An edit does change earlier tokens, to the extent that their keys resemble its
own key. The optimisation ignores this; the guard measures it.) A change of the MLP's output changes the
layer's output by the same amount, except in architectures that normalise the MLP's output first. The model's
weights, gradients and modules are left unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from guardedit.editing.optimise.keys import KeysAndValues, concatenated
from guardedit.editing.optimise.lower_pass import run_lower, run_suffix
from guardedit.editing.optimise.rows import RowTensors
from guardedit.editing.optimise.split_rows import SplitRows
from guardedit.models.hooks import tap
from guardedit.models.host import ModelHost
from guardedit.models.lower_layers import LayerOutput, decoder_above
from guardedit.models.views import only_at_tokens, with_additions


@dataclass(frozen=True, slots=True)
class Perturbation:
    """The tensors that edits add to the outputs of down projections, for some rows.

    Attributes:
        lowest: [b, S, d], added at the lowest edited layer.
        above: layer -> function from that layer's keys [b, S, f] to the tensor [b, S, d] that is added there,
            for the other edited layers. The keys are those of the edited model, since edits below change
            them.
    """

    lowest: Tensor
    above: Mapping[int, Callable[[Tensor], Tensor]] = field(default_factory=dict)


class UpperLayers(SplitRows):
    """The decoder above the lowest edited layer, for B rows from the subject's last token on.

    Args:
        host: the model as it stands.
        layer: the lowest edited layer.
        rows: B rows.

    Attributes:
        keys: [B, S, f] float32, inputs of the lowest edited layer's down projection.
    """

    def __init__(self, host: ModelHost, layer: int, rows: RowTensors) -> None:
        super().__init__(rows)
        self._host, self._layer = host, layer
        self._norm = host.after_mlp(layer)
        self._fixed = run_lower(host, layer, self, rows.context)
        self.keys = self._fixed.keys

    @property
    def width(self) -> int:
        """d, the width of the hidden state."""
        return self._fixed.hidden.shape[-1]

    def logits(self, chunk: Tensor, perturbation: Perturbation | None) -> Tensor:
        """Float32 logits of the answer tokens, [m, vocabulary], in the order of `answer_ids`.

        Args:
            chunk: [b] row indices.
            perturbation: with S = `suffix_length(chunk)`; None for the model as it stands.
        """
        S = self.suffix_length(chunk)
        output = self._fixed.hidden[chunk, :S]
        if perturbation is not None:
            output = output + self._through_norm(chunk, perturbation.lowest).to(output)
        predicting = self.predicting[chunk, :S].to(self._host.device)
        above = {} if perturbation is None else perturbation.above
        layout, last = self._host.layout, self._host.layers - 1
        additions = {self._in_decoder(layout.mlp_out_name(layer)): add for layer, add in above.items()}
        decoder = with_additions(self._decoder_on(output), additions, rows=len(chunk))
        mlp = layout.mlp_name(last)
        if mlp and last > self._layer and last not in above:
            # No position reads the last layer's MLP output at another position.
            decoder = only_at_tokens(decoder, self._in_decoder(mlp), predicting)
        hidden = self._forward(decoder, chunk, S)
        return self._host.head_logits(hidden[predicting]).float().cpu()

    def keys_and_values(self, layers: Sequence[int]) -> dict[int, KeysAndValues]:
        """Keys [B, f] and values [B, d] at the subject's last token, for the edited layer or layers above it.

        They are those of the model as it stands. Only one token per row is run, since the output of the
        layers below and the prefix are cached.
        """
        lowest = KeysAndValues(
            keys=self.keys[:, 0].double().cpu(), values=self._fixed.values[:, 0].double().cpu()
        )
        above = sorted({*layers} - {self._layer})
        parts: dict[int, list[KeysAndValues]] = {layer: [] for layer in above}
        for chunk in self.chunks_in_order() if above else ():
            with self._host.lock, torch.no_grad(), ExitStack() as stack:
                taps = {
                    layer: stack.enter_context(
                        tap(self._host.mlp_out(layer), stop=layer == above[-1], rows=len(chunk))
                    )
                    for layer in above
                }
                self._forward(self._decoder_on(self._fixed.hidden[chunk, :1]), chunk, 1)
            for layer, (key, value) in ((layer, one.seen()) for layer, one in taps.items()):
                parts[layer].append(
                    KeysAndValues(keys=key[:, 0].double().cpu(), values=value[:, 0].double().cpu())
                )
        found = {layer: concatenated(each) for layer, each in parts.items()}
        return {layer: found.get(layer, lowest) for layer in layers}

    def _in_decoder(self, name: str) -> str:
        """A module's path relative to the decoder."""
        return name.removeprefix(f"{self._host.layout.decoder[0]}.")

    def _through_norm(self, chunk: Tensor, change: Tensor) -> Tensor:
        """The change of the layer's output that a change of the MLP's output causes; both [b, S, d]."""
        if self._norm is None:
            return change
        values = self._fixed.values[chunk, : change.shape[1]]
        changed: Tensor = self._norm(values + change.to(values)) - self._norm(values)
        return changed

    def _decoder_on(self, output: Tensor) -> nn.Module:
        """The decoder above the edited layer, given that layer's `output`."""
        return decoder_above(
            self._host.model, self._host.layout, self._layer, LayerOutput(output, self._fixed.as_tuple)
        )

    def _forward(self, decoder: nn.Module, chunk: Tensor, S: int) -> Tensor:
        """Final hidden states [b, S, d]; the prefix is cut to the longest one of these rows."""
        P = int(self.before[chunk].max())
        unread = torch.zeros((), device=self._host.device).expand(len(chunk), 1, P, 1)
        below = [(unread, unread)] * (self._layer + 1) if self.P else []
        prefix = slice(self.P - P, self.P)
        past = below + [(k[chunk, :, prefix], v[chunk, :, prefix]) for k, v in self._fixed.past]
        return run_suffix(decoder, self, chunk, P=P, S=S, past=past, device=self._host.device)
