"""The shipped public facts and their relations: who is what, and how a person asks for it.

Text only; does not know any model. Where the data comes from: `PROVENANCE.md` in this folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from guardedit.core.errors import UsageError

#: `build`: for probes, tuning and choosing settings. `held_out`: never used for these, only to measure.
Part = Literal["build", "held_out"]
PARTS: tuple[Part, ...] = get_args(Part)
#: Every how many subjects one is held out.
HELD_OUT_EVERY = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """One kind of fact.

    Attributes:
        id: Wikidata's property number.
        name: for people.
        clozes: beginnings of a statement with the subject at `{}`; the object comes next.
        questions: what a person asks, with the subject at `{}`.
        objects: the kind of all objects. So the objects of other facts of the relation are plausible false
            targets.
        unique: a subject has only one object. A fact of another relation is one true answer of several.
        aliases: object -> other names for it.
    """

    id: str
    name: str
    clozes: tuple[str, ...]
    questions: tuple[str, ...]
    objects: str
    unique: bool
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, order=True)
class PublicFact:
    """A true statement: the relation of the subject is the object.

    Attributes:
        subject: its usual English name.
        relation: Wikidata's property number, or any name in a user's file.
        object: its usual English name.
        aliases: other names of the object.
        clozes: as in `Relation`, for a fact whose relation is not among the shipped ones.
        questions: as in `Relation`, likewise.
    """

    subject: str
    relation: str
    object: str
    aliases: tuple[str, ...] = ()
    clozes: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The object and its aliases."""
        return (self.object, *self.aliases)

    @property
    def part(self) -> Part:
        """Which part the fact belongs to; all facts of a subject are in the same one."""
        return part_of(self.subject)


def part_of(subject: str) -> Part:
    """The part of a subject, by a hash of its name.

    >>> part_of("France"), part_of("Norway")
    ('build', 'held_out')
    """
    digest = hashlib.sha256(subject.encode()).digest()
    return "held_out" if digest[0] % HELD_OUT_EVERY == 0 else "build"


@cache
def load_relations() -> Mapping[str, Relation]:
    """The shipped relations by their property numbers."""
    rows = json.loads(_shipped("relations.json"))
    return MappingProxyType({name: _relation(name, row) for name, row in rows.items()})


def load_public_facts(part: Part | None = None) -> tuple[PublicFact, ...]:
    """The shipped facts in the order of the file; only those of a part if one is named."""
    relations = load_relations()
    facts = [
        PublicFact(**row, aliases=relations[row["relation"]].aliases.get(row["object"], ()))
        for row in map(json.loads, _shipped("public_facts.jsonl").splitlines())
    ]
    return tuple(fact for fact in facts if part in (None, fact.part))


def read_facts(path: Path) -> tuple[PublicFact, ...]:
    """Facts of a user's file: JSON Lines with `subject`, `relation`, `object`.

    A row may have `aliases`, and must have two `clozes` and two `questions` if its relation is not among the
    shipped ones.

    Raises:
        UsageError: the file cannot be read, or a row has another form; the message names the line.
    """
    try:
        body = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the facts {path}: {error}; give a readable JSON Lines file") from error
    return tuple(_user_facts(path, body))


def cloze(fact: PublicFact, n: int = 0) -> str:
    """The n-th beginning of the statement, counted around: `The capital of France is`.

    >>> cloze(PublicFact("France", "P36", "Paris"))
    'The capital of France is'
    """
    return _filled(fact.clozes or _known(fact).clozes, fact, n)


def question(fact: PublicFact, n: int = 0) -> str:
    """The n-th question for the fact, counted around: `What is the capital of France?`."""
    return _filled(fact.questions or _known(fact).questions, fact, n)


def _filled(patterns: tuple[str, ...], fact: PublicFact, n: int) -> str:
    pattern, subject = patterns[n % len(patterns)], fact.subject
    if pattern.startswith("{}") and subject.islower():  # but `iPhone` stays as it is
        subject = subject[:1].upper() + subject[1:]
    return pattern.replace("{}", subject)


def _known(fact: PublicFact) -> Relation:
    found = load_relations().get(fact.relation)
    if found is None:
        raise UsageError(f"{fact.relation!r} is not a shipped relation: give the fact clozes and questions")
    return found


def _relation(name: str, row: Mapping[str, Any]) -> Relation:
    return Relation(
        id=name,
        name=row["name"],
        clozes=tuple(row["clozes"]),
        questions=tuple(row["questions"]),
        objects=row["objects"],
        unique=row["unique"],
        aliases=MappingProxyType({one: tuple(other) for one, other in row["aliases"].items()}),
    )


def _user_facts(path: Path, body: str) -> Iterator[PublicFact]:
    for number, line in enumerate(body.split("\n"), start=1):
        if line.strip():
            yield _user_fact(f"{path}:{number}", line)


def _user_fact(place: str, line: str) -> PublicFact:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place}: not JSON: {error}") from error
    if not isinstance(row, dict):
        raise UsageError(f"{place}: expected an object with subject, relation and object")
    names = [row.get(name) for name in ("subject", "relation", "object")]
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise UsageError(f"{place}: subject, relation and object must be texts that are not empty")
    lists = {name: _texts(place, name, row.get(name, [])) for name in ("aliases", "clozes", "questions")}
    _check_wordings(place, row["relation"], lists)
    return PublicFact(row["subject"], row["relation"], row["object"], **lists)


def _check_wordings(place: str, relation: str, lists: Mapping[str, tuple[str, ...]]) -> None:
    for name in ("clozes", "questions"):
        if any(text.count("{}") != 1 for text in lists[name]):
            raise UsageError(f"{place}: each of the {name} must have the subject's place {{}} once")
        if len(lists[name]) < 2 and (lists[name] or relation not in load_relations()):
            raise UsageError(f"{place}: give two or more {name}: a fact is asked for in two wordings")


def _texts(place: str, name: str, found: object) -> tuple[str, ...]:
    if not isinstance(found, Iterable) or isinstance(found, str):
        raise UsageError(f"{place}: {name} must be a list of texts")
    texts = tuple(found)
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise UsageError(f"{place}: {name} must be a list of texts that are not empty")
    return texts


def _shipped(name: str) -> str:
    return (files("guardedit") / "prepare" / "facts" / name).read_text(encoding="utf-8")
