"""Measures the harm of a candidate: makes the edit as the system would, alone in the base model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from guardedit.agent.deciding import first_version
from guardedit.core.correction import Correction
from guardedit.core.probe import Question
from guardedit.core.protocols import SubjectGroup, Worker
from guardedit.demo.disabling.edit import DisablingEdit
from guardedit.demo.disabling.harm import measure_harm
from guardedit.demo.disabling.held_out import HeldOut
from guardedit.demo.worlds.stream_world import StreamWorld


@dataclass(frozen=True, kw_only=True)
class HarmTester:
    """Measures candidates from `rome_search` and `poison`.

    Attributes:
        world: known facts and their wordings.
        worker: offers the candidates' methods.
        held_out: texts and questions.
        known_questions: subject -> the answers that its editor must preserve.
    """

    world: StreamWorld
    worker: Worker
    held_out: HeldOut
    known_questions: Callable[[str], Sequence[Question]] = lambda _: ()

    def tested(self, candidate: DisablingEdit) -> DisablingEdit:
        """The candidate with its harm.

        Raises:
            EditError: when the worker does not know the method.
        """
        edits = self.worker.propose(candidate.method, [self._group(candidate)], ()).edits
        return replace(candidate, harm=measure_harm(self.worker, edits, self.held_out))

    def _group(self, candidate: DisablingEdit) -> SubjectGroup:
        known, texts = candidate.fact, self.world.wordings[candidate.fact.relation]
        correction = Correction(
            id="candidate",
            subject=known.subject,
            relation=known.relation,
            prompt=texts[candidate.wordings[0]],
            paraphrases=tuple(texts[i] for i in candidate.wordings[1:]),
            target_new=candidate.target,
        )
        fact = replace(first_version(correction), method=candidate.method)
        keep = [q for q in self.known_questions(known.subject) if q.relation != known.relation]
        return SubjectGroup(subject=known.subject, facts=(fact,), keep=tuple(keep))
