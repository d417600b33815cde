"""The scope tests that are compared, and the plain cosine baseline.

A new scope test is one line in `ways`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np

from guardedit.core.fact import Fact
from guardedit.core.serving import Recall, ScopedFact
from guardedit.lab.scope.stores import Found, ScopeMemory
from guardedit.memory.encoder import Encoder, Vectors
from guardedit.memory.judging import Judge
from guardedit.memory.scope import ACCEPT, OUT, ScopeThresholds
from guardedit.memory.store import RetrievalMemory
from guardedit.memory.tenant_index import FactEntry, entry_of

Way = Callable[[Encoder], ScopeMemory]

COSINE = "cosine"


class CosineMemory:
    """Recalls the fact with the key that is nearest to the whole question. Its scores are the cosines.

    Every question gets a fact here. `thresholded` decides afterwards which of them count.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[str, FactEntry] = {}  # by fact id; making one takes long
        self._entries: list[FactEntry] = []
        self._owner: list[int] = []  # of each row of `_keys`, its entry
        self._keys: Vectors = np.zeros((0, encoder.dim), dtype=np.float32)

    def replace_facts(self, facts: Sequence[Fact]) -> str:
        """Hold exactly these facts. Returns ""."""
        for fact in facts:
            if fact.id not in self._known:
                self._known[fact.id] = entry_of(fact)
        self._entries = [self._known[fact.id] for fact in facts]
        texts = [(key, n) for n, entry in enumerate(self._entries) for key in entry.keys]
        self._owner = [n for _, n in texts]
        self._keys = self._encoder.encode([text for text, _ in texts])
        return ""

    def recall(self, questions: Sequence[str]) -> list[Recall]:
        """For each question the nearest fact."""
        if not self._owner:
            return [Recall(scope=OUT) for _ in questions]
        cosines = self._encoder.encode(questions) @ self._keys.T  # (questions, keys)
        best = cosines.argmax(axis=1)
        return [
            _recall(self._entries[self._owner[at]].fact, float(row[at]))
            for row, at in zip(cosines, best, strict=True)
        ]


def ways(thresholds: ScopeThresholds, judge: Judge | None) -> dict[str, Way]:
    """The scope tests of the program, by name, the one that is served last."""
    if judge is None:
        return {"features": lambda encoder: RetrievalMemory(encoder, thresholds)}
    return {
        "features": lambda encoder: RetrievalMemory(encoder, ScopeThresholds.load()),
        "judge": lambda encoder: RetrievalMemory(encoder, thresholds, judge),
    }


def thresholded(found: Sequence[Found]) -> tuple[list[Found], tuple[float, float]]:
    """What the plain cosine finds with one threshold, and the two thresholds that were used.

    The rows are divided in two parts by their first subject. Each part is judged with the threshold that is
    best balanced on the other one, so no row is judged with a threshold that was chosen on it.
    """
    parts = [[one for one in found if _part(one) == part] for part in (0, 1)]
    thresholds = (best_threshold(parts[1]), best_threshold(parts[0]))
    judged = [
        one if one.recall.score >= thresholds[_part(one)] else one._replace(recall=_out(one.recall))
        for one in found
    ]
    return judged, thresholds


def best_threshold(found: Sequence[Found]) -> float:
    """The score from which on a fact is given, with the largest balanced accuracy; infinite without rows.

    Balanced accuracy is the mean of the share of wanted facts that are given, and of the share of other
    questions that get none.
    """
    wanted = np.sort([one.recall.score for one in found if not one.wrong])
    others = np.sort([one.recall.score for one in found if one.row.key is None])
    cuts = np.unique([*wanted, *others])
    if not len(cuts):
        return float("inf")
    total = max(1, sum(one.row.key is not None for one in found))
    given = (len(wanted) - np.searchsorted(wanted, cuts)) / total
    kept_out = np.searchsorted(others, cuts) / max(1, len(others))
    return float(cuts[int(np.argmax(given + kept_out))])


def _recall(fact: Fact, score: float) -> Recall:
    return Recall(scope=ACCEPT, score=score, found=(ScopedFact(fact=fact, scope=ACCEPT, score=score),))


def _part(one: Found) -> int:
    return zlib.crc32(one.row.live[0].key.subject.encode()) % 2


def _out(recall: Recall) -> Recall:
    return Recall(scope=OUT, score=recall.score)
