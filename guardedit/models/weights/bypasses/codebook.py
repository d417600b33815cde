"""GRACE's bypass: a codebook of keys with radii; a token whose key falls into a ball gets the ball's value.

Radii are no state. They are worked out from the set of live edits (Hartvigsen et al. 2023, arXiv:2211.11031,
shrink them as edits arrive, so there they depend on order, and a deleted edit leaves its neighbours shrunk):
each is the usual radius, or half the distance to the nearest key of another label where that is less. So
balls of different labels never overlap, and deleting a key gives its neighbours their room back.

Labels are compared by digest. Of two keys at the same place with different labels, as of two versions of a
fact, only one stands: that of the higher version, and of equal versions the later in canonical order. A
ledger never holds two live versions; the rule is there so that the fold has an answer for every set.
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

#: Keys closer than this share of their usual radius are at the same place: rounding moves them that far.
SAME_PLACE = 1e-3
#: What an edit's `extra` must hold.
NAMES = ("label", "radius", "version")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodebookBypass:
    """Puts out a stored value within the radius of its key.

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
        """As `Bypass`; no token depends on another."""
        del past
        book, said, radii = (part.to(keys.device) for part in (self.keys, self.values, self.radii))
        # Squares and products would lose the digits that small distances between long keys are made of.
        distance = torch.cdist(
            keys.float().flatten(0, 1), book, compute_mode="donot_use_mm_for_euclid_dist"
        )  # [B T, n]
        nearest, index = distance.masked_fill(distance > radii, torch.inf).min(dim=1)
        inside = (nearest < torch.inf).view(*values.shape[:2], 1)
        return torch.where(inside, said[index].view(values.shape).to(values), values)


def codebook_bypass(site: Site, parts: Sequence[Contribution]) -> CodebookBypass:
    """One bypass of all `codebook` edits of a layer, in canonical order.

    Raises:
        EditError: when an edit lacks its label, radius or version.
    """
    for part in parts:
        missing = [name for name in NAMES if name not in part.factors.extra]
        if missing:
            raise EditError(
                f"a codebook edit of layer {site.layer} names no {missing[0]}: make it with grace"
            )
    counts = [part.factors.right.shape[1] for part in parts]
    keys = torch.cat([part.right for part in parts], dim=1).t().contiguous()  # [n, f] float64
    values = torch.cat([part.left for part in parts], dim=1).t().contiguous()  # [n, d] float64
    usual, version = (
        torch.cat([part.factors.extra[name].view(1).expand(n) for part, n in zip(parts, counts, strict=True)])
        for name in ("radius", "version")
    )
    digests = [part.factors.extra["label"].numpy().tobytes() for part in parts]
    names = {digest: number for number, digest in enumerate(sorted(set(digests)))}
    label = torch.tensor(
        [names[digest] for digest, n in zip(digests, counts, strict=True) for _ in range(n)],
        dtype=torch.int64,
    )
    standing = outranking(keys, label, usual, version)
    radii = ball_radii(keys[standing], label[standing], usual[standing])
    return CodebookBypass(
        layer=site.layer,
        keys=keys[standing].float(),
        values=values[standing].float(),
        radii=radii.float(),
    )


def outranking(keys: Tensor, label: Tensor, usual: Tensor, version: Tensor) -> Tensor:
    """[n] bool: which keys stand, when at one place only one label may.

    Args:
        keys: [n, f] float64.
        label: [n].
        usual: [n], radii without neighbours.
        version: [n] int64, of the facts; the index decides between equal ones.
    """
    same = (_distances(keys) <= SAME_PLACE * usual) & (label[:, None] != label)  # [n, n]
    index = torch.arange(len(keys))
    higher = (version > version[:, None]) | ((version == version[:, None]) & (index > index[:, None]))
    return ~(same & higher).any(dim=1)


def ball_radii(keys: Tensor, label: Tensor, usual: Tensor) -> Tensor:
    """[n]: the usual radius, or half the distance to the nearest key [n, f] of another label."""
    foreign = _distances(keys).masked_fill(label[:, None] == label, torch.inf)
    nearest = foreign.min(dim=1).values if len(keys) else usual
    return torch.minimum(usual, nearest / 2)


def _distances(keys: Tensor) -> Tensor:
    with one_thread():
        return torch.cdist(keys, keys, compute_mode="donot_use_mm_for_euclid_dist")
