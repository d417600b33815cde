"""Labelled pairs of a question and a fact, made from relations: what the judge is trained and measured on.

In both texts of a pair the subject is `SLOT`, so the judge learns what is asked and not who it is about. The
hard part of the task is in the pairs that are out of scope: most of them share the subject, and many the
relation. `frames.json` has what may stand around a question or a name.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from guardedit.memory.encoder import Encoder
from guardedit.memory.fitting.relations import SUBJECT, VALUE, WordedRelation
from guardedit.memory.judge.texts import SLOT, fact_text
from guardedit.memory.subject import MASK

_FRAMES = Path(__file__).with_name("frames.json")

#: Pairs of a relation whose question is one of another relation, and pairs with two questions in one.
_OTHER_RELATION, _TWO_QUESTIONS = 40, 4
#: Of those other relations, the share whose statements are most like this one's, and the share with the same
#: kind of subject; the rest are any.
_LIKE, _SAME_KIND = 0.4, 0.4


class JudgePair(NamedTuple):
    """A question and a fact, both with `SLOT` for the subject, and whether the fact answers the question.

    Attributes:
        question: what is asked.
        fact: the fact as text, see `fact_text`.
        in_scope: whether the fact answers it.
        kind: of pair, for reports.
        relation: of the fact.
    """

    question: str
    fact: str
    in_scope: bool
    kind: str
    relation: str


def make_pairs(
    relations: Sequence[WordedRelation], like: Mapping[str, Sequence[WordedRelation]], *, seed: int
) -> Iterator[JudgePair]:
    """Labelled pairs about every relation, in the order of the relations; each wording is used once.

    Args:
        relations: at least two.
        like: name of a relation -> the relations that are most like it, see `most_alike`.
        seed: of the choice of statements, answers and changes.
    """
    rng = random.Random(seed)
    by_kind: dict[str, list[WordedRelation]] = {}
    for relation in relations:
        by_kind.setdefault(relation.kind, []).append(relation)
    for relation in relations:
        others = _Others(
            like=like[relation.relation],
            siblings=[one for one in by_kind[relation.kind] if one is not relation],
            all=[one for one in relations if one is not relation],
        )
        asked = [*_in_scope(relation, rng), *_out_of_scope(relation, others, rng)]
        for question, kind, in_scope in asked:
            yield JudgePair(question, _fact(relation, rng), in_scope, kind, relation.relation)


def most_alike(
    relations: Sequence[WordedRelation], encoder: Encoder, *, count: int = 10
) -> dict[str, list[WordedRelation]]:
    """For each relation those whose statements are nearest to its own: the ones to be confused with it."""
    texts = [text.replace(SUBJECT, MASK) for relation in relations for text in relation.statements]
    rows = iter(encoder.encode(texts))
    means = np.stack([np.mean([next(rows) for _ in relation.statements], axis=0) for relation in relations])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    cosines = means @ means.T
    np.fill_diagonal(cosines, -np.inf)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, : min(count, len(relations) - 1)]
    return {
        relation.relation: [relations[i] for i in near]
        for relation, near in zip(relations, order, strict=True)
    }


class _Others(NamedTuple):
    like: Sequence[WordedRelation]
    siblings: Sequence[WordedRelation]
    all: Sequence[WordedRelation]

    def any(self, rng: random.Random) -> WordedRelation:
        draw = rng.random()
        if draw < _LIKE:
            return rng.choice(self.like)
        return rng.choice(self.siblings if self.siblings and draw < _LIKE + _SAME_KIND else self.all)


class _Asked(NamedTuple):
    question: str
    kind: str
    in_scope: bool


def _in_scope(relation: WordedRelation, rng: random.Random) -> Iterator[_Asked]:
    for kind, text in relation.in_scope():
        yield _Asked(_as_typed(_filled(text, relation, rng), rng), kind, in_scope=True)
    for _ in range(_TWO_QUESTIONS):
        both = [_any_question(relation, rng), _filled(rng.choice(relation.beside), relation, rng)]
        rng.shuffle(both)
        yield _Asked(_joined(both[0], both[1], rng), "second_question", in_scope=True)


def _out_of_scope(relation: WordedRelation, others: _Others, rng: random.Random) -> Iterator[_Asked]:
    for kind, text in relation.out_of_scope():
        yield _Asked(_as_typed(_filled(text, relation, rng), rng), kind, in_scope=False)
    for text in relation.asked:
        yield from _other_subject(_filled(text, relation, rng), relation, rng)
    for _ in range(_OTHER_RELATION):
        other = _any_question(others.any(rng), rng)
        yield _Asked(_as_typed(other, rng), "other_relation", in_scope=False)
    for _ in range(_TWO_QUESTIONS):
        beside = _filled(rng.choice(relation.beside), relation, rng)
        both = _joined(beside, _any_question(rng.choice(others.all), rng), rng)
        yield _Asked(both, "second_question_out", in_scope=False)


def _other_subject(question: str, relation: WordedRelation, rng: random.Random) -> Iterator[_Asked]:
    """At times a question about something else that has the subject's name in it."""
    frames, draw = _frames(), rng.random()
    if draw < 0.25:
        form = rng.choice(frames["longer_after"] if rng.random() < 0.65 else frames["longer_before"])
        longer = question.replace(SLOT, form.replace(SUBJECT, SLOT), 1)
        yield _Asked(_as_typed(longer, rng), "longer_name", in_scope=False)
    elif draw < 0.35:
        passing = rng.choice(frames["in_passing"]).replace(SUBJECT, SLOT)
        about = question.replace(SLOT, rng.choice(relation.subjects))
        yield _Asked(_as_typed(f"{passing} {about}", rng), "in_passing", in_scope=False)
    elif draw < 0.45:
        common = rng.choice(frames["common"]).replace(SUBJECT, SLOT)
        asked = rng.choice([*frames["common_asked"], question.replace(SLOT, "it").rstrip("?")])
        made = f"{_capital(common)}, {_small(asked)}?"
        yield _Asked(_as_typed(made, rng), "common_word", in_scope=False)


def _fact(relation: WordedRelation, rng: random.Random) -> str:
    draw = rng.random()
    texts = relation.statements if draw < 0.6 else relation.asked if draw < 0.85 else relation.continued
    return fact_text(rng.choice(texts).replace(SUBJECT, SLOT), rng.choice(relation.values))


def _any_question(relation: WordedRelation, rng: random.Random) -> str:
    kinds = (relation.search, relation.continued, relation.statements, relation.yes_no)
    return _filled(rng.choice(rng.choice((relation.asked, relation.asked, *kinds))), relation, rng)


def _filled(text: str, relation: WordedRelation, rng: random.Random) -> str:
    return text.replace(SUBJECT, SLOT).replace(VALUE, rng.choice(relation.values))


def _joined(first: str, second: str, rng: random.Random) -> str:
    """Two questions as one message."""
    first = first.rstrip("?. ")
    return f"{first}? {second}" if rng.random() < 0.5 else f"{first} and {_small(second)}"


def _as_typed(question: str, rng: random.Random) -> str:
    """The question as somebody may type it: in a chat, beside another question, in small letters."""
    draw = rng.random()
    if draw < 0.10:
        question = rng.choice(_frames()["around"]).replace("{q}", question)
    elif draw < 0.20:
        question = _beside_another(question, rng.choice(_frames()["also"]), rng)
    if rng.random() < 0.15:
        question = question.lower().replace(SLOT.lower(), SLOT)
    if rng.random() < 0.12:
        question = question.rstrip("?. ")
    if rng.random() < 0.08:
        question = _misspelt(question, rng)
    return question


def _beside_another(question: str, also: str, rng: random.Random) -> str:
    bare = question.rstrip("?. ")
    return rng.choice(
        (
            f"{_capital(also)} and {_small(bare)}?",
            f"{bare}? And {also}?",
            f"{bare}, and {also}?",
            f"{_capital(also)}? {question}",
        )
    )


def _misspelt(question: str, rng: random.Random) -> str:
    """One word, not the subject, with two neighbouring letters in the wrong order."""
    words = question.split(" ")
    usable = [i for i, word in enumerate(words) if word.isalpha() and len(word) > 4]
    if not usable:
        return question
    i = rng.choice(usable)
    at = rng.randrange(1, len(words[i]) - 2)
    word = words[i]
    words[i] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _small(text: str) -> str:
    return text if text.startswith(SLOT) else text[:1].lower() + text[1:]


@cache
def _frames() -> Mapping[str, list[str]]:
    frames: Mapping[str, list[str]] = json.loads(_FRAMES.read_text(encoding="utf-8"))
    return frames
