"""Bisection of a failing batch: which items pass together, and which are harmful."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from guardedit.core.fact import Fact
from guardedit.core.protocols import SubjectGroup
from guardedit.core.verdict import Outcome, Verdict

T = TypeVar("T")

#: Most trials for one batch. Items that are still undecided then wait for the next batch.
MAX_TRIALS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Bisection(Generic[T]):
    """The result of bisecting a batch.

    Attributes:
        accepted: items that one trial accepted together, in the order of the batch.
        harmful: item -> the failing verdict of the trial that added only this item to the accepted items.
        untried: items that are neither accepted nor harmful, because the trials ran out.
        trials: how many trials were run.
        verdict: of the trial that accepted `accepted`; None when nothing was accepted.
    """

    accepted: tuple[T, ...]
    harmful: Mapping[T, Verdict]
    untried: tuple[T, ...]
    trials: int
    verdict: Verdict | None


def fact_ids(item: object) -> tuple[str, ...]:
    """The names by which gates refer to an item: the fact ids of a fact or group, else its text."""
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
    """Accept as much of a batch as passes, and find the items that do not.

    1. Try the whole batch. If it passes, stop.
    2. If gates name suspects, at most half of the items, try the other items. If they pass, try each suspect
       on top of them: a suspect may itself have been damaged by another edit, so being named is no proof.
    3. Otherwise find the shortest failing prefix of the batch by halving. Its last item is harmful, and the
       items before it are accepted. Continue with the rest on top of the accepted items.

    Every accepted set was itself measured by a trial, so items that fail only together are separated
    deterministically: the earlier one is accepted. Every outcome except `accept` counts as failing; the
    verdicts of the harmful items show whether they were rejected or could not be judged. One harmful item
    among n costs at most 2 + ceil(log2 n) trials, and 2 when a gate names it; each wrong name costs at most
    one more.

    Args:
        items: the batch; hashable.
        trial: measures a set of items. Its errors are passed on to the caller.
        names: the names by which gates refer to an item.
        max_trials: most trials to run.
    """
    search = _Search(items, trial, names, max_trials)
    with suppress(_OutOfTrials):
        search.run()
    return search.result()


class _OutOfTrials(Exception):
    """Raised to leave the search from any depth; never leaves this file."""


class _Search(Generic[T]):
    """The search, on item indices: `accepted` passed, `pending` are undecided, `harmful` failed."""

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
        self.accepted: list[int] = []
        self.pending = list(range(len(items)))
        self.harmful: dict[int, Verdict] = {}
        self.verdicts: dict[frozenset[int], Verdict] = {}

    def run(self) -> None:
        while self.pending:
            if self.accepts(self.pending):
                return
            failing = self.set_suspects_aside()
            if failing:
                self.find_first(failing)

    def set_suspects_aside(self) -> int:
        """Try the items that no gate names, then each suspect on top of them.

        Returns the length of a prefix of `pending` that is known to fail; 0 when nothing is left to find.
        """
        named = set(self.judged(self.pending).failing_facts)
        suspects = [i for i in self.pending if named.intersection(self.names(self.items[i]))]
        others = [i for i in self.pending if i not in suspects]
        if not suspects or len(suspects) > len(others):
            return len(self.pending)
        # Suspects last, so that the halving below also reaches them last.
        self.pending = others + suspects
        if not self.accepts(others):
            return len(others)
        for suspect in suspects:
            if not self.accepts([suspect]):
                self.exclude(suspect)
        return 0

    def find_first(self, failing: int) -> None:
        """Halve the failing prefix of `pending` until it is one item, and exclude this item as harmful."""
        while failing > 1:
            half = failing // 2
            failing = failing - half if self.accepts(self.pending[:half]) else half
        self.exclude(self.pending[0])

    def accepts(self, group: Sequence[int]) -> bool:
        """Try `group` on top of the accepted items, and accept it if it passes."""
        if self.judged(group).outcome is not Outcome.ACCEPT:
            return False
        self.accepted = sorted((*self.accepted, *group))
        self.pending = [i for i in self.pending if i not in set(group)]
        return True

    def exclude(self, index: int) -> None:
        self.harmful[index] = self.judged([index])
        self.pending.remove(index)

    def judged(self, group: Iterable[int]) -> Verdict:
        """The verdict on `accepted` and `group` together; the same set is never tried twice."""
        chosen = frozenset((*self.accepted, *group))
        if chosen not in self.verdicts:
            if len(self.verdicts) >= self.max_trials:
                raise _OutOfTrials
            self.verdicts[chosen] = self.trial([self.items[i] for i in sorted(chosen)])
        return self.verdicts[chosen]

    def result(self) -> Bisection[T]:
        return Bisection(
            accepted=tuple(self.items[i] for i in self.accepted),
            harmful={self.items[i]: self.harmful[i] for i in sorted(self.harmful)},
            untried=tuple(self.items[i] for i in sorted(self.pending)),
            trials=len(self.verdicts),
            verdict=self.verdicts.get(frozenset(self.accepted)) if self.accepted else None,
        )
