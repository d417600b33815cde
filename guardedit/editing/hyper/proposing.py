"""Propose one edit for each fact with a trained hypernetwork. Shared by KE and MEND.

Each edit is made on the model with all live edits and the earlier edits of the same proposal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from guardedit.core.errors import CorrectionError, EditDiverged
from guardedit.core.fact import Fact
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.hyper.checkpoint import load_network
from guardedit.editing.hyper.gradients import LowRankChange
from guardedit.editing.hyper.network import EditRequest, HyperNetwork, predict_changes
from guardedit.editing.setup import Setup
from guardedit.models.weights.factors import Factors, to_payload


class HyperNetworkEditor:
    """Proposes edits with one hypernetwork, which is read from disk when it is first used.

    So a method can be listed and built without a trained network.

    Args:
        setup: the model; `setup.trained` is the folder with trained networks.
        method: `ke` or `mend`.
        clock: seconds, for `Proposal.seconds`.
    """

    def __init__(self, setup: Setup, method: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._setup, self._method, self._clock = setup, method, clock
        self._loaded: HyperNetwork | None = None

    @property
    def network(self) -> HyperNetwork:
        """The trained network.

        Raises:
            UsageError: when there is none for this model; the message has the command that trains one.
        """
        if self._loaded is None:
            self._loaded = load_network(self._setup.trained, self._method, self._setup.host)
        return self._loaded

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit for each fact, in order. Refused: facts too long for the context, and non-finite edits.

        Raises:
            UsageError: when the method is not trained for this model.
        """
        start, refused, edits = self._clock(), dict[str, str](), list[WeightEdit]()
        network, host, fold = self.network, self._setup.host, self._setup.fold
        for group in groups:
            for fact in group.facts:
                try:
                    with host.lock, host.patched(fold.fold([*live, *edits])):
                        edits.append(self._edit(network, group, fact))
                except (CorrectionError, EditDiverged) as error:
                    refused[fact.id] = str(error)
        return Proposal(
            method=self._method, edits=tuple(edits), refused=refused, seconds=self._clock() - start
        )

    def _edit(self, network: HyperNetwork, group: SubjectGroup, fact: Fact) -> WeightEdit:
        host = self._setup.host
        old = host.complete([fact.prompt])[0] if network.conditioned else ""
        with torch.no_grad():
            changes = predict_changes(
                host, network, [EditRequest(prompt=fact.prompt, old=old, new=fact.target)]
            )
        parts = [_factors(layer, change) for layer, change in changes.items()]
        if not all(part.finite for part in parts):
            raise EditDiverged(
                f"the edit of {fact.prompt!r:.200} by {self._method} has numbers that are not finite"
            )
        return WeightEdit(
            subject=group.subject,
            facts=(fact.id,),
            method=self._method,
            payload=to_payload(*parts),
            diagnostics={f"norm_layer_{part.layer}": float(_norm(part)) for part in parts},
        )


def _factors(layer: int, change: LowRankChange) -> Factors:
    """The only edit of a batch of one, without the columns of tokens that had no gradient."""
    left, right = change.left[0], change.right[0]  # [d, n], [f, n]
    used = (left != 0).any(0) & (right != 0).any(0)
    return Factors.direct(layer=layer, left=left[:, used], right=right[:, used])


def _norm(part: Factors) -> Tensor:
    """Frobenius norm of the change, from its factors."""
    left, right = part.left.double(), part.right.double()
    return ((left.t() @ left) * (right.t() @ right)).sum().clamp(min=0).sqrt()
