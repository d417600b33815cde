"""A proposal: what an editing method suggests for a batch of facts. Never a mutated model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightEdit:
    """The weight change for all weight-placed facts of one subject, in factored form.

    The subject's last token is the key that all its facts share, so they are one edit (methods.md 2.5).
    `payload` is a safetensors file made and read by `models.fold` only; here it is opaque bytes, so that
    the ledger and the loop need no tensors. `facts` are fact ids, sorted.
    """

    subject: str
    facts: tuple[str, ...]
    method: str
    payload: bytes = field(repr=False)
    diagnostics: Mapping[str, float] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """sha256 of the payload: the name of its blob and its place in canonical order."""
        return hashlib.sha256(self.payload).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Edits for a batch, one a subject, and the facts the method could not edit, with the reason."""

    method: str
    edits: tuple[WeightEdit, ...]
    refused: Mapping[str, str] = field(default_factory=dict)  # fact id -> reason
    seconds: float = 0.0
