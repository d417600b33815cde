"""Words of names, found by words that are spelt almost like them, in time that their number hardly changes.

A word of up to eight letters may have one letter wrong. It is kept under every word that it becomes without
one of its letters; two words with one letter wrong share such a form (the symmetric deletion of SymSpell). A
longer word may have two letters wrong, but not at both ends: it is kept under its first four letters, and
under its first and its last four, since forms without two letters would be too many. The first letter is
never wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rapidfuzz import process
from rapidfuzz.distance import OSA

from guardedit.memory.names.small_sets import add_member, discard_member

#: Letters of the shortest word that may be misspelt, and of the shortest that may have two letters wrong.
SHORTEST, LONG = 5, 9
#: Endings that make another word of a name: "Australian", "Volkswagens".
_ENDINGS = frozenset({"s", "es", "n", "an", "ian", "i", "ish", "er", "ic"})


class SpellingIndex:
    """The words of the names of one tenant, each counted as often as it was added."""

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()
        self._by_key: dict[str, tuple[str, ...] | dict[str, None]] = {}

    def __contains__(self, word: object) -> bool:
        return word in self._count

    def add(self, words: Iterable[str]) -> None:
        """Add words once more. Those that are too short, or have a digit, are left out."""
        for word in filter(is_spelt, words):
            self._count[word] += 1
            if self._count[word] == 1:
                for key in _keys(word):
                    add_member(self._by_key, key, word)

    def remove(self, words: Iterable[str]) -> None:
        """Remove words once."""
        for word in filter(is_spelt, words):
            self._count[word] -= 1
            if not self._count[word]:
                del self._count[word]
                for key in _keys(word):
                    discard_member(self._by_key, key, word)

    def near(self, word: str) -> dict[str, int]:
        """The words of which this one may be a misspelling, and how many letters are wrong for each."""
        found = {other for key in _all_keys(word) for other in self._by_key.get(key, ())} - {word}
        distances = process.extract(word, found, scorer=OSA.distance, score_cutoff=2, limit=None)
        return {
            other: int(distance)
            for other, distance, _ in distances
            if distance <= _most_wrong(other) and not _is_inflected(word, other)
        }


def is_spelt(word: str) -> bool:
    """Whether a word of a name may be misspelt: it is long enough and all letters.

    >>> is_spelt("einstein"), is_spelt("n52"), is_spelt("york")
    (True, False, False)
    """
    return len(word) >= SHORTEST and word.isalpha()


def _most_wrong(word: str) -> int:
    return 2 if len(word) >= LONG else 1


def _keys(word: str) -> set[str]:
    return _ends(word) if len(word) >= LONG else _shortened(word)


def _all_keys(word: str) -> set[str]:
    """The keys of all words of which this one may be a misspelling."""
    keys = _shortened(word) if len(word) <= LONG else set[str]()
    return keys | _ends(word) if len(word) >= LONG - 2 else keys


def _shortened(word: str) -> set[str]:
    return {word, *(word[:at] + word[at + 1 :] for at in range(1, len(word)))}


def _ends(word: str) -> set[str]:
    return {f"{word[:4]}*", f"{word[0]}*{word[-4:]}"}


def _is_inflected(left: str, right: str) -> bool:
    """Whether the longer of two words is the shorter one with an ending."""
    short, long = sorted((left, right), key=len)
    return long.startswith(short) and long[len(short) :] in _ENDINGS
