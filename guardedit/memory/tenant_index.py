"""The live facts of one tenant, findable by key, by subject name, by vector and by wording."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from guardedit.core.fact import Fact, FactKey, Wording
from guardedit.memory.encoder import Encoder, Vectors
from guardedit.memory.index import KeyIndex
from guardedit.memory.names import NameIndex
from guardedit.memory.subject import mask_names, mask_span
from guardedit.memory.wordings import Wordings
from guardedit.naming import Name, name_of

#: A relation that reads as words, such as "native language" or "place_of_birth", not "P103" or a prompt.
_RELATION_WORDS = re.compile(r"[^\W\d]+(?:[ _-][^\W\d]+)*")


#: Number of facts that are encoded and added together.
_BATCH = 1000


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

    @staticmethod
    def of(encoder: Encoder, entries: Sequence[FactEntry]) -> TenantIndex:
        """An index of many facts, encoded in batches."""
        index = TenantIndex(encoder)
        with index.filling(entries):
            for batch in _spread(entries):
                index.put_all(batch, by_text(encoder, texts_of(batch)))
        return index

    def put(self, entry: FactEntry) -> None:
        """Add a fact. It replaces the fact with the same key."""
        self.put_all([entry], by_text(self._encoder, texts_of([entry])))

    def put_all(self, entries: Sequence[FactEntry], rows: Mapping[str, Vectors]) -> None:
        """Add facts of different keys, which replace those with the same keys; faster than one by one.

        Args:
            entries: the facts.
            rows: text -> its (dim,) vector, for all `texts_of` the facts.
        """
        new = []
        for entry in entries:
            fact, old = entry.fact, self.entries.get(entry.fact.key)
            if old is not None and old.fact.id == fact.id:  # only its placement or its expiry changed
                self.entries[fact.key] = self.by_name[entry.name][fact.key] = entry
                continue
            self.drop(fact.key)
            new.append(entry)
        self._index.add_all([(entry.fact.id, np.stack([rows[text] for text in entry.keys])) for entry in new])
        self.wordings.add_all([(entry.fact.key.relation, entry.masked) for entry in new], rows)
        for entry in new:
            key = entry.fact.key
            self.entries[key] = entry
            self.names.add(key.subject, entry.fact.aliases)
            self.by_name.setdefault(entry.name, {})[key] = entry
            self._key_by_id[entry.fact.id] = key

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

    def recall(self, vectors: Vectors, *, k: int) -> float:
        """Share of the k nearest keys of each row of (n, dim) that a search finds."""
        return self._index.recall(vectors, k=k)

    @contextmanager
    def filling(self, facts: Sequence[FactEntry]) -> Iterator[None]:
        """A block that adds these facts with `put_all`, in parts."""
        keys, wordings = sum(len(one.keys) for one in facts), sum(len(one.masked) for one in facts)
        with self._index.filling(keys), self.wordings.filling(wordings):
            yield

    def wait(self) -> None:
        """Wait for what goes on in the background."""
        self._index.wait()
        self.wordings.wait()

    def cosine(self, entry: FactEntry, vector: Vectors) -> float:
        """Cosine of a (dim,) row to the best key of one fact."""
        return float((self._index.vectors(entry.fact.id) @ vector).max())


def texts_of(entries: Iterable[FactEntry]) -> list[str]:
    """All texts that must be encoded before the entries can be added to an index."""
    return [text for entry in entries for text in (*entry.keys, *entry.masked)]


def _spread(entries: Sequence[FactEntry]) -> Iterator[Sequence[FactEntry]]:
    """All entries in batches, each of them from everywhere: the first ones are a sample of all."""
    step = -(-len(entries) // _BATCH)
    return (entries[start::step] for start in range(step))


def by_text(encoder: Encoder, texts: Sequence[str]) -> dict[str, Vectors]:
    """Text -> its (dim,) vector."""
    return dict(zip(texts, encoder.encode(texts), strict=True))
