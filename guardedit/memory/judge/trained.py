"""A trained judge: loads it from its file, and answers how probable it is that a fact answers a question."""

from __future__ import annotations

import hashlib
import json
import struct
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from guardedit.core.errors import MemoryIndexError
from guardedit.memory.encoder import MINILM_SHA256, checked_sha256, packaged_minilm
from guardedit.memory.judge.network import ScopeNetwork
from guardedit.memory.scope import ScopeThresholds

#: The judge that comes with the package, written by `guardedit memory train`.
SHIPPED = Path(__file__).with_name("judge.safetensors")
#: Pairs whose logits are kept.
CACHED = 20_000

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a judge's file says about it.

    Attributes:
        layers: of the network.
        scale: factor on a logit, which makes it calibrated (Platt scaling).
        bias: added to it afterwards.
        relations_sha256: digest of the relations that it was trained on.
        accept, unsure: probabilities from which on a fact is in scope, and unsure.
        held_out: names of the relations that it was calibrated and measured on instead.
    """

    layers: int
    scale: float = 1.0
    bias: float = 0.0
    accept: float = 0.9
    unsure: float = 0.5
    relations_sha256: str = ""
    held_out: tuple[str, ...] = ()


class TrainedJudge:
    """The network with its calibration. Thread-safe. A pair that it has seen lately is not computed again."""

    def __init__(self, network: ScopeNetwork, about: About, *, sha256: str = "") -> None:
        self.network = network.eval()
        self.about = about
        self._sha256 = sha256
        self._logits: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._lock = Lock()

    @property
    def sha256(self) -> str:
        """Digest of its file."""
        return self._sha256

    @staticmethod
    def load(path: Path = SHIPPED) -> TrainedJudge:
        """Load a judge.

        Raises:
            MemoryIndexError: the file is missing, damaged or no judge, or its encoder is not installed.
        """
        folder = packaged_minilm()
        checked_sha256(folder / "model.safetensors", MINILM_SHA256)
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            about = read_about(path)
            network = ScopeNetwork(folder, about.layers)
            tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
            missing, unexpected = network.load_state_dict(tensors, strict=False)
            _require_all(missing, unexpected)
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            SafetensorError,
            struct.error,
            RuntimeError,
        ) as error:
            raise MemoryIndexError(
                f"judge {path} cannot be loaded ({error}): write one with `guardedit memory train`, or leave "
                "GUARDEDIT_JUDGE empty for the one that comes with guardedit"
            ) from error
        return TrainedJudge(network, about, sha256=digest)

    def thresholds(self, calibrated: ScopeThresholds) -> ScopeThresholds:
        """These thresholds with the bands of this judge."""
        return replace(
            calibrated, accept=self.about.accept, reject=self.about.unsure, judge_sha256=self._sha256
        )

    def save(self, path: Path) -> None:
        """Write the trained tensors in half precision, with `about` in the header."""
        tensors = {name: tensor.half().contiguous() for name, tensor in self.network.trained().items()}
        save_file(tensors, path, metadata={"judge": json.dumps(asdict(self.about))})

    def logits(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        """(n,) float64 logits of n pairs, before calibration."""
        with self._lock:
            found = {pair: self._logits[pair] for pair in pairs if pair in self._logits}
        missing = [pair for pair in dict.fromkeys(pairs) if pair not in found]
        if missing:
            found |= zip(missing, self.network.logits(missing).tolist(), strict=True)
        with self._lock:
            for pair in pairs:
                self._logits[pair] = found[pair]
                self._logits.move_to_end(pair)
            while len(self._logits) > CACHED:
                self._logits.popitem(last=False)
        return np.array([found[pair] for pair in pairs], dtype=np.float64)

    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        """(n,) float64 calibrated probabilities of n pairs."""
        z = self.about.scale * self.logits(pairs) + self.about.bias
        return 1 / (1 + np.exp(-np.clip(z, -30, 30)))


def _require_all(missing: Sequence[str], unexpected: Sequence[str]) -> None:
    if unexpected or any(not name.startswith("embeddings.") for name in missing):
        raise ValueError("its tensors are not those of a judge")


def read_about(path: Path) -> About:
    """The header of a judge's file."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        header = file.metadata() or {}
    body = json.loads(header["judge"])
    return About(**{**body, "held_out": tuple(body["held_out"])})
