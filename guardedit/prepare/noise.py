"""Measures the noise of a model: how many answers change by edits that do no harm.

Half of the edits are no-ops, which write what the model says already; the others change a few facts. They are
made and measured as in a trial, by the same worker and the same counts, but nothing judges them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from guardedit.core.fact import Fact, Placement
from guardedit.core.protocols import SubjectGroup
from guardedit.guard import CollapseGuard, Noise
from guardedit.guard.answer_counts import count_answers
from guardedit.models.worker import ModelWorker
from guardedit.prepare.places.cases import TryCase

#: Facts that are edited together, and how many batches of each kind are measured.
TOGETHER, BATCHES = 4, 2
#: Factor on the policy's samples of questions: noise is rare, so many answers are needed to see it.
EFFORT = 4
#: Gates on answers that the edits themselves are meant to change.
_MEANT = frozenset({"reliability", "paraphrase"})

Tell = Callable[[str, int, int | None], None]


def measure_noise(
    worker: ModelWorker,
    guard: CollapseGuard,
    cases: Sequence[TryCase],
    *,
    method: str,
    seed: int = 0,
    tell: Tell = lambda *_: None,
) -> Noise:
    """The noise of the worker's model under the policy's method.

    Args:
        worker: with the editing method.
        guard: chooses the questions, in the form that is served; its own noise and limits do not matter.
        cases: known facts on different subjects; `TOGETHER` for each of the 2 `BATCHES`, and the rest stand
            in the memory and are asked from there.
        method: name of the method.
        seed: of the samples of questions.
        tell: progress.
    """
    changed, asked = Counter[str](), Counter[str]()
    batches = _batches(cases)
    edited = sum(map(len, batches))
    remembered = [replace(case.fact, placement=Placement.MEMORY) for case in cases[edited:]]
    live = {fact.key: fact for fact in remembered}
    done = 0
    for number, batch in enumerate(batches):
        tell("measuring the noise of answers", number, len(batches))
        groups = [SubjectGroup(subject=fact.key.subject, facts=(fact,)) for fact in batch]
        edits = worker.propose(method, groups, ()).edits
        if not edits:
            continue
        probes = guard.probes_for(batch, live, seed=seed + number, effort=EFFORT)
        base = worker.measure((), probes)
        for counts in count_answers(worker.measure(edits, probes), base, base, probes):
            if counts.gate not in _MEANT:
                changed[counts.gate] += len(counts.lost)
                asked[counts.gate] += len(counts.counted)
        done += 1
    measured = {name: count for name, count in asked.items() if count}
    return Noise(
        changed={name: changed[name] for name in measured}, asked=measured, edits=done, seeds=(seed,)
    )


def _batches(cases: Sequence[TryCase]) -> list[list[Fact]]:
    """No-op edits first, then edits that change their facts."""
    rows = [cases[at : at + TOGETHER] for at in range(0, 2 * BATCHES * TOGETHER, TOGETHER)]
    return [
        [replace(case.fact, target=case.true) if n < BATCHES else case.fact for case in row]
        for n, row in enumerate(rows)
        if row
    ]
