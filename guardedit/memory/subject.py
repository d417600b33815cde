"""Mask the subject in a text. The names are found by `naming`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from guardedit.naming import Span, find_mentions, name_of, tokens

#: Replaces the subject in a masked text. Of the words tried, this one separates relations best.
MASK = "someone"

_SENTENCE_END = re.compile(r"[.!?\u3002\uff01\uff1f]+(?:\s+|$)")


def masked(text: str, spans: Iterable[Span]) -> str:
    """The text with the characters of each span replaced by `MASK`; the spans are in their order."""
    parts, end = [], 0
    for start, behind in spans:
        parts += [text[end:start], MASK]
        end = behind
    return "".join([*parts, text[end:]])


def masked_forms(text: str, spans: Iterable[Span]) -> tuple[str, ...]:
    """The masked text; if it has several sentences, also the sentence with the name alone.

    >>> masked_forms("It rains. Ada was born in", [(10, 13)])
    ('It rains. someone was born in', 'someone was born in')
    """
    whole = masked(text, spans)
    bounds = [0, *(match.end() for match in _SENTENCE_END.finditer(whole)), len(whole)]
    for start, end in pairwise(bounds):
        sentence = whole[start:end].strip()
        if MASK in sentence and sentence != whole.strip():
            return whole, sentence
    return (whole,)


def mask_subject(text: str, subject: str) -> str:
    """The text with every mention of the subject replaced by `MASK`."""
    name = name_of(subject)
    mentions = find_mentions(text, {name}, longest=len(name))
    return masked(text, [(one.start, one.end) for one in mentions])


def mask_span(text: str, span: Span) -> str:
    """The text with the characters [start, end) replaced by `MASK`. Other mentions of the name stay.

    >>> mask_span("York is not New York; it lies in", (0, 4))
    'someone is not New York; it lies in'
    """
    return f"{text[: span[0]]}{MASK}{text[span[1] :]}"


def word_overlap(left: str, right: str) -> float:
    """Jaccard overlap of the word sets of two masked texts, without the mask; 0 if both are empty."""
    a = {token.text for token in tokens(left) if token.text[0].isalnum()} - {MASK}
    b = {token.text for token in tokens(right) if token.text[0].isalnum()} - {MASK}
    return len(a & b) / len(a | b) if a | b else 0.0
