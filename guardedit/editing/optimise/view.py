"""What one layer takes in and puts out at the subjects' last tokens, in the model as it stands.

Knows rows and forward passes; does not know what is solved with what it sees.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.editing.optimise.keys import mean_per_group
from guardedit.editing.optimise.rows import RowTensors
from guardedit.models.hooks import tap
from guardedit.models.host import ModelHost

#: Rows a forward pass takes at once.
CHUNK = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The model as it stands at the subjects' last tokens, float64 on the CPU.

    Attributes:
        keys: [n, f], into the down projection of one layer, over all contexts.
        values: [n, d], what it puts out, over the bare prompts.
        hidden: [n, d], what the deepest edited decoder layer puts out, over the bare prompts.
    """

    keys: Tensor
    values: Tensor
    hidden: Tensor


def look(host: ModelHost, layer: int, deepest: int, rows: RowTensors, groups: int) -> View:
    """One forward pass, left behind the deepest layer."""
    keys, values, hidden = list[Tensor](), list[Tensor](), list[Tensor]()
    for chunk in torch.split(torch.arange(len(rows.lengths)), CHUNK):
        at, batch, n = rows.subject_at[chunk], torch.arange(len(chunk)), len(chunk)
        # Nothing after the subject's last token can reach it in a causal model.
        ids = rows.ids[chunk, : int(at.max()) + 1].to(host.device)
        last, mlp_out = host.decoder_layer(deepest), host.mlp_out(layer)
        with host.lock, torch.no_grad(), tap(last, stop=True, rows=n) as top, tap(mlp_out, rows=n) as site:
            host.model(ids)
        key, value = site.seen()
        for parts, seen in ((keys, key), (values, value), (hidden, top.seen()[1])):
            parts.append(seen[batch, at].double().cpu())
    return View(
        keys=mean_per_group(torch.cat(keys), rows, groups),
        values=mean_per_group(torch.cat(values), rows, groups, bare_share=1.0),
        hidden=mean_per_group(torch.cat(hidden), rows, groups, bare_share=1.0),
    )
