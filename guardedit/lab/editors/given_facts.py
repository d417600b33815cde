"""Edits that somebody brings: corrections in the wire format, with questions from the model's probe set.

Knows files, corrections and probe sets; runs no model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from guardedit.core.correction import Correction, Op, decode_correction
from guardedit.core.errors import CorrectionError, UsageError
from guardedit.core.fact import Fact, FactKey
from guardedit.core.probe import Kind, Question
from guardedit.guard import ProbeSet
from guardedit.guard.answers import normalise
from guardedit.guard.catalogue import KnownQuestion
from guardedit.lab.editors.cases import EditCase, carried

#: Questions about other subjects a case: of the same relation, and of any.
NEAR, FAR = 5, 5


def read_corrections(path: Path) -> list[Correction]:
    """The lines of a JSON Lines file; of several about one fact the last counts.

    Raises:
        UsageError: when the file cannot be read, has no line, or a line is not an upsert; names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the facts in {path}: {error}; give a JSON Lines file") from error
    found: dict[FactKey, Correction] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            correction = decode_correction(line.encode())
        except CorrectionError as error:
            raise UsageError(f"{path}:{number}: {error}") from error
        if correction.op is not Op.UPSERT:
            raise UsageError(f"{path}:{number}: a retraction is no edit: leave it out")
        found[correction.key] = correction
    if not found:
        raise UsageError(f"{path} holds no corrections: write them as for `guardedit submit`, one a line")
    return list(found.values())


def split_paraphrases(correction: Correction) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Wordings given to the method, and wordings kept for asking.

    The second half of the paraphrases is kept, the middle one with it; the prompt is always given. So of
    CounterFact's two paraphrases one is learnt from and one is asked.

    >>> c = Correction(id="1", subject="S", prompt="{} is", target_new="T", paraphrases=("a {}", "b {}"))
    >>> split_paraphrases(c)
    (('S is', 'a S'), ('b S',))
    """
    prompt, *others = correction.wordings
    half = len(others) // 2
    return (prompt, *others[:half]), tuple(others[half:])


def given_cases(corrections: Sequence[Correction], probes: ProbeSet, *, seed: int) -> list[EditCase]:
    """One case a correction. Relation names must be those of the probe set for its questions to be found.

    Questions about the subject with another relation must stay; those about subjects that no correction
    names are asked for locality, of the same relation first. All are samples by the hash of seed and prompt.
    """
    edited = {normalise(c.subject) for c in corrections}
    others = sorted(
        (q for q in probes.questions if normalise(q.subject) not in edited),
        key=lambda q: hashlib.sha256(f"{seed}|{q.prompt}".encode()).hexdigest(),
    )
    names = {c.subject for c in corrections} | {q.subject for q in probes.questions}
    return [_case(c, probes, _rotated(others, n), names) for n, c in enumerate(corrections)]


def _case(
    correction: Correction, probes: ProbeSet, others: Sequence[KnownQuestion], names: set[str]
) -> EditCase:
    given, kept = split_paraphrases(correction)
    fact = Fact(
        key=correction.key,
        version=1,
        correction_id=correction.id,
        wordings=given,
        subject_at=correction.subject_at[: len(given)],
        target=correction.target_new,
    )
    mine = [
        q
        for q in probes.questions_about(correction.subject)
        if q.relation != correction.relation and q.prompt not in correction.wordings
    ]
    near = [q for q in others if q.relation == correction.relation][:NEAR]
    far = [q for q in others if q.relation != correction.relation][:FAR]
    chosen = (*near, *far)
    return EditCase(
        fact=fact,
        keep=_one_each(mine),
        unseen=kept,
        same_subject=tuple(mine),
        other_subject=chosen,
        portable=carried(fact, (*kept, fact.prompt)[0], names=names, aside=(*chosen, None)[0]),
    )


def _one_each(questions: Sequence[KnownQuestion]) -> tuple[Question, ...]:
    """One wording a relation is what the method is told; the others test it."""
    chosen = {q.relation: q for q in reversed(questions)}
    return tuple(
        Question(
            prompt=q.prompt, kind=Kind.SAME_SUBJECT, expected=q.answer, subject=q.subject, relation=q.relation
        )
        for q in chosen.values()
    )


def _rotated(questions: Sequence[KnownQuestion], n: int) -> list[KnownQuestion]:
    """Begin elsewhere for each case, so that all are not asked the same few questions."""
    start = n * FAR % len(questions) if questions else 0
    return [*questions[start:], *questions[:start]]
