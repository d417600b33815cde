"""Whether one answer is right: by what the model says at the place of the expected answer, not word by word.

A model says the expected answer when each of its tokens is the most likely one at its place (`SpanScore`), or
when the first sentence of its generated answer names it. So a longer or reworded answer is the same answer.
All functions are pure.
"""

from __future__ import annotations

import re
import unicodedata

from guardedit.core.probe import Measurement, Question
from guardedit.naming import Name, contains_name, first_sentence, name_at, name_of

_CLAUSE_END = re.compile(r"[,;:(\u060c\u3001\uff0c](?=\D|\Z)")


def normalise(answer: str) -> str:
    r"""The form in which whole answers are compared: NFC, case-folded, single spaces, no final punctuation.

    >>> normalise("  Saint\tPetersburg. ")
    'saint petersburg'
    """
    return " ".join(unicodedata.normalize("NFC", answer).casefold().split()).rstrip(" .,;:!?")


def is_measured(measurement: Measurement, question: Question) -> bool:
    """Whether a measurement tells if the question is answered rightly: its span is said, or it was asked."""
    return _span_said(measurement, question) or question.prompt in measurement.answers


def says_expected(measurement: Measurement, question: Question) -> bool:
    """Whether a model gives the expected answer to a question that was measured."""
    if question.expected is None:
        return False
    if _span_said(measurement, question):
        return True
    return _names(measurement.answers[question.prompt], question.expected)


def says_target(candidate: Measurement, base: Measurement, question: Question) -> bool:
    """Whether an edit took: its target is said, and not only after what the base model says there.

    `Paris, not Rome` is no answer with the target Rome where the base model says `Paris`.
    """
    if not says_expected(candidate, question):
        return False
    if _span_said(candidate, question):
        return True
    before = base.answers.get(question.prompt)
    return before is None or not _says_first(candidate.answers[question.prompt], before, question.expected)


def keeps_expected(candidate: Measurement, reference: Measurement, question: Question) -> bool:
    """Whether a model still gives the expected answer that a reference gave.

    A generated answer must name it in its first clause, or begin as the reference's does: `London, not Paris`
    does not keep `Paris`.
    """
    if not says_expected(candidate, question):
        return False
    if question.expected is None or _span_said(candidate, question):
        return True
    answer, before = candidate.answers[question.prompt], reference.answers.get(question.prompt, "")
    named = name_of(question.expected)
    clause = _first_clause(answer)
    in_clause = any(clause[n : n + len(named)] == named for n in range(len(clause) - len(named) + 1))
    return in_clause or begins_alike(answer, before)


def begins_alike(answer: str, before: str) -> bool:
    """Whether an answer begins with the first clause of the answer before, and may go on.

    >>> begins_alike("Russian and French", "Russian"), begins_alike("The", "The Beatles")
    (True, False)
    """
    ours, theirs = _first_clause(answer), _first_clause(before)
    return ours[: len(theirs)] == theirs if theirs else not ours


def is_exact(candidate: Measurement, question: Question, previous: str | None) -> bool:
    """Whether the whole answer is the expected one or the previous one. Reported, never decides."""
    answer = normalise(candidate.answers[question.prompt])
    accepted = [text for text in (question.expected, previous) if text is not None]
    return answer in map(normalise, accepted)


def _span_said(measurement: Measurement, question: Question) -> bool:
    score = None if question.span is None else measurement.spans.get(question.span)
    return score is not None and score.said


def _names(answer: str, expected: str) -> bool:
    return contains_name(answer, expected) or normalise(answer) == normalise(expected)


def _says_first(answer: str, before: str, target: str | None) -> bool:
    """Whether an answer begins with the first clause of the answer before, and has the target only later."""
    old = _first_clause(before)
    at = None if target is None else name_at(answer, target)
    if not old or at is None or name_of(answer)[: len(old)] != old:
        return False
    return len(name_of(answer[:at])) >= len(old)


def _first_clause(answer: str) -> Name:
    sentence = first_sentence(answer)
    end = _CLAUSE_END.search(sentence)
    return name_of(sentence if end is None else sentence[: end.start()])
