"""FT-L: fine-tuning of one matrix with a limit on the change of every entry (Zhu et al. 2020).

As in the published baseline, the log probabilities of all target tokens are raised at the last position of
the prompt. This is right for targets of one token and an artefact for longer ones. This artefact, rather than
fine-tuning itself, is the reason that FT-L performs badly in the literature. The method serves for
comparison; FT-M has the proper loss.
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
from guardedit.editing.tune.by_fact import FactToEdit, edit_facts, fact_tensors
from guardedit.editing.tune.tuning import TuningSettings, facts_at_once, tune

#: Learning rate ratio, and the limit on an entry's change as a multiple of Adam's first step. In the
#: reference code of ROME the limit is four steps on GPT-2 medium, one on XL and a tenth of a step on GPT-J.
#: On the demo model a limit of eight writes nothing, and sixteen writes more than half of the facts, with
#: less harm than without a limit.
LEARNING_RATE_RATIO, CLAMP_STEPS = 0.1, 16.0


class ClampedFineTuneEditor:
    """Proposes one dense `direct` edit for each fact, tuned on the model with all live edits.

    Facts of one batch are tuned independently of each other, and their changes add up.

    Args:
        setup: the model and its layer.
        settings: of the tuning.
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
            "the facts of one batch are tuned independently instead of one after the other",
            "the layer is chosen by the setup",
        ),
    )

    def __init__(
        self,
        setup: Setup,
        *,
        settings: TuningSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._setup, self._clock = setup, clock
        self._settings = settings or TuningSettings(
            learning_rate_ratio=LEARNING_RATE_RATIO, clamp_steps=CLAMP_STEPS
        )

    @classmethod
    def build(cls, setup: Setup) -> ClampedFineTuneEditor:
        """Build the editor from a setup."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit for each fact, in order. Refused: facts that cannot be encoded, and non-finite edits."""
        start, host = self._clock(), self._setup.host
        with host.lock, host.patched(self._setup.fold.fold(live)):
            edits, refused = edit_facts(
                host, groups, self._edits, at_once=facts_at_once(host, self._setup.layer)
            )
        return Proposal(method=self.name, edits=tuple(edits), refused=refused, seconds=self._clock() - start)

    def _edits(self, wanted: Sequence[FactToEdit]) -> list[WeightEdit]:
        host, layer = self._setup.host, self._setup.layer
        rows = each_token_first(fact_tensors(host, wanted, stop=""))
        return [
            tuned_edit(item, tuned, layer=layer, method=self.name)
            for item, tuned in zip(wanted, tune(host, layer, rows, self._settings), strict=True)
        ]


def each_token_first(rows: RowTensors) -> RowTensors:
    """Split each row into one row per answer token: the prompt, directly followed by that token."""
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
        changes=first,
        group=rows.group[owners],
        context=rows.context[owners],
        keep=rows.keep[owners],
    )
