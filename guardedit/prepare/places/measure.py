"""Scores a batch of edits by likelihood: what the model says at the objects' places, and perplexity.

Teacher-forced passes only, no generation: a candidate of a search takes little longer than its edits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from guardedit.core.errors import EditError
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.registry import Registry
from guardedit.editing.setup import Setup
from guardedit.guard.perplexity import Logprobs, paired_ratio
from guardedit.models.host import ModelHost
from guardedit.models.text.spans import Expected, score_spans
from guardedit.prepare.places.cases import TryCase

#: Merit lost per percent of perplexity that a hundred such edits would cost.
PERCENT_PRICE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchScores:
    """What a batch of edits reached, all of them together in the model. NaN where nothing was asked.

    Attributes:
        efficacy: share of own prompts after which the model says the target.
        unseen: share of other wordings after which the target is likelier than the true object, per token
            (as PS of Meng et al. 2022, with the mean log-probability).
        neighbours: share of answers about other subjects that are still said.
        same_subject: share of other answers about the edited subjects that are still said.
        perplexity_ratio: over the base model's, on ordinary text.
        seconds_per_edit: of the method, without the questions.
        edits: number of facts.
        problem: why nothing could be edited; "" if it could.
    """

    efficacy: float = math.nan
    unseen: float = math.nan
    neighbours: float = math.nan
    same_subject: float = math.nan
    perplexity_ratio: float = math.nan
    seconds_per_edit: float = math.nan
    edits: int = 0
    problem: str = ""

    @property
    def merit(self) -> float:
        """Harmonic mean of the shares, less a price for the perplexity that a hundred edits would cost.

        NaN if no edit succeeded or perplexity is not finite.

        >>> BatchScores(efficacy=1.0, unseen=1.0, neighbours=1.0, perplexity_ratio=1.001, edits=10).merit
        0.98
        """
        if not self.efficacy > 0 or not 0 < self.perplexity_ratio < math.inf:
            return math.nan
        shares = [self.efficacy, self.unseen, self.neighbours, self.same_subject]
        asked = [share for share in shares if not math.isnan(share)]
        mean = len(asked) / math.fsum(1 / share for share in asked) if all(asked) else 0.0
        percent = 100 * max(self.perplexity_ratio - 1, 0.0) * 100 / self.edits
        return round(mean - PERCENT_PRICE * percent, 12)


@dataclass(frozen=True, slots=True)
class BatchMeasure:
    """Measures batches of edits of one base model.

    Attributes:
        host: unpatched.
        cases: the facts, in the order in which candidates with few facts take them.
        texts: ordinary texts for perplexity.
        base: log-probabilities of the texts under the base model.
        method: name in the registry.
        batch: subjects that are proposed at once.
    """

    host: ModelHost
    cases: Sequence[TryCase]
    texts: Sequence[str]
    base: Logprobs
    method: str
    batch: int

    def __call__(
        self, setup: Setup, count: int, *, tell: Callable[[int], None] = lambda _: None
    ) -> BatchScores:
        """Edit the first `count` cases with a setup, and score all of them. `tell` gets edits done."""
        cases = self.cases[:count]
        started = time.perf_counter()
        try:
            edits = self._edits(setup, cases, tell)
            seconds = time.perf_counter() - started
            with self.host.patched(setup.fold.fold(edits)):
                scores = self.score(cases)
                logprobs = self.host.token_logprobs(self.texts)
        except EditError as error:
            return BatchScores(edits=len(cases), problem=str(error))
        return replace(
            scores,
            perplexity_ratio=paired_ratio(logprobs, self.base).ratio,
            seconds_per_edit=seconds / len(cases),
        )

    def score(self, cases: Sequence[TryCase]) -> BatchScores:
        """The shares of some cases under the model as it stands; nothing else is filled in."""
        own = [Expected(case.fact.prompt, case.fact.target) for case in cases]
        new = [Expected(text, case.fact.target) for case in cases for text in case.unseen]
        old = [Expected(text, case.true) for case in cases for text in case.unseen]
        near = list(dict.fromkeys(one for case in cases for one in case.neighbours))
        same = list(dict.fromkeys(one for case in cases for one in case.same_subject))
        spans = dict(
            zip(
                asked := list(dict.fromkeys([*own, *new, *old, *near, *same])),
                score_spans(self.host, asked),
                strict=True,
            )
        )
        return BatchScores(
            efficacy=_share([spans[one].said for one in own]),
            unseen=_share(
                [
                    spans[target].logprob_nats > spans[true].logprob_nats
                    for target, true in zip(new, old, strict=True)
                ]
            ),
            neighbours=_share([spans[one].said for one in near]),
            same_subject=_share([spans[one].said for one in same]),
            edits=len(cases),
        )

    def _edits(self, setup: Setup, cases: Sequence[TryCase], tell: Callable[[int], None]) -> list[WeightEdit]:
        editor = Registry().build(self.method, setup)
        edits: list[WeightEdit] = []
        for at in range(0, len(cases), self.batch):
            tell(at)
            groups = [
                SubjectGroup(subject=case.fact.key.subject, facts=(case.fact,))
                for case in cases[at : at + self.batch]
            ]
            edits += editor.propose(groups, edits).edits
        return edits


def _share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits) if hits else math.nan
