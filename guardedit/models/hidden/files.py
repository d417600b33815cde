"""Hidden states of rows of tokens in memory-mapped files, shared by all processes with the same base model.

Each write makes one new file of the safetensors format, whole or not at all, whose name has the digest of its
bytes: a file that is damaged when it is opened is ignored. Files are never changed, only dropped, the oldest
first.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from guardedit.core.durable import replace_file
from guardedit.core.errors import StorageFull
from guardedit.models.hidden.rows import Row, RowsInMemory

#: Most bytes of files in a folder, and most files.
FILE_BYTES, FILES = 512 * 2**20, 512
_ENDING = ".safetensors"


class RowFiles:
    """Implements `HiddenRows` with files in one folder. Rows that cannot be written are kept in memory.

    Args:
        folder: of one base model, in practice named by its digest; created when the first row is written.
        made_on: what the numbers depend on besides the base model and the libraries, such as the device.
        max_bytes: most bytes of files. The file that was written last is never dropped.
        max_files: most files.
    """

    def __init__(
        self, folder: Path, *, made_on: str = "", max_bytes: int = FILE_BYTES, max_files: int = FILES
    ) -> None:
        self._folder, self._max_bytes, self._max_files = folder, max_bytes, max_files
        self._made_on = [torch.__version__, transformers.__version__, made_on]
        self._opened: dict[str, Any] = {}  # name of a file -> its open file; None where it is damaged
        self._place: dict[tuple[int, str], str] = {}  # layer and row -> name of a file
        self._memory = RowsInMemory()

    def layers(self) -> Sequence[int]:
        """The layers of which it has any row."""
        self._open_new()
        return sorted({layer for layer, _ in self._place} | {*self._memory.layers()})

    def get(self, layer: int, rows: Sequence[Row]) -> list[Tensor | None]:
        """For each row its hidden states on the CPU, or None."""
        keys = [(layer, self._row_name(row)) for row in rows]
        if any(key not in self._place for key in keys):
            self._open_new()
        unwritten = self._memory.get(layer, rows)
        return [
            self._opened[self._place[key]].get_tensor(key[1]) if key in self._place else kept
            for key, kept in zip(keys, unwritten, strict=True)
        ]

    def put(self, layer: int, found: Mapping[Row, Tensor]) -> None:
        """Write rows that are not here into one new file, and drop the oldest files beyond the limits."""
        new = {
            row: hidden for row, hidden in found.items() if (layer, self._row_name(row)) not in self._place
        }
        if not new:
            return
        body = save({self._row_name(row): hidden.detach().cpu().contiguous() for row, hidden in new.items()})
        name = _file_name(layer, body)
        try:
            replace_file(self._folder / name, body, step="hidden")
        except StorageFull:
            self._memory.put(layer, new)
            return
        self._opened.pop(name, None)  # it may have been damaged before
        self._open_new()
        self._drop_oldest()

    def delete_files(self) -> None:
        """Delete the files, also those of other processes. May be called in any thread."""
        for path in self._files():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def forget(self) -> None:
        """Delete the files, and forget what was read from them."""
        self.delete_files()
        self._opened, self._place = {}, {}
        self._memory.forget()

    def _row_name(self, row: Row) -> str:
        body = json.dumps([*self._made_on, row])
        return hashlib.sha256(body.encode()).hexdigest()[:32]

    def _files(self) -> list[Path]:
        return [path for path in self._folder.glob(f"*{_ENDING}") if not path.name.startswith(".")]

    def _open_new(self) -> None:
        """Open the files that came since the last call, also those of other processes."""
        for path in self._files():
            if path.name not in self._opened:
                self._opened[path.name] = opened = _open(path)
                layer = int(path.name.partition("-")[0]) if opened else 0
                for name in opened.keys() if opened else ():
                    self._place.setdefault((layer, name), path.name)

    def _drop_oldest(self) -> None:
        # A dropped file can still be read where it is open; this process forgets it all the same.
        sizes: dict[Path, tuple[int, int]] = {}
        for path in self._files():
            with contextlib.suppress(OSError):  # another process dropped it
                found = path.stat()
                sizes[path] = found.st_mtime_ns, found.st_size
        newest_first = sorted(sizes, key=lambda path: sizes[path], reverse=True)
        total = 0
        for n, path in enumerate(newest_first):
            total += sizes[path][1]
            if n and (total > self._max_bytes or n >= self._max_files):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
                self._opened.pop(path.name, None)
        self._place = {key: name for key, name in self._place.items() if name in self._opened}


def _file_name(layer: int, body: bytes) -> str:
    return f"{layer}-{hashlib.sha256(body).hexdigest()[:32]}{_ENDING}"


def _open(path: Path) -> Any:
    """The open file; None when it is not what its name says, or gone."""
    try:
        layer = int(path.name.partition("-")[0])
        if path.name != _file_name(layer, path.read_bytes()):
            return None
        return safe_open(path, framework="pt")
    except (OSError, ValueError, SafetensorError):
        return None
