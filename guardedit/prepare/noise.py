"""Measures the noise of a model: how many answers change by edits that do no harm.

Half of the edits are no-ops of the editing method, which write what the model says already. The other half
are random changes of a benign size, which no method made: a method that harms must not raise its own
allowance. They are measured as in a trial, by the same worker and the same counts, but nothing judges them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from guardedit.core.fact import Fact, Placement
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.guard import CollapseGuard, Noise
from guardedit.guard.answer_counts import count_answers
from guardedit.models.worker import ModelWorker
from guardedit.prepare.places.cases import TryCase

#: Facts that are edited together, and how many batches of each kind are measured.
TOGETHER, BATCHES = 4, 2
#: Factor on the policy's samples of questions: noise is rare, so many answers are needed to see it.
EFFORT = 4
#: A kind of questions is measured only with this many of them: the share of fewer says nothing, and a gate
#: would take it for a large uncertainty.
LEAST_QUESTIONS = 30
#: Gates on answers that the edits themselves are meant to change.
_MEANT = frozenset({"reliability", "paraphrase"})

Tell = Callable[[str, int, int | None], None]


def measure_noise(
    worker: ModelWorker,
    guard: CollapseGuard,
    cases: Sequence[TryCase],
    *,
    method: str,
    benign: Sequence[WeightEdit],
    seed: int = 0,
    tell: Tell = lambda *_: None,
) -> Noise:
    """The noise of the worker's model under the policy's method.

    Args:
        worker: with the editing method.
        guard: chooses the questions, in the form that is served; its own noise and limits do not matter.
        cases: known facts on different subjects; `TOGETHER` for each of the `BATCHES` of no-ops, and the
            rest stand in the memory and are asked from there.
        method: name of the method.
        benign: random changes, each measured by itself.
        seed: of the samples of questions.
        tell: progress.
    """
    batches = [cases[at : at + TOGETHER] for at in range(0, BATCHES * TOGETHER, TOGETHER)]
    facts = [[replace(case.fact, target=case.true) for case in batch] for batch in batches if batch]
    edited = sum(map(len, facts))
    live = {case.fact.key: replace(case.fact, placement=Placement.MEMORY) for case in cases[edited:]}
    made = [(batch, _proposed(worker, method, batch)) for batch in facts]
    made += [([], [edit]) for edit in benign]
    changed, asked = Counter[str](), Counter[str]()
    measured = [(batch, edits) for batch, edits in made if edits]
    for number, (batch, edits) in enumerate(measured):
        tell("measuring the noise of answers", number, len(measured))
        probes = guard.probes_for(batch, live, seed=seed + number, effort=EFFORT)
        base = worker.measure((), probes)
        for counts in count_answers(worker.measure(edits, probes), base, base, probes):
            changed[counts.gate] += len(counts.lost)
            asked[counts.gate] += len(counts.counted)
    enough = LEAST_QUESTIONS * len(measured)
    names = [name for name, count in asked.items() if name not in _MEANT and count >= enough > 0]
    return Noise(
        changed={name: changed[name] for name in names},
        asked={name: asked[name] for name in names},
        edits=len(measured),
        seeds=(seed,),
    )


def _proposed(worker: ModelWorker, method: str, facts: Sequence[Fact]) -> Sequence[WeightEdit]:
    groups = [SubjectGroup(subject=fact.key.subject, facts=(fact,)) for fact in facts]
    return worker.propose(method, groups, ()).edits
