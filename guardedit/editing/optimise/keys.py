"""Keys and values at the subject's last token: the input and output of the edited down projection.

The terms are those of ROME (Meng et al. 2022, section 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.editing.optimise.rows import RowTensors
from guardedit.models.hooks import Tap, tap
from guardedit.models.host import ModelHost

#: Rows in one forward pass.
CHUNK = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysAndValues:
    """Inputs and outputs of one layer's down projection at one token per row, float64 on the CPU.

    Attributes:
        keys: [B, f].
        values: [B, d].
    """

    keys: Tensor
    values: Tensor


def keys_and_values(host: ModelHost, layer: int, rows: RowTensors) -> KeysAndValues:
    """Key and value of each row at its subject's last token, in the model as it stands."""
    return keys_and_values_by_layer(host, [layer], rows)[layer]


def keys_and_values_by_layer(
    host: ModelHost, layers: Sequence[int], rows: RowTensors
) -> dict[int, KeysAndValues]:
    """The same for several layers, in one forward pass that stops at the deepest of them."""
    parts: dict[int, list[KeysAndValues]] = {layer: [] for layer in sorted(layers, reverse=True)}
    order = rows.subject_at.argsort(stable=True)  # so that passes have little padding
    for chunk in torch.split(order, CHUNK):
        at, each = rows.subject_at[chunk], torch.arange(len(chunk))
        # In a causal model no token after the subject's last one can change it.
        ids = rows.ids[chunk, : int(at.max()) + 1]
        taps: dict[int, Tap] = {}
        with host.lock, torch.no_grad(), ExitStack() as stack:
            for layer in parts:  # the deepest first: its stop ends the whole stack
                site = tap(host.mlp_out(layer), stop=not taps, rows=len(chunk))
                taps[layer] = stack.enter_context(site)
            host.model(ids.to(host.device))
        for layer, seen in taps.items():
            k, v = seen.seen()
            parts[layer].append(
                KeysAndValues(keys=k[each, at].double().cpu(), values=v[each, at].double().cpu())
            )
    back = order.argsort()
    return {
        layer: KeysAndValues(keys=whole.keys[back], values=whole.values[back])
        for layer, whole in ((layer, concatenated(parts[layer])) for layer in layers)
    }


def concatenated(parts: Sequence[KeysAndValues]) -> KeysAndValues:
    """The rows of all parts, in order."""
    return KeysAndValues(
        keys=torch.cat([part.keys for part in parts]), values=torch.cat([part.values for part in parts])
    )


def mean_keys_and_values(
    rows_at: KeysAndValues, rows: RowTensors, groups: int, *, bare_share: float = 0.5
) -> KeysAndValues:
    """One mean key [groups, f] and value [groups, d] for each group; see `mean_per_group`."""
    keys, values = (
        mean_per_group(parts, rows, groups, bare_share=bare_share) for parts in (rows_at.keys, rows_at.values)
    )
    return KeysAndValues(keys=keys, values=values)


def mean_per_group(parts: Tensor, rows: RowTensors, groups: int, *, bare_share: float = 0.5) -> Tensor:
    """Average over the wordings and contexts of each group, [groups, width] (MEMIT, section 4.2).

    The bare wordings together have the weight `bare_share`, and the wordings behind a prefix have the rest.
    In a group with only one of the two kinds, that kind has all the weight. Rows to keep do not count.

    Args:
        parts: [B, width], keys or values of the rows.
        rows: B rows.
        groups: number of groups.
        bare_share: weight of the bare wordings, 0 to 1.
    """
    means = torch.zeros(groups, parts.shape[1], dtype=parts.dtype)
    for group in range(groups):
        mine = (rows.group == group) & ~rows.keep
        bare, prefixed = parts[mine & (rows.context == 0)], parts[mine & (rows.context > 0)]
        if len(bare) and len(prefixed):
            means[group] = bare_share * bare.mean(0) + (1.0 - bare_share) * prefixed.mean(0)
        else:
            means[group] = (bare if len(bare) else prefixed).mean(0)
    return means
