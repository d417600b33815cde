"""What a trained editor learns from: edits to make, other wordings of them, and texts to leave alone.

Knows how examples are drawn and split. Does not know models, and reads corrections as plain records.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

from guardedit.core.correction import Op, decode_correction
from guardedit.core.errors import CorrectionError, UsageError
from guardedit.editing.hyper.network import Request

#: One subject in so many is for validation, by digest of its name.
VALIDATION_SHARE = 16
#: Characters of ordinary text to leave alone in a lesson.
TEXT_LENGTH = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A fact the model knows, and what else its answer could be made. `relation` may be empty."""

    subject: str
    relation: str
    wordings: tuple[str, ...]
    old: str
    targets: tuple[str, ...]

    def statement(self, rng: random.Random) -> str:
        """The fact as it is, in one of its wordings."""
        return f"{rng.choice(self.wordings)} {self.old}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One edit, another wording of its question, and texts whose every token shall be predicted as before."""

    request: Request
    rephrased: str
    kept: tuple[str, ...]


@dataclass(frozen=True)
class Course:
    """Lessons without end; the same number gives the same lessons, so a stopped run goes on as it was.

    Args:
        examples: at least two subjects.
        texts: ordinary text, to be left alone.
        seed: of the draws.

    Raises:
        UsageError: when there are too few subjects.
    """

    examples: tuple[Example, ...]
    texts: tuple[str, ...] = ()
    seed: int = 0
    _held: list[Example] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        subjects = sorted({example.subject for example in self.examples}, key=_digest)
        if len(subjects) < 2:
            raise UsageError(f"{len(subjects)} subjects are too few to learn from: give at least two")
        chosen = set(subjects[: max(1, len(subjects) // VALIDATION_SHARE)])
        self._held.extend(example for example in self.examples if example.subject in chosen)

    def draw(self, number: int, count: int) -> list[Lesson]:
        """`count` lessons for training step `number`."""
        rng = random.Random(f"{self.seed}:{number}")
        return [self._lesson(rng.choice(self._taught), self._taught, rng) for _ in range(count)]

    def validation(self, count: int) -> list[Lesson]:
        """The same lessons every time, on subjects that training never edits."""
        rng = random.Random(f"{self.seed}:validation")
        chosen = rng.sample(self._held, min(count, len(self._held)))
        return [self._lesson(example, self.examples, rng) for example in chosen]

    @property
    def sha256(self) -> str:
        """Digest of everything a lesson depends on."""
        body = [[asdict(example) for example in self.examples], self.texts, self.seed]
        return hashlib.sha256(json.dumps(body).encode()).hexdigest()

    @cached_property
    def _taught(self) -> list[Example]:
        held = {example.subject for example in self._held}
        return [example for example in self.examples if example.subject not in held]

    @cached_property
    def _by_subject(self) -> dict[str, list[Example]]:
        return _grouped(self.examples, "subject")

    @cached_property
    def _by_relation(self) -> dict[str, list[Example]]:
        return _grouped(self.examples, "relation")

    def _lesson(self, example: Example, pool: Sequence[Example], rng: random.Random) -> Lesson:
        prompt, rephrased = rng.choice(example.wordings), rng.choice(example.wordings)
        return Lesson(
            request=Request(prompt=prompt, old=example.old, new=rng.choice(example.targets)),
            rephrased=rephrased,
            kept=tuple(self._kept(example, pool, rng)),
        )

    def _kept(self, example: Example, pool: Sequence[Example], rng: random.Random) -> list[str]:
        """Of the same subject, twice of the same relation, of anything else, and ordinary text."""
        mine = [other for other in self._by_subject[example.subject] if other.wordings != example.wordings]
        kept = [rng.choice(mine)] if mine else []
        for near in (self._by_relation[example.relation], self._by_relation[example.relation], pool):
            drawn = rng.choice(near)
            kept += [drawn] if drawn.subject != example.subject else []
        texts = [other.statement(rng) for other in kept]
        if self.texts:
            texts.append(_piece(rng.choice(self.texts), rng))
        return texts or [rng.choice(pool).statement(rng)]


def read_examples(path: Path) -> tuple[Example, ...]:
    """Corrections as `guardedit submit` takes them, one a line; `target_true` is what the model says now.

    Retractions and lines without `target_true` are left out.

    Raises:
        UsageError: when the file cannot be read or a line is not a correction, naming it.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"cannot read the training data: {error}") from error
    examples = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found = decode_correction(line)
        except CorrectionError as error:
            raise UsageError(f"{path}:{number}: {error}") from error
        if found.op is Op.UPSERT and found.target_true:
            examples.append(
                Example(
                    subject=found.subject,
                    relation=found.relation,
                    wordings=found.wordings,
                    old=found.target_true,
                    targets=(found.target_new,),
                )
            )
    return tuple(examples)


def _grouped(examples: Sequence[Example], name: str) -> dict[str, list[Example]]:
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(getattr(example, name), []).append(example)
    return groups


def _piece(text: str, rng: random.Random) -> str:
    """Some words from the middle of a text."""
    start = rng.randrange(max(1, len(text) - TEXT_LENGTH))
    start = text.find(" ", start) + 1 if start else 0
    return text[start : start + TEXT_LENGTH].rsplit(" ", 1)[0].strip() or text[:TEXT_LENGTH]


def _digest(subject: str) -> str:
    return hashlib.sha256(subject.encode()).hexdigest()
