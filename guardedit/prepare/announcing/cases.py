"""Facts that a model knows otherwise, with the questions that show whether it obeys them and nothing else."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from guardedit.core.correction import Correction, decode_correction
from guardedit.core.errors import GuardeditError, UsageError
from guardedit.core.fact import Fact
from guardedit.memory.context import Prompts
from guardedit.models.host import ModelHost
from guardedit.naming import contains_name, identity
from guardedit.prepare.facts import PublicFact, load_public_facts, load_relations

#: Questions asked at once while facts are looked for that the model knows.
_AT_ONCE = 24
#: Most questions of each kind that are asked beside a fact.
_BESIDE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherQuestion:
    """A question that a stated fact does not answer, and the answer that the model gives without it."""

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnouncedFact:
    """A fact that the model knows otherwise.

    Attributes:
        fact: has one wording, the correction's prompt.
        old: what the model says.
        paraphrases: other questions for the fact.
        neighbours: questions for the same relation of other subjects.
        same_subject: questions for other relations of the subject.
    """

    fact: Fact
    old: str
    paraphrases: tuple[str, ...]
    neighbours: tuple[OtherQuestion, ...]
    same_subject: tuple[OtherQuestion, ...]


def read_corrections(path: Path) -> list[Correction]:
    """Corrections from a JSON Lines file, each with the answer that it replaces in `target_true`.

    Raises:
        UsageError: the file cannot be read, or a line is no such correction; the message names it.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"cannot read the facts {path}: {error}; give a readable JSON Lines file") from error
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                correction = decode_correction(line)
            except GuardeditError as error:
                raise UsageError(f"{path}:{number}: {error}") from error
            if not correction.target_true:
                raise UsageError(f"{path}:{number}: give the answer that it replaces in target_true")
            found.append(correction)
    return found


def public_corrections(seed: int, facts: Sequence[PublicFact] | None = None) -> list[Correction]:
    """Corrections of facts, by default of the shipped public ones that are not held out.

    The object becomes that of another fact of the relation. Subjects with several facts come first, because
    only they have questions about the same subject.
    """
    rng = random.Random(seed)  # a choice of facts, no secret
    by_subject: dict[str, list[PublicFact]] = defaultdict(list)
    objects: dict[str, set[str]] = defaultdict(set)
    for fact in load_public_facts("build") if facts is None else facts:
        by_subject[fact.subject].append(fact)
        objects[fact.relation].add(fact.object)
    subjects = sorted(by_subject)
    rng.shuffle(subjects)
    subjects.sort(key=lambda subject: len(by_subject[subject]) < 2)
    return [
        _correction(fact, rng.choice(others))
        for subject in subjects
        for fact in by_subject[subject]
        if (others := sorted(objects[fact.relation] - set(fact.names)))
    ]


def known_cases(
    host: ModelHost,
    corrections: Sequence[Correction],
    count: int,
    tell: Callable[[str, int, int | None], None],
) -> list[AnnouncedFact]:
    """The first `count` facts that the model knows otherwise, asked by the correction's prompt."""
    known: list[Correction] = []
    prompts = Prompts(host.form)
    for at in range(0, len(corrections), _AT_ONCE):
        if len(known) >= count:
            break
        tell("looking for facts that the model knows", len(known), count)
        some = corrections[at : at + _AT_ONCE]
        texts = host.complete([prompts.alone(one.wordings[0]) for one in some])
        known += [one for one, text in zip(some, texts, strict=True) if _says(text, one)]
    return [_case(one, known) for one in known[:count]]


def _says(text: str, correction: Correction) -> bool:
    return contains_name(text, correction.target_true or "") and not contains_name(
        text, correction.target_new
    )


def _case(one: Correction, known: Sequence[Correction]) -> AnnouncedFact:
    subject = identity(one.subject)
    neighbours = (
        other
        for other in known
        if other.key.relation == one.key.relation
        and identity(other.subject) != subject
        and identity(other.target_true or "") != identity(one.target_new)
    )
    same = (
        other
        for other in known
        if identity(other.subject) == subject and other.key.relation != one.key.relation
    )
    fact = Fact(
        key=one.key,
        version=1,
        correction_id=one.id,
        wordings=one.wordings[:1],
        target=one.target_new,
        subject_at=one.subject_at[:1],
    )
    return AnnouncedFact(
        fact=fact,
        old=one.target_true or "",
        paraphrases=one.wordings[1:],
        neighbours=_others(neighbours),
        same_subject=_others(same),
    )


def _others(corrections: Iterable[Correction]) -> tuple[OtherQuestion, ...]:
    found = [OtherQuestion(prompt=one.wordings[0], answer=one.target_true or "") for one in corrections]
    return tuple(found[:_BESIDE])


def _correction(fact: PublicFact, target: str) -> Correction:
    relation = load_relations().get(fact.relation)
    clozes = fact.clozes or (relation.clozes if relation else ())
    questions = fact.questions or (relation.questions if relation else ())
    return Correction(
        id=f"{fact.relation}/{fact.subject}",
        subject=fact.subject,
        prompt=clozes[0],
        target_new=target,
        target_true=fact.object,
        paraphrases=(*clozes[1:2], *questions[:1]),
        relation=fact.relation,
    )
