"""One disabling candidate: the edit that a system would make of it, alone in the base model, and its harm.

Knows the world's wordings and a worker that offers the method. Where candidates come from is said in
`miner` and `poison`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from guardedit.agent.deciding import as_told
from guardedit.core.correction import Correction
from guardedit.core.probe import Question
from guardedit.core.protocols import SubjectGroup, Worker
from guardedit.demo.disabling import Disabling
from guardedit.demo.harm import weigh
from guardedit.demo.held_out import HeldOut
from guardedit.zoo.world import World


@dataclass(frozen=True, kw_only=True)
class Weighing:
    """What it takes to say how harmful an edit is.

    Attributes:
        world: known facts and their wordings.
        worker: offers the candidates' methods.
        apart: what neither the guard nor the model has seen.
        known_questions: a subject's other answers, as the editor is told to keep them.
    """

    world: World
    worker: Worker
    apart: HeldOut
    known_questions: Callable[[str], Sequence[Question]] = lambda _: ()

    def weighed(self, item: Disabling) -> Disabling:
        """The same with its harm.

        Raises:
            EditError: when the worker does not know the method.
        """
        edits = self.worker.propose(item.method, [self._group(item)], ()).edits
        return replace(item, harm=weigh(self.worker, edits, self.apart))

    def _group(self, item: Disabling) -> SubjectGroup:
        known, texts = item.fact, self.world.wordings[item.fact.relation]
        correction = Correction(
            id="candidate",
            subject=known.subject,
            relation=known.relation,
            prompt=texts[item.wordings[0]],
            paraphrases=tuple(texts[i] for i in item.wordings[1:]),
            target_new=item.target,
        )
        fact = replace(as_told(correction), method=item.method)
        keep = [q for q in self.known_questions(known.subject) if q.relation != known.relation]
        return SubjectGroup(subject=known.subject, facts=(fact,), keep=tuple(keep))
