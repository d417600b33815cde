"""Asks rows beside stores of facts of different sizes.

A store holds the facts of a row, and facts of other rows and of the public data up to its size. None of the
others may answer the row's question: a fact is left out of a store if a question of the store names its
subject, or could mean it by a surname.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, Protocol

from guardedit.core.fact import Fact
from guardedit.core.serving import Recall
from guardedit.lab.field.scoring import Tell
from guardedit.lab.scope.rows import ScopeRow
from guardedit.naming import Name, name_of

#: Longest name in tokens that is searched for in questions.
_LONGEST = 12


class ScopeMemory(Protocol):
    """What is measured: a retrieval memory, or anything that recalls facts as one does."""

    def replace_facts(self, facts: Sequence[Fact]) -> str:
        """Hold exactly these facts."""

    def recall(self, questions: Sequence[str]) -> list[Recall]:
        """For each question, its fact."""


class Found(NamedTuple):
    """What a memory recalled for a row in one store."""

    row: ScopeRow
    size: int
    recall: Recall

    @property
    def given(self) -> bool:
        """Whether the question gets a fact. `unsure` counts, since `unsure: use_fact` states it."""
        return self.recall.scope != "out"

    @property
    def wrong(self) -> bool:
        """Whether it gets a fact that does not answer it."""
        return self.given and (self.recall.fact is None or self.recall.fact.key != self.row.key)


@dataclass(slots=True)
class RowGroup:
    """Rows with the same facts."""

    facts: tuple[Fact, ...]
    rows: list[ScopeRow] = field(default_factory=list)


@dataclass(slots=True)
class RowBatch:
    """Groups that can share a store: no question of one is about a fact of another."""

    groups: list[RowGroup] = field(default_factory=list)
    facts: int = 0
    names: set[Name] = field(default_factory=set)  # of subjects
    last: set[str] = field(default_factory=set)  # last words of subjects of several words
    named: set[Name] = field(default_factory=set)  # runs of words in questions
    loose: set[str] = field(default_factory=set)  # words of questions that do not spell their subject out

    def takes(self, group: RowGroup) -> bool:
        """Whether the group can be added."""
        return not (
            any(self.clashes(fact) for fact in group.facts)
            or any(_runs(row.question) & self.names or _loose(row) & self.last for row in group.rows)
        )

    def clashes(self, fact: Fact) -> bool:
        """Whether a fact may be what a question is about, or is about a subject of the batch."""
        name = name_of(fact.key.subject)
        return name in self.names or name in self.named or (len(name) > 1 and name[-1] in self.loose)

    def add(self, group: RowGroup) -> None:
        """Add a group."""
        self.groups.append(group)
        self.facts += len(group.facts)
        for fact in group.facts:
            name = name_of(fact.key.subject)
            self.names.add(name)
            if len(name) > 1:
                self.last.add(name[-1])
        for row in group.rows:
            self.named |= _runs(row.question)
            self.loose |= _loose(row)


def groups_of(rows: Iterable[ScopeRow]) -> list[RowGroup]:
    """The rows grouped by their facts, in order."""
    found: dict[tuple[str, ...], RowGroup] = {}
    for row in rows:
        ids = tuple(fact.id for fact in row.live)
        found.setdefault(ids, RowGroup(row.live)).rows.append(row)
    return list(found.values())


def batches_of(groups: Sequence[RowGroup], most_facts: int) -> list[RowBatch]:
    """Batches of at most `most_facts` facts; a larger group is alone. First fit, in order."""
    full: list[RowBatch] = []
    opened: list[RowBatch] = []
    for group in groups:
        for batch in opened:
            if batch.facts + len(group.facts) <= most_facts and batch.takes(group):
                batch.add(group)
                break
        else:
            batch = RowBatch()
            batch.add(group)
            opened.append(batch)
        if batch.facts >= most_facts:
            opened.remove(batch)
            full.append(batch)
    return [*full, *opened]


def usable_fillers(rows: Sequence[ScopeRow], fillers: Iterable[Fact]) -> list[Fact]:
    """The fillers that no row's question could be about, one for each subject."""
    everything = RowBatch()
    for group in groups_of(rows):
        everything.add(group)
    subjects: dict[Name, Fact] = {}
    for fact in fillers:
        if not everything.clashes(fact):
            subjects.setdefault(name_of(fact.key.subject), fact)
    return list(subjects.values())


def ask(
    memory: ScopeMemory,
    rows: Sequence[ScopeRow],
    fillers: Sequence[Fact],
    size: int,
    *,
    tell: Tell = lambda *_: None,
) -> Iterator[Found]:
    """Ask every row in a store of `size` facts.

    Args:
        memory: holds nothing else; has other facts afterwards.
        rows: what to ask.
        fillers: usable with these rows, see `usable_fillers`.
        size: facts in the store; a row with more has only its own.
        tell: progress.
    """
    # Half a store are fillers, so that few of them come and go between two batches.
    batches = batches_of(groups_of(rows), max(1, size // 2))
    doing, done = f"asking, {size:,} facts", 0
    for batch in batches:
        own = [fact for group in batch.groups for fact in group.facts]
        memory.replace_facts([*own, *fillers[: max(0, size - len(own))]])
        asked = [row for group in batch.groups for row in group.rows]
        for row, recall in zip(asked, memory.recall([row.question for row in asked]), strict=True):
            yield Found(row, size, recall)
        done += len(asked)
        tell(doing, done, len(rows))


@lru_cache(maxsize=100_000)
def _runs(text: str) -> frozenset[Name]:
    words = name_of(text)
    return frozenset(
        words[start:end]
        for start in range(len(words))
        for end in range(start + 1, min(len(words), start + _LONGEST) + 1)
    )


def _loose(row: ScopeRow) -> set[str]:
    """The words of a question that has a wanted fact but does not name its subject."""
    words = name_of(row.question)
    if row.key is None or name_of(row.key.subject) in _runs(row.question):
        return set()
    return set(words)
