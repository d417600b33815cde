"""Names with misspelt words: "Volkswaagen", "Albret Einstien"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from guardedit.memory.names.asked_text import AskedText, Style
from guardedit.memory.names.english import is_known
from guardedit.memory.names.index import Bearer, NameIndex, Way
from guardedit.memory.names.runs import Named, Run, is_unbroken, named_by
from guardedit.memory.names.spelling import SHORTEST

#: Words of the longest name with a misspelt word, and words in it that may be misspelt.
_MOST_WORDS, _MOST_MISSPELT = 8, 2
#: Words of the longest text in which names may be misspelt. A longer one is no question but a document.
_LONGEST_TEXT = 500
#: Letters of the shortest misspelt word that is small in a text whose names have capitals.
_SHORTEST_SMALL = 7
#: Letters of the shortest misspelt short form. One letter makes a short family name another one.
_SHORTEST_SHORT = 8
#: Words of the shortest name in which a word that texts have may be misspelt: "Journey Beyond There Seas".
_SURE_WORDS = 3


def misspelt(asked: AskedText, indexes: Sequence[NameIndex], used: bytearray) -> Iterator[Named]:
    """The subjects that unused words name if one or two of them are misspelt.

    Longer runs come first, then those with fewer wrong letters. Where two names are equally near, the text
    may have the one or the other, so it has none of them.
    """
    if len(asked.reduced) > _LONGEST_TEXT:
        return
    words = [_read_word(asked, place, indexes, used) for place in range(len(asked.reduced))]
    starts = range(len(words) if any(word.near for word in words) else 0)
    found = (one for at in starts for one in _mended_runs(asked, words[at : at + _MOST_WORDS], indexes))
    runs = sorted(found, key=lambda one: (one.rank, one.run))
    taken: list[_Mended] = []
    for one in runs:
        if any(one.overlaps(other) for other in taken):
            continue
        taken.append(one)
        equal = [other for other in runs if other.rank == one.rank and one.overlaps(other)]
        if {other.run.form for other in equal} == {one.run.form}:
            yield from one.named


class _Mended(NamedTuple):
    """A run of words that names subjects once its misspelt words are mended."""

    run: Run
    wrong: int
    named: tuple[Named, ...]

    @property
    def rank(self) -> tuple[int, int]:
        """The smaller, the better."""
        return self.run.first - self.run.last, self.wrong

    def overlaps(self, other: _Mended) -> bool:
        """Whether the two runs share a word."""
        return self.run.first < other.run.last and other.run.first < self.run.last


class _Word(NamedTuple):
    """A word of a text, and what it may be meant to be.

    Attributes:
        text: as given, reduced.
        at: its place in the row of tokens.
        near: the words of names of which it may be a misspelling, with their numbers of wrong letters.
        exists: it is a word or name that texts have.
    """

    text: str
    at: int
    near: dict[str, int]
    exists: bool


class _Form(NamedTuple):
    """The form of some words in a row: letters that are wrong, words that are mended, words that exist."""

    wrong: int = 0
    mended: int = 0
    existing: int = 0

    def then(self, word: _Word, wrong: int) -> _Form:
        """The form with one more word, of which so many letters are wrong."""
        if not wrong:
            return self
        return _Form(self.wrong + wrong, self.mended + 1, self.existing + word.exists)


def _read_word(asked: AskedText, place: int, indexes: Sequence[NameIndex], used: bytearray) -> _Word:
    word, at = asked.reduced[place]
    if used[at] or len(word) < SHORTEST - 1 or not word.isalpha():
        return _Word(word, at, {}, exists=True)
    exists = is_known(word) or any(index.knows_word(word) for index in indexes)
    small = asked.style is Style.MIXED and asked.is_lower(at, at + 1) and len(word) < _SHORTEST_SMALL
    near: dict[str, int] = {}
    for index in indexes:
        near |= index.near(word)
    return _Word(word, at, near, exists=exists or small)


def _mended_runs(asked: AskedText, words: Sequence[_Word], indexes: Sequence[NameIndex]) -> Iterator[_Mended]:
    """The runs from the first of these words on that name subjects with one or two of the words mended."""
    forms = {"": _Form()}
    for count, word in enumerate(words, start=1):
        if count > 1 and not is_unbroken(asked, words[count - 2].at, word.at):
            return
        forms = {
            form + text: longer
            for form, so_far in forms.items()
            for text, wrong in {word.text: 0, **word.near}.items()
            if (longer := so_far.then(word, wrong)).mended <= _MOST_MISSPELT
        }
        for form, (wrong, mended, existing) in forms.items():
            if mended and (not existing or (mended == 1 and count >= _SURE_WORDS)):
                yield from _named(asked, Run(words[0].at, word.at + 1, form), wrong, indexes)
        forms = {form: so_far for form, so_far in forms.items() if _may_go_on(form, indexes)}


def _named(asked: AskedText, run: Run, wrong: int, indexes: Sequence[NameIndex]) -> Iterator[_Mended]:
    bearers = {bearer for index in indexes for bearer in index.formed(run.form)}
    named = (named_by(asked, run, one, Way.MISSPELT) for one in sorted(bearers) if _is_long(one, run.form))
    found = {one.name: one for one in named if one is not None}
    if found:
        yield _Mended(run, wrong, tuple(found.values()))


def _is_long(bearer: Bearer, form: str) -> bool:
    """Whether a form is long enough to be misspelt: a family name or an acronym is likelier another one."""
    return bearer.way is not Way.SHORT or len(form) >= _SHORTEST_SHORT


def _may_go_on(form: str, indexes: Sequence[NameIndex]) -> bool:
    """Whether a longer form may begin with this one."""
    return len(form) < 3 or any(
        length > len(form) for index in indexes for length in index.form_lengths(form)
    )
