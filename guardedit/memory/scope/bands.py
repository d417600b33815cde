"""The two thresholds of the scope test, as chosen on an operator's labelled questions, in a file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from guardedit.core.errors import MemoryIndexError
from guardedit.memory.scope.thresholds import ScopeThresholds


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeBands:
    """Bands of scores, and what they promise. Thresholds in the wrong order raise MemoryIndexError.

    Attributes:
        accept: score from which on a question is in scope.
        unsure: score from which on it is unsure; below it is out of scope.
        at_most: promised largest share of out-of-scope questions that get a fact.
        confidence: of the promise.
        out_of_scope_rows, in_scope_rows: labelled questions that the bands were chosen on.
        rows_sha256: digest of these rows.
        scope_sha256: digest of the scope test whose scores they are for, see `scope_sha256`.
    """

    accept: float
    unsure: float
    at_most: float
    confidence: float
    out_of_scope_rows: int
    in_scope_rows: int
    rows_sha256: str
    scope_sha256: str

    def __post_init__(self) -> None:
        if not (0 <= self.unsure <= self.accept <= 1):
            raise MemoryIndexError(
                f"bands need 0 <= unsure <= accept <= 1, got unsure {self.unsure}, accept {self.accept}"
            )

    def applied(self, thresholds: ScopeThresholds) -> ScopeThresholds:
        """The scope test with these bands.

        Raises:
            MemoryIndexError: they are for the scores of another scope test.
        """
        if self.scope_sha256 != (found := scope_sha256(thresholds)):
            raise MemoryIndexError(
                f"the bands are for scope test {self.scope_sha256[:12]}, this one is {found[:12]}: "
                "choose them again with `guardedit memory calibrate`"
            )
        return replace(thresholds, accept=self.accept, reject=self.unsure)

    def to_text(self) -> str:
        """The content of a file that `load` reads."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @staticmethod
    def load(path: Path) -> ScopeBands:
        """Read a file with `to_text`.

        Raises:
            MemoryIndexError: the file cannot be read or holds no bands.
        """
        try:
            return ScopeBands(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise MemoryIndexError(
                f"bands {path} cannot be read ({error}): write them with `guardedit memory calibrate`"
            ) from error


def scope_sha256(thresholds: ScopeThresholds) -> str:
    """Digest of everything that decides about a score, so not of the bands: bands fit one digest."""
    body = [thresholds.weights, thresholds.bias, thresholds.alias_cosine, thresholds.encoder_sha256]
    if thresholds.judge_sha256:
        body.append(thresholds.judge_sha256)
    return hashlib.sha256(json.dumps(body).encode()).hexdigest()
