"""The change of an edited matrix as a product of two thin ones, with no more columns than it has rank."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.core.errors import EditError
from guardedit.models.bypass import Patch
from guardedit.models.host import ModelHost
from guardedit.models.matrices import is_transposed, read_matrix

#: Larger matrices are factored by random projections, as many as this at first.
_EXACT, _FIRST_GUESS = 2048, 64


@dataclass(frozen=True, slots=True)
class LowRank:
    """The change B A of a matrix W [d, f].

    Attributes:
        A: [r, f] float32.
        B: [d, r] float32.
    """

    A: Tensor
    B: Tensor

    @property
    def rank(self) -> int:
        """Number of rows of A."""
        return len(self.A)

    def padded(self, rank: int) -> LowRank:
        """The same change with rows and columns of zeros up to a rank."""
        more = rank - self.rank
        return LowRank(
            torch.nn.functional.pad(self.A, (0, 0, 0, more)), torch.nn.functional.pad(self.B, (0, more))
        )


def low_rank_changes(host: ModelHost, patch: Patch) -> dict[str, LowRank]:
    """Parameter name -> its change, for every matrix that the patch changes.

    Singular values at the level of rounding are dropped: a matrix with n edits is stored with the rounding
    of every entry, which makes its change look like one of full rank.

    Raises:
        EditError: the patch has parts that are not matrices, which no adapter can hold.
    """
    if patch.bypasses:
        layers = ", ".join(str(bypass.layer) for bypass in patch.bypasses)
        raise EditError(
            f"edits of layer {layers} run beside the matrices and cannot become an adapter: "
            "roll back to an epoch without them, or edit with a method that writes matrices"
        )
    found = {}
    for name, stored in sorted(patch.matrices.items()):
        if stored.ndim != 2:
            raise EditError(f"{name} is no matrix and cannot become an adapter: export a model folder")
        after = stored.t() if is_transposed(host.model, name) else stored
        found[name] = factored(read_matrix(host.model, name), after)
    return found


def factored(before: Tensor, after: Tensor) -> LowRank:
    """The change from `before` to `after`, both [d, f], by its singular vectors."""
    change = after.double().cpu() - before.double().cpu()
    d, f = change.shape
    # Rounding is noise of about eps |w| / 4 in each entry; the largest singular value of such noise is its
    # standard deviation times (sqrt d + sqrt f).
    eps = torch.finfo(after.dtype).eps
    noise = eps / 4 * float(after.double().square().mean().sqrt()) * (math.sqrt(d) + math.sqrt(f))
    if min(d, f) <= _EXACT:
        U, S, Vt = torch.linalg.svd(change, full_matrices=False)
    else:
        U, S, Vt = _by_projections(change, noise)
    rank = int((2 * noise < S).sum())
    root = S[:rank].sqrt()
    return LowRank((root[:, None] * Vt[:rank]).float(), (U[:, :rank] * root).float())


def _by_projections(change: Tensor, noise: float) -> tuple[Tensor, Tensor, Tensor]:
    """Singular values and vectors by random projections (Halko et al. 2011), down to the noise."""
    guess = _FIRST_GUESS
    with torch.random.fork_rng():
        torch.manual_seed(0)
        while True:
            U, S, V = torch.svd_lowrank(change, q=min(guess, *change.shape), niter=4)
            if S[-1] <= noise or guess >= min(change.shape):
                return U, S, V.t()
            guess *= 2


def rank_of(changes: Mapping[str, LowRank]) -> int:
    """The largest rank of some changes, at least 1: programs refuse an adapter of rank 0."""
    return max([1, *(change.rank for change in changes.values())])
