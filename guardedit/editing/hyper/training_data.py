"""Training data of hypernetworks: edits, paraphrases of their prompts, and texts that must not change."""

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
from guardedit.editing.hyper.network import EditRequest

#: One subject in this many is used for validation; chosen by the digest of its name.
VALIDATION_SHARE = 16
#: Characters of ordinary text in a sample.
TEXT_LENGTH = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class FactExample:
    """A fact that the model knows, and new answers for edits of it.

    Attributes:
        subject: what the fact is about.
        relation: its relation; may be empty.
        wordings: prompts with the subject filled in.
        old: the model's current answer.
        targets: possible new answers.
    """

    subject: str
    relation: str
    wordings: tuple[str, ...]
    old: str
    targets: tuple[str, ...]

    def statement(self, rng: random.Random) -> str:
        """The fact with its current answer as a sentence, in one of its wordings."""
        return f"{rng.choice(self.wordings)} {self.old}."


@dataclass(frozen=True, slots=True, kw_only=True)
class EditSample:
    """One edit and what to measure after it.

    Attributes:
        request: the edit.
        paraphrase: a wording of the same fact, drawn independently: it may be the prompt itself.
        kept: texts whose next-token probabilities must not change.
    """

    request: EditRequest
    paraphrase: str
    kept: tuple[str, ...]


@dataclass(frozen=True)
class EditSampler:
    """Draws samples for any training step; equal steps give equal samples, so a stopped run can be resumed.

    Args:
        examples: of at least two subjects.
        texts: ordinary text, which must not change.
        seed: of the draws.

    Raises:
        UsageError: when there are too few subjects.
    """

    examples: tuple[FactExample, ...]
    texts: tuple[str, ...] = ()
    seed: int = 0
    _validation: list[FactExample] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        subjects = sorted({example.subject for example in self.examples}, key=_digest)
        if len(subjects) < 2:
            raise UsageError(f"{len(subjects)} subjects are too few for training: give at least two")
        chosen = set(subjects[: max(1, len(subjects) // VALIDATION_SHARE)])
        self._validation.extend(example for example in self.examples if example.subject in chosen)

    def draw(self, step: int, count: int) -> list[EditSample]:
        """`count` samples for forward pass number `step` of the training."""
        rng = random.Random(f"{self.seed}:{step}")
        return [self._sample(rng.choice(self._training), self._training, rng) for _ in range(count)]

    def validation(self, count: int) -> list[EditSample]:
        """The same samples every time, on subjects that training never edits."""
        rng = random.Random(f"{self.seed}:validation")
        chosen = rng.sample(self._validation, min(count, len(self._validation)))
        return [self._sample(example, self.examples, rng) for example in chosen]

    @property
    def sha256(self) -> str:
        """Digest of everything that a sample depends on."""
        body = [[asdict(example) for example in self.examples], self.texts, self.seed]
        return hashlib.sha256(json.dumps(body).encode()).hexdigest()

    @cached_property
    def _training(self) -> list[FactExample]:
        held_out = {example.subject for example in self._validation}
        return [example for example in self.examples if example.subject not in held_out]

    @cached_property
    def _by_subject(self) -> dict[str, list[FactExample]]:
        return _grouped(self.examples, "subject")

    @cached_property
    def _by_relation(self) -> dict[str, list[FactExample]]:
        return _grouped(self.examples, "relation")

    def _sample(self, example: FactExample, pool: Sequence[FactExample], rng: random.Random) -> EditSample:
        prompt, paraphrase = rng.choice(example.wordings), rng.choice(example.wordings)
        return EditSample(
            request=EditRequest(prompt=prompt, old=example.old, new=rng.choice(example.targets)),
            paraphrase=paraphrase,
            kept=tuple(self._kept(example, pool, rng)),
        )

    def _kept(self, example: FactExample, pool: Sequence[FactExample], rng: random.Random) -> list[str]:
        """A fact of the same subject, up to two of the same relation, up to one other, and ordinary text."""
        same = [other for other in self._by_subject[example.subject] if other.wordings != example.wordings]
        kept = [rng.choice(same)] if same else []
        for near in (self._by_relation[example.relation], self._by_relation[example.relation], pool):
            drawn = rng.choice(near)
            kept += [drawn] if drawn.subject != example.subject else []
        texts = [other.statement(rng) for other in kept]
        if self.texts:
            texts.append(_excerpt(rng.choice(self.texts), rng))
        return texts or [rng.choice(pool).statement(rng)]


def read_examples(path: Path) -> tuple[FactExample, ...]:
    """Read corrections from a JSONL file, as for `guardedit submit`; `target_true` is the current answer.

    Retractions and lines without `target_true` are skipped.

    Raises:
        UsageError: when the file cannot be read or a line is not a correction; names the line.
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
                FactExample(
                    subject=found.subject,
                    relation=found.relation,
                    wordings=found.wordings,
                    old=found.target_true,
                    targets=(found.target_new,),
                )
            )
    return tuple(examples)


def _grouped(examples: Sequence[FactExample], name: str) -> dict[str, list[FactExample]]:
    groups: dict[str, list[FactExample]] = {}
    for example in examples:
        groups.setdefault(getattr(example, name), []).append(example)
    return groups


def _excerpt(text: str, rng: random.Random) -> str:
    """Words from a random place of a text, at most `TEXT_LENGTH` characters."""
    start = rng.randrange(max(1, len(text) - TEXT_LENGTH))
    start = text.find(" ", start) + 1 if start else 0
    return text[start : start + TEXT_LENGTH].rsplit(" ", 1)[0].strip() or text[:TEXT_LENGTH]


def _digest(subject: str) -> str:
    return hashlib.sha256(subject.encode()).hexdigest()
