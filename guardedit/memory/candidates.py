"""From questions to candidate facts with their features. Pure reading of shelves; decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from guardedit.core.fact import FactKey
from guardedit.memory.encoder import Encoder, Vectors
from guardedit.memory.scope import Features
from guardedit.memory.shelf import Entry, Shelf, longest_name
from guardedit.memory.subject import masked_forms, word_overlap
from guardedit.memory.wordings import likeness
from guardedit.naming import Mention, Name, find_mentions


class Candidate(NamedTuple):
    """A fact that a question may fall under, and what is known about that."""

    entry: Entry
    features: Features


class _Ask(NamedTuple):
    """A question about one named subject: its masked forms and whether the name seems to go on."""

    forms: tuple[str, ...]
    extended: bool


class _Encoded(NamedTuple):
    """The masked forms of all questions: their rows and their likeness to every shelf's wordings."""

    row: dict[str, int]
    vectors: Vectors  # (forms, dim)
    tables: list[tuple[dict[str, int], NDArray[np.float32]]]
    encoder: Encoder


def candidates(questions: Sequence[str], shelves: Sequence[Shelf], encoder: Encoder) -> list[list[Candidate]]:
    """Per question the facts whose subject it names; where it names none, the nearest fact.

    `shelves` come in order of precedence: a fact hides those of later shelves with the same subject
    and relation. All texts of all questions are encoded in one call.
    """
    known = {name for shelf in shelves for name in shelf.names}
    longest = longest_name(shelves)
    asks = [_asks(question, find_mentions(question, known, longest=longest)) for question in questions]
    forms = list(dict.fromkeys(form for ask in asks for one in ask.values() for form in one.forms))
    vectors = encoder.encode([*questions, *forms])
    whole, parts = vectors[: len(questions)], vectors[len(questions) :]
    encoded = _Encoded(
        row={form: i for i, form in enumerate(forms)},
        vectors=parts,
        tables=[shelf.wordings.cosines(parts) for shelf in shelves],
        encoder=encoder,
    )
    found = [
        [
            Candidate(entry, _features(entry, one, encoded, full=shelf.cosine(entry, vector)))
            for name, one in ask.items()
            for entry, shelf in _visible(name, shelves)
        ]
        for ask, vector in zip(asks, whole, strict=True)
    ]
    return _with_nearest(found, whole, shelves)


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


def _features(entry: Entry, ask: _Ask, encoded: _Encoded, *, full: float) -> Features:
    rows = [encoded.row[form] for form in ask.forms]
    own = encoded.vectors[rows] @ encoded.encoder.encode(entry.asked).T  # (forms, wordings)
    like = likeness(entry.fact.key.relation, encoded.tables, rows)
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
    found: list[list[Candidate]], whole: Vectors, shelves: Sequence[Shelf]
) -> list[list[Candidate]]:
    """Fill in the nearest visible fact for questions that name no subject: it may go by an alias."""
    bare = [i for i, row in enumerate(found) if not row]
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
