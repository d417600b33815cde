"""The live facts of one tenant: by key, by name, by vector, by wording. Other tenants stand on other shelves.

Knows how a fact becomes keys. Decides nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from guardedit.core.fact import Fact, FactKey, Wording
from guardedit.memory.encoder import Encoder, Vectors
from guardedit.memory.index import KeyIndex
from guardedit.memory.subject import mask_span, mask_subject
from guardedit.memory.wordings import Wordings
from guardedit.naming import Name, name_of

#: A relation that reads as words, such as "native language" or "place_of_birth", not "P103" or a prompt.
_RELATION_WORDS = re.compile(r"[^\W\d]+(?:[ _-][^\W\d]+)*")


class Entry(NamedTuple):
    """A fact with what is derived from it."""

    fact: Fact
    name: Name
    keys: tuple[str, ...]  # texts in the index
    asked: tuple[str, ...]  # wordings with the subject masked


def entry_of(fact: Fact) -> Entry:
    """Keys: the statement, every wording, and subject with relation where that reads as words.

    >>> key = FactKey("Ada", "native language")
    >>> fact = Fact(key=key, version=1, correction_id="c", wordings=("Ada grew up speaking",), target="Welsh")
    >>> entry_of(fact).keys
    ('Ada grew up speaking Welsh.', 'Ada grew up speaking', 'Ada native language')
    >>> entry_of(fact).asked
    ('someone grew up speaking', 'someone native language')
    """
    subject = fact.key.subject
    asked = list(fact.worded)
    if _RELATION_WORDS.fullmatch(fact.key.relation):
        words = re.sub("[_-]", " ", fact.key.relation)
        asked.append(Wording(f"{subject} {words}", (0, len(subject))))
    keys = tuple(dict.fromkeys([fact.statement, *(text for text, _ in asked)]))
    masked = tuple(dict.fromkeys(form for wording in asked for form in _masked(wording, subject)))
    return Entry(fact, name_of(subject), keys, masked)


def _masked(wording: Wording, subject: str) -> tuple[str, ...]:
    """Without the subject where it stood, and as a question is masked: wherever the text repeats it."""
    text, at = wording
    everywhere = mask_subject(text, subject)
    if at is None:
        return (everywhere,)
    return (mask_span(text, at), everywhere) if everywhere != text else (mask_span(text, at),)


class Shelf:
    """One tenant's facts, kept in step: dictionary, names, index and wordings."""

    def __init__(self, encoder: Encoder, *, index: KeyIndex | None = None) -> None:
        self._encoder = encoder
        self.index = KeyIndex(encoder.dim) if index is None else index
        self.wordings = Wordings(encoder)
        self.entries: dict[FactKey, Entry] = {}
        self.names: dict[Name, dict[FactKey, Entry]] = {}
        self.lengths: Counter[int] = Counter()  # token counts of the names
        self._by_id: dict[str, FactKey] = {}

    def put(self, entry: Entry) -> None:
        """Add a fact; the one with the same key, if any, is superseded."""
        fact, old = entry.fact, self.entries.get(entry.fact.key)
        if old is not None and old.fact.id == fact.id:  # nothing but its placement or its time
            self.entries[fact.key] = self.names[entry.name][fact.key] = entry
            return
        self.drop(fact.key)
        if fact.id not in self.index:
            self.index.add(fact.id, entry.keys, self._encoder.encode(entry.keys))
        self.entries[fact.key] = entry
        if entry.name not in self.names:
            self.names[entry.name] = {}
            self.lengths[len(entry.name)] += 1
        self.names[entry.name][fact.key] = entry
        self._by_id[fact.id] = fact.key
        self.wordings.add(fact.key.relation, entry.asked)

    def drop(self, key: FactKey) -> None:
        """Take a fact away; nothing happens where there is none."""
        entry = self.entries.pop(key, None)
        if entry is None:
            return
        self.index.delete(entry.fact.id)
        del self._by_id[entry.fact.id]
        self.wordings.remove(key.relation, entry.asked)
        del self.names[entry.name][key]
        if not self.names[entry.name]:
            del self.names[entry.name]
            self.lengths -= Counter([len(entry.name)])  # keeps what is above zero

    def nearest(self, vectors: Vectors) -> list[list[tuple[Entry, float]]]:
        """Per row the facts of the nearest keys with their cosines, best first."""
        return [
            [(self.entries[self._by_id[hit.fact_id]], hit.cosine) for hit in hits]
            for hits in self.index.search(vectors)
        ]

    def cosine(self, entry: Entry, vector: Vectors) -> float:
        """Best key of one fact against one (dim,) row."""
        return float((self.index.vectors(entry.fact.id) @ vector).max())


def texts_of(entries: Iterable[Entry]) -> list[str]:
    """Everything that has to be encoded before the entries can be put on a shelf."""
    return [text for entry in entries for text in (*entry.keys, *entry.asked)]


def longest_name(shelves: Sequence[Shelf]) -> int:
    """Token count of the longest subject, 0 when there is none."""
    return max((length for shelf in shelves for length in shelf.lengths), default=0)
