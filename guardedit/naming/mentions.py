"""Find known names in a text, and detect when a found name is probably part of a longer one.

Without a dictionary the words of Chinese, Japanese or Korean cannot always be separated. A doubtful mention
is marked `extended`, so that the caller can treat it as `unsure`.
"""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple

import regex

from guardedit.naming.folding import HYPHENS
from guardedit.naming.words import Name, Token, name_of, tokens

#: Characters [start, end) of a text.
Span = tuple[int, int]

_JOINING = frozenset(HYPHENS)
_IDEOGRAPH = regex.compile(r"[\p{Han}\p{Katakana}\u30fc\u30fb]")
_HANGUL = regex.compile(r"\p{Hangul}")
_HIRAGANA = regex.compile(r"\p{Hiragana}")


class _Separators(NamedTuple):
    """Characters that are not part of a name next to them, by the script of the name."""

    chinese: frozenset[str]  # next to a name of two characters or more
    japanese: frozenset[str]
    korean: frozenset[str]


_BEFORE = _Separators(frozenset("在是由從从對对"), frozenset("はがをにのともへでやかだな"), frozenset())
#: Particles, copulas and honorifics, each by its first character.
_AFTER = _Separators(
    frozenset("的是在和与與跟及吗嗎呢了被由位"),
    frozenset("はがをにのともへでやかだなまよっさくちねわらし"),
    frozenset("은는이가을를의에와과도로으만까부한께라였입인처보마조밖나랑하들"),
)

#: English words that begin longer names of places and people.
BEGINS_NAMES = frozenset(
    {
        "new", "old", "north", "south", "east", "west", "northern", "southern", "eastern",
        "western", "upper", "lower", "great", "greater", "little", "saint", "st", "san", "santa",
        "santo", "fort", "port", "mount", "lake", "cape", "camp", "los", "las", "el", "la", "le",
        "king", "queen", "prince", "princess", "pope", "sir", "lady", "lord",
    }
)  # fmt: skip


class Mention(NamedTuple):
    """A name in a text at characters [start, end). `extended`: it is probably part of a longer name."""

    name: Name
    start: int
    end: int
    extended: bool


def find_mentions(text: str, known: Container[Name], *, longest: int) -> list[Mention]:
    """Every known name in the text, except those inside a longer known name.

    Args:
        text: where to search.
        known: the names; a set or a dictionary, for speed.
        longest: token count of the longest known name.

    >>> known = {("paris",), ("paris", "hilton")}
    >>> [m.name for m in find_mentions("Paris Hilton flew to Paris", known, longest=2)]
    [('paris', 'hilton'), ('paris',)]
    """
    row = tokens(text)
    words = [token.text for token in row]
    mentions: list[Mention] = []
    covered = 0  # index of the first token after the last mention
    for first in range(len(row)):
        for last in range(min(len(row), first + longest), max(first, covered), -1):
            name = tuple(words[first:last])
            if name in known and is_whole(row, first, last):
                extended = _is_extended(text, row, first, last)
                mentions.append(Mention(name, row[first].start, row[last - 1].end, extended))
                covered = last
                break
    return mentions


def last_span(text: str, subject: str) -> Span | None:
    """The last position of a name in a text as a whole name; None where it does not occur.

    >>> last_span("Annexed Anne by Annex", "ANNE"), last_span("Annex", "Anne")
    ((8, 12), None)
    """
    name = name_of(subject)
    found = find_mentions(text, {name}, longest=len(name))
    return (found[-1].start, found[-1].end) if found else None


def is_whole(row: list[Token], first: int, last: int) -> bool:
    """Whether tokens [first, last) include all tokens of every character that folds to several tokens."""
    starts = first == 0 or row[first - 1].end <= row[first].start
    return starts and (last == len(row) or row[last].start >= row[last - 1].end)


def _is_extended(text: str, row: list[Token], first: int, last: int) -> bool:
    """Whether a capital, number, hyphen or O' beside the name extends it: "Paris Hilton", "Saint-Paris".

    Capitals are no evidence in a text that is all in capitals.
    """
    if is_attached(text, row, first, last):
        return True
    if text.isupper():
        return False
    end = row[last - 1].end
    after = last < len(row) and text[end : row[last].start].isspace() and _name_like(text, row[last])
    return after or (first > 0 and _name_before(text, row, first))


def is_attached(text: str, row: list[Token], first: int, last: int) -> bool:
    """Whether the tokens are part of a longer word: by a hyphen, by O', or in a script without spaces."""
    start, end = row[first].start, row[last - 1].end
    if text[end : end + 1] in _JOINING and text[end + 1 : end + 2].isalnum():
        return True
    if text[start - 1 : start] in _JOINING and text[start - 2 : start - 1].isalnum():
        return True
    if first > 1 and row[first - 1].text == "'" and text[row[first - 2].start : start - 1] == "O":
        return True
    return not text.isascii() and _is_extended_unspaced(text, start, end)


def _name_before(text: str, row: list[Token], first: int) -> bool:
    """Whether a capitalised word or number precedes the name: "Old Paris", "Province of Paris".

    The first word of a sentence is capitalised anyway. It counts only if it is known to begin names.
    """
    at = first - 2 if row[first - 1].text == "of" and first > 1 else first - 1
    if not text[row[at].end : row[at + 1].start].isspace() or not _name_like(text, row[at]):
        return False
    return row[at].text in BEGINS_NAMES or (at > 0 and row[at - 1].text[0].isalnum())


def _name_like(text: str, token: Token) -> bool:
    return text[token.start].isupper() or text[token.start].isdigit()


def _is_extended_unspaced(text: str, start: int, end: int) -> bool:
    """Whether, in a script without spaces, a neighbouring character may be part of the same word."""
    name, before, after = text[start:end], text[max(0, start - 1) : start], text[end : end + 1]
    single = len(name) == 1
    return _joins(name[0], before, _BEFORE, single=single) or _joins(name[-1], after, _AFTER, single=single)


def _joins(edge: str, neighbour: str, separators: _Separators, *, single: bool) -> bool:
    """Whether `neighbour` may belong to the same word as the character `edge` beside it."""
    if not neighbour:
        return False
    if _HANGUL.match(edge):
        return bool(_HANGUL.match(neighbour)) and neighbour not in separators.korean
    if _HIRAGANA.match(edge):
        return bool(_HIRAGANA.match(neighbour)) and neighbour not in separators.japanese
    if not _IDEOGRAPH.match(edge):
        return False
    if neighbour in separators.chinese and not single:
        return False
    return neighbour.isdecimal() or bool(_IDEOGRAPH.match(neighbour))
