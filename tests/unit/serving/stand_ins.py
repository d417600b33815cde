"""A fake model, fold and encoder that take microseconds, and epochs whose contents name their number.

The memory and its shards are the real ones.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch

from guardedit.core.epoch import Epoch
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.proposal import WeightEdit
from guardedit.core.serving import Snapshot
from guardedit.memory.encoder import Vectors
from guardedit.memory.scope import ScopeThresholds
from guardedit.memory.store import RetrievalMemory
from guardedit.models.bypass import Patch
from guardedit.models.weights.folded import Folded
from guardedit.serving.shard import MemoryShard

#: Subjects with a fact each in every epoch.
SUBJECTS = ("Velmora", "Ostrania", "Quillon", "Tamber Bay", "Karsk")


class EchoHost:
    """Answers with the number of its weights and the prompt; one caller at a time, as a model."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._weights = "0"

    @contextmanager
    def patched(self, patch: Patch) -> Iterator[None]:
        with self._lock:
            self._weights = str(int(patch.matrices["W"])) if patch.matrices else "0"
            yield

    def complete_drafted(self, asked: Sequence[tuple[str, str]]) -> list[str]:
        return [f"weights {self._weights}: {prompt}" for prompt, _ in asked]

    def says(self, asked: Sequence[tuple[str, str]]) -> list[bool]:
        return [self.complete_drafted([pair]) == [pair[1]] for pair in asked]

    def repair(self) -> list[str]:
        return []


class NumberFold:
    """Folds the edit "n" to the weights n, counts, and calls `before` first."""

    def __init__(self) -> None:
        self.folds = 0
        self.before: Callable[[], object] = lambda: None

    def folded(self, edits: Sequence[WeightEdit]) -> Folded:
        self.folds += 1
        self.before()
        if not edits:
            return Folded.of(Patch(), base_sha256="base")
        return Folded.of(Patch({"W": torch.tensor(int(edits[0].subject))}), base_sha256="base")

    def forget(self) -> None:
        pass


class HashedEncoder:
    """Unit rows that depend on the text alone, with a cache; calls `before` with texts that are new."""

    dim, sha256 = 32, "hashed"

    def __init__(self) -> None:
        self.before: Callable[[Sequence[str]], object] = lambda _: None  # with the texts that are new
        self._rows: dict[str, Vectors] = {}

    def encode(self, texts: Sequence[str]) -> Vectors:
        missing = [text for text in texts if text not in self._rows]
        if missing:
            self.before(missing)
        for text in missing:
            row = np.random.default_rng(zlib.crc32(text.encode())).standard_normal(self.dim)
            self._rows[text] = (row / np.linalg.norm(row)).astype(np.float32)
        return np.asarray([self._rows[text] for text in texts], dtype=np.float32).reshape(-1, self.dim)


def shards(count: int, encoder: HashedEncoder) -> list[MemoryShard]:
    """Empty shards."""
    thresholds = replace(ScopeThresholds.load(), encoder_sha256=encoder.sha256)
    return [MemoryShard(RetrievalMemory(encoder, thresholds)) for _ in range(count)]


def edits_of(number: int) -> tuple[WeightEdit, ...]:
    """One edit that folds to the weights of this number; none for 0."""
    made = WeightEdit(subject=str(number), facts=(), method="test", payload=str(number).encode())
    return (made,) if number else ()


def fact_of(subject: str, number: int, *, placement: Placement = Placement.MEMORY) -> Fact:
    """The fact of a subject in an epoch."""
    return Fact(
        key=FactKey(subject, "P36"),
        version=number,
        correction_id=f"{subject} {number}",
        wordings=(f"The capital of {subject} is", f"{subject} is governed from"),
        target=f"city {number}",
        placement=placement,
    )


def epoch_of(number: int, *, weights: int | None = None) -> Epoch:
    """An epoch; `weights` default to those of its own number."""
    edits = edits_of(number if weights is None else weights)
    return Epoch(
        number=number,
        kind="test",
        base_sha256="base",
        policy_sha256="",
        weights_sha256=NumberFold().folded(edits).sha256,
        edits=tuple(edit.digest for edit in edits),
        state_sha256=str(number),
        created_at_s=0.0,
    )


def snapshot_of(number: int, *, weights: int | None = None, subjects: Sequence[str] = SUBJECTS) -> Snapshot:
    """An epoch in which every fact and the weights name its number."""
    return Snapshot(
        epoch=epoch_of(number, weights=weights),
        edits=edits_of(number if weights is None else weights),
        facts=tuple(fact_of(subject, number) for subject in subjects),
    )
