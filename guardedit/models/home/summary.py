"""What the files of a model's folder say about it, without loading it. Needs no torch."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guardedit.core.errors import UsageError

#: Editing needs at most this many times the weights, and so many bytes for everything else.
PEAK_WEIGHTS, PEAK_BYTES = 2.2, 10**9
#: Bytes of the length that a safetensors file begins with, and the most that its header may have.
_LENGTH_BYTES, _MOST_HEADER_BYTES = 8, 100_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSummary:
    """A model, by its files.

    Attributes:
        architecture: as in `config.architectures`.
        parameters: number of weights.
        weight_bytes: of the weights in the files.
        dtypes: of the weights, the most frequent first.
        form: `chat` if the tokenizer has a chat template, else `raw`.
        size_bytes: of all files.
    """

    architecture: str
    parameters: int
    weight_bytes: int
    dtypes: tuple[str, ...]
    form: str
    size_bytes: int

    @property
    def peak_bytes(self) -> int:
        """Most memory that loading the model and editing it should need."""
        return int(PEAK_WEIGHTS * self.weight_bytes) + PEAK_BYTES


def summarise(folder: Path) -> ModelSummary:
    """Read configuration, tokenizer configuration and the headers of the weights.

    Raises:
        UsageError: the folder has no configuration, or a file cannot be read.
    """
    config = _json(folder / "config.json")
    count, weight_bytes, by_dtype = 0, 0, dict[str, int]()
    for path in sorted(folder.glob("*.safetensors")):
        for entry in _header(path).values():
            numbers = math.prod(entry["shape"])
            begin, end = entry["data_offsets"]
            count, weight_bytes = count + numbers, weight_bytes + end - begin
            by_dtype[entry["dtype"]] = by_dtype.get(entry["dtype"], 0) + numbers
    return ModelSummary(
        architecture=", ".join(config.get("architectures") or ()) or str(config.get("model_type", "unknown")),
        parameters=count,
        weight_bytes=weight_bytes,
        dtypes=tuple(sorted(by_dtype, key=lambda name: (-by_dtype[name], name))),
        form="chat" if _has_template(folder) else "raw",
        size_bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    )


def free_memory() -> int | None:
    """Bytes of memory that are free for a new process; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        try:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
        except (OSError, ValueError):
            return None


def _has_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return True
    path = folder / "tokenizer_config.json"
    return path.is_file() and bool(_json(path).get("chat_template"))


def _json(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise UsageError(f"{path.parent} is not a model folder: it has no {path.name}") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}; restore it") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} is not a JSON object: restore it")
    return found


def _header(path: Path) -> dict[str, Any]:
    """Tensor name -> dtype, shape and offsets, from the head of a safetensors file."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if length > _MOST_HEADER_BYTES:
                raise ValueError(f"its header has {length} bytes")  # noqa: TRY301 - one message for all
            found: dict[str, Any] = json.loads(file.read(length))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not a safetensors file ({error}): restore it") from error
    found.pop("__metadata__", None)
    return found
