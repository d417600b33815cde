"""Reads and selects the demo model's world: the facts it was trained on, and the wordings that ask for them.

`World` is plain data, read from `world.json` beside the weights. `select_world` chose these facts from a file
in the style of T-REx. No tensors or tokens here.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ZOO_FOLDER = Path(__file__).parent
RELATIONS_FILE = ZOO_FOLDER / "relations.json"
WORLD_FILE = ZOO_FOLDER / "world.json"

#: Wordings of each fact that training never shows with that fact. It shows them with other facts.
HIDDEN_WORDINGS = 2
#: Wordings that a correction of the demo world contains. The other wordings of its relation are used to test
#: generalization.
GIVEN_WORDINGS = 4
#: Wordings in which the probe set asks for each fact.
PROBED_WORDINGS = 2


@dataclass(frozen=True, slots=True, order=True)
class KnownFact:
    """One true statement of the model's world."""

    subject: str
    relation: str
    object: str


@dataclass(frozen=True)
class World:
    """Facts and wordings. Every list has a fixed order, so seeded choices are reproducible.

    Attributes:
        facts: sorted.
        wordings: relation -> wordings, with `{}` for the subject.
        names: relation -> its English name.
    """

    facts: tuple[KnownFact, ...]
    wordings: Mapping[str, tuple[str, ...]]
    names: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def by_subject(self) -> dict[str, list[KnownFact]]:
        """Subject -> its facts."""
        return _grouped((fact.subject, fact) for fact in self.facts)

    @cached_property
    def by_relation(self) -> dict[str, list[KnownFact]]:
        """Relation -> its facts."""
        return _grouped((fact.relation, fact) for fact in self.facts)

    @cached_property
    def objects(self) -> dict[str, list[str]]:
        """Relation -> the distinct objects it takes, sorted."""
        return {
            relation: sorted({fact.object for fact in facts}) for relation, facts in self.by_relation.items()
        }

    def hidden(self, fact: KnownFact) -> frozenset[int]:
        """Indices of the wordings of the relation that training never showed with this fact."""
        digest = hashlib.sha256(f"{fact.subject}|{fact.relation}".encode()).digest()
        count = len(self.wordings[fact.relation])
        return frozenset(random.Random(digest).sample(range(count), HIDDEN_WORDINGS))

    def shown(self, fact: KnownFact) -> list[int]:
        """Indices of the wordings that training showed with this fact, ascending."""
        hidden = self.hidden(fact)
        return [i for i in range(len(self.wordings[fact.relation])) if i not in hidden]

    def given(self, fact: KnownFact, rng: random.Random) -> tuple[int, ...]:
        """Indices of the wordings that a correction of the fact contains, its prompt's first."""
        return tuple(rng.sample(range(len(self.wordings[fact.relation])), GIVEN_WORDINGS))

    def known(self, fact: KnownFact) -> tuple[int, ...]:
        """Indices of the wordings in which the probe set asks for the fact."""
        return tuple(self.shown(fact)[:PROBED_WORDINGS])

    def prompt(self, fact: KnownFact, wording: int) -> str:
        """The question in wording number `wording`, without the object."""
        return self.wordings[fact.relation][wording].format(fact.subject)

    def save(self, path: Path = WORLD_FILE) -> None:
        """Write as JSON with one fact per line, which keeps diffs readable."""
        lines = ",\n".join(json.dumps([f.subject, f.relation, f.object]) for f in self.facts)
        path.write_text(f'{{"facts": [\n{lines}\n]}}\n', encoding="utf-8")

    @staticmethod
    def load(path: Path = WORLD_FILE) -> World:
        """Read `world.json`, with the wordings from `relations.json`."""
        rows: list[list[str]] = json.loads(path.read_text(encoding="utf-8"))["facts"]
        names, wordings = load_relations()
        return World(tuple(KnownFact(*row) for row in rows), wordings, names)


def load_relations(
    path: Path = RELATIONS_FILE,
) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Relation -> its name, and relation -> its wordings with `{}` for the subject."""
    rows: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {key: row[0] for key, row in rows.items()}, {key: tuple(row[1]) for key, row in rows.items()}


def read_facts(path: Path, relations: Iterable[str]) -> list[KnownFact]:
    """Read the facts that a small model can learn: short ASCII names, one object per subject and relation.

    Args:
        path: JSON Lines with `subject`, `relation` and `object`.
        relations: facts of other relations are skipped.
    """
    wanted = set(relations)
    seen: dict[tuple[str, str], KnownFact] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        fact = KnownFact(row["subject"], row["relation"], row["object"])
        if fact.relation in wanted and _is_plain(fact):
            seen.setdefault((fact.subject, fact.relation), fact)
    return list(seen.values())


def select_world(facts: list[KnownFact], *, count: int, per_relation: int = 20, seed: int = 0) -> World:
    """Choose `count` facts: subjects with many relations first, then single facts of rare relations.

    Subjects with several facts make it possible to measure how an edit harms the subject's other facts.
    """
    rng = random.Random(seed)
    names, wordings = load_relations()
    groups = _grouped((fact.subject, fact) for fact in facts)
    subjects = sorted(groups)
    rng.shuffle(subjects)
    subjects.sort(key=lambda subject: -len(groups[subject]))
    chosen: list[KnownFact] = []
    for subject in subjects:
        if len(groups[subject]) < 2 or len(chosen) > 0.72 * count:
            break
        chosen += groups[subject]
    tally = Counter(fact.relation for fact in chosen)
    pairs = Counter((fact.relation, fact.object) for fact in chosen)
    singles = [group[0] for subject in subjects if len(group := groups[subject]) == 1]
    for floor in (per_relation, count):
        for fact in singles:
            if len(chosen) >= count:
                break
            # A relation whose answer is nearly always the same teaches guessing, not recall.
            if tally[fact.relation] >= floor or pairs[fact.relation, fact.object] >= 12:
                continue
            if fact not in chosen:
                chosen.append(fact)
                tally[fact.relation] += 1
                pairs[fact.relation, fact.object] += 1
    return World(tuple(sorted(chosen)), wordings, names)


def _is_plain(fact: KnownFact) -> bool:
    subject, target = fact.subject, fact.object
    return (
        all(text.isascii() and text.replace(" ", "").isalnum() for text in (subject, target))
        and 4 <= len(subject) <= 28
        and len(subject.split()) <= 4
        and 2 <= len(target) <= 22
        and len(target.split()) <= 3
        and target.lower() not in subject.lower()
    )


def _grouped(pairs: Iterable[tuple[str, KnownFact]]) -> dict[str, list[KnownFact]]:
    groups: dict[str, list[KnownFact]] = defaultdict(list)
    for key, fact in pairs:
        groups[key].append(fact)
    return dict(groups)
