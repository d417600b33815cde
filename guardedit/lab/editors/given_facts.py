"""Makes test cases from a corrections file, with further questions from the model's probe set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from guardedit.core.correction import Correction, Op, decode_correction
from guardedit.core.errors import CorrectionError, UsageError
from guardedit.core.fact import Fact, FactKey
from guardedit.core.probe import Question, QuestionKind
from guardedit.guard import ProbeSet
from guardedit.guard.catalogue import KnownQuestion
from guardedit.guard.right_answers import normalise
from guardedit.lab.editors.cases import EditCase, portability_questions

#: Questions about other subjects per case: with the same relation, and with another one.
NEAR, FAR = 5, 5


def read_corrections(path: Path) -> list[Correction]:
    """Read a JSON Lines file. Of several corrections of one fact the last one counts.

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
            raise UsageError(f"{path}:{number}: a retraction is not an edit: remove the line")
        found[correction.key] = correction
    if not found:
        raise UsageError(
            f"{path} contains no corrections: write one per line, in the format of `guardedit submit`"
        )
    return list(found.values())


def split_paraphrases(correction: Correction) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(wordings for the method, wordings for testing generalization).

    The method always gets the prompt. The second half of the paraphrases, including the middle one, is used
    for testing. So of CounterFact's two paraphrases the method gets one.

    >>> c = Correction(id="1", subject="S", prompt="{} is", target_new="T", paraphrases=("a {}", "b {}"))
    >>> split_paraphrases(c)
    (('S is', 'a S'), ('b S',))
    """
    prompt, *others = correction.wordings
    half = len(others) // 2
    return (prompt, *others[:half]), tuple(others[half:])


def given_cases(corrections: Sequence[Correction], probes: ProbeSet, *, seed: int) -> list[EditCase]:
    """One case per correction.

    Questions come from the probe set, so the corrections must name relations as the probe set does. Other
    facts of the subject must stay unchanged. Locality is tested on subjects that no correction names, first
    with the same relation. Questions are sampled by the hash of seed and prompt.
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
    given, unseen = split_paraphrases(correction)
    fact = Fact(
        key=correction.key,
        version=1,
        correction_id=correction.id,
        wordings=given,
        subject_at=correction.subject_at[: len(given)],
        target=correction.target_new,
    )
    same_subject = [
        q
        for q in probes.questions_about(correction.subject)
        if q.relation != correction.relation and q.prompt not in correction.wordings
    ]
    near = [q for q in others if q.relation == correction.relation][:NEAR]
    far = [q for q in others if q.relation != correction.relation][:FAR]
    other_subject = (*near, *far)
    return EditCase(
        fact=fact,
        keep=_one_per_relation(same_subject),
        unseen=unseen,
        same_subject=tuple(same_subject),
        other_subject=other_subject,
        portable=portability_questions(
            fact, (*unseen, fact.prompt)[0], names=names, aside=(*other_subject, None)[0]
        ),
    )


def _one_per_relation(questions: Sequence[KnownQuestion]) -> tuple[Question, ...]:
    """The method gets one wording per relation to preserve. The other wordings test it."""
    chosen = {q.relation: q for q in reversed(questions)}
    return tuple(
        Question(
            prompt=q.prompt,
            kind=QuestionKind.SAME_SUBJECT,
            expected=q.answer,
            subject=q.subject,
            relation=q.relation,
        )
        for q in chosen.values()
    )


def _rotated(questions: Sequence[KnownQuestion], n: int) -> list[KnownQuestion]:
    """Start at another question for each case, so that the cases do not share the same few questions."""
    start = n * FAR % len(questions) if questions else 0
    return [*questions[start:], *questions[:start]]
