"""Mask the subject in a text. The names are found by `naming`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from guardedit.naming import Span, find_mentions, name_of, tokens

#: Replaces the subject in a masked text. Of the words tried, this one separates relations best.
MASK = "someone"

#: Most characters of a question that are looked at. The encoder reads no more than 256 words.
MOST_CHARACTERS = 8_192

_ASKING = (
    r"(?:wh(?:o|om|ose|at|en|ere|ich|y)|how|is|are|was|were|do|does|did|has|have|had|can|could|in which)\b"
)
#: Where one sentence or question of a text ends and the next one begins.
_CLAUSE_END = re.compile(
    r"[.!?;:\u3002\uff01\uff1f\uff1b]+(?:\s+|$)|\n+"
    rf"|,?\s+(?:and|or|but|also|then|plus)\s+(?:also\s+|then\s+)?(?={_ASKING})|,\s+(?={_ASKING})",
    re.IGNORECASE,
)
#: Words of the shortest clause that can ask for something, without the mask.
_SHORTEST_CLAUSE = 2
_SIGNS = frozenset(".!?\u3002\uff01\uff1f")


def masked(text: str, spans: Iterable[Span]) -> str:
    """The text with the characters of each span replaced by `MASK`; the spans are in their order."""
    parts, end = [], 0
    for start, behind in spans:
        parts += [text[end:start], MASK]
        end = behind
    return "".join([*parts, text[end:]])


def masked_forms(text: str, spans: Iterable[Span]) -> tuple[str, ...]:
    """The masked text; if it has several sentences or questions, also each one with the name alone.

    >>> masked_forms("It rains. Ada was born in", [(10, 13)])
    ('It rains. someone was born in', 'someone was born in')
    >>> masked_forms("Who painted it and where is the office of Ibis?", [(42, 46)])[1:]
    ('where is the office of someone?',)
    """
    whole = masked(text, spans)
    ends = list(_CLAUSE_END.finditer(whole))
    starts = [0, *(match.end() for match in ends)]
    clauses = [
        (whole[start:end].rstrip(" ,") + _sign(whole, end)).strip()
        for start, end in zip(starts, [*(match.start() for match in ends), len(whole)], strict=True)
    ]
    return tuple(dict.fromkeys([whole, *(one for one in clauses if _asks(one) and one != whole.strip())]))


def _sign(text: str, end: int) -> str:
    """The sign that ends a sentence at `end`."""
    return text[end : end + 1] if text[end : end + 1] in _SIGNS else ""


def _asks(clause: str) -> bool:
    """Whether a clause has the mask and some other words."""
    words = [token.text for token in tokens(clause) if token.text[0].isalnum()]
    return MASK in words and len(words) - words.count(MASK) >= _SHORTEST_CLAUSE


def mask_names(text: str, names: Iterable[str]) -> str:
    """The text with every mention of one of the names of a subject replaced by `MASK`.

    >>> mask_names("Is the UK, or United Kingdom, an island?", ["United Kingdom", "UK"])
    'Is the someone, or someone, an island?'
    """
    known = set(map(name_of, names))
    mentions = find_mentions(text, known, longest=max(map(len, known), default=0))
    return masked(text, [(one.start, one.end) for one in mentions if one.start < one.end])


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
