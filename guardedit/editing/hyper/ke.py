"""KnowledgeEditor: a trained network reads an edit's text and masks, scales and shifts its gradient.

De Cao et al. 2021, arXiv:2104.08164. Trained for one edit of the base model, so it does not survive many.
"""

from __future__ import annotations

from collections.abc import Sequence

from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.hyper.proposing import TrainedEditor
from guardedit.editing.method_card import MethodCard
from guardedit.editing.setup import Setup


class KeEditor:
    """Proposes `direct` edits of the last three layers: the masked gradient's factors and one rank more.

    A mask of rank one keeps the factors of a gradient, so an edit of W [d, f] takes (d + f)(T + 1) numbers
    and not d f.

    Args:
        setup: the model; `setup.trained` is the folder with `ke.safetensors`, read when first needed.
    """

    name = "ke"
    card = MethodCard(
        family="meta-learning",
        paper="De Cao et al. 2021, arXiv:2104.08164",
        stores="one rank a token, and one more, in the down projections of the last three layers",
        undo="in order",
        batch="one by one",
        needs_subject=False,
        trained=True,
        deviations=(
            "down projections of the last three layers only",
            "gradients are scaled to one size, and the overall size of an edit is learnt",
            "the masks start as a step down the gradient",
            "a smaller network",
        ),
    )

    def __init__(self, setup: Setup) -> None:
        self._trained = TrainedEditor(setup, self.name)

    @classmethod
    def build(cls, setup: Setup) -> KeEditor:
        """As every editing method is built; nothing is read yet."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit a fact, each on the model with all live edits and the earlier proposals.

        Raises:
            UsageError: when it is not trained for this model.
        """
        return self._trained.propose(groups, live)
