"""What the guard asks a model, and what the model answered: plain numbers and texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """Why a question is asked."""

    RELIABILITY = "reliability"  # the edit's own prompt
    PARAPHRASE = "paraphrase"  # another wording of an edited fact
    OTHER_SUBJECT = "other_subject"  # must not change
    SAME_SUBJECT = "same_subject"  # another relation of an edited subject: must not change
    EARLIER = "earlier"  # an edit of an earlier epoch: must still hold
    REMEMBERED = "remembered"  # a fact in the memory, asked as it is served: must still be obeyed


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One prompt for free generation. `expected` None: whatever the serving epoch says must stay."""

    prompt: str
    kind: Kind
    expected: str | None = None
    fact_id: str = ""  # the fact that is to blame when the answer is wrong
    subject: str = ""
    relation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """Fixed texts for perplexity and questions for generation, with a fingerprint of both."""

    texts: tuple[str, ...]
    questions: tuple[Question, ...] = ()

    @property
    def sha256(self) -> str:
        """Fingerprint: numbers are comparable only between equal fingerprints."""
        body = [list(self.texts), [[q.prompt, q.kind, q.expected] for q in self.questions]]
        return hashlib.sha256(json.dumps(body).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One model under the probes.

    `logprobs[i]` are the natural-log probabilities of tokens 2..N of `texts[i]`, so N-1 numbers, equal
    in count between epochs of one base model: they pair. `answers` maps prompt to generated text.
    """

    weights_sha256: str
    logprobs: tuple[tuple[float, ...], ...]
    answers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Tier 0: what can be said of one weight edit without a forward pass.

    Attributes:
        finite: every number of key, target and change is finite.
        relative_size: Frobenius norm of the change over that of the base matrix.
        value_ratio: norm of the new value over the median norm of values at that site.
        key_outlier: Mahalanobis length of the key under C over the expected length, 1 is ordinary.
        background_error: tr(Delta C Delta^T) over tr(W C W^T), expected relative output error.
    """

    digest: str
    facts: tuple[str, ...]
    finite: bool
    relative_size: float
    value_ratio: float
    key_outlier: float
    background_error: float
