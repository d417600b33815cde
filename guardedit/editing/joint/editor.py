"""The default editor: all edits of a batch optimised together, as they will stand in the model together.

Every edit writes one direction a layer, along M^-1 k of its own key and away from the keys of the others
and of the live edits (MEMIT with history; keys averaged over wordings as in r-ROME). What it writes there,
in all layers at once, is found by gradient through the very model that the batch makes: so facts answer
for what they do to each other, later layers for what earlier ones already do, and the change that ordinary
text would feel, tr(Delta C Delta^T), is paid for in the loss. Solving for values one fact at a time and
writing them together leaves all of that to luck.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from guardedit.core.errors import CorrectionError, EditDiverged
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.joint.directions import Directions, LayerStatistics
from guardedit.editing.joint.values import JointValues, optimise_together
from guardedit.editing.method_card import MethodCard
from guardedit.editing.optimise.answered import answered
from guardedit.editing.optimise.contexts import Contexts, sample_contexts
from guardedit.editing.optimise.keys import mean_site
from guardedit.editing.optimise.rows import Row, fact_rows, keep_rows, row_tensors
from guardedit.editing.optimise.upper import UpperLayers
from guardedit.editing.setup import Setup
from guardedit.models.weights.factors import Factors, to_payload

#: Price of the second try, as a share of the first one's, and its steps, as a multiple: what few subjects
#: write, and what they take to find it, costs little.
SECOND_PRICE, SECOND_STEPS = 0.25, 2


class JointEditor:
    """Proposes `direct` edits, one a subject with one part a layer, on the model with all live edits.

    Args:
        setup: the model and its layers.
        contexts: prefixes; default: sampled from the model, `setup.joint.contexts` of them.
        clock: seconds, for `Proposal.seconds`.
    """

    name = "joint"
    card = MethodCard(
        family="locate-then-edit",
        paper="guardedit; after MEMIT, arXiv:2210.07229, r-ROME, arXiv:2403.07175, ENCORE, arXiv:2502.01636",
        stores="rank one of each layer's matrix",
        undo="in order",
        batch="together",
        spreads=True,
        dials="joint",
    )

    def __init__(
        self,
        setup: Setup,
        *,
        contexts: Contexts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._setup, self._clock = setup, clock
        self._contexts = contexts or sample_contexts(setup.host, count=setup.joint.contexts, seed=setup.seed)
        self._statistics: dict[int, LayerStatistics] = {}

    @classmethod
    def build(cls, setup: Setup) -> JointEditor:
        """As every editing method is built."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit a subject; `setup.joint.together` subjects are optimised at once, on what is live by then.

        Subjects whose answers are not reached are tried once more, at a lower price. A fact is refused when
        none of its wordings holds the subject, when a row cannot be encoded, when its answer is not reached,
        or when a number is not finite.
        """
        start, refused, edits = self._clock(), dict[str, str](), list[WeightEdit]()
        host = self._setup.host
        with host.lock:
            # Statistics belong to the base model, so they are made before any edit is in place.
            if not self._statistics:
                self._statistics = LayerStatistics.of(self._setup)
            usable = [self._usable(group, refused) for group in groups]
            # In order of name, so that the order of asking changes nothing: the company is drawn by place.
            waiting = sorted((group for group in usable if group.facts), key=lambda group: group.subject)
            hard = self._run(waiting, live, edits, refused=None)
            self._run(hard, live, edits, refused=refused)
        place = {group.subject: n for n, group in enumerate(groups)}
        edits.sort(key=lambda edit: place[edit.subject])
        return Proposal(method=self.name, edits=tuple(edits), refused=refused, seconds=self._clock() - start)

    def _run(
        self,
        waiting: Sequence[SubjectGroup],
        live: Sequence[WeightEdit],
        edits: list[WeightEdit],
        *,
        refused: dict[str, str] | None,
    ) -> list[SubjectGroup]:
        """Add edits of the waiting subjects to `edits`, batch after batch.

        Args:
            waiting: subjects.
            live: edits in the model, besides `edits`.
            edits: made so far.
            refused: for the last try, in which a subject is tried again without the fact it is farthest from.

        Returns:
            Unless it is the last try: the subjects that have not reached their answers.
        """
        waiting, hard, together = list(waiting), list[SubjectGroup](), self._setup.joint.together
        while waiting:
            batch, waiting = waiting[:together], waiting[together:]
            made, missed = self._edits(batch, [*live, *edits], refused)
            edits += made
            if refused is None:
                hard += missed
            else:
                waiting += missed  # each with a fact less, so this ends
        return hard

    def _usable(self, group: SubjectGroup, refused: dict[str, str]) -> SubjectGroup:
        """The group without the facts that cannot be edited at all, and without questions they answer."""
        facts = []
        for fact in group.facts:
            rows = fact_rows(0, fact, group.subject, self._contexts)
            if not rows:
                refused[fact.id] = f"no wording holds the subject {group.subject!r}"
                continue
            try:
                row_tensors(self._setup.host.tokenizer, rows, context=self._setup.host.context)
            except CorrectionError as error:
                refused[fact.id] = str(error)
            else:
                facts.append(fact)
        changed = {wording for fact in group.facts for wording in fact.wordings}
        keep = tuple(question for question in group.keep if question.prompt not in changed)
        return replace(group, facts=tuple(facts), keep=keep)

    def _edits(
        self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit], refused: dict[str, str] | None
    ) -> tuple[list[WeightEdit], list[SubjectGroup]]:
        """Edits of one batch on the model with all live edits, and the groups to try again; see `_run`.

        Where a batch diverges its halves are tried, down to the subject that is to blame.
        """
        try:
            values = self._solve(groups, live, again=refused is not None)
            solved = [self._edit(n, group, values) for n, group in enumerate(groups)]
            held = self._held([*live, *solved], values)
        except (EditDiverged, CorrectionError) as error:
            if len(groups) > 1:
                half = len(groups) // 2
                first, second = (self._edits(part, live, refused) for part in (groups[:half], groups[half:]))
                return first[0] + second[0], first[1] + second[1]
            if refused is None:
                return [], list(groups)
            refused.update({fact.id: str(error) for fact in groups[0].facts})
            return [], []
        made, again = list[WeightEdit](), list[SubjectGroup]()
        for edit, group in zip(solved, groups, strict=True):
            least = self._setup.joint.least_reached
            missed = [f for f in group.facts if (values.reached[f.id] if f.id in held else 0.0) < least]
            if not missed:
                made.append(edit)
            elif refused is None:
                again.append(group)
            else:
                # One at a time: without it the subject's other facts may be reached.
                worst = max(missed, key=lambda fact: values.lacking_nats[fact.id])
                steps = SECOND_STEPS * self._setup.joint.steps
                refused[worst.id] = f"target {worst.target!r} is not reached in {steps} steps"
                if rest := tuple(fact for fact in group.facts if fact != worst):
                    again.append(replace(group, facts=rest))
        return made, again

    def _held(self, edits: Sequence[WeightEdit], values: JointValues) -> set[str]:
        """Ids of the facts whose own prompt the whole model with these edits answers.

        Raises:
            EditDiverged: when the edits cannot be folded.
        """
        asked = values.rows.chosen(torch.tensor(list(values.own.values())))
        with self._setup.host.patched(self._setup.fold.fold(edits)):
            right = answered(self._setup.host, asked)
        return {fact for fact, hit in zip(values.own, right.tolist(), strict=True) if hit}

    def _solve(
        self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit], *, again: bool
    ) -> JointValues:
        """What the groups write; in the second try at a lower price, in more steps."""
        host, settings = self._setup.host, self._setup.joint
        fill = self._fill(len(live), len(groups))
        if again:
            fill, settings = SECOND_PRICE * fill, replace(settings, steps=SECOND_STEPS * settings.steps)
        with host.patched(self._setup.fold.fold(live)):
            rows = [row for n, group in enumerate(groups) for row in self._rows(n, group)]
            tensors = row_tensors(host.tokenizer, rows, context=host.context)
            upper = UpperLayers(host, self._setup.layers[0], tensors)
            directions = {
                layer: Directions.of(
                    mean_site(site, tensors, len(groups), bare_share=settings.bare_share),
                    self._statistics[layer],
                    live,
                )
                for layer, site in upper.sites(self._setup.layers).items()
            }
            return optimise_together(upper, rows, tensors, directions, settings=settings, fill=fill)

    def _fill(self, live: int, new: int) -> float:
        """How full the layers will be, counting edits to come while there is room for them."""
        settings, width = self._setup.joint, self._setup.host.base_matrix(self._setup.layer).shape[1]
        full = settings.full_share * width
        to_come = max(live + new * settings.to_come, settings.expected_edits)
        return max(live + new, min(to_come, full)) / full

    def _rows(self, number: int, group: SubjectGroup) -> list[Row]:
        host, settings = self._setup.host, self._setup.joint
        open_questions = [q.prompt for q in group.keep if q.expected is None]
        answers = dict(zip(open_questions, host.complete(open_questions), strict=True))
        changed = [
            row
            for fact in group.facts
            for row in fact_rows(number, fact, group.subject, self._contexts, crossed=False)
        ]
        return [*changed, *keep_rows(number, group, answers, limit=settings.keep_limit)]

    def _edit(self, n: int, group: SubjectGroup, values: JointValues) -> WeightEdit:
        parts = [
            Factors.direct(layer=layer, left=values.left[at, n], right=d.right[:, n], key=d.keys[:, n])
            for at, (layer, d) in enumerate(values.directions.items())
        ]
        return WeightEdit(
            subject=group.subject,
            facts=tuple(sorted(fact.id for fact in group.facts)),
            method=self.name,
            payload=to_payload(*parts),
            diagnostics=values.diagnostics(n),
        )
