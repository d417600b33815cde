"""Keeps what was already measured in a file, so that a build that was stopped goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from guardedit.core.errors import UsageError


class KeptResults:
    """Results by step and key, in a JSON Lines file that only grows. The last line may be incomplete.

    Args:
        path: the file; None keeps results in memory only. Its name should have the digest of everything that
            the results depend on.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._found: dict[str, dict[str, Any]] = {}
        if path is not None and path.is_file():
            for line in path.read_text(encoding="utf-8").split("\n"):
                self._take(line)

    def results(
        self, step: str, keys: Sequence[str], make: Callable[[Sequence[str]], Iterable[Any]]
    ) -> list[Any]:
        """The result of each key: kept ones as they are, the others from `make`, which gets only those.

        Results must be JSON values.
        """
        kept = self._found.setdefault(step, {})
        new = [key for key in dict.fromkeys(keys) if key not in kept]
        if new:
            made = dict(zip(new, make(new), strict=True))
            self._append(step, made)
            kept.update(made)
        return [kept[key] for key in keys]

    def missing(self, step: str, keys: Sequence[str]) -> int:
        """How many keys have no result yet."""
        return len(set(keys) - self._found.get(step, {}).keys())

    def _take(self, line: str) -> None:
        try:
            step, found = json.loads(line)
        except (ValueError, TypeError):
            return  # cut off while it was written; its results are made again
        self._found.setdefault(step, {}).update(found)

    def _append(self, step: str, made: Mapping[str, Any]) -> None:
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                # The line break comes first, so that a line that was cut off spoils no other.
                file.write("\n" + json.dumps([step, made], ensure_ascii=False))
        except OSError as error:
            raise UsageError(
                f"cannot keep results in {self._path}: {error.strerror}; choose another home with --home"
            ) from error
