"""The wordings of each relation: those of all live facts, with their subjects masked.

One fact has only a few wordings of its relation; all facts together have many. With all of them, a question
that uses a wording of another fact of the same relation is recognised, and a question that is nearer to the
wordings of another relation is rejected. Only relations and masked texts are used, no facts or subjects.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from guardedit.memory.encoder import Encoder, Vectors
from guardedit.memory.vectors import VectorIndex
from guardedit.memory.vectors.flat import Numbers

#: Wordings that are looked at first: the nearest ones to a question, of any relation.
_NEAREST = 64
#: Most wordings that are all compared.
_FEW = 1_024


class Similarity(NamedTuple):
    """Best cosine of a question to one relation's wordings and to any other relation's; -1 for none."""

    same: float
    rival: float
    rivals: int  # number of other relations


class Wordings:
    """The (relation, masked wording) pairs of one tenant: reference-counted, one vector per pair.

    A change updates only its own vectors.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        # All are compared, however many there are: a graph misses the few short wordings of many relations
        # among thousands of long ones, and then a question seems to have no rival.
        self._vectors = VectorIndex(encoder.dim, flat=sys.maxsize)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._number: dict[tuple[str, str], int] = {}
        self._of_relation: dict[str, dict[int, str]] = {}  # its wordings, by number
        self._code: dict[str, int] = {}  # relation -> a number for it, from 1
        self._free_codes: list[int] = []
        self._codes: NDArray[np.int32] = np.zeros(64, dtype=np.int32)  # by number of a wording
        self._names: list[str] = [""]  # by code

    @property
    def relations(self) -> Collection[str]:
        """The relations that have wordings."""
        return self._of_relation.keys()

    def add(self, relation: str, texts: Iterable[str]) -> None:
        """Add the masked wordings of one fact."""
        pairs = [(relation, text) for text in dict.fromkeys(texts)]
        new = [text for pair, (_, text) in zip(pairs, pairs, strict=True) if pair not in self._number]
        rows = dict(zip(new, self._encoder.encode(new), strict=True)) if new else {}
        self.add_all([(relation, [text for _, text in pairs])], rows)

    def add_all(self, wordings: Sequence[tuple[str, Sequence[str]]], rows: Mapping[str, Vectors]) -> None:
        """Add the masked wordings of several facts.

        Args:
            wordings: the relation and the texts of each fact.
            rows: text -> its (dim,) vector, for all texts that are not there already.
        """
        pairs = [(relation, text) for relation, texts in wordings for text in dict.fromkeys(texts)]
        new = list(dict.fromkeys(pair for pair in pairs if pair not in self._number))
        if new:
            numbers = self._vectors.add(np.stack([rows[text] for _, text in new]))
            for pair, number in zip(new, numbers.tolist(), strict=True):
                self._number[pair] = number
                self._name(number, *pair)
        self._counts.update(pairs)

    def remove(self, relation: str, texts: Iterable[str]) -> None:
        """Remove the masked wordings of one fact. A wording stays while another fact has it too."""
        gone = []
        for pair in {(relation, text) for text in texts}:
            self._counts[pair] -= 1
            if self._counts[pair] <= 0:
                del self._counts[pair]
                gone.append(self._number.pop(pair))
        if not gone:
            return
        self._vectors.remove(np.asarray(gone, dtype=np.int64))
        left = self._of_relation[relation]
        for number in gone:
            del left[number]
        if not left:
            del self._of_relation[relation]
            self._free_codes.append(self._code.pop(relation))

    def vectors(self, relation: str, texts: Sequence[str]) -> Vectors:
        """(texts, dim) float32 vectors of wordings that were added before."""
        return self._vectors.rows(self._as_numbers(self._number[relation, text] for text in texts))

    def nearest(self, relation: str, vectors: Vectors) -> str:
        """The wording of a relation, among its first `_FEW`, with the best cosine to any row of (n, dim)."""
        numbers = dict(islice(self._of_relation[relation].items(), _FEW))
        cosines = self._vectors.rows(self._as_numbers(numbers)) @ vectors.T  # (wordings, n)
        return list(numbers.values())[int(cosines.max(axis=1).argmax())]

    def cosines(self, vectors: Vectors) -> RelationCosines:
        """Best cosine of each row of (n, dim) to the wordings of each relation, until they change."""
        found = self._vectors.search(vectors, _NEAREST)
        best: list[dict[str, float]] = []
        for cosines, numbers in zip(found.cosines.tolist(), found.numbers.tolist(), strict=True):
            nearest: dict[str, float] = {}
            for cosine, number in zip(cosines, numbers, strict=True):
                if number >= 0:
                    nearest.setdefault(self._names[self._codes[number]], cosine)
            best.append(nearest)
        return RelationCosines(self, vectors, best)

    def best_of(self, relation: str, vector: Vectors) -> float:
        """Best cosine of a (dim,) row to the wordings of one relation; -1 if it has none."""
        numbers = self._of_relation.get(relation)
        if numbers is None:
            return -1.0
        if len(numbers) <= _FEW:
            return self._best_among(vector, numbers)
        return self._best(vector, self._codes == self._code[relation])

    def best_of_others(self, relation: str, vector: Vectors) -> float:
        """Best cosine of a (dim,) row to the wordings of all other relations; -1 if there are none."""
        others = len(self._number) - len(self._of_relation.get(relation, ()))
        if not others:
            return -1.0
        if others <= _FEW:  # a search for so few of many might find none
            rest = (numbers for other, numbers in self._of_relation.items() if other != relation)
            return self._best_among(vector, chain.from_iterable(rest))
        return self._best(vector, self._codes != self._code.get(relation, 0))

    @contextmanager
    def filling(self, wordings: int) -> Iterator[None]:
        """A block that adds at most about so many wordings."""
        with self._vectors.filling(wordings):
            yield

    def wait(self) -> None:
        """Wait for what goes on in the background."""
        self._vectors.wait()

    def _best_among(self, vector: Vectors, numbers: Iterable[int]) -> float:
        return float((self._vectors.rows(self._as_numbers(numbers)) @ vector).max())

    def _best(self, vector: Vectors, allowed: NDArray[np.bool_]) -> float:
        cosine = float(self._vectors.search(vector[None], 1, allowed).cosines[0, 0])
        return max(cosine, -1.0)  # -inf where none was found

    def _name(self, number: int, relation: str, text: str) -> None:
        if relation not in self._code:
            code = self._free_codes.pop() if self._free_codes else len(self._names)
            self._names += [""] * (code + 1 - len(self._names))
            self._code[relation], self._names[code] = code, relation
            self._of_relation[relation] = {}
        if number >= len(self._codes):
            longer = np.zeros(max(number + 1, 2 * len(self._codes)), dtype=np.int32)
            longer[: len(self._codes)] = self._codes
            self._codes = longer
        self._codes[number] = self._code[relation]
        self._of_relation[relation][number] = text

    @staticmethod
    def _as_numbers(numbers: Iterable[int]) -> Numbers:
        return np.fromiter(numbers, dtype=np.int64)


class RelationCosines:
    """Best cosines of n texts to the wordings of any relation; valid until the wordings change.

    Those of the nearest wordings are known at once. Another relation is searched for when it is asked for.

    Args:
        wordings: of one tenant.
        vectors: (n, dim) vectors of the texts.
        nearest: for each text, the best cosines of some relations, the best relation first.
    """

    def __init__(self, wordings: Wordings, vectors: Vectors, nearest: Sequence[Mapping[str, float]]) -> None:
        self._wordings, self._vectors, self._nearest = wordings, vectors, nearest

    @property
    def relations(self) -> Collection[str]:
        """The relations that have wordings."""
        return self._wordings.relations

    def same(self, relation: str, row: int) -> float:
        """Best cosine of one text to the wordings of a relation; -1 if it has none."""
        found = self._nearest[row].get(relation)
        return self._wordings.best_of(relation, self._vectors[row]) if found is None else found

    def rival(self, relation: str, row: int) -> float:
        """Best cosine of one text to the wordings of all other relations; -1 if there are none."""
        for other, cosine in self._nearest[row].items():
            if other != relation:
                return cosine
        return self._wordings.best_of_others(relation, self._vectors[row])


def similarity(relation: str, tenants: Sequence[RelationCosines], rows: list[int]) -> Similarity:
    """The best cosines over several tenants and over `rows`, the masked forms of one question."""
    same = max((one.same(relation, row) for one in tenants for row in rows), default=-1.0)
    rival = max((one.rival(relation, row) for one in tenants for row in rows), default=-1.0)
    return Similarity(same, rival, _other_relations(relation, [one.relations for one in tenants]))


def _other_relations(relation: str, relations: Sequence[Collection[str]]) -> int:
    if len(relations) == 1:
        return len(relations[0]) - (relation in relations[0])
    return len(set[str]().union(*relations) - {relation})
