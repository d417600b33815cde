"""KnowledgeEditor (KE): a hypernetwork that reads an edit's text and masks, scales and shifts its gradient.

De Cao et al. 2021, arXiv:2104.08164. It is trained for single edits of the base model, so many edits in
sequence degrade the model.
"""

from __future__ import annotations

from collections.abc import Sequence

from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.hyper.proposing import HyperNetworkEditor
from guardedit.editing.method_card import MethodCard
from guardedit.editing.setup import Setup


class KeEditor:
    """Proposes `direct` edits of the last three layers: the masked gradient in factored form, plus rank one.

    A mask of rank one keeps a gradient factored, so an edit of W [d, f] on T tokens is (d + f)(T + 1)
    numbers instead of d f.

    Args:
        setup: the model; `setup.trained` is the folder with `ke.safetensors`, read when it is first used.
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
        self._trained = HyperNetworkEditor(setup, self.name)

    @classmethod
    def build(cls, setup: Setup) -> KeEditor:
        """Build the editor from a setup; nothing is read from disk yet."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit for each fact, each on the model with all live edits and the earlier ones of the proposal.

        Raises:
            UsageError: when there is no network for this model.
        """
        return self._trained.propose(groups, live)
