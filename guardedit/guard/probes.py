"""The probe set, and what to ask in one trial.

Knows facts and known questions; how a model is asked, and what the answers mean, is decided elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from pathlib import Path

from guardedit.core.errors import GuardError
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.probe import Kind, Probes, Question
from guardedit.guard.catalogue import KnownQuestion, read_catalogue
from guardedit.naming import identity

#: From a fact and a question about it to what the model is asked when the fact is in the memory.
Served = Callable[[Fact, str], str]


@dataclass(frozen=True)
class ProbeSet:
    """Fixed texts for perplexity and a catalogue of known questions, with a fingerprint of both.

    Raises:
        GuardError: without any text, since then no perplexity can be measured.
    """

    texts: tuple[str, ...]
    questions: tuple[KnownQuestion, ...] = ()

    def __post_init__(self) -> None:
        if not self.texts:
            raise GuardError(
                "the probe set has no texts: add sentences of ordinary text, 64 are a good start"
            )

    @staticmethod
    def load(path: Path) -> ProbeSet:
        """Read a JSON or JSON Lines file, see `catalogue.read_catalogue`. Raises GuardError."""
        return ProbeSet(*read_catalogue(path))

    @cached_property
    def sha256(self) -> str:
        """Fingerprint of the content, whatever the file looked like."""
        body = json.dumps([self.texts, [astuple(question) for question in self.questions]])
        return hashlib.sha256(body.encode()).hexdigest()

    def questions_about(self, subject: str) -> tuple[KnownQuestion, ...]:
        """All known questions about a subject, however its name is written."""
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
    ) -> Probes:
        """What to ask a candidate epoch that puts `batch` into the weights beside `live`.

        - reliability and wordings: every fact of the batch, its target expected;
        - other subjects: a sample of known questions, one a (subject, relation), whose subject is not
          edited, relations of the batch first, the known answer expected;
        - same subject: one known question for each relation of an edited subject that no live or new fact
          is about; nothing is expected but that the serving epoch's answer stays;
        - earlier: weight-placed facts outside the batch, all that share a subject with it (the edit of
          a subject is made anew for all its facts) and a sample of the others, their targets expected;
        - remembered: a sample of the facts in the memory, in the words in which `served` puts them to the
          model, their targets expected.

        Equal arguments give equal probes, in whatever order the facts come. Samples are the lowest
        hashes of seed and prompt, so that the parts of a bisected batch are mostly asked the same.

        A known question that asks for a new fact in words and a relation name of its own cannot be
        recognised as such; give corrections the relation names of the catalogue.
        """
        batch = sorted(batch, key=lambda fact: fact.id)
        others = self._other_subjects(batch, live, seed=seed, count=other_subject_sample)
        questions = (
            *_own_questions(batch),
            *others,
            *self._same_subjects(batch, live, seed=seed),
            *_earlier(batch, live, seed=seed, count=earlier_sample),
            *_remembered(batch, live, seed=seed, count=remembered_sample, served=served),
        )
        return Probes(texts=self.texts, questions=questions)

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
        return [_ask(q, Kind.OTHER_SUBJECT, expected=q.answer) for q in pool[:count]]

    def _same_subjects(
        self, batch: Sequence[Fact], live: Mapping[FactKey, Fact], *, seed: int
    ) -> list[Question]:
        facts = (*batch, *live.values())
        told = {(_subject(fact), fact.key.relation) for fact in facts}
        worded = {wording for fact in facts for wording in fact.wordings}
        # A fact without a relation name still tells which known relation it is about by its wording.
        told |= {(identity(q.subject), q.relation) for q in self.questions if q.prompt in worded}
        return [
            _ask(q, Kind.SAME_SUBJECT, expected=None)
            for subject in dict.fromkeys(map(_subject, batch))
            for q in _one_each(self._by_subject.get(subject, ()), seed)
            if (subject, q.relation) not in told
        ]


def _own_questions(batch: Iterable[Fact]) -> list[Question]:
    return [
        Question(
            prompt=wording,
            kind=Kind.RELIABILITY if wording == fact.prompt else Kind.PARAPHRASE,
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
            kind=Kind.EARLIER,
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
    # Without a fact id or subject: nobody in the batch is to blame for more than the others.
    return [
        Question(prompt=served(fact, fact.prompt), kind=Kind.REMEMBERED, expected=fact.target)
        for fact in facts[:count]
    ]


def _ask(known: KnownQuestion, kind: Kind, *, expected: str | None) -> Question:
    return Question(
        prompt=known.prompt, kind=kind, expected=expected, subject=known.subject, relation=known.relation
    )


def _one_each(questions: Iterable[KnownQuestion], seed: int) -> list[KnownQuestion]:
    """One wording a (subject, relation): several of one fact fail together and would count twice."""
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
