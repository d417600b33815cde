"""An editing method with a filter: each of its edits is filtered before it is proposed.

The keys and extras of an edit stay as the method made them, so methods that read live edits can read filtered
ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from guardedit.core.errors import EditDiverged, EditError
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import MethodEditor, SubjectGroup
from guardedit.editing.filters import Filter
from guardedit.editing.method_card import MethodCard
from guardedit.editing.setup import Setup
from guardedit.models.weights.factors import SOLVED, Factors, parts_of, to_payload
from guardedit.models.weights.ridge import Ridge, dual_coefficients

#: Deviation on the card of a side-memory method with a filter that only scales.
CODEBOOK = "edits of a codebook are refused: a value that replaces another is not a change that can be scaled"


class FilteredEditor:
    """Proposes the edits of another method, each filtered against the base matrix of its layer.

    `direct` parts are filtered as they are. A filter that multiplies by a number also applies to the
    residuals of `ridge` and `hooked` parts and to the change of `routed` parts. Any other filter needs a
    weight change. A `ridge` part is first converted to the `direct` part that the edit would write if it were
    the only one, so it is no longer solved together with other live edits. Parts that act beside the matrix
    have no weight change, and their edit is refused.

    Args:
        inner: the method.
        edit_filter: the filter.
        setup: of the method; `background_weight` and `ridge` must be those of the fold.
        clock: seconds, for `Proposal.seconds`.

    Attributes:
        name: `method+filter`, as in a policy.
        card: the method's card, with the filter's deviations.
    """

    def __init__(
        self,
        inner: MethodEditor,
        edit_filter: Filter,
        setup: Setup,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = f"{inner.name}+{edit_filter.name}"
        self._inner, self._filter, self._setup, self._clock = inner, edit_filter, setup, clock
        self._bases: dict[int, Tensor] = {}
        self._ridges: dict[int, Ridge] = {}

    @property
    def card(self) -> MethodCard:
        """The method's card with the filter's changes.

        `undo` stays the same, because a filter reads only one edit and the base matrix: if the method's edits
        can be undone exactly, so can the filtered ones.
        """
        card: MethodCard = self._inner.card  # type: ignore[attr-defined]  # every registered method has one
        name, side_memory = self._filter.name, card.family == "side memory"
        deviations = [
            f"{name} filters each edit by itself against the base matrix, so undo stays {card.undo}"
        ]
        if self._filter.scales:
            return replace(card, deviations=(*card.deviations, *deviations, *((CODEBOOK,) * side_memory)))
        if side_memory:
            deviations.append(
                f"every edit is refused: it acts beside a matrix, and {name} filters changes of one"
            )
        elif card.undo == "exact":
            deviations.append("edits are no longer solved together: each writes what it alone would write")
        stores = f"{self._filter.leaves} of each of the method's matrices, and its keys"
        return replace(card, stores=stores, deviations=(*card.deviations, *deviations))

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """The method's proposal with filtered edits; edits that cannot be filtered are refused."""
        start = self._clock()
        proposal = self._inner.propose(groups, live)
        edits, refused = list[WeightEdit](), dict(proposal.refused)
        for edit in proposal.edits:
            try:
                edits.append(self._filtered(edit))
            except EditError as error:
                refused.update(dict.fromkeys(edit.facts, str(error)))
        return Proposal(method=self.name, edits=tuple(edits), refused=refused, seconds=self._clock() - start)

    def _filtered(self, edit: WeightEdit) -> WeightEdit:
        parts = [self._part(part) for part in parts_of(edit.payload)]
        return replace(edit, method=self.name, payload=to_payload(*parts))

    def _part(self, part: Factors) -> Factors:
        if not part.finite:
            raise EditDiverged("the edit has numbers that are not finite: lower learning_rate_ratio")
        W, left, right = self._base(part.layer), part.left.double(), part.right.double()
        if part.kind == "codebook" or (part.kind not in {"direct", "ridge"} and not self._filter.scales):
            raise EditError(
                f"a {part.kind} edit of layer {part.layer} has no weight change that {self._filter.name} can "
                "filter: use the method without this filter"
            )
        if part.kind in SOLVED and self._filter.scales:
            left, _ = self._filter.apply(W, left, right)
            return Factors.keyed(part.kind, layer=part.layer, key=right, value=left, extra=part.extra)
        if part.kind == "ridge":
            left, right = self._alone(part)
        left, right = self._filter.apply(W, left, right)
        kind = "direct" if part.kind == "ridge" else part.kind
        return Factors.direct(
            layer=part.layer, left=left, right=right, key=part.key, kind=kind, extra=part.extra
        )

    def _alone(self, part: Factors) -> tuple[Tensor, Tensor]:
        """The change that a `ridge` part writes when no other edit is live: left [d, n], right [f, n]."""
        K, ridge = part.right.double(), self._ridge(part.layer)
        solved = torch.stack([ridge.solve(key) for key in K.t()], dim=1)
        return dual_coefficients(part.left.double(), K, solved), solved

    def _base(self, layer: int) -> Tensor:
        if layer not in self._bases:
            self._bases[layer] = self._setup.host.base_matrix(layer).to("cpu", torch.float64).contiguous()
        return self._bases[layer]

    def _ridge(self, layer: int) -> Ridge:
        if layer not in self._ridges:
            moments, settings = self._setup.moments[layer], self._setup.settings
            self._ridges[layer] = Ridge(
                C=moments.C,
                spectrum=moments.spectrum,
                background_weight=settings.background_weight,
                ridge=settings.ridge,
            )
        return self._ridges[layer]
