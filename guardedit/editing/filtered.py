"""Any editing method with a filter behind it: each of its edits is filtered before it is proposed.

Knows the kinds of edits. Does not know what the method or the filter does. History is kept: keys and extras
of an edit stay as the method made them, so a method that reads live edits reads filtered ones as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from guardedit.core.errors import EditDiverged, EditError
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import Editor, SubjectGroup
from guardedit.editing.filters import Filter
from guardedit.editing.method_card import MethodCard
from guardedit.editing.setup import Setup
from guardedit.models.weights.factors import SOLVED, Factors, parts_of, to_payload
from guardedit.models.weights.ridge import Ridge, shares

#: What even a filter that only multiplies must decline.
CODEBOOK = "edits of a codebook are refused: a value that takes another's place is no change to shrink"


class FilteredEditor:
    """Proposes the edits of another method, each filtered against the base matrix of its layer.

    `direct` parts are filtered as they are. A filter that multiplies by a number does so with the residuals
    of a `ridge` or `hooked` part and with the change of a `routed` one. Any other filter needs a change to
    look at: a `ridge` part becomes what the edit alone would write, a `direct` one, and no longer shares
    the solution with other live edits; parts that act beside the matrix have no such change and the edit is
    refused.

    Args:
        inner: the method.
        found: the filter.
        setup: the method's; its weights must be those of the fold.
        clock: seconds, for `Proposal.seconds`.

    Attributes:
        name: `method+filter`, as in a policy.
        card: the method's, with a word on the filter.
    """

    def __init__(
        self,
        inner: Editor,
        found: Filter,
        setup: Setup,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = f"{inner.name}+{found.name}"
        self._inner, self._filter, self._setup, self._clock = inner, found, setup, clock
        self._bases: dict[int, Tensor] = {}
        self._ridges: dict[int, Ridge] = {}

    @property
    def card(self) -> MethodCard:
        """The method's own card, plus what the filter changes of it.

        How an edit is undone is not among that: a filter looks at one edit and at the base matrix, and at
        no other edit, so what could be left out as if it had never been made still can.
        """
        card: MethodCard = self._inner.card  # type: ignore[attr-defined]  # every registered method has one
        name, beside = self._filter.name, card.family == "side memory"
        words = [
            f"{name} filters each edit by itself against the base matrix, which leaves undoing {card.undo}"
        ]
        if self._filter.scales:
            return replace(card, deviations=(*card.deviations, *words, *((CODEBOOK,) * beside)))
        if beside:
            words.append(f"every edit is refused: it acts beside a matrix and {name} filters changes of one")
        elif card.undo == "exact":
            words.append("edits are no longer solved together: each writes what it alone would write")
        stores = f"{self._filter.leaves} of each of the method's matrices, and its keys"
        return replace(card, stores=stores, deviations=(*card.deviations, *words))

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """The method's proposal with filtered edits; refused as well: what cannot be filtered."""
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
            raise EditDiverged("the edit holds numbers that are not finite: there is nothing to filter")
        W, left, right = self._base(part.layer), part.left.double(), part.right.double()
        if part.kind == "codebook" or (part.kind not in {"direct", "ridge"} and not self._filter.scales):
            raise EditError(
                f"a {part.kind} edit of layer {part.layer} changes no matrix that {self._filter.name} could "
                "filter: use the method without it"
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
        """What a ridge part writes when no other edit is live: left [d, n], right [f, n]."""
        K, ridge = part.right.double(), self._ridge(part.layer)
        spread = torch.stack([ridge.spread(key) for key in K.t()], dim=1)
        return shares(part.left.double(), K, spread), spread

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
