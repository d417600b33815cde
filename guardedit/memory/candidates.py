"""Candidate facts for questions, with the features that the scope test judges. Read-only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from guardedit.core.fact import FactKey
from guardedit.memory.encoder import Vectors
from guardedit.memory.names import Named, Way, find_named
from guardedit.memory.scope import Features, is_comparable
from guardedit.memory.subject import masked_forms, word_overlap
from guardedit.memory.tenant_index import FactEntry, TenantIndex
from guardedit.memory.wordings import RelationCosines, similarity
from guardedit.naming import Name, key_name, name_of

_DIGIT = re.compile(r"\d")


class Candidate(NamedTuple):
    """A fact that a question may be about, and the features of the pair.

    Attributes:
        entry: the fact.
        features: the inputs of the scope test.
        asked: the question with every mention of the subject masked, then each of its sentences or questions
            that names the subject, where it has several. Empty where the subject is not named.
        wordings: masked, the fact's own wording that is nearest to one of these, and that of all live facts
            of its relation, where it is another one.
    """

    entry: FactEntry
    features: Features
    asked: tuple[str, ...] = ()
    wordings: tuple[str, ...] = ()


class _NamedSubject(NamedTuple):
    """A known subject that a question names.

    Attributes:
        forms: the masked question, and its parts, as `Candidate.asked`.
        doubtful: whether every mention of it may be one of something else.
        way: the surest way in which it is named.
    """

    forms: tuple[str, ...]
    doubtful: bool
    way: Way


class ParsedQuestions(NamedTuple):
    """Questions, and for each one the known subjects that it names."""

    questions: Sequence[str]
    subjects: list[dict[Name, _NamedSubject]]

    def masked_forms(self) -> list[str]:
        """The distinct masked forms of all questions."""
        return list(
            dict.fromkeys(
                form for found in self.subjects for subject in found.values() for form in subject.forms
            )
        )

    def texts(self) -> list[str]:
        """All texts whose vectors `find_candidates` needs."""
        return list(dict.fromkeys([*self.questions, *self.masked_forms()]))


class _EncodedForms(NamedTuple):
    """The masked forms of all questions: their vectors and their cosines to the wordings in each index."""

    row: dict[str, int]
    vectors: Vectors  # (forms, dim)
    cosines: list[RelationCosines]


def parse_questions(questions: Sequence[str], indexes: Sequence[TenantIndex]) -> ParsedQuestions:
    """Find the subjects of known facts in the questions."""
    names = [index.names for index in indexes]
    subjects = [_named_subjects(question, find_named(question, names)) for question in questions]
    return ParsedQuestions(questions, subjects)


def named_subjects(text: str, indexes: Sequence[TenantIndex]) -> list[str]:
    """The subjects of facts that a text names, as they are spelled there, in their order."""
    found = sorted(find_named(text, [index.names for index in indexes]), key=lambda one: one.start)
    return list(dict.fromkeys(text[one.start : one.end] for one in found))


def find_candidates(
    parsed: ParsedQuestions, indexes: Sequence[TenantIndex], vectors: Mapping[str, Vectors]
) -> list[list[Candidate]]:
    """For each question, the facts whose subject it names; if it names none, the nearest fact.

    Args:
        parsed: the questions, parsed with these indexes in their present state.
        indexes: in order of precedence; a fact hides facts of later indexes with the same subject and
            relation.
        vectors: text -> its (dim,) vector, for all of `parsed.texts()`.
    """
    if not parsed.questions:
        return []
    whole = np.stack([vectors[question] for question in parsed.questions])
    encoded = _encoded_forms(parsed, indexes, vectors)
    found = [
        [
            _candidate(entry, subject, encoded, index, full=index.cosine(entry, vector))
            for name, subject in subjects.items()
            for entry, index in _visible(name, indexes)
        ]
        for subjects, vector in zip(parsed.subjects, whole, strict=True)
    ]
    return _with_nearest(found, parsed.questions, whole, indexes)


def _encoded_forms(
    parsed: ParsedQuestions, indexes: Sequence[TenantIndex], vectors: Mapping[str, Vectors]
) -> _EncodedForms:
    forms = parsed.masked_forms()
    if not forms:
        return _EncodedForms({}, np.zeros((0, 0), dtype=np.float32), [])
    rows = np.stack([vectors[form] for form in forms])
    cosines = [index.wordings.cosines(rows) for index in indexes]
    return _EncodedForms({form: i for i, form in enumerate(forms)}, rows, cosines)


def _named_subjects(question: str, found: list[Named]) -> dict[Name, _NamedSubject]:
    by_name: dict[Name, list[Named]] = {}
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        mentions = by_name.setdefault(one.name, [])
        if not mentions or mentions[-1].end <= one.start:  # a name and an alias of one subject may overlap
            mentions.append(one)
    return {
        name: _NamedSubject(
            masked_forms(question, [(one.start, one.end) for one in mentions]),
            all(one.doubtful for one in mentions),
            min(one.way for one in mentions),
        )
        for name, mentions in by_name.items()
    }


def _visible(name: Name, indexes: Sequence[TenantIndex]) -> list[tuple[FactEntry, TenantIndex]]:
    """The facts of a subject. Of two with the same key, in any spelling, the last one is visible."""
    found: dict[FactKey, tuple[FactEntry, TenantIndex]] = {}
    for index in indexes:
        for key, entry in reversed(index.by_name.get(name, {}).items()):
            found.setdefault(_without_tenant(key), (entry, index))
    return list(found.values())


def _candidate(
    entry: FactEntry, subject: _NamedSubject, encoded: _EncodedForms, index: TenantIndex, *, full: float
) -> Candidate:
    rows, relation = [encoded.row[form] for form in subject.forms], entry.fact.key.relation
    own = encoded.vectors[rows] @ index.wordings.vectors(relation, entry.masked).T  # (forms, wordings)
    similar = similarity(relation, encoded.cosines, rows)
    features = Features(
        full=full,
        own=float(own.max()),
        relation=similar.same,
        rival=similar.rival,
        rivals=similar.rivals,
        overlap=max(word_overlap(form, wording) for form in subject.forms for wording in entry.masked),
        named=True,
        doubtful=subject.doubtful,
        way=subject.way,
        has_relation="{}" not in relation,
    )
    nearest = entry.masked[int(own.max(axis=0).argmax())]
    wordings = dict.fromkeys([nearest, index.wordings.nearest(relation, encoded.vectors[rows])])
    return Candidate(entry, features, subject.forms, tuple(wordings))


def _with_nearest(
    found: list[list[Candidate]], questions: Sequence[str], whole: Vectors, indexes: Sequence[TenantIndex]
) -> list[list[Candidate]]:
    """Add the nearest visible fact for questions that name no subject: they may use an alias."""
    bare = [i for i, row in enumerate(found) if not row and is_comparable(questions[i])]
    if not bare:
        return found
    hits = [index.nearest(whole[bare]) for index in indexes]
    for n, i in enumerate(bare):
        near = [
            (cosine, entry)
            for level, per_question in enumerate(hits)
            for entry, cosine in per_question[n]
            if not _hidden(entry.fact.key, entry.name, indexes[: level + 1])
            and not _has_another_number(questions[i], entry.name)
        ]
        if near:
            cosine, entry = max(near, key=lambda pair: (pair[0], pair[1].fact.id))
            found[i] = [Candidate(entry, Features(full=cosine))]
    return found


def _has_another_number(question: str, name: Name) -> bool:
    """Whether a name has a number that the question lacks, and the question one that the name lacks.

    Their vectors are near, but "BMW N57" is no other name of BMW N52.
    """
    asked, own = ({word for word in words if _DIGIT.search(word)} for words in (name_of(question), name))
    return bool(own - asked and asked - own)


def _hidden(key: FactKey, name: Name, indexes: Sequence[TenantIndex]) -> bool:
    """Whether another fact with the same key is visible in place of this one."""
    shown = {_without_tenant(entry.fact.key): entry.fact.key for entry, _ in _visible(name, indexes)}
    return shown.get(_without_tenant(key), key) != key


def _without_tenant(key: FactKey) -> FactKey:
    return key_name(key)._replace(tenant="")
