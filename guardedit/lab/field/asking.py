"""Asks one state of a system all questions of the cases: given answers, and free ones.

A state is a model, a patch of its weights, and the text that it is given for a question. How the facts came
into it is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedState:
    """What is asked.

    Attributes:
        host: the model.
        patch: edited weights; empty for the model as it is.
        texts: the text for each question.
        answer: free answers as they are served, from questions and the most tokens; None: the model continues
            the texts.
    """

    host: ModelHost
    patch: Patch
    texts: Texts = alone
    answer: Answers | None = None


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
    found = score_answers(state.host, asked.values(), doing=f"scoring {name}", tell=tell)
    return {pair: found[given] for pair, given in asked.items()}


def _answers(
    state: AskedState, cases: Sequence[FieldCase], forms: AskingForms, name: str, tell: Tell
) -> dict[str, str]:
    questions = list(dict.fromkeys(one.prompt for case in cases for one in free_questions(case)))
    texts = state.texts(questions, forms.free)
    # Rows of equal length share a pass, so the chunks are made of similar lengths.
    order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), i))
    found: dict[str, str] = {}
    tell(f"asking {name} freely", 0, len(order))
    for start in range(0, len(order), CHUNK):
        chunk = order[start : start + CHUNK]
        if state.answer is not None:
            answers = state.answer([questions[i] for i in chunk], forms.max_tokens)
        else:
            with state.host.patched(state.patch):
                answers = state.host.complete([texts[i] for i in chunk], max_new_tokens=forms.max_tokens)
        found |= zip((questions[i] for i in chunk), answers, strict=True)
        tell(f"asking {name} freely", len(found), len(order))
    return found
