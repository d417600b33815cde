"""The guard's questions to a model, the model's answers, and the numbers measured on both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

#: (prompt, lead, expected answer): a place at which an answer is expected.
SpanKey = tuple[str, str, str]


class QuestionKind(StrEnum):
    """What a question tests."""

    RELIABILITY = "reliability"  # the edit's own prompt
    PARAPHRASE = "paraphrase"  # another wording of an edited fact
    OTHER_SUBJECT = "other_subject"  # must not change
    SAME_SUBJECT = "same_subject"  # another relation of an edited subject: must not change
    EARLIER = "earlier"  # an edit of an earlier epoch: must still hold
    REMEMBERED = "remembered"  # a fact in the memory, asked as it is served: must still be answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One prompt for free generation.

    Attributes:
        prompt: the text to continue.
        kind: what it tests.
        expected: the answer to look for. None: the answer must stay what the serving epoch gives.
        fact_id: the fact that a wrong answer counts against; "" for none.
        subject: what the question is about, where known.
        relation: which relation of the subject it asks for, where known.
        lead: what the model says between the prompt and the expected answer, such as "The capital of France
            is"; "" where it begins with the answer.
        asked: what a person asked, for messages; "" where that is the prompt itself.
    """

    prompt: str
    kind: QuestionKind
    expected: str | None = None
    fact_id: str = ""
    subject: str = ""
    relation: str = ""
    lead: str = ""
    asked: str = ""

    @property
    def span(self) -> SpanKey | None:
        """The place of the expected answer; None where no answer is expected."""
        return None if self.expected is None else (self.prompt, self.lead, self.expected)

    @property
    def wording(self) -> str:
        """The question as a person asked it."""
        return self.asked or self.prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """Fixed texts for perplexity, and questions for generation."""

    texts: tuple[str, ...]
    questions: tuple[Question, ...] = ()

    @property
    def sha256(self) -> str:
        """Fingerprint of both. Measurements are comparable only between equal fingerprints."""
        # A lead is appended only where there is one, so that recorded fingerprints stay what they are.
        rows = [[q.prompt, q.kind, q.expected, *([q.lead] if q.lead else [])] for q in self.questions]
        body = [list(self.texts), rows]
        return hashlib.sha256(json.dumps(body).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanScore:
    """Whether a model says an expected answer at its place.

    Attributes:
        said: every token of the answer is the most likely one there, whatever follows.
        margin_nats: the smallest difference between the log-probability of one of its tokens and that of the
            strongest rival; positive exactly if the answer is said.
    """

    said: bool
    margin_nats: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The results of one model on a set of probes.

    Attributes:
        weights_sha256: digest of the folded matrices that were measured.
        logprobs: for each text the natural-log probabilities of its tokens 2..N, so N-1 numbers. Epochs of
            one base model give equally many, so two measurements can be compared token by token.
        answers: prompt -> generated text.
        spans: place of an expected answer -> whether it is said there.
        seconds: duration.
    """

    weights_sha256: str
    logprobs: tuple[tuple[float, ...], ...]
    answers: Mapping[str, str] = field(default_factory=dict)
    spans: Mapping[SpanKey, SpanScore] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Tier 0: numbers about one weight edit that need no forward pass.

    Attributes:
        digest: the edit.
        facts: ids of its facts.
        finite: every number of key, target and change is finite.
        relative_size: Frobenius norm of the change over that of the base matrix.
        value_ratio: norm of the new value over the median norm of values at that site.
        key_outlier: Mahalanobis length of the key under C over the expected length; 1 is ordinary.
        background_error: tr(Delta C Delta^T) over tr(W C W^T), the expected relative output error.
    """

    digest: str
    facts: tuple[str, ...]
    finite: bool
    relative_size: float
    value_ratio: float
    key_outlier: float
    background_error: float
