"""Where a subject stands in a text, and the text without it. Words only: no vectors, no facts.

Names are compared as `naming` says, token by token, so that "Ada" is found in "ADA's" and not in "Adamant".
Scripts without spaces are compared character by character.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from guardedit.naming import Name, Token, name_of, tokens

#: What stands for the subject in a masked text; of the words tried it separates relations best.
MASK = "someone"

_SENTENCE_END = re.compile(r"[.!?\u3002\uff01\uff1f]+(?:\s+|$)")

#: Hyphen-minus, hyphen, non-breaking hyphen, en dash.
_HYPHENS = frozenset("-\u2010\u2011\u2013")


class Mention(NamedTuple):
    """A name in a text: characters [start, end). `extended`: the name seems to go on around it."""

    name: Name
    start: int
    end: int
    extended: bool


def find_mentions(text: str, known: Iterable[Name], *, longest: int) -> list[Mention]:
    """Every known name in the text, without those inside a longer known name.

    `known` should be a set or a dictionary; `longest` is the token count of its longest name.

    >>> known = {("paris",), ("paris", "hilton")}
    >>> [m.name for m in find_mentions("Paris Hilton flew to Paris", known, longest=2)]
    [('paris', 'hilton'), ('paris',)]
    """
    row = tokens(text)
    words = [token.text for token in row]
    mentions: list[Mention] = []
    covered = 0  # first token that no mention has taken yet
    for first in range(len(row)):
        for last in range(min(len(row), first + longest), max(first, covered), -1):
            name = tuple(words[first:last])
            if name in known:
                mentions.append(
                    Mention(name, row[first].start, row[last - 1].end, _goes_on(text, row, first, last))
                )
                covered = last
                break
    return mentions


def masked(text: str, mentions: Iterable[Mention], name: Name) -> str:
    """The text with every mention of one name replaced by `MASK`."""
    parts, end = [], 0
    for mention in mentions:
        if mention.name == name:
            parts += [text[end : mention.start], MASK]
            end = mention.end
    return "".join([*parts, text[end:]])


def masked_forms(text: str, mentions: Iterable[Mention], name: Name) -> tuple[str, ...]:
    """The masked text, and where it has several sentences also the one that holds the name.

    >>> found = find_mentions("It rains. Ada was born in", {("ada",)}, longest=1)
    >>> masked_forms("It rains. Ada was born in", found, ("ada",))
    ('It rains. someone was born in', 'someone was born in')
    """
    whole = masked(text, mentions, name)
    bounds = [0, *(match.end() for match in _SENTENCE_END.finditer(whole)), len(whole)]
    for start, end in pairwise(bounds):
        sentence = whole[start:end].strip()
        if re.search(rf"\b{MASK}\b", sentence) and sentence != whole.strip():
            return whole, sentence
    return (whole,)


def mask_subject(text: str, subject: str) -> str:
    """The text with its subject replaced by `MASK`; unchanged where the subject does not occur."""
    name = name_of(subject)
    return masked(text, find_mentions(text, {name}, longest=len(name)), name)


def word_overlap(left: str, right: str) -> float:
    """Jaccard overlap of the word sets of two masked texts, the mask left out; 0 where both are empty."""
    a = {token.text for token in tokens(left) if token.text[0].isalnum()} - {MASK}
    b = {token.text for token in tokens(right) if token.text[0].isalnum()} - {MASK}
    return len(a & b) / len(a | b) if a | b else 0.0


def _goes_on(text: str, row: list[Token], first: int, last: int) -> bool:
    """A capitalised neighbour, a number or a hyphen: "Paris Hilton", "Paris 2", "Saint-Paris".

    Capitals say nothing where every letter is one; a capital that opens the sentence is grammar.
    """
    start, end = row[first].start, row[last - 1].end
    if text[end : end + 1] in _HYPHENS and text[end + 1 : end + 2].isalnum():
        return True
    if text[start - 1 : start] in _HYPHENS and text[start - 2 : start - 1].isalnum():
        return True
    if text.isupper():
        return False
    after = last < len(row) and text[end : row[last].start].isspace() and _name_like(text, row[last])
    return after or (first > 0 and _name_before(text, row, first))


def _name_before(text: str, row: list[Token], first: int) -> bool:
    """A capitalised word before it, or one joined by "of": "Old Paris", "Province of Paris"."""
    at = first - 2 if row[first - 1].text == "of" and first > 1 else first - 1
    if not text[row[at].end : row[at + 1].start].isspace() or not _name_like(text, row[at]):
        return False
    return at > 0 and row[at - 1].text[0].isalnum()


def _name_like(text: str, token: Token) -> bool:
    return text[token.start].isupper() or text[token.start].isdigit()
