"""FT-L: fine-tuning with a limit on every entry's change, and every target token trained as if it came first.

At the last position of the prompt the log-probabilities of all target tokens are raised at once, which is
right for targets of one token and an artefact for longer ones; this, and not fine-tuning as such, is why
FT-L looks bad in the literature. It is here for comparison; FT-M is the honest one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.method_card import MethodCard
from guardedit.editing.methods.ft_m import tuned_edit
from guardedit.editing.optimise.rows import RowTensors
from guardedit.editing.setup import Setup
from guardedit.editing.tune.by_fact import Wanted, edit_facts, wanted_rows
from guardedit.editing.tune.tuning import Recipe, facts_at_once, tune

#: Step and limit. The reference code of ROME allows an entry four steps of Adam on GPT-2 medium, one on XL,
#: a tenth on GPT-J. On the demo model eight write nothing, sixteen more than half of the facts, with less
#: harm than without a limit.
LEARNING_RATE_RATIO, CLAMP_STEPS = 0.1, 16.0


class ClampedFineTuneEditor:
    """Proposes one dense `direct` edit a fact, tuned on the model with all live edits.

    Facts of one batch are tuned side by side: none is made on top of another, and together they add up.

    Args:
        setup: the model and its layer.
        recipe: the dials.
        clock: seconds, for `Proposal.seconds`.
    """

    name = "ft-l"
    card = MethodCard(
        family="fine-tuning",
        paper="Zhu et al. 2020, arXiv:2012.00363; baseline of Meng et al. 2022, arXiv:2202.05262",
        stores="the whole change of one matrix",
        undo="in order",
        batch="together",
        needs_subject=False,
        deviations=(
            "learning rate and limit are relative to the value's norm",
            "the facts of one batch are tuned side by side instead of one on top of the other",
            "the layer is the setup's",
        ),
    )

    def __init__(
        self,
        setup: Setup,
        *,
        recipe: Recipe | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._setup, self._clock = setup, clock
        self._recipe = recipe or Recipe(learning_rate_ratio=LEARNING_RATE_RATIO, clamp_steps=CLAMP_STEPS)

    @classmethod
    def build(cls, setup: Setup) -> ClampedFineTuneEditor:
        """As every editing method is built."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit a fact, in the order given. Refused: what cannot be encoded, or is not finite."""
        start, host = self._clock(), self._setup.host
        with host.lock, host.patched(self._setup.fold.fold(live)):
            edits, refused = edit_facts(
                host, groups, self._edits, at_once=facts_at_once(host, self._setup.layer)
            )
        return Proposal(method=self.name, edits=tuple(edits), refused=refused, seconds=self._clock() - start)

    def _edits(self, wanted: Sequence[Wanted]) -> list[WeightEdit]:
        host, layer = self._setup.host, self._setup.layer
        rows = each_token_first(wanted_rows(host, wanted, stop=""))
        return [
            tuned_edit(item, tuned, layer=layer, method=self.name)
            for item, tuned in zip(wanted, tune(host, layer, rows, self._recipe), strict=True)
        ]


def each_token_first(rows: RowTensors) -> RowTensors:
    """A row for each answer token of each row: the prompt, and that token right behind it."""
    owners, tokens = [], []
    for row, (first, last) in enumerate(zip(rows.first.tolist(), rows.last.tolist(), strict=True)):
        tokens += rows.ids[row, first + 1 : last + 2].tolist()
        owners += [row] * (last - first + 1)
    ids, first = rows.ids[owners].clone(), rows.first[owners]
    places = torch.arange(ids.shape[1])
    ids[places == first[:, None] + 1] = torch.tensor(tokens)
    ids[places > first[:, None] + 1] = 0
    return RowTensors(
        ids=ids,
        lengths=first + 2,
        subject_at=rows.subject_at[owners],
        first=first,
        last=first,
        group=rows.group[owners],
        context=rows.context[owners],
        keep=rows.keep[owners],
    )
