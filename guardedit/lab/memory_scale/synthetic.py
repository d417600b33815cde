"""Made-up facts, questions about them, and a fast model for sizes that a real one would encode for hours.

The texts are like those of real corrections: a relation has a few patterns that all its facts share, every
fact has also a wording of its own, and subjects are names of two words.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Sequence

import numpy as np

from guardedit.core.fact import Fact, FactKey
from guardedit.memory.encoder import Vectors

RELATIONS = (
    "birthplace", "capital", "employer", "owner", "spouse", "currency", "religion", "profession", "founder",
    "director", "publisher", "headquarters", "mother tongue", "nationality", "composer", "manufacturer",
    "architect", "producer", "chairperson", "record label", "place of death", "field of work", "instrument",
    "league", "head coach", "official language", "twin city", "time zone", "continent", "county", "operator",
    "developer", "sponsor", "editor", "author", "patron saint", "mascot", "anthem", "airline hub", "port",
)  # fmt: skip
PATTERNS = (
    "The {relation} of {{}} is",
    "{{}} has as its {relation}",
    "As for its {relation}, {{}} names",
    "The {relation} that {{}} has is",
)
_FIRST = (
    "b", "br", "c", "d", "dr", "f", "g", "gr", "h", "j", "k", "kl", "l", "m", "n", "p", "pr", "r", "s", "st",
    "t", "tr", "v", "w", "z",
)  # fmt: skip
_VOWEL = ("a", "e", "i", "o", "u", "ai", "ea", "io", "ou")
_LAST = ("l", "n", "r", "s", "t", "m", "k", "nd", "rt", "x", "th", "ck")
_SYLLABLES = [first + vowel + last for first in _FIRST for vowel in _VOWEL for last in _LAST]
#: Multiplied with a number, it spreads neighbouring numbers over all names.
_SPREAD = 7_368_787
_YEARS = 60


def subject(number: int) -> str:
    """A name of two words; different numbers below 7 million have different names.

    >>> subject(0), subject(1)
    ('Bal Bal', 'Bim Drund')
    """
    count = len(_SYLLABLES)
    first, second = divmod(number * _SPREAD % (count * count), count)
    return f"{_SYLLABLES[first].capitalize()} {_SYLLABLES[second].capitalize()}"


def relation_of(number: int) -> str:
    """The relation of a fact."""
    return RELATIONS[number * 17 % len(RELATIONS)]


def fact(number: int, *, target: str = "") -> Fact:
    """A fact with a pattern of its relation and a wording of its own."""
    relation, name = relation_of(number), subject(number)
    pattern = PATTERNS[number % len(PATTERNS)].format(relation=relation)
    town, year = subject(number // 3).split()[0], 1960 + number % _YEARS
    own = f"According to the {year} register of {town}, the {relation} of {{}} was"
    return Fact(
        key=FactKey(name, relation),
        version=1,
        correction_id=f"c{number}",
        wordings=(pattern.replace("{}", name), own.replace("{}", name)),
        target=target or subject(number * 31 + 5).split()[1],
    )


def named_question(number: int) -> str:
    """A question that names the subject of fact `number`; every third one asks for another relation."""
    asked = relation_of(number if number % 3 else number + 1)
    return f"What is the {asked} of {subject(number)}?"


def unnamed_question(number: int) -> str:
    """A question that names no subject of a fact: the name has one word more than all names."""
    name = subject(number).lower().replace(" ", "ia ")
    return f"Could you tell me the {relation_of(number)} of {name}?"


class WordModel:
    """Makes vectors that are sums of one random vector for each word: deterministic, and fast.

    It takes the place of the model in a `SentenceEncoder`. Texts with common words are similar, as they are
    for a real model: the texts of one relation, and those of one subject. Short words count less. What a text
    means is not considered, so the vectors show times and the recall of a search, but not which facts a
    question asks for.
    """

    dim = 384
    sha256 = hashlib.sha256(b"guardedit: words").hexdigest()
    _WORD = re.compile(r"\w+")
    _ROWS = 2**15
    # With these a search is about as hard as among the vectors that MiniLM makes of CounterFact's facts.
    _RANK, _OWN = 64, 0.3
    _SHORT, _WEIGHT = 3, 0.35

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        common = rng.standard_normal((self._ROWS, self._RANK)) @ rng.standard_normal((self._RANK, self.dim))
        own = rng.standard_normal((self._ROWS, self.dim))
        rows = common / np.sqrt(self._RANK) + self._OWN * own
        self._table: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def get_embedding_dimension(self) -> int:
        """Length of a vector."""
        return self.dim

    def encode(self, texts: Sequence[str], **_: object) -> Vectors:
        """Vectors of n texts, at least one: (n, dim) float32, rows of norm 1."""
        words = [self._WORD.findall(text.lower()) or [""] for text in texts]
        numbers = [zlib.crc32(word.encode()) % self._ROWS for row in words for word in row]
        weights = [self._WEIGHT if len(word) <= self._SHORT else 1.0 for row in words for word in row]
        starts = np.cumsum([0, *(len(row) for row in words[:-1])])
        weighted = self._table[numbers] * np.asarray(weights, dtype=np.float32)[:, None]
        sums: Vectors = np.add.reduceat(weighted, starts, axis=0)  # (n, dim)
        sums /= np.linalg.norm(sums, axis=1, keepdims=True)
        return sums
