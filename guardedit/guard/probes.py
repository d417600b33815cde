"""The probe set, and the probes of one trial. The worker runs them; `judge` and `answers` evaluate them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cached_property
from pathlib import Path

from guardedit.core.errors import GuardError
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.probe import Probes, Question, QuestionKind
from guardedit.guard.catalogue import KnownQuestion, read_catalogue
from guardedit.naming import identity

#: (fact, question about it) -> the prompt that the model is given while the fact is in memory.
Served = Callable[[Fact, str], str]
#: A question as a person asks it -> the prompt that the model is given.
Asked = Callable[[str], str]


@dataclass(frozen=True)
class ProbeSet:
    """Fixed texts for perplexity, and known questions, with a digest of both.

    Raises:
        GuardError: there is no text, so perplexity cannot be measured.
    """

    texts: tuple[str, ...]
    questions: tuple[KnownQuestion, ...] = ()

    def __post_init__(self) -> None:
        if not self.texts:
            raise GuardError("the probe set has no texts: add sentences of ordinary text, for example 64")

    @staticmethod
    def load(path: Path) -> ProbeSet:
        """Read a JSON or JSON Lines file, see `catalogue.read_catalogue`. Raises GuardError."""
        return ProbeSet(*read_catalogue(path))

    @cached_property
    def sha256(self) -> str:
        """Digest of the content; it does not depend on the format of the file."""
        # Without an empty lead, so that recorded fingerprints stay what they are.
        rows = [astuple(question)[: None if question.lead else -1] for question in self.questions]
        body = json.dumps([self.texts, rows])
        return hashlib.sha256(body.encode()).hexdigest()

    def questions_about(self, subject: str) -> tuple[KnownQuestion, ...]:
        """All known questions about a subject, in any spelling of its name with the same `identity`."""
        return self._by_subject.get(identity(subject), ())

    def for_trial(
        self,
        batch: Sequence[Fact],
        live: Mapping[FactKey, Fact],
        *,
        seed: int,
        other_subject_sample: int,
        earlier_sample: int,
        remembered_sample: int = 0,
        served: Served = lambda _, question: question,
        asked: Asked = str,
    ) -> Probes:
        """The probes for a candidate epoch that puts `batch` into the weights beside `live`.

        - reliability and paraphrases: every wording of every fact of the batch, expecting its target;
        - other subjects: a sample of known questions about subjects that have no edit, one for each
          (subject, relation), relations of the batch first, expecting the known answer;
        - same subject: one known question for each relation of an edited subject, if no live or new fact is
          about that relation, expecting the known answer;
        - earlier: facts in the weights that are not in the batch, expecting their targets: all that share a
          subject with the batch (a subject's edit is made again for all its facts), and a sample of the
          others;
        - remembered: a sample of the facts in memory, as prompts made by `served`, expecting their targets.

        `asked` makes the prompts of all other questions; their original is in `Question.asked`.

        Equal arguments give equal probes, regardless of the order of the facts. A sample takes the questions
        with the lowest hashes of seed and prompt, so the parts of a bisected batch get mostly the same
        questions.

        A known question is recognised as being about a new fact only by its relation name or its exact
        wording, so corrections should use the relation names of the probe set.
        """
        batch = sorted(batch, key=lambda fact: fact.id)
        others = self._other_subjects(batch, live, seed=seed, count=other_subject_sample)
        questions = (
            *_own_questions(batch),
            *others,
            *self._same_subjects(batch, live, seed=seed),
            *_earlier(batch, live, seed=seed, count=earlier_sample),
        )
        remembered = _remembered(batch, live, seed=seed, count=remembered_sample, served=served)
        served_questions = (*(_in_form(question, asked) for question in questions), *remembered)
        return Probes(texts=self.texts, questions=served_questions)

    @cached_property
    def _by_subject(self) -> dict[str, tuple[KnownQuestion, ...]]:
        grouped: dict[str, list[KnownQuestion]] = {}
        for question in self.questions:
            grouped.setdefault(identity(question.subject), []).append(question)
        return {subject: tuple(rows) for subject, rows in grouped.items()}

    def _other_subjects(
        self, batch: Sequence[Fact], live: Mapping[FactKey, Fact], *, seed: int, count: int
    ) -> list[Question]:
        edited = {_subject(f) for f in (*batch, *_in_weights(live))}
        relations = {fact.key.relation for fact in batch}
        pool = [q for q in _one_each(self.questions, seed) if identity(q.subject) not in edited]
        pool.sort(key=lambda q: (q.relation not in relations, _rank(seed, q.prompt)))
        return [_ask(q, QuestionKind.OTHER_SUBJECT) for q in pool[:count]]

    def _same_subjects(
        self, batch: Sequence[Fact], live: Mapping[FactKey, Fact], *, seed: int
    ) -> list[Question]:
        facts = (*batch, *live.values())
        covered = {(_subject(fact), fact.key.relation) for fact in facts}
        wordings = {wording for fact in facts for wording in fact.wordings}
        # The relation of a fact without a relation name is found by its wording.
        covered |= {(identity(q.subject), q.relation) for q in self.questions if q.prompt in wordings}
        return [
            _ask(q, QuestionKind.SAME_SUBJECT)
            for subject in dict.fromkeys(map(_subject, batch))
            for q in _one_each(self._by_subject.get(subject, ()), seed)
            if (subject, q.relation) not in covered
        ]


def _own_questions(batch: Iterable[Fact]) -> list[Question]:
    return [
        Question(
            prompt=wording,
            kind=QuestionKind.RELIABILITY if wording == fact.prompt else QuestionKind.PARAPHRASE,
            expected=fact.target,
            fact_id=fact.id,
            subject=fact.key.subject,
            relation=fact.key.relation,
        )
        for fact in batch
        for wording in dict.fromkeys(fact.wordings)
    ]


def _earlier(batch: Sequence[Fact], live: Mapping[FactKey, Fact], *, seed: int, count: int) -> list[Question]:
    keys = {fact.key for fact in batch}
    edited = {_subject(fact) for fact in batch}
    facts = [fact for fact in _in_weights(live) if fact.key not in keys]
    facts.sort(key=lambda fact: _rank(seed, fact.id))
    near = [fact for fact in facts if _subject(fact) in edited]
    far = [fact for fact in facts if _subject(fact) not in edited]
    return [
        Question(
            prompt=fact.prompt,
            kind=QuestionKind.EARLIER,
            expected=fact.target,
            fact_id=fact.id,
            subject=fact.key.subject,
            relation=fact.key.relation,
        )
        for fact in (*near, *far[:count])
    ]


def _remembered(
    batch: Sequence[Fact], live: Mapping[FactKey, Fact], *, seed: int, count: int, served: Served
) -> list[Question]:
    keys = {fact.key for fact in batch}
    facts = [f for f in live.values() if f.placement is Placement.MEMORY and f.key not in keys]
    facts.sort(key=lambda fact: _rank(seed, fact.id))
    # No fact id and no subject, because a wrong answer makes no fact of the batch more suspect than another.
    return [
        Question(
            prompt=served(fact, fact.prompt),
            kind=QuestionKind.REMEMBERED,
            expected=fact.target,
            asked=fact.prompt,
        )
        for fact in facts[:count]
    ]


def _ask(known: KnownQuestion, kind: QuestionKind) -> Question:
    return Question(
        prompt=known.prompt,
        kind=kind,
        expected=known.answer,
        subject=known.subject,
        relation=known.relation,
        lead=known.lead,
    )


def _in_form(question: Question, asked: Asked) -> Question:
    """The question as the model is asked it; what a person asked is kept where the two differ."""
    prompt = asked(question.prompt)
    return question if prompt == question.prompt else replace(question, prompt=prompt, asked=question.prompt)


def _one_each(questions: Iterable[KnownQuestion], seed: int) -> list[KnownQuestion]:
    """One question for each (subject, relation): wordings of one fact fail together and would count twice."""
    chosen: dict[tuple[str, str], KnownQuestion] = {}
    for question in sorted(questions, key=lambda q: _rank(seed, q.prompt)):
        chosen.setdefault((identity(question.subject), question.relation), question)
    return list(chosen.values())


def _in_weights(live: Mapping[FactKey, Fact]) -> list[Fact]:
    return [fact for fact in live.values() if fact.placement is Placement.WEIGHTS]


def _subject(fact: Fact) -> str:
    return identity(fact.key.subject)


def _rank(seed: int, text: str) -> str:
    return hashlib.sha256(f"{seed}|{text}".encode()).hexdigest()
