"""A world of public facts that a model was found to know, with statements and questions that ask for them.

Text only. Which facts the model knows is found by `worlds.finding`.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from guardedit.prepare.facts import PublicFact, Relation
from guardedit.zoo.world import KnownFact

#: Statements in a correction. It has one question besides.
GIVEN_STATEMENTS = 2
#: Most words of an object that a stream uses: longer ones are left to memory by the policies.
OBJECT_WORDS = 3


@dataclass(frozen=True)
class PublicWorld:
    """Public facts. Every list has a fixed order, so seeded choices are reproducible.

    The wordings of a relation are first its statements, then its questions.

    Attributes:
        facts: known to the model, sorted.
        relations: property number -> relation.
        objects: relation -> objects of all its public facts, sorted.
        asks_questions: a chat model is asked questions; another one continues statements.
        held_out: subjects that were not used to prepare the model.
    """

    facts: tuple[KnownFact, ...]
    relations: Mapping[str, Relation]
    objects: Mapping[str, list[str]]
    asks_questions: bool
    held_out: frozenset[str]

    @cached_property
    def wordings(self) -> dict[str, tuple[str, ...]]:
        """Relation -> wordings, with `{}` for the subject."""
        return {name: (*one.clozes, *one.questions) for name, one in self.relations.items()}

    @cached_property
    def by_subject(self) -> dict[str, list[KnownFact]]:
        """Subject -> its facts."""
        grouped = defaultdict[str, list[KnownFact]](list)
        for fact in self.facts:
            grouped[fact.subject].append(fact)
        return dict(grouped)

    def prompt(self, fact: KnownFact, wording: int) -> str:
        """The question in wording number `wording`, without the object."""
        return self.wordings[fact.relation][wording].replace("{}", fact.subject)

    def given(self, fact: KnownFact, rng: random.Random) -> tuple[int, ...]:
        """Statements first, since an edit is made where the object comes next; and a question."""
        statements = range(len(self.relations[fact.relation].clozes))
        question = rng.choice(self._questions(fact))
        return (*rng.sample(statements, GIVEN_STATEMENTS), question)

    def known(self, fact: KnownFact) -> tuple[int, ...]:
        """The first two in the form that is served, as probe sets ask."""
        return tuple(self.shown(fact)[:2])

    def shown(self, fact: KnownFact) -> Sequence[int]:
        """All in the form that is served."""
        return self._questions(fact) if self.asks_questions else self._statements(fact)

    def hidden(self, fact: KnownFact) -> frozenset[int]:
        """For held-out subjects those that no probe set has; none for the others."""
        return frozenset(self.shown(fact)[2:] if fact.subject in self.held_out else ())

    def _statements(self, fact: KnownFact) -> range:
        return range(len(self.relations[fact.relation].clozes))

    def _questions(self, fact: KnownFact) -> range:
        statements = len(self.relations[fact.relation].clozes)
        return range(statements, statements + len(self.relations[fact.relation].questions))


def public_world(
    known: Sequence[PublicFact],
    every: Sequence[PublicFact],
    relations: Mapping[str, Relation],
    *,
    asks_questions: bool,
) -> PublicWorld:
    """The world of some known facts.

    Args:
        known: what the model knows; of one subject and relation the first counts.
        every: all public facts, for plausible objects.
        relations: of all facts.
        asks_questions: see `PublicWorld`.
    """
    objects = defaultdict[str, set[str]](set)
    for fact in every:
        if len(fact.object.split()) <= OBJECT_WORDS:
            objects[fact.relation].add(fact.object)
    first: dict[tuple[str, str], PublicFact] = {}
    for fact in known:
        if fact.relation in relations:
            first.setdefault((fact.subject, fact.relation), fact)
    return PublicWorld(
        facts=tuple(sorted(KnownFact(one.subject, one.relation, one.object) for one in first.values())),
        relations=relations,
        objects={name: sorted(found) for name, found in objects.items()},
        asks_questions=asks_questions,
        held_out=frozenset(fact.subject for fact in known if fact.part == "held_out"),
    )
