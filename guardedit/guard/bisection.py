"""Finding the culprits of a failing batch by trials. Knows items and verdicts, not edits or models."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from guardedit.core.fact import Fact
from guardedit.core.protocols import SubjectGroup
from guardedit.core.verdict import Outcome, Verdict

T = TypeVar("T")

#: Trials that one batch may cost before the rest has to wait.
MAX_TRIALS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Bisection(Generic[T]):
    """What a batch came to.

    Attributes:
        kept: accepted together by one trial, in the order of the batch.
        culprits: each with the failing verdict of a trial that added it alone to accepted items.
        untried: neither, because the trials ran out; they keep their place in the memory.
        trials: how many were run.
        verdict: of the trial that accepted `kept`; None when nothing was kept.
    """

    kept: tuple[T, ...]
    culprits: Mapping[T, Verdict]
    untried: tuple[T, ...]
    trials: int
    verdict: Verdict | None


def fact_ids(item: object) -> tuple[str, ...]:
    """The names by which gates blame an item: fact ids, or the text itself."""
    if isinstance(item, SubjectGroup):
        return tuple(fact.id for fact in item.facts)
    return (item.id,) if isinstance(item, Fact) else (str(item),)


def bisect(
    items: Sequence[T],
    trial: Callable[[Sequence[T]], Verdict],
    *,
    names: Callable[[T], Collection[str]] = fact_ids,
    max_trials: int = MAX_TRIALS,
) -> Bisection[T]:
    """Keep as much of a batch as passes, and find out what does not.

    1. Try everything. If it passes, done.
    2. If gates name a minority, try the others. If they pass, try each named one on top of them: a
       named fact may itself be the victim of another, so a name is a suspicion and not yet a sentence.
    3. Otherwise find the shortest failing beginning of the batch by halving; its last item is a culprit,
       what comes before it is kept. Go on with the rest, on top of what was kept.

    Every kept set was accepted by a trial as it is, so facts that fail only together are told apart
    deterministically: the earlier is kept. All but `accept` counts as failing; the verdicts of the
    culprits say whether they were rejected or could not be judged. A single culprit among n costs at
    most 2 + ceil(log2 n) trials, 2 when it is named; every wrong name can cost one more. Items must be
    hashable; errors of `trial` pass through.
    """
    search = _Search(items, trial, names, max_trials)
    with suppress(_OutOfTrials):
        search.run()
    return search.result()


class _OutOfTrials(Exception):
    """Raised to leave the search from any depth; never leaves this file."""


class _Search(Generic[T]):
    """Works on indices: `kept` was accepted, `pending` is undecided, `culprits` failed."""

    def __init__(
        self,
        items: Sequence[T],
        trial: Callable[[Sequence[T]], Verdict],
        names: Callable[[T], Collection[str]],
        max_trials: int,
    ) -> None:
        self.items = items
        self.trial = trial
        self.names = names
        self.max_trials = max_trials
        self.kept: list[int] = []
        self.pending = list(range(len(items)))
        self.culprits: dict[int, Verdict] = {}
        self.verdicts: dict[frozenset[int], Verdict] = {}

    def run(self) -> None:
        while self.pending:
            if self.keeps(self.pending):
                return
            failing = self.set_named_aside()
            if failing:
                self.find_first(failing)

    def set_named_aside(self) -> int:
        """How long a beginning of `pending` is known to fail; 0 when the names settled everything."""
        named = set(self.judged(self.pending).culprits)
        suspects = [i for i in self.pending if named.intersection(self.names(self.items[i]))]
        others = [i for i in self.pending if i not in suspects]
        if not suspects or len(suspects) > len(others):
            return len(self.pending)
        # Suspects last, so that the halving below reaches them last too.
        self.pending = others + suspects
        if not self.keeps(others):
            return len(others)
        for suspect in suspects:
            if not self.keeps([suspect]):
                self.blame(suspect)
        return 0

    def find_first(self, failing: int) -> None:
        """Halve the failing beginning of `pending` until its last item is known to be the culprit."""
        while failing > 1:
            half = failing // 2
            failing = failing - half if self.keeps(self.pending[:half]) else half
        self.blame(self.pending[0])

    def keeps(self, group: Sequence[int]) -> bool:
        """Try `group` on top of what is kept, and keep it if it passes."""
        if self.judged(group).outcome is not Outcome.ACCEPT:
            return False
        self.kept = sorted((*self.kept, *group))
        self.pending = [i for i in self.pending if i not in set(group)]
        return True

    def blame(self, index: int) -> None:
        self.culprits[index] = self.judged([index])
        self.pending.remove(index)

    def judged(self, group: Iterable[int]) -> Verdict:
        """The verdict on `kept` and `group` together; the same set is never tried twice."""
        chosen = frozenset((*self.kept, *group))
        if chosen not in self.verdicts:
            if len(self.verdicts) >= self.max_trials:
                raise _OutOfTrials
            self.verdicts[chosen] = self.trial([self.items[i] for i in sorted(chosen)])
        return self.verdicts[chosen]

    def result(self) -> Bisection[T]:
        return Bisection(
            kept=tuple(self.items[i] for i in self.kept),
            culprits={self.items[i]: self.culprits[i] for i in sorted(self.culprits)},
            untried=tuple(self.items[i] for i in sorted(self.pending)),
            trials=len(self.verdicts),
            verdict=self.verdicts.get(frozenset(self.kept)) if self.kept else None,
        )
