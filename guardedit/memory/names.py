"""The names of known subjects, and the ways in which a question may name one.

    exact        as the subject is written, apart from case and signs that mean the same (`naming.tokens`)
    typography   without accents, signs or the article: "Celine Dion", "Microphones"
    short        the last word of what may be a person's name: "Einstein"
    misspelt     with a letter or two wrong: "Volkswaagen"

A way is tried only on words that no earlier way has used. A number is never misspelt: "N57" is not "N52".
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

from rapidfuzz import process
from rapidfuzz.distance import OSA

from guardedit.naming import Name, Token, tokens
from guardedit.naming.mentions import find_mentions, is_extended
from guardedit.naming.variants import reduced, reduced_tokens, short_form

#: Letters of the shortest word that may be misspelt, and of the shortest that may have two letters wrong.
SHORTEST, LONG = 5, 9
#: Letters of the shortest misspelt word that is not capitalised where others are.
SHORTEST_SMALL = 7


class Way(IntEnum):
    """How a question names a subject; the smaller, the surer."""

    EXACT = 0
    TYPOGRAPHY = 1
    SHORT = 2
    MISSPELT = 3


class Named(NamedTuple):
    """A subject that a text names at characters [start, end).

    Attributes:
        name: of the subject.
        start: of the first character.
        end: behind the last character.
        way: how it is named.
        doubtful: it is probably part of a longer name, or a common word.
    """

    name: Name
    start: int
    end: int
    way: Way
    doubtful: bool


class NameIndex:
    """The names of the subjects of one tenant, each counted as often as it was added."""

    def __init__(self) -> None:
        self._count: Counter[Name] = Counter()
        self._lengths: Counter[int] = Counter()
        self._reduced: defaultdict[Name, set[Name]] = defaultdict(set)
        self._short: defaultdict[Name, set[Name]] = defaultdict(set)
        self._words: Counter[str] = Counter()

    def __contains__(self, name: object) -> bool:
        return name in self._count

    def add(self, subject: str, name: Name) -> None:
        """Add a subject once more."""
        self._count[name] += 1
        if self._count[name] > 1:
            return
        self._lengths[len(name)] += 1
        for form in reduced(name):
            self._reduced[form].add(name)
            self._words.update(_misspellable(form))
        if form := short_form(subject, name):
            self._short[form].add(name)

    def remove(self, subject: str, name: Name) -> None:
        """Remove a subject once."""
        self._count[name] -= 1
        if self._count[name] > 0:
            return
        del self._count[name]
        self._lengths -= Counter([len(name)])  # drops counts of zero
        for form in reduced(name):
            _discard(self._reduced, form, name)
            self._words -= Counter(_misspellable(form))
        if form := short_form(subject, name):
            _discard(self._short, form, name)

    @property
    def longest(self) -> int:
        """Tokens of the longest name; 0 without any."""
        return max(self._lengths, default=0)

    def reduced(self, form: Name) -> Iterable[Name]:
        """The names with this reduced form."""
        return self._reduced.get(form, ())

    def short(self, form: Name) -> Iterable[Name]:
        """The names with this short form."""
        return self._short.get(form, ())

    def near(self, word: str) -> list[str]:
        """The words of names of which this one may be a misspelling, nearest first."""
        most = 2 if len(word) >= LONG else 1
        found = process.extract(word, self._words.keys(), scorer=OSA.distance, score_cutoff=most, limit=3)
        return [one for one, distance, _ in found if distance and one[0] == word[0]]


def find_named(text: str, indexes: Sequence[NameIndex]) -> list[Named]:
    """The subjects that a text names, in the order of the ways."""
    row = tokens(text)
    longest = max((index.longest for index in indexes), default=0)
    found = [
        Named(one.name, one.start, one.end, Way.EXACT, one.extended or _is_common(text, one.start, one.end))
        for one in find_mentions(text, _Any(indexes), longest=longest)
    ]
    found += _runs(
        text, row, found, longest, lambda form: _names(form, indexes, NameIndex.reduced), Way.TYPOGRAPHY
    )
    found += _runs(text, row, found, 1, lambda form: _names(form, indexes, NameIndex.short), Way.SHORT)
    found += _misspelt(text, row, found, longest, indexes)
    return found


class _Any:
    """Contains the names of all indexes."""

    def __init__(self, indexes: Sequence[NameIndex]) -> None:
        self._indexes = indexes

    def __contains__(self, name: object) -> bool:
        return any(name in index for index in self._indexes)


#: From a run of reduced tokens to the names that it stands for.
_Find = Callable[[Name], list[Name]]


def _names(
    form: Name, indexes: Sequence[NameIndex], of: Callable[[NameIndex, Name], Iterable[Name]]
) -> list[Name]:
    return sorted({name for index in indexes for name in of(index, form)})


def _runs(
    text: str, row: Sequence[Token], used: Sequence[Named], longest: int, find: _Find, way: Way
) -> list[Named]:
    """The names that runs of unused tokens stand for, the longest runs first at each place."""
    free = _unused(reduced_tokens(row), used)
    found: list[Named] = []
    first = 0
    while first < len(free):
        for last in range(min(len(free), first + longest), first, -1):
            run = free[first:last]
            names = find(tuple(token.text for token in run)) if _is_unbroken(text, run) else []
            if names:
                start, end = run[0].start, run[-1].end
                doubtful = is_extended(text, start, end) or _is_common(text, start, end)
                found += [Named(name, start, end, way, doubtful) for name in names]
                first = last - 1
                break
        first += 1
    return found


def _misspelt(
    text: str, row: Sequence[Token], used: Sequence[Named], longest: int, indexes: Sequence[NameIndex]
) -> list[Named]:
    """The names that unused words stand for if one of them is misspelt."""
    free = _unused(reduced_tokens(row), used)
    found: list[Named] = []
    for at, token in enumerate(free):
        if not _may_be_misspelt(text, token):
            continue
        for word in dict.fromkeys(word for index in indexes for word in index.near(token.text)):
            mended = [*free[:at], token._replace(text=word), *free[at + 1 :]]
            around = mended[max(0, at - longest + 1) : at + longest]
            spans = _runs_over(text, around, token, longest, indexes)
            found += [one for one in spans if one.name not in {other.name for other in found}]
    # Names of which the word may be the one or the other: it is none of them.
    spans = Counter((one.start, one.end) for one in found)
    return [one for one in found if spans[one.start, one.end] == 1]


def _runs_over(
    text: str, row: Sequence[Token], token: Token, longest: int, indexes: Sequence[NameIndex]
) -> Iterator[Named]:
    """The names in a row of mended tokens that include the place of one of them."""
    for first in range(len(row)):
        for last in range(min(len(row), first + longest), first, -1):
            run = row[first:last]
            inside = run[0].start <= token.start and token.end <= run[-1].end
            if not inside or not _is_unbroken(text, run):
                continue
            for name in _names(tuple(one.text for one in run), indexes, NameIndex.reduced):
                start, end = run[0].start, run[-1].end
                yield Named(name, start, end, Way.MISSPELT, is_extended(text, start, end))


def _unused(row: Sequence[Token], used: Sequence[Named]) -> list[Token]:
    return [
        token for token in row if not any(one.start < token.end and token.start < one.end for one in used)
    ]


def _is_unbroken(text: str, run: Sequence[Token]) -> bool:
    """Whether only signs of names and single spaces are between the tokens: no word, and no end of a clause."""
    gaps = (text[a.end : b.start] for a, b in itertools.pairwise(run))
    return all(
        len(gap) <= 3 and not any(sign in gap for sign in ",;:!?()") and not _has_letter(gap) for gap in gaps
    )


def _has_letter(text: str) -> bool:
    return any(letter.isalnum() for letter in text)


def _is_common(text: str, start: int, end: int) -> bool:
    """Whether a single word is in small letters where the text has capitals: "a titanic struggle"."""
    word = text[start:end]
    return " " not in word and word.islower() and any(letter.isupper() for letter in text)


def _may_be_misspelt(text: str, token: Token) -> bool:
    word = text[token.start : token.end]
    if len(token.text) < SHORTEST or not token.text.isalpha():
        return False
    small = word.islower() and any(letter.isupper() for letter in text[1:])
    return len(token.text) >= SHORTEST_SMALL or not small


def _misspellable(form: Name) -> list[str]:
    return [word for word in form if len(word) >= SHORTEST and word.isalpha()]


def _discard(names: dict[Name, set[Name]], form: Name, name: Name) -> None:
    names[form].discard(name)
    if not names[form]:
        del names[form]
