"""The fold: from the base model and the live edits to a patch. A pure function with reproducible bytes.

Edits are sorted by digest, summed in float64, and cast once to the parameter's dtype.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from guardedit.core.errors import EditDiverged, EditError
from guardedit.core.probe import Inspection
from guardedit.core.proposal import WeightEdit
from guardedit.models.bypass import Bypass, Patch
from guardedit.models.host import ModelHost
from guardedit.models.matrices import to_stored
from guardedit.models.threads import one_thread
from guardedit.models.weights.bypasses import make_bypass
from guardedit.models.weights.factors import SOLVED, WRITTEN, Factors, Kind, parts_of
from guardedit.models.weights.folded import Folded
from guardedit.models.weights.inspection import Contribution, inspection
from guardedit.models.weights.ridge import dual_coefficients
from guardedit.models.weights.second_moments import SecondMoments
from guardedit.models.weights.sites import Site, site_of

#: Most cached solutions M^-1 K. This only bounds memory: solving a key again gives the same bytes.
CACHED_KEYS = 4096


class Fold:
    """fold(base, edits) for one base model, one set of second moments and one pair of weights.

    Per layer, with M = background_weight C + ridge I, keys K [f, n] and residuals R [d, n] of the live
    `ridge` edits:  W = W0 + R (I + K^T M^-1 K)^-1 K^T M^-1  (MEMIT, Meng et al. 2023, eq. 14, with all live
    edits as one batch; see `ridge`). `direct` edits are added after it, in canonical order, which is the
    order of digests. Keys and residuals refer to the base model, so nothing depends on the order of arrival.

    Safe in several threads, since everything that is cached here is reproducible.

    Args:
        host: the base model; only its base matrices are read.
        moments: second moments of the keys by layer; layers without them take `direct` edits only.
        background_weight: lambda, roughly the number of background tokens that one edit is weighed against.
        ridge: added to the diagonal of lambda C; keeps it invertible.
    """

    def __init__(
        self,
        host: ModelHost,
        moments: Mapping[int, SecondMoments],
        *,
        background_weight: float,
        ridge: float,
    ) -> None:
        self._host = host
        self._moments = moments  # not copied: the mapping may collect a layer's moments when first read
        self._background_weight = background_weight
        self._ridge = ridge
        self._sites: dict[int, Site] = {}
        self._solved: dict[str, Tensor] = {}  # digest and part number -> M^-1 K [f, n]

    def fold(self, edits: Sequence[WeightEdit]) -> Patch:
        """Edited matrices as stored tensors, and bypasses; empty when there are no edits.

        `edits` is read as a set: order and repetitions do not matter.

        Raises:
            EditDiverged: when a factor or a result is not finite.
            EditError: when an edit does not fit the model, or its layer has no second moments.
        """
        parsed = {digest: (edit, parts_of(edit.payload)) for digest, edit in _canonical(edits).items()}
        for edit, factors in parsed.values():
            if not all(part.finite for part in factors):
                raise EditDiverged(f"the edit of {edit.subject!r} has numbers that are not finite: drop it")
        found = self._contributions({digest: factors for digest, (_, factors) in parsed.items()})
        parts = [part for mine in found.values() for part in mine]
        return Patch(self._matrices(parts), self._bypasses(parts))

    def weights_sha256(self, edits: Sequence[WeightEdit]) -> str:
        """Digest of base and patch; the base's own digest when there are no edits."""
        return self.folded(edits).sha256

    def folded(self, edits: Sequence[WeightEdit]) -> Folded:
        """The patch with its digests; errors as `fold`."""
        return Folded.of(self.fold(edits), base_sha256=self._host.base_sha256)

    def forget(self) -> None:
        """Drop the cache, so that the base model is read again. Call this after its tensors were repaired."""
        self._sites, self._solved = {}, {}

    def inspect(self, edits: Sequence[WeightEdit], live: Sequence[WeightEdit]) -> list[Inspection]:
        """Tier 0 numbers of each of `edits`, in their order, folded together with `live`.

        An edit that is not finite is reported as such, with NaN numbers, and is left out of the joint solve.

        Raises:
            EditError: when an edit does not fit the model, or its layer has no second moments.
        """
        parsed = {digest: parts_of(edit.payload) for digest, edit in _canonical([*edits, *live]).items()}
        found = self._contributions(
            {digest: parts for digest, parts in parsed.items() if all(part.finite for part in parts)}
        )
        return [
            inspection(edit, [(part, self._site(part.factors.layer)) for part in found.get(edit.digest, ())])
            for edit in edits
        ]

    def capacity_ratio(self, edits: Sequence[WeightEdit]) -> float:
        """Number of keys over effective free rank (`Ridge.free_rank`) in the fullest layer; 0 without edits.

        Retention is good until this is close to 1, where norm and damage to background text peak (the
        interpolation threshold of least squares). A layer without second moments has its whole width f free.
        """
        keys: dict[int, int] = {}
        for edit in _canonical(edits).values():
            for part in parts_of(edit.payload):
                named = part.right if part.key is None else part.key
                keys[part.layer] = keys.get(part.layer, 0) + named.shape[1]
        return max((count / self._free_rank(layer) for layer, count in keys.items()), default=0.0)

    def _matrices(self, parts: Sequence[Contribution]) -> dict[str, Tensor]:
        matrices = {}
        written = [part for part in parts if part.factors.kind in WRITTEN]
        for layer in sorted({part.factors.layer for part in written}):
            in_layer = [part for part in written if part.factors.layer == layer]
            site = self._site(layer)
            stored = to_stored(self._host.model, site.name, _edited(site.W, in_layer))
            if not bool(torch.isfinite(stored).all()):
                raise EditDiverged(
                    f"{len(in_layer)} edits of layer {layer} overflow {stored.dtype}: drop the largest"
                )
            matrices[site.name] = stored
        return matrices

    def _bypasses(self, parts: Sequence[Contribution]) -> list[Bypass]:
        bypassing = [part for part in parts if part.factors.kind not in WRITTEN]
        places = sorted({(part.factors.layer, part.factors.kind) for part in bypassing})
        return [
            make_bypass(
                kind,
                self._site(layer),
                [part for part in bypassing if (part.factors.layer, part.factors.kind) == (layer, kind)],
            )
            for layer, kind in places
        ]

    def _contributions(self, edits: Mapping[str, tuple[Factors, ...]]) -> dict[str, list[Contribution]]:
        """Digest -> the edit's parts in the joint solution; `edits` is in canonical order."""
        found: dict[str, list[Contribution]] = {}
        for digest, factors in edits.items():
            for part in factors:
                self._check(part)
            found[digest] = [
                Contribution(factors=part, left=part.left.double(), right=part.right.double())
                for part in factors
            ]
        places = {(part.layer, part.kind) for factors in edits.values() for part in factors}
        for layer, kind in sorted(place for place in places if place[1] in SOLVED):
            self._solve(found, layer, kind)
        return found

    def _solve(self, found: Mapping[str, list[Contribution]], layer: int, kind: Kind) -> None:
        """Replace keys and residuals of one kind in one layer by their factors in the joint solution."""
        members = [
            (digest, n)
            for digest, parts in found.items()
            for n, part in enumerate(parts)
            if (part.factors.layer, part.factors.kind) == (layer, kind)
        ]
        parts = [found[digest][n].factors for digest, n in members]
        rights = [
            self._solved_keys(f"{digest} {n}", part) for (digest, n), part in zip(members, parts, strict=True)
        ]
        R = torch.cat([part.left.double() for part in parts], dim=1)  # [d, n]
        K = torch.cat([part.right.double() for part in parts], dim=1)  # [f, n]
        coefficients = dual_coefficients(R, K, torch.cat(rights, dim=1))  # [d, n]
        lefts = torch.split(coefficients, [right.shape[1] for right in rights], dim=1)
        for (digest, n), part, left, right in zip(members, parts, lefts, rights, strict=True):
            found[digest][n] = Contribution(factors=part, left=left, right=right)

    def _check(self, factors: Factors) -> None:
        site = self._site(factors.layer)
        d, f = site.W.shape
        if factors.left.shape[0] != d or factors.right.shape[0] != f:
            raise EditError(
                f"the edit is for a matrix of {factors.left.shape[0]} x {factors.right.shape[0]}, "
                f"{site.name} is {d} x {f}: it was made for another model"
            )
        if factors.kind in SOLVED and site.ridge is None:
            known = ", ".join(map(str, sorted(self._moments))) or "none"
            raise EditError(
                f"layer {factors.layer} has no second moments (collected: {known}): collect them for it"
            )

    def _solved_keys(self, name: str, factors: Factors) -> Tensor:
        """M^-1 K [f, n] of an edit's keys, cached by `name`."""
        known = self._solved.get(name)
        if known is not None:
            return known
        ridge = self._site(factors.layer).ridge
        assert ridge is not None
        solved = torch.stack([ridge.solve(key) for key in factors.right.double().t()], dim=1)
        if len(self._solved) >= CACHED_KEYS:
            self._solved = {}
        self._solved[name] = solved
        return solved

    def _site(self, layer: int) -> Site:
        # There is no lock, because it could deadlock: this may collect second moments, which waits for the
        # model, and a thread that holds the model may call `fold`. Two threads may both read a site, with the
        # same result.
        if layer not in (sites := self._sites):
            made = site_of(
                self._host,
                layer,
                self._moments.get(layer),
                background_weight=self._background_weight,
                ridge=self._ridge,
            )
            sites.setdefault(layer, made)
        return sites[layer]

    def _free_rank(self, layer: int) -> float:
        site = self._site(layer)
        rank = float(site.W.shape[1]) if site.ridge is None else site.ridge.free_rank
        return rank or float("nan")


def _canonical(edits: Sequence[WeightEdit]) -> dict[str, WeightEdit]:
    """Digest -> edit, sorted by digest, each edit once."""
    named = {edit.digest: edit for edit in edits}
    return {digest: named[digest] for digest in sorted(named)}


def _edited(W: Tensor, parts: Sequence[Contribution]) -> Tensor:
    """W0 [d, f] float64 plus all contributions: ridge edits as one product, then direct ones one by one."""
    solved = [part for part in parts if part.factors.kind == "ridge"]
    with one_thread():
        total = W.clone()
        if solved:
            left = torch.cat([part.left for part in solved], dim=1).contiguous()  # [d, n]
            right = torch.cat([part.right for part in solved], dim=1).contiguous()  # [f, n]
            total += left @ right.t()
        for part in parts:
            if part.factors.kind == "direct":
                total += part.left @ part.right.t()
    return total
