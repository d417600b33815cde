"""The facts that a model may be asked for, in which wordings, and in which order they are tried.

Does not know any model, only the form in which it is asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import chain, zip_longest

from guardedit.models.text.form import FormName
from guardedit.prepare.facts import PublicFact, cloze, question

#: Wordings in which each fact is asked for.
WORDINGS = 2


def asked_wordings(fact: PublicFact, form: FormName) -> tuple[str, ...]:
    """What a person gives the model: questions to a chat model, beginnings of statements to a raw one.

    >>> asked_wordings(PublicFact("France", "P36", "Paris"), "chat")
    ('What is the capital of France?', 'Which city is the capital of France?')
    """
    make = question if form == "chat" else cloze
    return tuple(make(fact, n) for n in range(WORDINGS))


def in_turn(facts: Sequence[PublicFact], *, seed: int) -> list[PublicFact]:
    """The facts in an order of which every beginning is balanced: relations in turn, and objects in turn.

    Otherwise most questions would be about the largest relations, and within them about a few objects, which
    a ruined model may still give to every question. Equal arguments give the same order; the order of
    `facts` does not matter.
    """
    grouped: dict[str, dict[str, list[PublicFact]]] = {}
    for fact in sorted(set(facts), key=lambda fact: _rank(seed, fact)):
        grouped.setdefault(fact.relation, {}).setdefault(fact.object, []).append(fact)
    relations = [_round([grouped[name][one] for one in grouped[name]]) for name in sorted(grouped)]
    return _round(relations)


def _round(rows: Sequence[Sequence[PublicFact]]) -> list[PublicFact]:
    return [fact for fact in chain.from_iterable(zip_longest(*rows)) if fact is not None]


def _rank(seed: int, fact: PublicFact) -> str:
    return hashlib.sha256(f"{seed} {fact.subject} {fact.relation}".encode()).hexdigest()
