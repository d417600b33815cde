"""The questions about a list of numbered facts, with the answers that follow from its newest facts."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from guardedit.lab.consolidation.numbered import NumberedFact, Pair
from guardedit.naming import identity

#: Relation of MQuAKE -> ways to name the target by the subject.
PHRASES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "P6": ("the head of government of {}", "the head of the {} government"),
        "P19": ("the city where {} was born", "the birthplace of {}"),
        "P20": ("the city where {} died", "the place of death of {}"),
        "P26": ("the spouse of {}", "the person that {} is married to"),
        "P27": ("the country of citizenship of {}", "the country that {} is a citizen of"),
        "P30": ("the continent that {} is located in", "the continent of {}"),
        "P36": ("the capital of {}", "the city that is the capital of {}"),
        "P37": ("the official language of {}", "{}'s official language"),
        "P40": ("the child of {}", "{}'s child"),
        "P50": ("the author of {}", "the person who wrote {}"),
        "P69": ("the university where {} was educated", "the university that {} attended"),
        "P108": ("the employer of {}", "the organisation that {} works for"),
        "P112": ("the founder of {}", "the person who founded {}"),
        "P136": ("the type of music that {} plays", "the genre of {}"),
        "P169": ("the chief executive officer of {}", "{}'s CEO"),
        "P170": ("the creator of {}", "the person who created {}"),
        "P175": ("the performer of {}", "the person who performed {}"),
        "P176": ("the company that produced {}", "the manufacturer of {}"),
        "P178": ("the developer of {}", "the company that developed {}"),
        "P286": ("the head coach of {}", "{}'s head coach"),
        "P413": ("the position that {} plays", "the position played by {}"),
        "P449": ("the original broadcaster of {}", "the channel that first broadcast {}"),
        "P488": ("the chairperson of {}", "the person who chairs {}"),
        "P495": ("the country where {} was created", "{}'s country of origin"),
        "P641": ("the sport that {} is associated with", "{}'s sport"),
        "P800": ("the work that {} is famous for", "the notable work of {}"),
        "P1037": ("the director of {}", "{}'s director"),
    }
)


class ListQuestion(NamedTuple):
    """One question.

    Attributes:
        text: the question.
        answer: the target of the newest fact, or of the second of two newest facts.
        outdated: answers that only older facts give.
        held_out: whether it is in the half that nothing was developed on.
    """

    text: str
    answer: str
    outdated: frozenset[str]
    held_out: bool


def single_hop(facts: Sequence[NumberedFact]) -> list[ListQuestion]:
    """For each subject and relation that MQuAKE has a question for, that question."""
    return [
        ListQuestion(
            text=pair.question.format(pair.subject),
            answer=pair.new,
            outdated=frozenset({pair.old}),
            held_out=_held_out(pair),
        )
        for pair in _newest(facts).values()
        if pair.question
    ]


def two_hop(facts: Sequence[NumberedFact]) -> list[ListQuestion]:
    """For each two newest facts of which the first leads to the second, a question over both.

    Each chain is asked once, with one of the phrases of its first relation in turn.
    """
    newest, chains = _newest(facts), list[ListQuestion]()
    by_subject: dict[str, list[Pair]] = defaultdict(list)
    for pair in newest.values():
        if pair.question:
            by_subject[identity(pair.subject)].append(pair)
    for first in newest.values():
        for second in by_subject.get(identity(first.new), ()) if first.question else ():
            phrases = PHRASES.get(first.relation, ())
            if phrases and second.key != first.key:
                phrase = phrases[len(chains) % len(phrases)].format(first.subject)
                chains.append(
                    ListQuestion(
                        text=second.question.format(phrase),
                        answer=second.new,
                        outdated=frozenset({second.old}) - {second.new},
                        held_out=_held_out(first),
                    )
                )
    return chains


def _newest(facts: Sequence[NumberedFact]) -> dict[tuple[str, str], Pair]:
    return {one.pair.key: one.pair for one in facts}


def _held_out(pair: Pair) -> bool:
    """By the name of the subject, so that the same chain is always in the same half."""
    return hashlib.sha256(identity(pair.subject).encode()).digest()[0] % 2 == 1
