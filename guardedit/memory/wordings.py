"""How each relation is asked: the wordings of all live facts with their subjects masked.

One fact brings a few wordings of its relation; the facts together bring many. A question that copies a
wording of another fact of the same relation is thereby recognised, and one that is nearer to another
relation's wordings is told apart. Knows relations and masked texts; knows no facts and no subjects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from guardedit.memory.encoder import Encoder, Vectors


class Likeness(NamedTuple):
    """Cosine of a question to a relation's wordings and to the nearest other relation's; -1 for none."""

    same: float
    rival: float
    rivals: int  # other relations there are


class Wordings:
    """Counted (relation, masked wording) pairs of one scope."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._counts: Counter[tuple[str, str]] = Counter()
        self._table: tuple[dict[str, int], NDArray[np.int64], Vectors] | None = None

    def add(self, relation: str, texts: Iterable[str]) -> None:
        """Count the masked wordings of one fact in."""
        self._counts.update((relation, text) for text in set(texts))
        self._table = None

    def remove(self, relation: str, texts: Iterable[str]) -> None:
        """Count them out again."""
        for pair in {(relation, text) for text in texts}:
            self._counts[pair] -= 1
            if self._counts[pair] <= 0:
                del self._counts[pair]
        self._table = None

    def cosines(self, vectors: Vectors) -> tuple[dict[str, int], NDArray[np.float32]]:
        """Relation -> column, and (n, relations) the best cosine of each row to each relation."""
        columns, starts, rows = self._tabulated()
        if not columns:
            return {}, np.zeros((len(vectors), 0), dtype=np.float32)
        return columns, np.maximum.reduceat(vectors @ rows.T, starts, axis=1)

    def _tabulated(self) -> tuple[dict[str, int], NDArray[np.int64], Vectors]:
        if self._table is None:
            pairs = sorted(self._counts)
            starts = [i for i, pair in enumerate(pairs) if i == 0 or pair[0] != pairs[i - 1][0]]
            columns = {pairs[start][0]: column for column, start in enumerate(starts)}
            rows = self._encoder.encode([text for _, text in pairs])
            self._table = columns, np.asarray(starts, dtype=np.int64), rows
        return self._table


def likeness(
    relation: str, tables: Iterable[tuple[dict[str, int], NDArray[np.float32]]], rows: list[int]
) -> Likeness:
    """Best over several scopes' tables and over the rows that are forms of one question."""
    same, rival, others = -1.0, -1.0, set[str]()
    for columns, cosines in tables:
        if not columns:
            continue
        others.update(columns)
        best = cosines[rows].max(axis=0)
        column = columns.get(relation)
        if column is not None:
            same = max(same, float(best[column]))
            best = np.delete(best, column)
        if len(best):
            rival = max(rival, float(best.max()))
    return Likeness(same, rival, len(others - {relation}))
