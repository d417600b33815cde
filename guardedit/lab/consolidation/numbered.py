"""Makes the list of numbered facts: pairs of an old and a new fact, the old one always first.

Pairs come from a file of MQuAKE. Where the list is to be longer, it is filled with pairs of true facts about
subjects and relations that MQuAKE has no pair for, first those about its own subjects: they are the hardest
to tell apart. No question asks for them.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from guardedit.core.errors import UsageError
from guardedit.lab.field.cases import FieldEdit, QuestionGroup
from guardedit.lab.field.formats.reading import read_cases
from guardedit.naming import identity, tokens

#: How often another old target is drawn, until it differs from the new one.
TRIES = 8


class Pair(NamedTuple):
    """Two facts about one subject and relation; the new one comes later in the list.

    Attributes:
        subject: what both are about.
        relation: id of the relation, for the questions; the system is not told it.
        prompt: the statement up to the target, with `{}` in place of the subject.
        old: the target that is said first.
        new: the target that is said later.
        question: a question for it with `{}` in place of the subject; "" for a pair that only fills the list.
    """

    subject: str
    relation: str
    prompt: str
    old: str
    new: str
    question: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Subject and relation, for comparisons."""
        return identity(self.subject), self.relation

    @property
    def size(self) -> int:
        """Words and signs of both statements."""
        return sum(len(tokens(f"{self.prompt.format(self.subject)} {end}.")) for end in (self.old, self.new))


class NumberedFact(NamedTuple):
    """One line of the list. Of two facts about one thing, the one with the larger number is right."""

    number: int
    pair: Pair
    target: str

    @property
    def is_new(self) -> bool:
        """Whether it is the newest about its subject and relation."""
        return self.target == self.pair.new

    @property
    def statement(self) -> str:
        """The line as a text."""
        return f"{self.number}. {self.pair.prompt.format(self.pair.subject)} {self.target}."

    def message(self) -> bytes:
        """The fact as a correction without a relation: its report is as old as its number is small."""
        body = {
            "id": f"n{self.number}",
            "subject": self.pair.subject,
            "prompt": self.pair.prompt,
            "target_new": self.target,
            "provenance": {"source": "list", "time_s": self.number},
        }
        return json.dumps(body).encode()


def mquake_pairs(path: Path) -> list[Pair]:
    """The pairs of a file of MQuAKE, each subject and relation once, in the order of the file.

    Raises:
        UsageError: the file cannot be read as MQuAKE, or has no pair with a question.
    """
    found: dict[tuple[str, str], Pair] = {}
    for case in read_cases("mquake", path):
        asked = [one.prompt for one in case.questions if one.group is QuestionGroup.PARAPHRASE]
        for edit, question in zip(case.edits, asked, strict=False):
            if pair := _pair(edit, question):
                found.setdefault(pair.key, pair)
    if not found:
        raise UsageError(f"{path} has no edit with a target_true and a question that names its subject once")
    return list(found.values())


def _pair(edit: FieldEdit, question: str) -> Pair | None:
    """The pair of an edit; None without two targets, or without a question and a prompt for its subject."""
    if edit.template is None or question.count(edit.subject) != 1 or edit.template.count("{}") != 1:
        return None
    if identity(edit.target_true) == identity(edit.target_new):
        return None
    return Pair(
        subject=edit.subject,
        relation=edit.relation,
        prompt=edit.template,
        old=edit.target_true,
        new=edit.target_new,
        question=question.replace(edit.subject, "{}"),
    )


def filling_pairs(facts: Path, patterns: Path, taken: Sequence[Pair], *, seed: int) -> Iterator[Pair]:
    """Endless enough pairs of true facts, in random order, those about subjects of `taken` first.

    Args:
        facts: JSON Lines with `subject`, `relation` and `object`, such as T-REx's.
        patterns: JSON: relation -> statements with `[X]` and `[Y]`, such as those of ParaRel.
        taken: pairs that they must not contradict.
        seed: of the order, and of the old targets.

    Raises:
        UsageError: a file cannot be read.
    """
    prompts, rows = _prompts(patterns), _rows(facts)
    keys = {pair.key for pair in taken}
    subjects = {identity(name) for pair in taken for name in (pair.subject, pair.new)}
    rng = random.Random(seed)
    order = rng.sample(rows, len(rows))
    targets: dict[str, list[str]] = defaultdict(list)
    for _, relation, target in rows:
        targets[relation].append(target)
    for subject, relation, target in sorted(order, key=lambda row: identity(row[0]) not in subjects):
        old = next((one for one in rng.choices(targets[relation], k=TRIES) if one != target), "")
        pair = Pair(subject, relation, prompts.get(relation, ""), old, target)
        if pair.prompt and pair.old and pair.key not in keys:
            keys.add(pair.key)
            yield pair


def numbered(pairs: Iterable[Pair], size: int, *, seed: int) -> list[NumberedFact]:
    """The list of both facts of the first pairs, in random order with each old fact before its new one.

    Args:
        pairs: as many as there are.
        size: words and signs of the statements at least, if there are enough pairs.
        seed: of the order.
    """
    chosen, total = list[Pair](), 0
    for pair in pairs:
        if total >= size:
            break
        chosen.append(pair)
        total += pair.size
    places = list(range(2 * len(chosen)))
    random.Random(seed).shuffle(places)
    lines: list[tuple[int, Pair, str]] = []
    for n, pair in enumerate(chosen):
        first, second = sorted(places[2 * n : 2 * n + 2])
        lines += [(first, pair, pair.old), (second, pair, pair.new)]
    return [NumberedFact(number, pair, target) for number, pair, target in sorted(lines)]


def _prompts(path: Path) -> dict[str, str]:
    """Relation -> its first pattern that ends with the target, as a prompt."""
    try:
        body = json.loads(path.read_text("utf-8"))
        patterns = {str(name): [str(text).rstrip(" .") for text in texts] for name, texts in body.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UsageError(f"the patterns in {path} cannot be read: {error}") from error
    return {
        name: fitting[0].removesuffix("[Y]").rstrip().replace("[X]", "{}")
        for name, texts in patterns.items()
        if (fitting := [text for text in texts if text.endswith(" [Y]") and text.count("[X]") == 1])
    }


def _rows(path: Path) -> list[tuple[str, str, str]]:
    try:
        bodies = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
        return [(str(one["subject"]), str(one["relation"]), str(one["object"])) for one in bodies]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"the facts in {path} cannot be read: {error!r}") from error
