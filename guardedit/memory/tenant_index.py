"""The live facts of one tenant, findable by key, by subject name, by vector and by wording."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from guardedit.core.fact import Fact, FactKey, Wording
from guardedit.memory.encoder import Encoder, Vectors
from guardedit.memory.index import KeyIndex
from guardedit.memory.names import NameIndex
from guardedit.memory.subject import mask_names, mask_span
from guardedit.memory.wordings import Wordings
from guardedit.naming import Name, name_of

#: A relation that reads as words, such as "native language" or "place_of_birth", not "P103" or a prompt.
_RELATION_WORDS = re.compile(r"[^\W\d]+(?:[ _-][^\W\d]+)*")


class FactEntry(NamedTuple):
    """A fact with everything that the indexes need from it."""

    fact: Fact
    name: Name
    keys: tuple[str, ...]  # texts whose vectors are the fact's keys
    masked: tuple[str, ...]  # wordings with the subject masked


def entry_of(fact: Fact) -> FactEntry:
    """The entry of a fact. Keys: statement, wordings, and subject plus relation if the relation is words.

    >>> key = FactKey("Ada", "native language")
    >>> fact = Fact(key=key, version=1, correction_id="c", wordings=("Ada grew up speaking",), target="Welsh")
    >>> entry_of(fact).keys
    ('Ada grew up speaking Welsh.', 'Ada grew up speaking', 'Ada native language')
    >>> entry_of(fact).masked
    ('someone grew up speaking', 'someone native language')
    """
    subject = fact.key.subject
    wordings = list(fact.located_wordings)
    if _RELATION_WORDS.fullmatch(fact.key.relation):
        words = re.sub("[_-]", " ", fact.key.relation)
        wordings.append(Wording(f"{subject} {words}", (0, len(subject))))
    keys = tuple(dict.fromkeys([fact.statement, *(text for text, _ in wordings)]))
    names = (subject, *fact.aliases)
    masked = tuple(dict.fromkeys(form for wording in wordings for form in _masked(wording, names)))
    return FactEntry(fact, name_of(subject), keys, masked)


def _masked(wording: Wording, names: Sequence[str]) -> tuple[str, ...]:
    """The wording masked where the subject was filled in, and masked at every mention, as questions are."""
    text, at = wording
    everywhere = mask_names(text, names)
    if at is None:
        return (everywhere,)
    return (mask_span(text, at), everywhere) if everywhere != text else (mask_span(text, at),)


class TenantIndex:
    """The facts of one tenant. The four ways to find them are updated together."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._index = KeyIndex(encoder.dim)
        self.wordings = Wordings(encoder)
        self.entries: dict[FactKey, FactEntry] = {}
        self.names = NameIndex()
        self.by_name: dict[Name, dict[FactKey, FactEntry]] = {}
        self._key_by_id: dict[str, FactKey] = {}

    def put(self, entry: FactEntry) -> None:
        """Add a fact. It replaces the fact with the same key."""
        fact, old = entry.fact, self.entries.get(entry.fact.key)
        if old is not None and old.fact.id == fact.id:  # only its placement or its expiry changed
            self.entries[fact.key] = self.by_name[entry.name][fact.key] = entry
            return
        self.drop(fact.key)
        if fact.id not in self._index:
            self._index.add(fact.id, self._encoder.encode(entry.keys))
        self.entries[fact.key] = entry
        self.names.add(fact.key.subject, fact.aliases)
        self.by_name.setdefault(entry.name, {})[fact.key] = entry
        self._key_by_id[fact.id] = fact.key
        self.wordings.add(fact.key.relation, entry.masked)

    def drop(self, key: FactKey) -> None:
        """Remove a fact, if it is in the index."""
        entry = self.entries.pop(key, None)
        if entry is None:
            return
        self._index.delete(entry.fact.id)
        del self._key_by_id[entry.fact.id]
        self.wordings.remove(key.relation, entry.masked)
        self.names.remove(key.subject, entry.fact.aliases)
        del self.by_name[entry.name][key]
        if not self.by_name[entry.name]:
            del self.by_name[entry.name]

    def nearest(self, vectors: Vectors) -> list[list[tuple[FactEntry, float]]]:
        """For each row of (n, dim), the facts of the nearest keys with their cosines, best first."""
        return [
            [(self.entries[self._key_by_id[hit.fact_id]], hit.cosine) for hit in hits]
            for hits in self._index.search(vectors)
        ]

    def cosine(self, entry: FactEntry, vector: Vectors) -> float:
        """Cosine of a (dim,) row to the best key of one fact."""
        return float((self._index.vectors(entry.fact.id) @ vector).max())


def texts_of(entries: Iterable[FactEntry]) -> list[str]:
    """All texts that must be encoded before the entries can be added to an index."""
    return [text for entry in entries for text in (*entry.keys, *entry.masked)]
