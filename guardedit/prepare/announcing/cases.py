"""Facts that a model knows otherwise, with the questions that show whether it obeys them and nothing else."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
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
        asked: other wordings of the question for the fact: statements to continue, and questions.
        neighbours: questions for the same relation of other subjects.
        same_subject: questions for other relations of the subject.
    """

    fact: Fact
    old: str
    asked: tuple[str, ...]
    neighbours: tuple[OtherQuestion, ...]
    same_subject: tuple[OtherQuestion, ...]

    @property
    def paraphrases(self) -> tuple[str, ...]:
        """The other wordings that are statements to continue."""
        return tuple(text for text in self.asked if "?" not in text)

    @property
    def questions(self) -> tuple[str, ...]:
        """The other wordings that are questions."""
        return tuple(text for text in self.asked if "?" in text)


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
    only they have questions about the same subject. Facts of a subject stand together.
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
    """The first `count` facts that the model knows otherwise, one of each subject.

    A fact is known if the model names its old object when it is asked by the correction's prompt. The other
    known facts stay as they are: they are asked beside the changed ones.
    """
    known: list[Correction] = []
    prompts = Prompts(host.form)
    for at in range(0, len(corrections), _AT_ONCE):
        subjects = len({identity(one.subject) for one in known})
        if subjects > count:  # one more, because all facts of the last subject may not have been asked
            break
        tell("looking for facts that the model knows", min(subjects, count), count)
        some = corrections[at : at + _AT_ONCE]
        texts = host.complete([prompts.alone(one.wordings[0]) for one in some])
        known += [one for one, text in zip(some, texts, strict=True) if _says(text, one)]
    changed = _one_of_each_subject(known)[:count]
    return [_case(one, changed, known) for one in changed]


def _one_of_each_subject(known: Sequence[Correction]) -> list[Correction]:
    """For each subject a fact of the relation that was taken least often, so that neighbours are left."""
    by_subject: dict[str, list[Correction]] = defaultdict(list)
    for one in known:
        by_subject[identity(one.subject)].append(one)
    taken = Counter[str]()
    found = []
    for facts in by_subject.values():
        found.append(min(facts, key=lambda one: taken[one.key.relation]))
        taken[found[-1].key.relation] += 1
    return found


def _says(text: str, correction: Correction) -> bool:
    return contains_name(text, correction.target_true or "") and not contains_name(
        text, correction.target_new
    )


def _case(one: Correction, changed: Sequence[Correction], known: Sequence[Correction]) -> AnnouncedFact:
    subject, left = identity(one.subject), [other for other in known if other not in changed]
    neighbours = [
        other
        for other in left
        if other.key.relation == one.key.relation and identity(other.subject) != subject
    ]
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
        asked=one.wordings[1:],
        neighbours=_others(neighbours),
        same_subject=_others([other for other in left if identity(other.subject) == subject]),
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
        paraphrases=(*clozes[1:3], *questions[:2]),
        relation=fact.relation,
    )
