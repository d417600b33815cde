"""MEND: a trained network turns the gradient of the new answer's loss into an edit of the last layers.

Mitchell et al. 2022, arXiv:2110.11309. Trained for one edit of the base model; the second edit already meets
a model that the network has never seen, so edits that follow each other wear off and harm.
"""

from __future__ import annotations

from collections.abc import Sequence

from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.hyper.proposing import TrainedEditor
from guardedit.editing.method_card import MethodCard
from guardedit.editing.setup import Setup


class MendEditor:
    """Proposes `direct` edits of the last three layers: a column a token, `step * g~ x~^T`.

    Args:
        setup: the model; `setup.trained` is the folder with `mend.safetensors`, read when first needed.
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
        self._trained = TrainedEditor(setup, self.name)

    @classmethod
    def build(cls, setup: Setup) -> MendEditor:
        """As every editing method is built; nothing is read yet."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit a fact, each on the model with all live edits and the earlier proposals.

        Raises:
            UsageError: when it is not trained for this model.
        """
        return self._trained.propose(groups, live)
