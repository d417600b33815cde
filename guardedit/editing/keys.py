"""Keys: what enters the edited down projection at the subject's last token.

One forward pass, stopped at the edited layer. Knows nothing of targets or solving.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.editing.rows import RowTensors
from guardedit.models.hooks import tap
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
    sites = []
    for chunk in torch.split(torch.arange(len(rows.lengths)), CHUNK):
        at = rows.subject_at[chunk]
        # Nothing after the subject's last token can reach it in a causal model.
        ids = rows.ids[chunk, : int(at.max()) + 1]
        with host.lock, torch.no_grad(), tap(host.mlp_out(layer), stop=True, rows=len(chunk)) as seen:
            host.model(ids.to(host.device))
        k, v = seen.seen()
        batch = torch.arange(len(chunk))
        sites.append(Site(keys=k[batch, at].double().cpu(), values=v[batch, at].double().cpu()))
    return joined(sites)


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
