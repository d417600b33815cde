"""The names of the subjects of one tenant, by each form in which a question may give them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple

from guardedit.memory.names.english import is_common
from guardedit.memory.names.small_sets import add_member, discard_member
from guardedit.memory.names.spelling import SpellingIndex
from guardedit.naming import Name, name_of
from guardedit.naming.variants import TITLES, acronyms, reduced_words, short_forms, written_forms

#: A form that stands for more subjects than this names none of them.
MOST_BEARERS = 8
#: Given names that are common words, too.
_GIVEN_NAMES = frozenset(
    {
        "amber", "art", "buck", "bud", "charity", "chase", "crystal", "dawn", "don", "drew", "faith",
        "felicity", "gale", "grace", "heath", "heather", "hope", "hunter", "ivy", "joy", "ken", "les", "mark",
        "mason", "may", "miles", "olive", "pat", "pearl", "penny", "prudence", "ray", "red", "rich", "rose",
        "rusty", "scarlet", "sky", "summer", "violet", "will",
    }
)  # fmt: skip
#: Letters of a form under which the lengths of the forms that begin with them are kept.
_HEAD = 3


class Way(IntEnum):
    """How a question names a subject; the smaller, the surer.

    EXACT: as the subject or one of its aliases is written, apart from case and signs that mean the same.
    TYPOGRAPHY: without accents, signs, spaces, an article or a legal form: "Celine Dion", "Microphones".
    SHORT: the family name of what may be a person, an acronym, a name without its parenthesis.
    MISSPELT: any of these with a letter or two wrong: "Volkswaagen".
    """

    EXACT = 0
    TYPOGRAPHY = 1
    SHORT = 2
    MISSPELT = 3


class Bearer(NamedTuple):
    """A subject that a form stands for, the way in which it does, and the name of which it is a form."""

    subject: Name
    way: Way
    written: str


class NameIndex:
    """The names of the subjects of one tenant, each counted as often as it was added.

    Adding, removing and looking up a name take time that depends on its length, not on the number of names.
    """

    def __init__(self) -> None:
        self._count: Counter[tuple[Name, str]] = Counter()  # (subject, name as written)
        self._exact: dict[Name, tuple[Bearer, ...] | dict[Bearer, None]] = {}
        self._lengths: dict[str, Counter[int]] = {}  # first token -> tokens of the names that begin with it
        self._forms: dict[str, tuple[Bearer, ...] | dict[Bearer, None]] = {}
        self._form_lengths: dict[str, Counter[int]] = {}  # head of a form -> letters
        self._spelling = SpellingIndex()

    def __contains__(self, name: object) -> bool:
        return name in self._exact

    def add(self, subject: str, aliases: Iterable[str] = ()) -> None:
        """Add a subject with its other names once more."""
        for bearer in _bearers(subject, aliases):
            key = (bearer.subject, bearer.written)
            self._count[key] += 1
            if self._count[key] == 1:
                self._register(bearer)

    def remove(self, subject: str, aliases: Iterable[str] = ()) -> None:
        """Remove a subject once, with the other names that it was added with."""
        for bearer in _bearers(subject, aliases):
            key = (bearer.subject, bearer.written)
            self._count[key] -= 1
            if not self._count[key]:
                del self._count[key]
                self._unregister(bearer)

    def named(self, name: Name) -> Iterable[Bearer]:
        """The subjects with exactly this name or alias; an alias of too many is the alias of none."""
        found = self._exact.get(name, ())
        return found if len(found) <= MOST_BEARERS else [one for one in found if one.subject == name]

    def lengths(self, word: str) -> Iterable[int]:
        """The numbers of tokens of the names that begin with this token."""
        return self._lengths.get(word, ())

    def formed(self, form: str) -> Iterable[Bearer]:
        """The subjects that a form stands for; none if there are too many."""
        found = self._forms.get(form, ())
        return found if len(found) <= MOST_BEARERS else ()

    def form_lengths(self, form: str) -> Iterable[int]:
        """The lengths of the forms that begin as this one does, in letters."""
        return self._form_lengths.get(form[:_HEAD], ())

    def knows_word(self, word: str) -> bool:
        """Whether a name has this word."""
        return word in self._spelling

    def near(self, word: str) -> dict[str, int]:
        """The words of names of which this one may be a misspelling, and their numbers of wrong letters."""
        return self._spelling.near(word)

    def _register(self, bearer: Bearer) -> None:
        name = name_of(bearer.written)
        if not name:
            return
        add_member(self._exact, name, bearer)
        self._lengths.setdefault(name[0], Counter())[len(name)] += 1
        for form, way in _forms(bearer.written):
            add_member(self._forms, form, bearer._replace(way=way))
            self._form_lengths.setdefault(form[:_HEAD], Counter())[len(form)] += 1
        self._spelling.add(set(reduced_words(bearer.written)))

    def _unregister(self, bearer: Bearer) -> None:
        name = name_of(bearer.written)
        if not name:
            return
        discard_member(self._exact, name, bearer)
        _uncount(self._lengths, name[0], len(name))
        for form, way in _forms(bearer.written):
            discard_member(self._forms, form, bearer._replace(way=way))
            _uncount(self._form_lengths, form[:_HEAD], len(form))
        self._spelling.remove(set(reduced_words(bearer.written)))


def _bearers(subject: str, aliases: Iterable[str]) -> Iterator[Bearer]:
    name = name_of(subject)
    for written in dict.fromkeys((subject, *aliases)):
        yield Bearer(name, Way.EXACT, written)


def _forms(written: str) -> Iterator[tuple[str, Way]]:
    yield from ((form, Way.TYPOGRAPHY) for form in sorted(written_forms(written)))
    words = reduced_words(written)
    short = short_forms(written)
    if len(words) > 2 and all(map(is_common, words)):
        short |= acronyms(written, least=3)
    if "(" not in written and words and is_common(words[0]) and words[0] not in TITLES | _GIVEN_NAMES:
        # It is no person: "Football Federation Australia", "Saturday Night Live".
        short -= {words[-1]}
    yield from ((form, Way.SHORT) for form in sorted(short))


def _uncount(table: dict[str, Counter[int]], key: str, length: int) -> None:
    table[key][length] -= 1
    if not table[key][length]:
        del table[key][length]
    if not table[key]:
        del table[key]
