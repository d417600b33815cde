"""A proposal: the edits that an editing method suggests for a batch of facts. No model is changed by it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightEdit:
    """The weight change for all weight-placed facts of one subject, in factored form.

    All facts of a subject share one key, the activation at the subject's last token, so they are one edit.

    Attributes:
        subject: what the facts are about.
        facts: fact ids, sorted.
        method: the editing method.
        payload: a safetensors file that only `models.weights` reads and writes. Here it is opaque bytes, so
            that the ledger and the loop need no tensors.
        diagnostics: numbers about the optimisation, by name.
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
    """The edits for a batch, one for each subject, and the facts that the method could not edit."""

    method: str
    edits: tuple[WeightEdit, ...]
    refused: Mapping[str, str] = field(default_factory=dict)  # fact id -> reason
    seconds: float = 0.0
