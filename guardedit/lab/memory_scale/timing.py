"""Times calls without the encoder in them, and the memory that the process takes."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from guardedit.memory.encoder import SentenceEncoder

NAN = float("nan")


class TimedModel:
    """A model of a `SentenceEncoder` that adds up its time and its texts."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.seconds, self.cpu_s, self.texts = 0.0, 0.0, 0
        self.calls: list[list[str]] | None = None  # the texts of each call, if they are to be kept

    def get_embedding_dimension(self) -> int:
        """Length of a vector."""
        return int(self._model.get_embedding_dimension())

    def encode(self, texts: list[str], **options: Any) -> Any:
        """As the model does."""
        started, busy = time.perf_counter(), time.thread_time()
        found = self._model.encode(texts, **options)
        self.seconds += time.perf_counter() - started
        self.cpu_s += time.thread_time() - busy
        self.texts += len(texts)
        if self.calls is not None:
            self.calls.append(texts)
        return found


def timed_ms(timed: TimedModel, call: Callable[[], object]) -> float:
    """Milliseconds of a call, without those of the encoder."""
    encoding, started = timed.seconds, time.perf_counter()
    call()
    return (time.perf_counter() - started - (timed.seconds - encoding)) * 1e3


def encoding_ms(encoder: SentenceEncoder, calls: Sequence[Sequence[str]]) -> float:
    """Milliseconds of encoding the texts of each call."""
    started = time.perf_counter()
    for texts in calls:
        encoder.encode(texts)
    return (time.perf_counter() - started) * 1e3


def quantile(values: Sequence[float], share: float) -> float:
    """The quantile of some values; NaN without any."""
    return float(np.quantile(values, share)) if values else NAN


def resident_bytes() -> float:
    """Resident memory of this process; NaN where the system does not say."""
    gc.collect()
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return NAN
    return float(pages * os.sysconf("SC_PAGE_SIZE"))
