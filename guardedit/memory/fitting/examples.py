"""Synthetic facts and questions; each question is labelled with the fact that it is about, if any.

An examples file is JSON Lines with two kinds of row: `{"kind", "subjects"}` and `{"kind", "relation",
"wordings"}`, where every wording contains `{}` once. An example world makes facts from subjects and relations
of one kind and stores some of their wordings. Its questions use wordings that were not stored (positive),
other relations of the same subject, and the same relations of other subjects (both negative).
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from guardedit.core.errors import MemoryIndexError
from guardedit.core.fact import Fact, FactKey


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleRelation:
    """A relation and its wordings. Its subjects are the subjects of its kind."""

    kind: str
    name: str
    wordings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """The content of an examples file. `subjects` maps a kind to its subjects."""

    relations: tuple[ExampleRelation, ...]
    subjects: dict[str, tuple[str, ...]]


class LabelledQuestion(NamedTuple):
    """A question, the key of the fact that it is about (None: no live fact), and the relation it asks for."""

    question: str
    answer: FactKey | None
    relation: str


class ExampleWorld(NamedTuple):
    """Live facts and labelled questions."""

    facts: tuple[Fact, ...]
    questions: tuple[LabelledQuestion, ...]


def read_examples(path: Path) -> Examples:
    """Read an examples file.

    Raises:
        MemoryIndexError: the file cannot be read or a line is wrong; the message names the line.
    """
    relations, subjects = [], {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MemoryIndexError(f"examples {path} cannot be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            if "subjects" in row:
                subjects[row["kind"]] = tuple(row["subjects"])
            else:
                relations.append(_relation(row))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MemoryIndexError(f"examples {path}:{number}: {error!r}") from error
    if missing := sorted({relation.kind for relation in relations} - set(subjects)):
        raise MemoryIndexError(f"examples {path}: no subjects for kind {missing[0]!r}")
    return Examples(relations=tuple(relations), subjects=subjects)


def example_worlds(examples: Examples, *, seed: int, questions: int) -> Iterator[ExampleWorld]:
    """Worlds from sparse to dense: few or many live relations, with few or many facts each.

    Each world has at most `questions` positive questions. Most of its negative questions are about subjects
    of live facts, because those are the hard ones.
    """
    rng = random.Random(seed)
    for share, facts_per_relation in itertools.product((0.01, 0.04, 0.1, 0.3, 0.8), (1, 2, 4, 8)):
        yield _example_world(examples, rng, share, facts_per_relation, questions)


def _example_world(
    examples: Examples, rng: random.Random, share: float, facts_per_relation: int, questions: int
) -> ExampleWorld:
    facts: list[Fact] = []
    positive: list[LabelledQuestion] = []
    for relation in rng.sample(examples.relations, round(share * len(examples.relations))):
        names = examples.subjects[relation.kind]
        for subject in rng.sample(names, min(facts_per_relation, len(names) - 1)):
            stored = rng.sample(relation.wordings, max(1, min(4, len(relation.wordings) // 2)))
            facts.append(_fact(subject, relation, stored))
            positive += [
                LabelledQuestion(wording.replace("{}", subject), facts[-1].key, relation.name)
                for wording in relation.wordings
            ]
    live = {fact.key for fact in facts}
    live_subjects = {fact.key.subject for fact in facts}
    other_relation: list[LabelledQuestion] = []  # about a subject that has other live facts
    other_subject: list[LabelledQuestion] = []
    for relation in examples.relations:
        for subject in examples.subjects[relation.kind]:
            if _key(subject, relation) not in live:
                text = rng.choice(relation.wordings).replace("{}", subject)
                negative = other_relation if subject in live_subjects else other_subject
                negative.append(LabelledQuestion(text, None, relation.name))
    chosen = [
        *_sample(positive, questions, rng),
        *_sample(other_relation, questions, rng),
        *_sample(other_subject, questions // 4, rng),
    ]
    return ExampleWorld(tuple(facts), tuple(chosen))


def _sample(rows: list[LabelledQuestion], count: int, rng: random.Random) -> list[LabelledQuestion]:
    return rng.sample(rows, min(count, len(rows)))


def _key(subject: str, relation: ExampleRelation) -> FactKey:
    # The `#` keeps the relation name from being used as a key text, so that nothing is learned from its
    # words.
    return FactKey(subject, f"#{relation.name}")


def _fact(subject: str, relation: ExampleRelation, wordings: Sequence[str]) -> Fact:
    return Fact(
        key=_key(subject, relation),
        version=1,
        correction_id=f"{subject}/{relation.name}",
        wordings=tuple(wording.replace("{}", subject) for wording in wordings),
        target="so",
    )


def _relation(row: dict[str, object]) -> ExampleRelation:
    wordings = row["wordings"]
    if not isinstance(wordings, list) or len(wordings) < 2:
        raise ValueError(f"wordings must be a list of two or more, got {wordings!r:.60}")
    for wording in wordings:
        if wording.count("{}") != 1:
            raise ValueError(f"wording {wording!r} must hold {{}} once")
    return ExampleRelation(kind=str(row["kind"]), name=str(row["relation"]), wordings=tuple(wordings))
