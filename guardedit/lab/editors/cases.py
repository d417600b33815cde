"""What is edited and what is asked afterwards: plain records, and what the base model says to them.

Undefined questions are left out here, so that a rate of nothing is NaN later. Where the facts come from is
not known here: see `world_facts` and `given_facts`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from guardedit.core.fact import Fact
from guardedit.core.probe import Question
from guardedit.guard.catalogue import KnownQuestion

#: Prompt -> guesses in, prompt -> answer out; `models.guessing.complete_guessed` on a host.
Ask = Callable[[Mapping[str, Sequence[str]]], dict[str, str]]
#: Fewest letters of a word that may stand for a whole name.
SHORTEST_ALIAS = 4


class Carried(StrEnum):
    """Where else an edited fact should show (KnowEdit's portability, as far as facts alone tell)."""

    REVERSE = "reverse"  # asked from the object: what is Rome the capital of
    ALIAS = "alias"  # the subject by the last word of its name
    IN_TEXT = "in_text"  # an unseen wording after an unrelated sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Portable:
    """A question whose answer follows from an edit.

    It counts only where the base model answers `before`, the same question about the old fact, with
    `before_answer`: what it could not carry there before, no edit can be blamed for (the condition queries
    of RippleEdits, Cohen et al. 2023, arXiv:2307.12976).
    """

    kind: Carried
    prompt: str
    answer: str
    before: str
    before_answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EditCase:
    """One edit, and everything it will be asked about.

    Attributes:
        fact: what is edited, with the wordings the method is given.
        old: the base model's answer to the fact's prompt; empty before `vetted`.
        keep: what the method is told to preserve of the subject.
        unseen: wordings the method is not given.
        same_subject: other facts of the subject, which must stay.
        other_subject: facts of subjects that are never edited, nor shown to a method.
        portable: what follows from the edit.
    """

    fact: Fact
    old: str = ""
    keep: tuple[Question, ...] = ()
    unseen: tuple[str, ...] = ()
    same_subject: tuple[KnownQuestion, ...] = ()
    other_subject: tuple[KnownQuestion, ...] = ()
    portable: tuple[Portable, ...] = ()


def vetted(cases: Sequence[EditCase], ask: Ask) -> list[EditCase]:
    """The cases with only those questions that the base model answers as expected.

    What was never known cannot be lost. A fact that the base model states already is no edit and goes.

    Args:
        cases: as they were made.
        ask: the base model.
    """
    guesses: dict[str, list[str]] = {}
    for prompt, answer in (pair for case in cases for pair in _expectations(case)):
        guesses.setdefault(prompt, []).append(answer)
    for case in cases:
        guesses.setdefault(case.fact.prompt, [case.fact.target])
    said = ask(guesses)
    return [_vetted(case, said) for case in cases if said[case.fact.prompt] != case.fact.target]


def _expectations(case: EditCase) -> Iterator[tuple[str, str]]:
    if case.old:
        yield case.fact.prompt, case.old
    for known in (*case.same_subject, *case.other_subject):
        yield known.prompt, known.answer
    for portable in case.portable:
        yield portable.before, portable.before_answer or case.old


def _vetted(case: EditCase, said: Mapping[str, str]) -> EditCase:
    old = said[case.fact.prompt]
    return replace(
        case,
        old=old,
        same_subject=tuple(k for k in case.same_subject if said[k.prompt] == k.answer),
        other_subject=tuple(k for k in case.other_subject if said[k.prompt] == k.answer),
        portable=tuple(p for p in case.portable if said[p.before] == (p.before_answer or old)),
    )


def alias_of(subject: str, names: Collection[str]) -> str | None:
    """The last word of a name of several words, when no other name holds that word.

    >>> alias_of("Marie Curie", ["Marie Curie", "Rome"])
    'Curie'
    >>> alias_of("Marie Curie", ["Marie Curie", "Pierre Curie"]) is None
    True
    """
    first, _, last = subject.rpartition(" ")
    if not first or len(last) < SHORTEST_ALIAS or not last[0].isupper():
        return None
    return None if any(last in name.split() for name in names if name != subject) else last


def carried(
    fact: Fact, wording: str, *, names: Collection[str], aside: KnownQuestion | None
) -> tuple[Portable, ...]:
    """The portable questions that any fact has: by another name, and in the midst of a text.

    Args:
        fact: that is edited.
        wording: to ask in, unseen if there is one; must hold the subject.
        names: all subjects, so that an alias is nobody else's.
        aside: something known of another subject, stated before the question; None: there is none.
    """
    found = []
    alias = alias_of(fact.key.subject, names)
    if alias is not None:
        prompt = wording.replace(fact.key.subject, alias)
        found.append(_unchanged(Carried.ALIAS, prompt, fact.target))
    if aside is not None:
        prompt = f"{aside.prompt} {aside.answer}. {wording}"
        found.append(_unchanged(Carried.IN_TEXT, prompt, fact.target))
    return tuple(found)


def _unchanged(kind: Carried, prompt: str, answer: str) -> Portable:
    """The base model must give the answer that it gives to the plain prompt."""
    return Portable(kind=kind, prompt=prompt, answer=answer, before=prompt, before_answer="")
