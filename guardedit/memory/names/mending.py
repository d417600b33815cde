"""Names with misspelt words: "Volkswaagen", "Albret Einstien"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from guardedit.memory.names.english import is_known
from guardedit.memory.names.index import Bearer, NameIndex, Way
from guardedit.memory.names.reading import Reading, Style
from guardedit.memory.names.runs import Named, Run, is_unbroken, named_by
from guardedit.memory.names.spelling import is_spelt

#: Words of the longest name with a misspelt word, and words in it that may be misspelt.
_MOST_WORDS, _MOST_MISSPELT = 8, 2
#: Letters of the shortest misspelt word that is small in a text whose names have capitals.
_SHORTEST_SMALL = 7
#: Letters of the shortest misspelt short form. One letter makes a short family name another one.
_SHORTEST_SHORT = 6


def misspelt(reading: Reading, indexes: Sequence[NameIndex], used: bytearray) -> Iterator[Named]:
    """The subjects that unused words name if one or two of them are misspelt.

    Longer runs come first, then those with fewer wrong letters. Where two names are equally near, the text
    may have the one or the other, so it has none of them.
    """
    mended = [_near(reading, place, indexes, used) for place in range(len(reading.reduced))]
    if not any(mended):
        return
    runs = sorted(
        (one for place in range(len(mended)) for one in _mended_runs(reading, place, mended, indexes, used)),
        key=lambda one: (one.rank, one.run),
    )
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


def _near(reading: Reading, place: int, indexes: Sequence[NameIndex], used: bytearray) -> dict[str, int]:
    """The words of names of which a word may be a misspelling; none for a word that is one itself."""
    word, at = reading.reduced[place]
    if used[at] or not is_spelt(word) or is_known(word) or any(index.knows_word(word) for index in indexes):
        return {}
    if reading.style is Style.MIXED and reading.is_lower(at, at + 1) and len(word) < _SHORTEST_SMALL:
        return {}
    near: dict[str, int] = {}
    for index in indexes:
        near |= index.near(word)
    return near


def _mended_runs(
    reading: Reading,
    place: int,
    mended: Sequence[dict[str, int]],
    indexes: Sequence[NameIndex],
    used: bytearray,
) -> Iterator[_Mended]:
    """The runs from `place` on that name subjects with one or two of their words mended."""
    last_place = min(len(mended), place + _MOST_WORDS)
    forms = {"": (0, 0)}  # form so far -> words mended, letters wrong
    before = -1
    for here in range(place, last_place):
        text, at = reading.reduced[here]
        if used[at] or (before >= 0 and not is_unbroken(reading, before, at)):
            return
        before = at
        forms = {
            form + word: (words + (wrong > 0), letters + wrong)
            for form, (words, letters) in forms.items()
            for word, wrong in {text: 0, **mended[here]}.items()
            if words + (wrong > 0) <= _MOST_MISSPELT
        }
        first = reading.reduced[place].at
        for form, (words, letters) in forms.items():
            if words:
                run = Run(first, at + 1, form)
                bearers = {bearer for index in indexes for bearer in index.formed(form)}
                named = [
                    named_by(reading, run, one, Way.MISSPELT)
                    for one in sorted(bearers)
                    if _is_long(one, form)
                ]
                if any(named):
                    yield _Mended(run, letters, tuple(one for one in named if one))
        forms = {form: counts for form, counts in forms.items() if _may_go_on(form, indexes)}


def _is_long(bearer: Bearer, form: str) -> bool:
    """Whether a form is long enough to be misspelt: a family name or an acronym is likelier another one."""
    return bearer.way is not Way.SHORT or len(form) >= _SHORTEST_SHORT


def _may_go_on(form: str, indexes: Sequence[NameIndex]) -> bool:
    """Whether a longer form may begin with this one."""
    return len(form) < 3 or any(
        length > len(form) for index in indexes for length in index.form_lengths(form)
    )
