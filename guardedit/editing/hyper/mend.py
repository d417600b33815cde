"""MEND: a hypernetwork that turns the gradient of the new answer's loss into an edit of the last layers.

Mitchell et al. 2022, arXiv:2110.11309. Trained for single edits of the base model. Even the second edit is
made on a model that the network was not trained on, so edits in sequence fade and harm the model.
"""

from __future__ import annotations

from collections.abc import Sequence

from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.hyper.proposing import HyperNetworkEditor
from guardedit.editing.method_card import MethodCard
from guardedit.editing.setup import Setup


class MendEditor:
    """Proposes `direct` edits of the last three layers, `step * g~ x~^T` with one column for each token.

    Args:
        setup: the model; `setup.trained` is the folder with `mend.safetensors`, read when it is first used.
    """

    name = "mend"
    card = MethodCard(
        family="meta-learning",
        paper="Mitchell et al. 2022, arXiv:2110.11309",
        stores="one rank a token in the down projections of the last three layers",
        undo="in order",
        batch="one by one",
        needs_subject=False,
        trained=True,
        deviations=(
            "down projections only",
            "each layer has its own running mean and deviation",
            "step sizes start at -0.001, as a step down the gradient, and V starts small",
        ),
    )

    def __init__(self, setup: Setup) -> None:
        self._trained = HyperNetworkEditor(setup, self.name)

    @classmethod
    def build(cls, setup: Setup) -> MendEditor:
        """Build the editor from a setup; nothing is read from disk yet."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit for each fact, each on the model with all live edits and the earlier ones of the proposal.

        Raises:
            UsageError: when there is no network for this model.
        """
        return self._trained.propose(groups, live)
