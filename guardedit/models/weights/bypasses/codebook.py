"""GRACE's bypass: a codebook of keys, values and radii (Hartvigsen et al. 2023, arXiv:2211.11031).

A token whose key is within the radius of a codebook key gets that entry's value as output.

Unlike in the paper, radii are not state: they are computed from the set of live edits. (The paper shrinks
them as edits arrive, so they depend on the order, and a deleted edit leaves its neighbours' radii small.)
Each radius is the default radius of its edit, or half the distance to the nearest key with another label,
whichever is smaller. So balls of different labels never overlap, and deleting a key lets its neighbours grow
again.

Labels are compared by digest. If two keys with different labels are at the same place, as with two versions
of a fact, only one is used: that of the higher version or, for equal versions, the later one in canonical
order. A ledger never has two live versions of a fact; with this rule the fold is defined for every set of
edits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from guardedit.core.errors import EditError
from guardedit.models.matrices import tensor_sha256
from guardedit.models.threads import one_thread
from guardedit.models.weights.inspection import Contribution
from guardedit.models.weights.sites import Site

#: Keys closer than this share of their default radius are at the same place; rounding can move them that far.
SAME_PLACE = 1e-3
#: Required entries of an edit's `extra`.
NAMES = ("label", "radius", "version")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodebookBypass:
    """Outputs a stored value for tokens within the radius of its key.

    Attributes:
        layer: decoder layer.
        keys: [n, f] float32.
        values: [n, d] float32.
        radii: [n] float32.
    """

    layer: int
    keys: Tensor = field(repr=False)
    values: Tensor = field(repr=False)
    radii: Tensor

    @property
    def sha256(self) -> str:
        """Digest of keys, values and radii."""
        parts = [tensor_sha256(part) for part in (self.keys, self.values, self.radii)]
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def __call__(self, keys: Tensor, values: Tensor, past: int = 0) -> Tensor:
        """As `Bypass`; no token's output depends on other tokens."""
        del past
        book, stored, radii = (part.to(keys.device) for part in (self.keys, self.values, self.radii))
        # Distances are not computed from squares and products, because small distances between long keys
        # would lose their digits.
        distance = torch.cdist(
            keys.float().flatten(0, 1), book, compute_mode="donot_use_mm_for_euclid_dist"
        )  # [B T, n]
        nearest, index = distance.masked_fill(distance > radii, torch.inf).min(dim=1)
        inside = (nearest < torch.inf).view(*values.shape[:2], 1)
        return torch.where(inside, stored[index].view(values.shape).to(values), values)


def codebook_bypass(site: Site, parts: Sequence[Contribution]) -> CodebookBypass:
    """The bypass of all `codebook` edits of a layer; `parts` is in canonical order.

    Raises:
        EditError: when an edit lacks its label, radius or version.
    """
    for part in parts:
        missing = [name for name in NAMES if name not in part.factors.extra]
        if missing:
            raise EditError(f"a codebook edit of layer {site.layer} has no {missing[0]}: make it with grace")
    counts = [part.factors.right.shape[1] for part in parts]
    keys = torch.cat([part.right for part in parts], dim=1).t().contiguous()  # [n, f] float64
    values = torch.cat([part.left for part in parts], dim=1).t().contiguous()  # [n, d] float64
    default_radius, version = (
        torch.cat([part.factors.extra[name].view(1).expand(n) for part, n in zip(parts, counts, strict=True)])
        for name in ("radius", "version")
    )
    digests = [part.factors.extra["label"].numpy().tobytes() for part in parts]
    names = {digest: number for number, digest in enumerate(sorted(set(digests)))}
    label = torch.tensor(
        [names[digest] for digest, n in zip(digests, counts, strict=True) for _ in range(n)],
        dtype=torch.int64,
    )
    used = outranking(keys, label, default_radius, version)
    radii = ball_radii(keys[used], label[used], default_radius[used])
    return CodebookBypass(
        layer=site.layer,
        keys=keys[used].float(),
        values=values[used].float(),
        radii=radii.float(),
    )


def outranking(keys: Tensor, label: Tensor, default_radius: Tensor, version: Tensor) -> Tensor:
    """[n] bool: the keys that are used, when only one label is allowed at each place.

    Args:
        keys: [n, f] float64.
        label: [n].
        default_radius: [n], radii without neighbours.
        version: [n] int64, of the facts; of equal versions the later index is used.
    """
    same = (_distances(keys) <= SAME_PLACE * default_radius) & (label[:, None] != label)  # [n, n]
    index = torch.arange(len(keys))
    higher = (version > version[:, None]) | ((version == version[:, None]) & (index > index[:, None]))
    return ~(same & higher).any(dim=1)


def ball_radii(keys: Tensor, label: Tensor, default_radius: Tensor) -> Tensor:
    """[n]: the smaller of the default radius and half the distance to the nearest key with another label.

    Args:
        keys: [n, f] float64.
        label: [n].
        default_radius: [n].
    """
    to_others = _distances(keys).masked_fill(label[:, None] == label, torch.inf)
    nearest = to_others.min(dim=1).values if len(keys) else default_radius
    return torch.minimum(default_radius, nearest / 2)


def _distances(keys: Tensor) -> Tensor:
    with one_thread():
        return torch.cdist(keys, keys, compute_mode="donot_use_mm_for_euclid_dist")
