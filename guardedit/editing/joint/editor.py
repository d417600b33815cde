"""The default editor: optimises all edits of a batch together, through the model with all of them applied.

Each edit has one direction per layer: M^-1 k of its own key, made nearly orthogonal to the keys of the other
edits of the batch and of the live edits (MEMIT with history; keys averaged over wordings as in r-ROME). The
vectors that are written along these directions, in all layers at once, are found by gradient descent through
the model with the whole batch applied. So the loss includes the interference between edits, changes in later
layers account for those in earlier layers, and the term tr(Delta C Delta^T) puts a price on the change of
ordinary text. Optimising values one fact at a time and then writing them together accounts for none of this.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch

from guardedit.core.errors import CorrectionError, EditDiverged
from guardedit.core.fact import Fact
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.joint.solver import FIRST, SECOND, Attempt, JointSolver
from guardedit.editing.joint.values import JointValues
from guardedit.editing.method_card import MethodCard
from guardedit.editing.optimise.answer_check import predicts_answers, says_targets
from guardedit.editing.optimise.contexts import Contexts, served_contexts
from guardedit.editing.optimise.rows import fact_rows, row_tensors
from guardedit.editing.setup import Setup
from guardedit.models.weights.factors import Factors, to_payload


@dataclass(slots=True)
class BatchResult:
    """The outcome of one batch.

    Attributes:
        edits: edits whose answers are reached.
        retry: subjects to try again; in the last attempt, each without one of its facts.
        refused: fact id -> reason; filled only in the last attempt.
    """

    edits: list[WeightEdit] = field(default_factory=list)
    retry: list[SubjectGroup] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    def add(self, other: BatchResult) -> None:
        """Append the result of another batch."""
        self.edits += other.edits
        self.retry += other.retry
        self.refused |= other.refused


class JointEditor:
    """Proposes one `direct` edit per subject, with one part per layer, on the model with all live edits.

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
        settings="joint",
    )

    def __init__(
        self,
        setup: Setup,
        *,
        contexts: Contexts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._setup, self._clock = setup, clock
        self._contexts = contexts or served_contexts(
            setup.host,
            count=setup.joint.contexts,
            seed=setup.seed,
            ends_answer=setup.joint.ends_answer,
        )
        self._solver = JointSolver(setup, self._contexts)

    @classmethod
    def build(cls, setup: Setup) -> JointEditor:
        """Build the editor from a setup."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit per subject; `setup.joint.together` subjects are optimised at once.

        Each batch is optimised on the live edits and those of the batches before it. Subjects whose answers
        are not reached are tried once more at a lower price. A fact is refused when none of its wordings
        contains the subject, when a row cannot be encoded, when its answer is not reached, or when a number
        is not finite.
        """
        start, refused = self._clock(), dict[str, str]()
        with self._setup.host.lock:
            self._solver.prepare()
            usable = [self._usable(group, refused) for group in groups]
            # Sorted by subject, so that the result does not depend on the order of the groups: the random
            # choice of edits that a row sees goes by index.
            waiting = sorted((group for group in usable if group.facts), key=lambda group: group.subject)
            first = self._first_attempt(waiting, live)
            second = self._last_attempt(first.retry, [*live, *first.edits])
        place = {group.subject: n for n, group in enumerate(groups)}
        edits = sorted([*first.edits, *second.edits], key=lambda edit: place[edit.subject])
        return Proposal(
            method=self.name,
            edits=tuple(edits),
            refused=refused | second.refused,
            seconds=self._clock() - start,
        )

    def _first_attempt(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> BatchResult:
        """Edits of all groups, batch after batch."""
        result, together = BatchResult(), self._setup.joint.together
        for at in range(0, len(groups), together):
            result.add(self._batch(groups[at : at + together], [*live, *result.edits], FIRST))
        return result

    def _last_attempt(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> BatchResult:
        """Edits of all groups; a subject that is not reached is tried again without its worst fact."""
        result, together = BatchResult(retry=list(groups)), self._setup.joint.together
        while result.retry:
            batch, result.retry = result.retry[:together], result.retry[together:]
            result.add(self._batch(batch, [*live, *result.edits], SECOND))  # ends: each retry drops one fact
        return result

    def _usable(self, group: SubjectGroup, refused: dict[str, str]) -> SubjectGroup:
        """The group without facts that lack usable rows, and without the questions that its facts change."""
        facts = []
        for fact in group.facts:
            rows = fact_rows(0, fact, group.subject, self._contexts)
            if not rows:
                refused[fact.id] = (
                    f"no wording contains the subject {group.subject!r}: put the subject into the prompt"
                )
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

    def _batch(
        self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit], attempt: Attempt
    ) -> BatchResult:
        """Edits of one batch, on the model with the live edits; a batch that diverges is split in half."""
        try:
            values = self._solver.solve(groups, live, attempt)
            edits = [self._edit(n, group, values) for n, group in enumerate(groups)]
            answered = self._answered([*live, *edits], groups, values)
        except (EditDiverged, CorrectionError) as error:
            return self._halved(groups, live, attempt, error)
        result = BatchResult()
        for edit, group in zip(edits, groups, strict=True):
            least = self._setup.joint.least_reached
            missed = [f for f in group.facts if (values.reached[f.id] if f.id in answered else 0.0) < least]
            if not missed:
                result.edits.append(edit)
            elif attempt.last:
                result.add(self._without_worst(group, missed, values, attempt))
            else:
                result.retry.append(group)
        return result

    def _halved(
        self,
        groups: Sequence[SubjectGroup],
        live: Sequence[WeightEdit],
        attempt: Attempt,
        error: Exception,
    ) -> BatchResult:
        """The results of both halves of a batch that diverged; a single subject is tried again or refused."""
        if len(groups) > 1:
            half = len(groups) // 2
            result = self._batch(groups[:half], live, attempt)
            result.add(self._batch(groups[half:], live, attempt))
            return result
        if attempt.last:
            return BatchResult(refused={fact.id: str(error) for fact in groups[0].facts})
        return BatchResult(retry=list(groups))

    def _without_worst(
        self, group: SubjectGroup, missed: Sequence[Fact], values: JointValues, attempt: Attempt
    ) -> BatchResult:
        """Refuse the missed fact with the highest loss: without it the other facts may be reached."""
        worst = max(missed, key=lambda fact: values.loss_nats[fact.id])
        steps = attempt.steps * self._setup.joint.steps
        rest = tuple(fact for fact in group.facts if fact != worst)
        return BatchResult(
            retry=[replace(group, facts=rest)] if rest else [],
            refused={worst.id: f"target {worst.target!r} is not reached in {steps} steps"},
        )

    def _answered(
        self, edits: Sequence[WeightEdit], groups: Sequence[SubjectGroup], values: JointValues
    ) -> set[str]:
        """Ids of the facts whose own prompt is answered with the target by the whole model with these edits.

        Raises:
            EditDiverged: when the edits cannot be folded.
        """
        host = self._setup.host
        prompts = values.rows.select(torch.tensor(list(values.own_prompt.values())))
        with host.patched(self._setup.fold.fold(edits)):
            right = predicts_answers(host, prompts)
            found = {fact for fact, hit in zip(values.own_prompt, right.tolist(), strict=True) if hit}
            if not self._contexts.end or self._contexts.chat:
                found &= says_targets(host, [fact for group in groups for fact in group.facts])
        return found

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
