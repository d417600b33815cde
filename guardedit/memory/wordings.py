"""How each relation is asked: the wordings of all live facts with their subjects masked.

One fact brings a few wordings of its relation; the facts together bring many. A question that copies a
wording of another fact of the same relation is thereby recognised, and one that is nearer to another
relation's wordings is told apart. Knows relations and masked texts; knows no facts and no subjects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from guardedit.memory.encoder import Encoder, Vectors

#: Rows that a new table has room for; it doubles when they are taken.
_FIRST_ROOM = 64
#: The column of rows that are free. No relation has it.
_NOBODY = 0


class Likeness(NamedTuple):
    """Cosine of a question to a relation's wordings and to the nearest other relation's; -1 for none."""

    same: float
    rival: float
    rivals: int  # other relations there are


class Table(NamedTuple):
    """Best cosines [n, columns] float32 of n texts, and the column of each relation; other columns are -1."""

    columns: Mapping[str, int]
    cosines: NDArray[np.float32]


class Wordings:
    """Counted (relation, masked wording) pairs of one tenant. A change touches its own rows only."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._counts: Counter[tuple[str, str]] = Counter()
        self._row: dict[tuple[str, str], int] = {}
        self._free_rows: list[int] = []
        self._rows: Vectors = np.zeros((_FIRST_ROOM, encoder.dim), dtype=np.float32)
        self._column_of: NDArray[np.int64] = np.zeros(_FIRST_ROOM, dtype=np.int64)
        self._columns: dict[str, int] = {}
        self._free_columns: list[int] = []
        self._sizes: Counter[str] = Counter()  # wordings of each relation

    def add(self, relation: str, texts: Iterable[str]) -> None:
        """Count the masked wordings of one fact in."""
        pairs = [(relation, text) for text in dict.fromkeys(texts)]
        new = [pair for pair in pairs if pair not in self._row]
        for pair, vector in zip(new, self._encoder.encode([text for _, text in new]), strict=True):
            self._put(pair, vector)
        self._counts.update(pairs)

    def remove(self, relation: str, texts: Iterable[str]) -> None:
        """Count them out again."""
        for pair in {(relation, text) for text in texts}:
            self._counts[pair] -= 1
            if self._counts[pair] <= 0:
                del self._counts[pair]
                self._take_out(pair)

    def vectors(self, relation: str, texts: Sequence[str]) -> Vectors:
        """(texts, dim) float32: rows of wordings that were added."""
        rows: Vectors = self._rows[[self._row[relation, text] for text in texts]]
        return rows

    def cosines(self, vectors: Vectors) -> Table:
        """The best cosine of each of the (n, dim) rows to each relation."""
        used = len(self._row) + len(self._free_rows)
        best = np.full((len(vectors), 1 + len(self._columns) + len(self._free_columns)), -1, dtype=np.float32)
        for line, found in zip(best, vectors @ self._rows[:used].T, strict=True):
            np.maximum.at(line, self._column_of[:used], found)
        best[:, _NOBODY] = -1
        return Table(self._columns, best)

    def _put(self, pair: tuple[str, str], vector: Vectors) -> None:
        row = self._free_rows.pop() if self._free_rows else len(self._row)
        if row == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
            self._column_of = np.concatenate([self._column_of, np.zeros_like(self._column_of)])
        self._row[pair], self._rows[row] = row, vector
        self._column_of[row] = self._column(pair[0])
        self._sizes[pair[0]] += 1

    def _take_out(self, pair: tuple[str, str]) -> None:
        row = self._row.pop(pair)
        self._free_rows.append(row)
        self._column_of[row] = _NOBODY
        self._sizes[pair[0]] -= 1
        if not self._sizes[pair[0]]:
            del self._sizes[pair[0]]
            self._free_columns.append(self._columns.pop(pair[0]))

    def _column(self, relation: str) -> int:
        if relation not in self._columns:
            free = self._free_columns
            self._columns[relation] = free.pop() if free else 1 + len(self._columns)
        return self._columns[relation]


def likeness(relation: str, tables: Sequence[Table], rows: list[int]) -> Likeness:
    """Best over several tenants' tables and over the rows that are forms of one question."""
    same, rival = -1.0, -1.0
    for columns, cosines in tables:
        best = cosines[rows].max(axis=0)  # a copy
        column = columns.get(relation)
        if column is not None:
            same = max(same, float(best[column]))
            best[column] = -1
        rival = max(rival, float(best.max()))
    return Likeness(same, rival, _others(relation, [table.columns for table in tables]))


def _others(relation: str, columns: Sequence[Mapping[str, int]]) -> int:
    """How many relations there are beside this one."""
    if len(columns) == 1:
        return len(columns[0]) - (relation in columns[0])
    return len(set[str]().union(*columns) - {relation})
