"""From questions to candidate facts with their features. Pure reading of shelves; decides nothing."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from guardedit.core.fact import FactKey
from guardedit.memory.encoder import Vectors
from guardedit.memory.scope import Features, is_comparable
from guardedit.memory.shelf import Entry, Shelf, longest_name
from guardedit.memory.subject import masked_forms, word_overlap
from guardedit.memory.wordings import Table, likeness
from guardedit.naming import Mention, Name, find_mentions


class Candidate(NamedTuple):
    """A fact that a question may fall under, and what is known about that."""

    entry: Entry
    features: Features


class _Ask(NamedTuple):
    """A question about one named subject: its masked forms and whether the name seems to go on."""

    forms: tuple[str, ...]
    extended: bool


class Reading(NamedTuple):
    """What questions say, given the names that are known: for each, the subjects it names."""

    questions: Sequence[str]
    asks: list[dict[Name, _Ask]]

    def texts(self) -> list[str]:
        """Everything that has to be encoded."""
        forms = [form for ask in self.asks for one in ask.values() for form in one.forms]
        return list(dict.fromkeys([*self.questions, *forms]))


class _Encoded(NamedTuple):
    """The masked forms of all questions: their rows and their likeness to every shelf's wordings."""

    row: dict[str, int]
    vectors: Vectors  # (forms, dim)
    tables: list[Table]


def read(questions: Sequence[str], shelves: Sequence[Shelf]) -> Reading:
    """Look for the subjects of the shelves' facts."""
    known = ChainMap(*(shelf.names for shelf in shelves))
    longest = longest_name(shelves)
    found = [_asks(question, find_mentions(question, known, longest=longest)) for question in questions]
    return Reading(questions, found)


def candidates(
    reading: Reading, shelves: Sequence[Shelf], vectors: Mapping[str, Vectors]
) -> list[list[Candidate]]:
    """Per question the facts whose subject it names; where it names none, the nearest fact.

    Args:
        reading: of these shelves as they are.
        shelves: in order of precedence: a fact hides those of later shelves with the same subject and
            relation.
        vectors: (dim,) rows of all of `reading.texts()`.
    """
    if not reading.questions:
        return []
    whole = np.stack([vectors[question] for question in reading.questions])
    encoded = _encoded(reading, shelves, vectors)
    found = [
        [
            Candidate(entry, _features(entry, one, encoded, shelf, full=shelf.cosine(entry, vector)))
            for name, one in ask.items()
            for entry, shelf in _visible(name, shelves)
        ]
        for ask, vector in zip(reading.asks, whole, strict=True)
    ]
    return _with_nearest(found, reading.questions, whole, shelves)


def _encoded(reading: Reading, shelves: Sequence[Shelf], vectors: Mapping[str, Vectors]) -> _Encoded:
    forms = list(dict.fromkeys(form for ask in reading.asks for one in ask.values() for form in one.forms))
    if not forms:
        return _Encoded({}, np.zeros((0, 0), dtype=np.float32), [])
    rows = np.stack([vectors[form] for form in forms])
    tables = [shelf.wordings.cosines(rows) for shelf in shelves]
    return _Encoded({form: i for i, form in enumerate(forms)}, rows, tables)


def _asks(question: str, mentions: list[Mention]) -> dict[Name, _Ask]:
    return {
        name: _Ask(
            masked_forms(question, mentions, name),
            all(mention.extended for mention in mentions if mention.name == name),
        )
        for name in dict.fromkeys(mention.name for mention in mentions)
    }


def _visible(name: Name, shelves: Sequence[Shelf]) -> list[tuple[Entry, Shelf]]:
    seen: dict[str, tuple[Entry, Shelf]] = {}
    for shelf in shelves:
        for key, entry in shelf.names.get(name, {}).items():
            if key.relation not in seen:
                seen[key.relation] = (entry, shelf)
    return list(seen.values())


def _features(entry: Entry, ask: _Ask, encoded: _Encoded, shelf: Shelf, *, full: float) -> Features:
    rows, relation = [encoded.row[form] for form in ask.forms], entry.fact.key.relation
    own = encoded.vectors[rows] @ shelf.wordings.vectors(relation, entry.asked).T  # (forms, wordings)
    like = likeness(relation, encoded.tables, rows)
    return Features(
        full=full,
        own=float(own.max()),
        relation=like.same,
        rival=like.rival,
        rivals=like.rivals,
        overlap=max(word_overlap(form, asked) for form in ask.forms for asked in entry.asked),
        named=True,
        extended=ask.extended,
    )


def _with_nearest(
    found: list[list[Candidate]], questions: Sequence[str], whole: Vectors, shelves: Sequence[Shelf]
) -> list[list[Candidate]]:
    """Fill in the nearest visible fact for questions that name no subject: it may go by an alias."""
    bare = [i for i, row in enumerate(found) if not row and is_comparable(questions[i])]
    if not bare:
        return found
    hits = [shelf.nearest(whole[bare]) for shelf in shelves]
    for n, i in enumerate(bare):
        near = [
            (cosine, entry)
            for level, per_question in enumerate(hits)
            for entry, cosine in per_question[n]
            if not _hidden(entry.fact.key, entry.name, shelves[:level])
        ]
        if near:
            cosine, entry = max(near, key=lambda pair: (pair[0], pair[1].fact.id))
            found[i] = [Candidate(entry, Features(full=cosine))]
    return found


def _hidden(key: FactKey, name: Name, before: Sequence[Shelf]) -> bool:
    return any(other.relation == key.relation for shelf in before for other in shelf.names.get(name, {}))
