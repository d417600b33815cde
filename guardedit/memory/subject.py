"""Mask the subject in a text. The names are found by `naming`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from guardedit.naming import Mention, Name, Span, find_mentions, name_of, tokens

#: Replaces the subject in a masked text. Of the words tried, this one separates relations best.
MASK = "someone"

#: Most characters of a question that are looked at. The encoder reads no more than 256 words.
MOST_CHARACTERS = 8_192

_SENTENCE_END = re.compile(r"[.!?\u3002\uff01\uff1f]+(?:\s+|$)")


def masked(text: str, mentions: Iterable[Mention], name: Name) -> str:
    """The text with every mention of one name replaced by `MASK`."""
    parts, end = [], 0
    for mention in mentions:
        if mention.name == name:
            parts += [text[end : mention.start], MASK]
            end = mention.end
    return "".join([*parts, text[end:]])


def masked_forms(text: str, mentions: Iterable[Mention], name: Name) -> tuple[str, ...]:
    """The masked text; if it has several sentences, also the sentence with the name alone.

    >>> found = find_mentions("It rains. Ada was born in", {("ada",)}, longest=1)
    >>> masked_forms("It rains. Ada was born in", found, ("ada",))
    ('It rains. someone was born in', 'someone was born in')
    """
    whole = masked(text, mentions, name)
    bounds = [0, *(match.end() for match in _SENTENCE_END.finditer(whole)), len(whole)]
    for start, end in pairwise(bounds):
        sentence = whole[start:end].strip()
        if MASK in sentence and sentence != whole.strip():
            return whole, sentence
    return (whole,)


def mask_subject(text: str, subject: str) -> str:
    """The text with every mention of the subject replaced by `MASK`."""
    name = name_of(subject)
    return masked(text, find_mentions(text, {name}, longest=len(name)), name)


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


def shortened(question: str) -> str:
    """The question; of one longer than `MOST_CHARACTERS`, its beginning and its end, a half of them each."""
    if len(question) <= MOST_CHARACTERS:
        return question
    half = MOST_CHARACTERS // 2
    return f"{question[:half]} {question[-half:]}"
