"""The wordings of each relation: those of all live facts, with their subjects masked.

One fact has only a few wordings of its relation; all facts together have many. With all of them, a question
that uses a wording of another fact of the same relation is recognised, and a question that is nearer to the
wordings of another relation is rejected. Only relations and masked texts are used, no facts or subjects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from guardedit.memory.encoder import Encoder, Vectors

#: Rows allocated at first. The number doubles whenever all rows are used.
_INITIAL_ROWS = 64
#: The column of free rows. No relation has it.
_UNUSED = 0


class Similarity(NamedTuple):
    """Best cosine of a question to one relation's wordings and to any other relation's; -1 for none."""

    same: float
    rival: float
    rivals: int  # number of other relations


class RelationCosines(NamedTuple):
    """Best cosine of n texts to each relation.

    Attributes:
        columns: relation -> its column.
        cosines: [n, columns] float32; -1 in columns that no relation has.
    """

    columns: Mapping[str, int]
    cosines: NDArray[np.float32]


class Wordings:
    """The (relation, masked wording) pairs of one tenant: reference-counted, one matrix row per pair.

    A change updates only its own rows.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._counts: Counter[tuple[str, str]] = Counter()
        self._row: dict[tuple[str, str], int] = {}
        self._free_rows: list[int] = []
        self._rows: Vectors = np.zeros((_INITIAL_ROWS, encoder.dim), dtype=np.float32)
        self._column_of: NDArray[np.int64] = np.zeros(_INITIAL_ROWS, dtype=np.int64)
        self._columns: dict[str, int] = {}
        self._free_columns: list[int] = []
        self._sizes: Counter[str] = Counter()  # rows of each relation

    def add(self, relation: str, texts: Iterable[str]) -> None:
        """Add the masked wordings of one fact."""
        pairs = [(relation, text) for text in dict.fromkeys(texts)]
        new = [pair for pair in pairs if pair not in self._row]
        for pair, vector in zip(new, self._encoder.encode([text for _, text in new]), strict=True):
            self._put(pair, vector)
        self._counts.update(pairs)

    def remove(self, relation: str, texts: Iterable[str]) -> None:
        """Remove the masked wordings of one fact. A wording stays while another fact has it too."""
        for pair in {(relation, text) for text in texts}:
            self._counts[pair] -= 1
            if self._counts[pair] <= 0:
                del self._counts[pair]
                self._free(pair)

    def vectors(self, relation: str, texts: Sequence[str]) -> Vectors:
        """(texts, dim) float32 vectors of wordings that were added before."""
        rows: Vectors = self._rows[[self._row[relation, text] for text in texts]]
        return rows

    def cosines(self, vectors: Vectors) -> RelationCosines:
        """Best cosine of each row of (n, dim) to the wordings of each relation."""
        used = len(self._row) + len(self._free_rows)
        best = np.full((len(vectors), 1 + len(self._columns) + len(self._free_columns)), -1, dtype=np.float32)
        for line, found in zip(best, vectors @ self._rows[:used].T, strict=True):
            np.maximum.at(line, self._column_of[:used], found)
        best[:, _UNUSED] = -1
        return RelationCosines(self._columns, best)

    def _put(self, pair: tuple[str, str], vector: Vectors) -> None:
        row = self._free_rows.pop() if self._free_rows else len(self._row)
        if row == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
            self._column_of = np.concatenate([self._column_of, np.zeros_like(self._column_of)])
        self._row[pair], self._rows[row] = row, vector
        self._column_of[row] = self._column(pair[0])
        self._sizes[pair[0]] += 1

    def _free(self, pair: tuple[str, str]) -> None:
        row = self._row.pop(pair)
        self._free_rows.append(row)
        self._column_of[row] = _UNUSED
        self._sizes[pair[0]] -= 1
        if not self._sizes[pair[0]]:
            del self._sizes[pair[0]]
            self._free_columns.append(self._columns.pop(pair[0]))

    def _column(self, relation: str) -> int:
        if relation not in self._columns:
            free = self._free_columns
            self._columns[relation] = free.pop() if free else 1 + len(self._columns)
        return self._columns[relation]


def similarity(relation: str, tenants: Sequence[RelationCosines], rows: list[int]) -> Similarity:
    """The best cosines over several tenants and over `rows`, the masked forms of one question."""
    same, rival = -1.0, -1.0
    for columns, cosines in tenants:
        best = cosines[rows].max(axis=0)  # a copy
        column = columns.get(relation)
        if column is not None:
            same = max(same, float(best[column]))
            best[column] = -1
        rival = max(rival, float(best.max()))
    return Similarity(same, rival, _other_relations(relation, [one.columns for one in tenants]))


def _other_relations(relation: str, columns: Sequence[Mapping[str, int]]) -> int:
    if len(columns) == 1:
        return len(columns[0]) - (relation in columns[0])
    return len(set[str]().union(*columns) - {relation})
