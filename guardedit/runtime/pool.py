"""Makes several model workers act as one: splits the work over them and merges the results."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from guardedit.core.probe import Inspection, Measurement, Probes
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup, Worker

Part = TypeVar("Part")
Result = TypeVar("Result")


class WorkerPool:
    """Implements `Worker`: proposals and probes are split over the workers, the rest goes to the first.

    The split depends only on positions, so each worker gets the same probe texts every time and can reuse its
    earlier measurements. All workers must have loaded the same model.
    """

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._workers = list(workers)

    @property
    def base_sha256(self) -> str:
        """Digest of the base model."""
        return self._workers[0].base_sha256

    def propose(self, method: str, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """Each worker proposes edits for its share of the subjects."""
        started = time.perf_counter()
        parts = [groups[n :: len(self._workers)] for n in range(len(self._workers))]
        found = self._each(lambda worker, part: worker.propose(method, part, live), parts)
        edits = {edit.subject: edit for proposal in found for edit in proposal.edits}
        refused = {fact: reason for proposal in found for fact, reason in proposal.refused.items()}
        return Proposal(
            method=method,
            edits=tuple(edits[group.subject] for group in groups if group.subject in edits),
            refused=refused,
            seconds=time.perf_counter() - started,
        )

    def inspect(self, edits: Sequence[WeightEdit], live: Sequence[WeightEdit]) -> list[Inspection]:
        """Inspect edits without a forward pass, on the first worker."""
        return self._workers[0].inspect(edits, live)

    def capacity_ratio(self, edits: Sequence[WeightEdit]) -> float:
        """Live keys over free rank, from the first worker."""
        return self._workers[0].capacity_ratio(edits)

    def weights_sha256(self, edits: Sequence[WeightEdit]) -> str:
        """Digest of the folded matrices, from the first worker."""
        return self._workers[0].weights_sha256(edits)

    def measure(self, edits: Sequence[WeightEdit], probes: Probes) -> Measurement:
        """Each worker measures its share of the texts and questions."""
        started, count = time.perf_counter(), len(self._workers)
        parts = [
            Probes(texts=probes.texts[n::count], questions=probes.questions[n::count]) for n in range(count)
        ]
        found = self._each(lambda worker, part: worker.measure(edits, part), parts)
        logprobs: list[tuple[float, ...]] = [()] * len(probes.texts)
        for n, part in enumerate(found):
            logprobs[n::count] = part.logprobs
        answers = {prompt: answer for part in found for prompt, answer in part.answers.items()}
        return replace(
            found[0],
            logprobs=tuple(logprobs),
            answers={question.prompt: answers[question.prompt] for question in probes.questions},
            spans={span: score for part in found for span, score in part.spans.items()},
            seconds=time.perf_counter() - started,
        )

    def _each(self, work: Callable[[Worker, Part], Result], parts: Sequence[Part]) -> list[Result]:
        """One call per worker, in parallel. The first error is raised when all calls have ended."""
        with ThreadPoolExecutor(len(self._workers)) as threads:
            return list(threads.map(work, self._workers, parts))
