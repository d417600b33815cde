"""Measures how well a model obeys facts that are announced to it, and whether it leaves other answers alone.

Answers are made as a replica makes them: the same prompts, the same limit, the same forced answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from guardedit.core.fact import Fact
from guardedit.memory.context import Prompts
from guardedit.models.host import ModelHost
from guardedit.models.text.asking import Asking
from guardedit.naming import contains_name
from guardedit.prepare.announcing.cases import AnnouncedFact
from guardedit.serving.constrained import Constraint


@dataclass(frozen=True, slots=True, kw_only=True)
class Obedience:
    """Shares of right answers, in [0, 1]; NaN where nothing was asked.

    Attributes:
        own: questions in the fact's wording whose answer has the new object and not the old one.
        paraphrase: the same in other words.
        neighbours: questions about other subjects whose answer is unchanged, with the fact stated.
        same_subject: the same for other questions about the subject.
        facts: number of facts.
        asked: number of questions of each kind, in this order.
    """

    own: float
    paraphrase: float
    neighbours: float
    same_subject: float
    facts: int
    asked: tuple[int, int, int, int]

    @property
    def obeyed(self) -> float:
        """Share of all questions for the facts that are answered from them."""
        return _mean(self.asked[:2], (self.own, self.paraphrase))

    @property
    def left_alone(self) -> float:
        """Share of all other questions whose answer is unchanged."""
        return _mean(self.asked[2:], (self.neighbours, self.same_subject))

    def shares(self) -> dict[str, float | int]:
        """The numbers that are defined, by name."""
        body = self.to_json()
        del body["asked"]
        return {name: value for name, value in body.items() if value is not None}

    def to_json(self) -> dict[str, Any]:
        """Plain data for a card or a table; undefined shares are null."""
        body = asdict(self) | {"obeyed": self.obeyed, "left_alone": self.left_alone}
        return {name: _plain(value) for name, value in body.items()}


def measure(host: ModelHost, prompts: Prompts, cases: Sequence[AnnouncedFact]) -> Obedience:
    """Ask all questions of the cases with their facts stated by `prompts`."""
    asked = [
        (case, kind, question, expected) for case in cases for kind, question, expected in _questions(case)
    ]
    texts = answers(
        host, prompts, [case.fact for case, *_ in asked], [question for _, _, question, _ in asked]
    )
    right: dict[str, list[bool]] = {"own": [], "paraphrase": [], "neighbours": [], "same_subject": []}
    for (case, kind, _, expected), text in zip(asked, texts, strict=True):
        obeys = kind in ("own", "paraphrase")
        right[kind].append(contains_name(text, expected) and not (obeys and contains_name(text, case.old)))
    shares = {kind: sum(found) / len(found) if found else float("nan") for kind, found in right.items()}
    own, paraphrase, neighbours, same = map(len, right.values())
    return Obedience(**shares, facts=len(cases), asked=(own, paraphrase, neighbours, same))


def answers(host: ModelHost, prompts: Prompts, facts: Sequence[Fact], questions: Sequence[str]) -> list[str]:
    """The answers of a replica whose memory found these facts for these questions."""
    constraint = Constraint(prompts)
    used = constraint.asked_for(host, facts, questions)
    given = [
        prompts.alone(question) if fact is None else prompts.with_fact(fact, question)
        for fact, question in zip(used, questions, strict=True)
    ]
    texts = host.complete(given)
    return [constraint.obeyed(*one) for one in zip(used, questions, texts, strict=True)]


def best_limit(host: ModelHost, cases: Sequence[AnnouncedFact]) -> float | None:
    """The limit of `Prompts.asking_nats` that tells paraphrases from other questions best.

    It maximises the sum of the paraphrases at or above it and of the other questions below it, as shares, and
    lies halfway between two scores. None without paraphrases. Without other questions, a twentieth of the
    paraphrases may lie below it.
    """
    inside = _scores(host, [(case.fact, text) for case in cases for text in case.paraphrases])
    outside = _scores(host, [(case.fact, one.prompt) for case in cases for one in case.same_subject])
    if not inside:
        return None
    if not outside:
        return round(sorted(inside)[len(inside) // 20], 2)

    def gain(limit: float) -> tuple[float, float]:
        kept = sum(score >= limit for score in inside) / len(inside)
        return kept + sum(score < limit for score in outside) / len(outside), -limit

    scores = sorted({*inside, *outside})
    between = [round((low + high) / 2, 2) for low, high in pairwise(scores)]
    return max(between or [round(scores[0], 2)], key=gain)


def _scores(host: ModelHost, asked: Sequence[tuple[Fact, str]]) -> list[float]:
    return host.asking_nats([Asking(fact.prompt, question) for fact, question in asked])


def _questions(case: AnnouncedFact) -> list[tuple[str, str, str]]:
    """Kind, question and expected answer of each question of a case."""
    target = case.fact.target
    return [
        ("own", case.fact.prompt, target),
        *(("paraphrase", text, target) for text in case.paraphrases),
        *(("neighbours", one.prompt, one.answer) for one in case.neighbours),
        *(("same_subject", one.prompt, one.answer) for one in case.same_subject),
    ]


def _mean(counts: Sequence[int], shares: Sequence[float]) -> float:
    """Mean of shares by their counts; NaN where all counts are 0."""
    total = sum(counts)
    right = sum(n * share for n, share in zip(counts, shares, strict=True) if n)
    return right / total if total else float("nan")


def _plain(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return None if math.isnan(value) else round(value, 4)
