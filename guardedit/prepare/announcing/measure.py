"""Measures what a replica answers while facts are in its memory, end to end.

All facts are in memory at once, and all questions go the way of an application's: scope test, announcement,
model, forced answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from guardedit.core.epoch import Epoch, state_sha256
from guardedit.core.fact import Fact
from guardedit.core.proposal import WeightEdit
from guardedit.core.serving import Answer, Snapshot
from guardedit.memory.context import Prompts
from guardedit.memory.store import RetrievalMemory
from guardedit.models.bypass import Patch
from guardedit.models.host import ModelHost
from guardedit.models.text.spans import Expected, score_spans
from guardedit.models.weights.folded import Folded
from guardedit.naming import contains_name
from guardedit.prepare.announcing.cases import AnnouncedFact
from guardedit.serving.replica import ServingReplica
from guardedit.serving.shard import MemoryShard

#: Kinds of questions: those for the fact, and those that it does not answer.
ASKED, BESIDE = ("own", "paraphrases", "questions"), ("neighbours", "same_subject")


@dataclass(frozen=True, slots=True)
class Asked:
    """One question of a case, with its answer.

    Attributes:
        case: whose question it is.
        kind: one of `ASKED` or `BESIDE`.
        question: what was asked.
        expected: the object that the answer has to name.
        answer: of the replica.
    """

    case: AnnouncedFact
    kind: str
    question: str
    expected: str
    answer: Answer

    @property
    def right(self) -> bool:
        """The answer names the expected object and, if it asks for the fact, not the old one."""
        if not contains_name(self.answer.text, self.expected):
            return False
        return self.kind in BESIDE or not contains_name(self.answer.text, self.case.old)


@dataclass(frozen=True, slots=True, kw_only=True)
class Obedience:
    """Shares of right answers, in [0, 1]; NaN where nothing was asked.

    Attributes:
        own: questions in the fact's wording whose answer has the new object and not the old one.
        paraphrases: the same for other statements to continue.
        questions: the same for questions.
        neighbours: questions about other subjects whose answer is unchanged.
        same_subject: the same for other relations of the subject.
        facts: number of facts.
        asked: number of questions of each kind, in this order.
    """

    own: float
    paraphrases: float
    questions: float
    neighbours: float
    same_subject: float
    facts: int
    asked: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data for a card or a table; undefined shares are null."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def measure(
    host: ModelHost, prompts: Prompts, memory: RetrievalMemory, cases: Sequence[AnnouncedFact]
) -> Obedience:
    """Ask all questions of the cases, with the facts of all cases in memory."""
    asked = ask_all(host, prompts, memory, cases)
    right = {kind: [one.right for one in asked if one.kind == kind] for kind in (*ASKED, *BESIDE)}
    shares = {kind: _mean(found) for kind, found in right.items()}
    return Obedience(**shares, facts=len(cases), asked=tuple(map(len, right.values())))


def ask_all(
    host: ModelHost, prompts: Prompts, memory: RetrievalMemory, cases: Sequence[AnnouncedFact]
) -> list[Asked]:
    """All questions of the cases, each with the answer of a replica that has the facts in memory."""
    facts = tuple(case.fact for case in cases)
    replica = ServingReplica(
        host, _NoEdits(host.base_sha256), [MemoryShard(memory)], use_unsure=True, prompts=prompts
    )
    replica.publish(Snapshot(epoch=_epoch(host.base_sha256, facts), facts=facts))
    rows = [(case, *row) for case in cases for row in questions_of(case)]
    answers = replica.ask([question for _, _, question, _ in rows])
    return [Asked(*row, answer) for row, answer in zip(rows, answers, strict=True)]


def obeyed(host: ModelHost, prompts: Prompts, cases: Sequence[AnnouncedFact]) -> float:
    """Share of the questions for the facts at which the model, told the fact, says its target by itself.

    Nothing is generated: the target is scored where it would stand. A chat model begins with the fact's own
    wording.
    """
    asked = [
        Expected(
            prompts.with_fact(case.fact, question),
            case.fact.target,
            case.fact.prompt if prompts.form.name == "chat" else "",
        )
        for case in cases
        for question in (case.fact.prompt, *case.paraphrases, *case.questions)
    ]
    return _mean([span.said for span in score_spans(host, asked)])


def questions_of(case: AnnouncedFact) -> list[tuple[str, str, str]]:
    """Kind, question and expected answer of each question of a case."""
    target = case.fact.target
    return [
        ("own", case.fact.prompt, target),
        *(("paraphrases", text, target) for text in case.paraphrases),
        *(("questions", text, target) for text in case.questions),
        *(("neighbours", one.prompt, one.answer) for one in case.neighbours),
        *(("same_subject", one.prompt, one.answer) for one in case.same_subject),
    ]


@dataclass(frozen=True, slots=True)
class _NoEdits:
    """The fold of a model without edits."""

    base_sha256: str

    def folded(self, edits: Sequence[WeightEdit]) -> Folded:
        """The base model; there are no edits."""
        assert not edits
        return Folded.of(Patch(), base_sha256=self.base_sha256)

    def forget(self) -> None:
        """Nothing is cached."""


def _epoch(base_sha256: str, facts: Sequence[Fact]) -> Epoch:
    return Epoch(
        number=1,
        kind="remember",
        base_sha256=base_sha256,
        policy_sha256="",
        weights_sha256=base_sha256,
        edits=(),
        state_sha256=state_sha256(base_sha256, base_sha256, facts),
        created_at_s=0.0,
    )


def _mean(right: Sequence[bool]) -> float:
    return sum(right) / len(right) if right else math.nan


def _plain(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return None if math.isnan(value) else round(value, 4)
