"""Keys: what enters the edited down projection at the subject's last token.

One forward pass, stopped at the edited layer. Knows nothing of targets or solving.
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

#: Rows a forward pass takes at once.
CHUNK = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The down projection at each row's subject: `keys` [B, f] and `values` [B, d], float64, CPU."""

    keys: Tensor
    values: Tensor


def at_subject(host: ModelHost, layer: int, rows: RowTensors) -> Site:
    """Key and value of every row, on the model as it stands."""
    return at_subject_in(host, [layer], rows)[layer]


def at_subject_in(host: ModelHost, layers: Sequence[int], rows: RowTensors) -> dict[int, Site]:
    """Keys and values of every row in some layers, in one pass."""
    parts: dict[int, list[Site]] = {layer: [] for layer in sorted(layers, reverse=True)}
    order = rows.subject_at.argsort(stable=True)  # so that little of what runs is padding
    for chunk in torch.split(order, CHUNK):
        at, each = rows.subject_at[chunk], torch.arange(len(chunk))
        # Nothing after the subject's last token can reach it in a causal model.
        ids = rows.ids[chunk, : int(at.max()) + 1]
        taps: dict[int, Tap] = {}
        with host.lock, torch.no_grad(), ExitStack() as stack:
            for layer in parts:  # the deepest first: its stop ends the whole stack
                site = tap(host.mlp_out(layer), stop=not taps, rows=len(chunk))
                taps[layer] = stack.enter_context(site)
            host.model(ids.to(host.device))
        for layer, seen in taps.items():
            k, v = seen.seen()
            parts[layer].append(Site(keys=k[each, at].double().cpu(), values=v[each, at].double().cpu()))
    back = order.argsort()
    return {
        layer: Site(keys=whole.keys[back], values=whole.values[back])
        for layer, whole in ((layer, joined(parts[layer])) for layer in layers)
    }


def joined(sites: Sequence[Site]) -> Site:
    """The rows of all of them, in order."""
    return Site(keys=torch.cat([s.keys for s in sites]), values=torch.cat([s.values for s in sites]))


def mean_site(site: Site, rows: RowTensors, groups: int, *, bare_share: float = 0.5) -> Site:
    """One key and value a group, see `mean_per_group`."""
    keys, values = (
        mean_per_group(parts, rows, groups, bare_share=bare_share) for parts in (site.keys, site.values)
    )
    return Site(keys=keys, values=values)


def mean_per_group(parts: Tensor, rows: RowTensors, groups: int, *, bare_share: float = 0.5) -> Tensor:
    """Average over the wordings and contexts of each group, [groups, width] (MEMIT, section 4.2).

    Bare wordings share `bare_share` of the weight, those behind a prefix the rest; a group that has only
    one of the two kinds gives it everything. Rows to keep do not count.
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
