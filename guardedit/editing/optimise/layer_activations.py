"""Read the activations of one layer that MEMIT needs, at the subjects' last tokens, in one forward pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.editing.optimise.keys import mean_per_group
from guardedit.editing.optimise.rows import RowTensors
from guardedit.models.hooks import tap
from guardedit.models.host import ModelHost

#: Rows in one forward pass.
CHUNK = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerActivations:
    """Activations at the last token of each of n subjects, mean over its rows; float64 on the CPU.

    Attributes:
        keys: [n, f], inputs of one layer's down projection, over all contexts.
        values: [n, d], outputs of that down projection, over the bare prompts.
        hidden: [n, d], outputs of the deepest edited decoder layer, over the bare prompts.
    """

    keys: Tensor
    values: Tensor
    hidden: Tensor


def read_layer(host: ModelHost, layer: int, deepest: int, rows: RowTensors, groups: int) -> LayerActivations:
    """Run the model as it stands up to layer `deepest` and read `layer` and `deepest`.

    Args:
        host: the model, possibly with edits in it.
        layer: the layer whose down projection is read.
        deepest: the decoder layer whose output is read, `layer` or one above it.
        rows: B rows of the groups.
        groups: n.
    """
    keys, values, hidden = list[Tensor](), list[Tensor](), list[Tensor]()
    for chunk in torch.split(torch.arange(len(rows.lengths)), CHUNK):
        at, batch, n = rows.subject_at[chunk], torch.arange(len(chunk)), len(chunk)
        # In a causal model no token after the subject's last one can change it.
        ids = rows.ids[chunk, : int(at.max()) + 1].to(host.device)
        last, mlp_out = host.decoder_layer(deepest), host.mlp_out(layer)
        with host.lock, torch.no_grad(), tap(last, stop=True, rows=n) as top, tap(mlp_out, rows=n) as site:
            host.model(ids)
        key, value = site.seen()
        for parts, seen in ((keys, key), (values, value), (hidden, top.seen()[1])):
            parts.append(seen[batch, at].double().cpu())
    return LayerActivations(
        keys=mean_per_group(torch.cat(keys), rows, groups),
        values=mean_per_group(torch.cat(values), rows, groups, bare_share=1.0),
        hidden=mean_per_group(torch.cat(hidden), rows, groups, bare_share=1.0),
    )
