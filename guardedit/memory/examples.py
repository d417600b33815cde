"""Small made-up worlds in which it is known which question falls under which fact.

An examples file is JSON Lines of two kinds of row: `{"kind", "subjects"}` and `{"kind", "relation",
"wordings"}`, where every wording holds `{}` once. A world makes facts of subjects and relations of one
kind, remembers some of their wordings, and asks: wordings not remembered (positive), other relations of
the same subject, and the same relations of other subjects (both negative).
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
class Relation:
    """One way things can be related, and how it is asked; subjects are those of its kind."""

    kind: str
    name: str
    wordings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """The content of an examples file."""

    relations: tuple[Relation, ...]
    subjects: dict[str, tuple[str, ...]]


class Asked(NamedTuple):
    """A question, the fact it falls under (None: no live fact), and the relation it asks for."""

    question: str
    answer: FactKey | None
    relation: str


class MadeWorld(NamedTuple):
    """Live facts and questions about them."""

    facts: tuple[Fact, ...]
    asked: tuple[Asked, ...]


def read_examples(path: Path) -> Examples:
    """Read an examples file.

    Raises:
        MemoryIndexError: names the line that is wrong.
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


def made_worlds(examples: Examples, *, seed: int, questions: int) -> Iterator[MadeWorld]:
    """Worlds from sparse to dense, in how many relations are live and in how many facts each has.

    Each asks at most `questions` of either sign; those that should find nothing are mostly about live
    subjects, because these are the hard ones.
    """
    rng = random.Random(seed)
    for share, facts_per_relation in itertools.product((0.01, 0.04, 0.1, 0.3, 0.8), (1, 2, 4, 8)):
        yield _made_world(examples, rng, share, facts_per_relation, questions)


def _made_world(
    examples: Examples, rng: random.Random, share: float, facts_per_relation: int, questions: int
) -> MadeWorld:
    facts: list[Fact] = []
    right: list[Asked] = []
    for relation in rng.sample(examples.relations, round(share * len(examples.relations))):
        names = examples.subjects[relation.kind]
        for subject in rng.sample(names, min(facts_per_relation, len(names) - 1)):
            kept = rng.sample(relation.wordings, max(1, min(4, len(relation.wordings) // 2)))
            facts.append(_fact(subject, relation, kept))
            right += [
                Asked(w.replace("{}", subject), facts[-1].key, relation.name) for w in relation.wordings
            ]
    live = {fact.key for fact in facts}
    named = {fact.key.subject for fact in facts}
    nearly: list[Asked] = []  # a live subject, but nothing of this relation
    others: list[Asked] = []
    for relation in examples.relations:
        for subject in examples.subjects[relation.kind]:
            if _key(subject, relation) not in live:
                asked = Asked(rng.choice(relation.wordings).replace("{}", subject), None, relation.name)
                (nearly if subject in named else others).append(asked)
    asked_here = [
        *_some(right, questions, rng),
        *_some(nearly, questions, rng),
        *_some(others, questions // 4, rng),
    ]
    return MadeWorld(tuple(facts), tuple(asked_here))


def _some(rows: list[Asked], count: int, rng: random.Random) -> list[Asked]:
    return rng.sample(rows, min(count, len(rows)))


def _key(subject: str, relation: Relation) -> FactKey:
    # A sign before the name, so that nothing is learned from what the name says.
    return FactKey(subject, f"#{relation.name}")


def _fact(subject: str, relation: Relation, wordings: Sequence[str]) -> Fact:
    return Fact(
        key=_key(subject, relation),
        version=1,
        correction_id=f"{subject}/{relation.name}",
        wordings=tuple(wording.replace("{}", subject) for wording in wordings),
        target="so",
    )


def _relation(row: dict[str, object]) -> Relation:
    wordings = row["wordings"]
    if not isinstance(wordings, list) or len(wordings) < 2:
        raise ValueError(f"wordings must be a list of two or more, got {wordings!r:.60}")
    for wording in wordings:
        if wording.count("{}") != 1:
            raise ValueError(f"wording {wording!r} must hold {{}} once")
    return Relation(kind=str(row["kind"]), name=str(row["relation"]), wordings=tuple(wordings))
