"""Which facts a model knows: asked in two wordings as it is served, and scored where the object stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from guardedit.memory.context import Prompts
from guardedit.models.bypass import Patch
from guardedit.models.host import ModelHost
from guardedit.models.text.spans import Expected, score_spans
from guardedit.naming import name_at
from guardedit.prepare.facts import PublicFact, cloze
from guardedit.prepare.probes.candidates import WORDINGS, asked_wordings

#: Most tokens of an answer of a chat model.
ANSWER_TOKENS = 20
#: A chat model is asked for a fact only if the plain statement is not far from what it says, in nats.
SCREEN_NATS = -1.5


@dataclass(frozen=True, slots=True)
class AnswerPlace:
    """Where an object stands in the model's answer to one wording.

    Attributes:
        question: what a person asks.
        answer: the object, or another name of it, as the model says it.
        lead: what the model says before it.
    """

    question: str
    answer: str
    lead: str = ""


def screen(host: ModelHost, facts: Sequence[PublicFact]) -> list[float]:
    """For each fact the margin, in nats, of its object after the first cloze, without any chat template.

    One short forward pass for each fact. A fact whose statement is longer than the context gets -inf.
    """
    spans = score_spans(host, [Expected(cloze(fact), fact.object) for fact in facts])
    return [span.margin_nats for span in spans]


def find_places(
    host: ModelHost, prompts: Prompts, facts: Sequence[PublicFact]
) -> list[tuple[AnswerPlace, ...] | None]:
    """For each fact the places of its object in the answers to all wordings; None where one lacks it.

    A chat model generates a sentence for each wording, and a wording only if the one before had the object. A
    raw model must begin with the object, so nothing is generated.
    """
    asked = [asked_wordings(fact, prompts.form.name) for fact in facts]
    if prompts.form.name == "raw":
        return [
            tuple(AnswerPlace(text, fact.object) for text in texts)
            for fact, texts in zip(facts, asked, strict=True)
        ]
    found: dict[int, tuple[AnswerPlace, ...]] = dict.fromkeys(range(len(facts)), ())
    for n in range(WORDINGS):
        answers = _answers(host, prompts, [asked[i][n] for i in found])
        places = {i: _place(facts[i], asked[i][n], answers[asked[i][n]]) for i in found}
        found = {i: (*found[i], place) for i, place in places.items() if place is not None}
    return [found.get(i) for i in range(len(facts))]


def margins(
    host: ModelHost, prompts: Prompts, places: Sequence[AnswerPlace], patch: Patch | None = None
) -> list[float]:
    """The margin of each place's answer, in nats: positive exactly if the model says it there."""
    wanted = [expected(prompts, place) for place in places]
    with nullcontext() if patch is None else host.patched(patch):
        return [span.margin_nats for span in score_spans(host, wanted)]


def expected(prompts: Prompts, place: AnswerPlace) -> Expected:
    """The text that the model is given for a place, with its answer."""
    return Expected(prompts.alone(place.question), place.answer, place.lead)


def _answers(host: ModelHost, prompts: Prompts, asked: Sequence[str]) -> Mapping[str, str]:
    texts = [prompts.alone(text) for text in asked]
    return dict(zip(asked, host.complete(texts, max_new_tokens=ANSWER_TOKENS), strict=True))


def _place(fact: PublicFact, question: str, answer: str) -> AnswerPlace | None:
    for name in fact.names:
        at = name_at(answer, name)
        if at is not None:
            return AnswerPlace(question, answer[at : at + len(name)], answer[:at].strip())
    return None
