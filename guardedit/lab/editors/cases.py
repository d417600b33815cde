"""Defines test cases for editors: one edit each, with all questions to ask after it.

Plain records. `world_facts` and `given_facts` make the cases. `vetted` removes the questions that the base
model does not answer as expected. A share of no questions is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from guardedit.core.fact import Fact
from guardedit.core.probe import Question
from guardedit.guard.catalogue import KnownQuestion

#: (prompt -> likely answers) -> (prompt -> answer), as `models.text.guessing.complete_guessed` for a host.
Ask = Callable[[Mapping[str, Sequence[str]]], dict[str, str]]
#: Minimum length of a word that is used as an alias of a whole name.
SHORTEST_ALIAS = 4


class PortabilityKind(StrEnum):
    """Other forms in which an edited fact should be answered (a part of KnowEdit's portability)."""

    REVERSE = "reverse"  # asked from the object: what is Rome the capital of
    ALIAS = "alias"  # the subject by the last word of its name
    IN_TEXT = "in_text"  # an unseen wording after an unrelated sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class PortabilityQuestion:
    """A question whose answer follows from an edit.

    It counts only if the base model answers `base_prompt`, the same question about the old fact, with
    `base_answer`. An edit is not expected to enable an inference that the base model cannot make (the
    condition queries of RippleEdits, Cohen et al. 2023, arXiv:2307.12976).

    Attributes:
        kind: form of the question.
        prompt: question to ask after the edit.
        answer: answer that follows from the edit.
        base_prompt: question to ask the base model.
        base_answer: answer expected from the base model; empty: its answer to the fact's own prompt.
    """

    kind: PortabilityKind
    prompt: str
    answer: str
    base_prompt: str
    base_answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EditCase:
    """One edit, and all questions about it.

    Attributes:
        fact: to edit, with the wordings that the method is given.
        old: the base model's answer to the fact's prompt; empty before `vetted`.
        keep: answers about the subject that the method must preserve.
        unseen: wordings that the method is not given.
        same_subject: other facts of the subject, whose answers must not change.
        other_subject: facts of subjects that are neither edited nor shown to a method.
        portable: questions whose answers follow from the edit.
    """

    fact: Fact
    old: str = ""
    keep: tuple[Question, ...] = ()
    unseen: tuple[str, ...] = ()
    same_subject: tuple[KnownQuestion, ...] = ()
    other_subject: tuple[KnownQuestion, ...] = ()
    portable: tuple[PortabilityQuestion, ...] = ()


def vetted(cases: Sequence[EditCase], ask: Ask) -> list[EditCase]:
    """The cases with only the questions that the base model answers as expected.

    An edit cannot destroy what the model never knew. A case whose target the base model already answers is
    left out.

    Args:
        cases: all cases.
        ask: asks the base model.
    """
    guesses: dict[str, list[str]] = {}
    for prompt, answer in (pair for case in cases for pair in _expectations(case)):
        guesses.setdefault(prompt, []).append(answer)
    for case in cases:
        guesses.setdefault(case.fact.prompt, [case.fact.target])
    answers = ask(guesses)
    return [_vetted(case, answers) for case in cases if answers[case.fact.prompt] != case.fact.target]


def _expectations(case: EditCase) -> Iterator[tuple[str, str]]:
    """(prompt, expected answer of the base model)."""
    if case.old:
        yield case.fact.prompt, case.old
    for known in (*case.same_subject, *case.other_subject):
        yield known.prompt, known.answer
    for portable in case.portable:
        yield portable.base_prompt, portable.base_answer or case.old


def _vetted(case: EditCase, answers: Mapping[str, str]) -> EditCase:
    old = answers[case.fact.prompt]
    return replace(
        case,
        old=old,
        same_subject=tuple(k for k in case.same_subject if answers[k.prompt] == k.answer),
        other_subject=tuple(k for k in case.other_subject if answers[k.prompt] == k.answer),
        portable=tuple(p for p in case.portable if answers[p.base_prompt] == (p.base_answer or old)),
    )


def alias_of(subject: str, names: Collection[str]) -> str | None:
    """The last word of a name of several words, if no other name contains that word.

    >>> alias_of("Marie Curie", ["Marie Curie", "Rome"])
    'Curie'
    >>> alias_of("Marie Curie", ["Marie Curie", "Pierre Curie"]) is None
    True
    """
    first, _, last = subject.rpartition(" ")
    if not first or len(last) < SHORTEST_ALIAS or not last[0].isupper():
        return None
    return None if any(last in name.split() for name in names if name != subject) else last


def portability_questions(
    fact: Fact, wording: str, *, names: Collection[str], aside: KnownQuestion | None
) -> tuple[PortabilityQuestion, ...]:
    """Questions that can be made for any fact: by an alias, and after an unrelated sentence.

    Args:
        fact: to edit.
        wording: wording of the question, with the subject filled in; unseen if there is such a wording.
        names: all subjects, so that no alias is ambiguous.
        aside: a known fact about another subject, stated before the question; None: no question in a text.
    """
    questions = []
    alias = alias_of(fact.key.subject, names)
    if alias is not None:
        prompt = wording.replace(fact.key.subject, alias)
        questions.append(_same_answer(PortabilityKind.ALIAS, prompt, fact.target))
    if aside is not None:
        prompt = f"{aside.prompt} {aside.answer}. {wording}"
        questions.append(_same_answer(PortabilityKind.IN_TEXT, prompt, fact.target))
    return tuple(questions)


def _same_answer(kind: PortabilityKind, prompt: str, answer: str) -> PortabilityQuestion:
    """Counts if the base model answers `prompt` like the fact's own prompt."""
    return PortabilityQuestion(kind=kind, prompt=prompt, answer=answer, base_prompt=prompt, base_answer="")
