"""Asks one state of a system all questions of the cases: given answers, and free ones.

A state is a model, a patch of its weights, and the text that it is given for a question. How the facts came
into it is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from guardedit.lab.field.cases import FieldCase
from guardedit.lab.field.measures import FieldOutcome, free_questions, given_answers
from guardedit.lab.field.scoring import Given, Scored, Tell, score_answers
from guardedit.memory.context import Prompts
from guardedit.models.bypass import Patch
from guardedit.models.host import ModelHost

#: From questions and the form to the texts that the model is given.
Texts = Callable[[Sequence[str], Prompts], list[str]]
#: From questions and the most tokens (None: the usual number) to free answers.
Answers = Callable[[Sequence[str], int | None], list[str]]
#: Prompts that are continued together between two reports of progress.
CHUNK = 64


def alone(questions: Sequence[str], prompts: Prompts) -> list[str]:
    """The texts for questions without any fact."""
    return [prompts.alone(question) for question in questions]


@dataclass(frozen=True, slots=True)
class KnownAnswers:
    """What a model with certain weights made of texts so far. The same text is not given to it twice.

    Attributes:
        scores: given answer -> its score.
        answers: (text, most tokens) -> free answer.
    """

    scores: dict[Given, Scored] = field(default_factory=dict)
    answers: dict[tuple[str, int | None], str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedState:
    """What is asked.

    Attributes:
        host: the model.
        patch: edited weights; empty for the model as it is.
        texts: the text for each question.
        answer: free answers as they are served, from questions and the most tokens; None: the model continues
            the texts.
        known: what these weights of this model made of texts before.
    """

    host: ModelHost
    patch: Patch
    texts: Texts = alone
    answer: Answers | None = None
    known: KnownAnswers = field(default_factory=KnownAnswers)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskingForms:
    """In which form questions are put.

    Attributes:
        given: for answers that are given and scored.
        free: for free answers: the form that is served.
        max_tokens: most tokens of a free answer; None: as many as the form usually takes.
    """

    given: Prompts
    free: Prompts
    max_tokens: int | None = None


def ask_cases(
    state: AskedState,
    cases: Sequence[FieldCase],
    forms: AskingForms,
    *,
    name: str,
    tell: Tell = lambda *_: None,
) -> FieldOutcome:
    """The outcome of all questions of the cases.

    Args:
        state: what is asked.
        cases: the cases.
        forms: how it is asked.
        name: of the state, for the progress.
        tell: progress.

    Raises:
        MalformedCorrection: a question does not fit into the model's context.
        GuardError: memory does not suffice.
    """
    with state.host.patched(state.patch):
        scores = _scores(state, cases, forms.given, name, tell)
    return FieldOutcome(scores=scores, answers=_answers(state, cases, forms, name, tell))


def _scores(
    state: AskedState, cases: Sequence[FieldCase], prompts: Prompts, name: str, tell: Tell
) -> dict[tuple[str, str], Scored]:
    pairs = list(dict.fromkeys(pair for case in cases for pair in given_answers(case)))
    questions = list(dict.fromkeys(question for question, _ in pairs))
    texts = dict(zip(questions, state.texts(questions, prompts), strict=True))
    asked = {(question, answer): Given(texts[question], answer) for question, answer in pairs}
    scores = state.known.scores
    new = [given for given in asked.values() if given not in scores]
    scores |= score_answers(state.host, new, doing=f"scoring {name}", tell=tell)
    return {pair: scores[given] for pair, given in asked.items()}


def _answers(
    state: AskedState, cases: Sequence[FieldCase], forms: AskingForms, name: str, tell: Tell
) -> dict[str, str]:
    questions = list(dict.fromkeys(one.prompt for case in cases for one in free_questions(case)))
    texts = dict(zip(questions, state.texts(questions, forms.free), strict=True))
    plain = dict(zip(questions, alone(questions, forms.free), strict=True))
    found: dict[str, str] = {}
    for question, text in texts.items():
        # With a fact in the text, the way of answering may differ as well: the answer can be forced.
        if (
            text == plain[question]
            and (answer := state.known.answers.get((text, forms.max_tokens))) is not None
        ):
            found[question] = answer
    # Rows of equal length share a pass, so the chunks are made of similar lengths.
    order = sorted(texts.keys() - found.keys(), key=lambda question: (len(texts[question]), question))
    tell(f"asking {name} freely", len(found), len(questions))
    for start in range(0, len(order), CHUNK):
        chunk = order[start : start + CHUNK]
        answers = _complete(state, chunk, texts, forms.max_tokens)
        found |= zip(chunk, answers, strict=True)
        tell(f"asking {name} freely", len(found), len(questions))
    state.known.answers.update(
        {(texts[one], forms.max_tokens): found[one] for one in order if texts[one] == plain[one]}
    )
    return found


def _complete(
    state: AskedState, questions: Sequence[str], texts: Mapping[str, str], max_tokens: int | None
) -> list[str]:
    if state.answer is not None:
        return state.answer(questions, max_tokens)
    with state.host.patched(state.patch):
        return state.host.complete([texts[one] for one in questions], max_new_tokens=max_tokens)
