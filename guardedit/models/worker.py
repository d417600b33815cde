"""A model worker: proposes and measures edits on one base model, and never keeps them.

Implements `Worker`. Its only state is a cache, so that the same set of edits is not measured twice. Text is
generated only where the model does not say what is expected: one forward pass over all expected answers
costs less than a single generated one.
"""

from __future__ import annotations

import json
import math
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

from guardedit.core.errors import EditError, MalformedCorrection, UsageError
from guardedit.core.probe import Inspection, Measurement, Probes, Question, SpanKey, SpanScore
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import MethodEditor, SubjectGroup
from guardedit.models.host import ModelHost
from guardedit.models.text.guessing import complete_guessed
from guardedit.models.text.spans import Expected, score_spans
from guardedit.models.text.tokens import join
from guardedit.models.weights.fold import Fold

#: Sets of edits whose measurements are cached. A trial compares three: base, serving and candidate; a
#: rejected batch is tried again in parts.
CACHED_EDIT_SETS = 64


@dataclass
class _Measured:
    """Measurements on one set of weights.

    Attributes:
        weights_sha256: digest of the folded weights; empty before they are folded.
        logprobs: text -> log probabilities of its tokens in nats.
        spans: place of an expected answer -> whether it is said there.
        answers: prompt -> generated answer, where one was needed.
    """

    weights_sha256: str = ""
    logprobs: dict[str, tuple[float, ...]] = field(default_factory=dict)
    spans: dict[SpanKey, SpanScore] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)

    def said(self, question: Question) -> bool:
        """Whether the expected answer is known to be said."""
        return question.span in self.spans and self.spans[question.span].said


class ModelWorker:
    """One loaded model with its fold and its editing methods. Safe in several threads.

    Args:
        host: the base model.
        fold: of this base model.
        editors: editing methods by name.
    """

    def __init__(self, host: ModelHost, fold: Fold, editors: Mapping[str, MethodEditor]) -> None:
        self._host = host
        self._fold = fold
        self._editors = editors
        self._measured: OrderedDict[str, _Measured] = OrderedDict()
        self._lock = Lock()  # for the cache; never held while the model runs
        host.caches.add(self)

    def forget(self) -> None:
        """Measure everything again: a tensor of the base model had changed in memory."""
        with self._lock:
            self._measured.clear()

    @property
    def base_sha256(self) -> str:
        """Digest of the base model."""
        return self._host.base_sha256

    def propose(self, method: str, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """The proposal of the named method.

        Raises:
            EditError: for a method that this worker does not have, or that cannot be built.
        """
        try:
            editor = self._editors[method]
        except KeyError:
            known = ", ".join(sorted(self._editors))
            raise EditError(
                f"unknown editing method {method!r}: name one of these in the policy: {known}"
            ) from None
        except UsageError as error:
            raise EditError(f"editing method {method!r} cannot be used: {error}") from error
        return editor.propose(groups, live)

    def inspect(self, edits: Sequence[WeightEdit], live: Sequence[WeightEdit]) -> list[Inspection]:
        """Tier 0 numbers of each of `edits`, folded together with `live`."""
        return self._fold.inspect(edits, live)

    def capacity_ratio(self, edits: Sequence[WeightEdit]) -> float:
        """Number of keys over the effective free rank, of the fullest layer."""
        return self._fold.capacity_ratio(edits)

    def weights_sha256(self, edits: Sequence[WeightEdit]) -> str:
        """Digest of the base model and the folded patch, see `Fold.weights_sha256`."""
        return self._fold.weights_sha256(edits)

    def measure(self, edits: Sequence[WeightEdit], probes: Probes) -> Measurement:
        """Run the probes on fold(base, edits); results for the same edits and probes come from the cache.

        Every expected answer is checked by its span (`spans.score_spans`). Where it is said, the answer is
        given as lead and expected words, whatever the model would add to them. All other answers are those of
        `ModelHost.complete`, except where the logits of two tokens are equal up to rounding; there a guess
        may decide. Verdicts are recorded in the ledger, so a replay does not depend on this.
        """
        started = time.perf_counter()
        known = self._cached(edits)
        self._ask(edits, probes, known)
        return Measurement(
            weights_sha256=known.weights_sha256,
            logprobs=tuple(known.logprobs[text] for text in probes.texts),
            answers=_answers(probes.questions, known),
            spans={span: known.spans[span] for span in _spans(probes.questions)},
            seconds=time.perf_counter() - started,
        )

    def _ask(self, edits: Sequence[WeightEdit], probes: Probes, known: _Measured) -> None:
        """Run the model for what is not yet in `known`, and add it there."""
        unread = [text for text in dict.fromkeys(probes.texts) if text not in known.logprobs]
        unscored = [span for span in _spans(probes.questions) if span not in known.spans]
        if known.weights_sha256 and not (unread or unscored or _unanswered(probes.questions, known)):
            return
        folded = self._fold.folded(edits)
        with self._host.patched(folded.patch):
            scores = dict(zip(unread, map(tuple, self._host.token_logprobs(unread)), strict=True))
            spans = self._scored(unscored)
            with self._lock:
                known.weights_sha256 = folded.sha256
                known.logprobs |= scores
                known.spans |= spans
            prompts = _unanswered(probes.questions, known)
            answers = complete_guessed(self._host, self._guesses(prompts, known))
        with self._lock:
            known.answers |= answers

    def _scored(self, spans: Sequence[SpanKey]) -> dict[SpanKey, SpanScore]:
        """Whether the model as it stands says each expected answer."""
        asked = [Expected(prompt=prompt, answer=answer, lead=lead) for prompt, lead, answer in spans]
        try:
            found = score_spans(self._host, asked)
        except MalformedCorrection:
            # One answer has no tokens of its own, such as one of characters that the tokenizer drops.
            return {span: score for span in spans for score in [self._scored_alone(span)]}
        return {
            span: SpanScore(said=one.said, margin_nats=one.margin_nats)
            for span, one in zip(spans, found, strict=True)
        }

    def _scored_alone(self, span: SpanKey) -> SpanScore:
        """The score of one expected answer; one without tokens is said if it is all that is generated."""
        prompt, lead, answer = span
        try:
            found = score_spans(self._host, [Expected(prompt=prompt, answer=answer, lead=lead)])[0]
        except MalformedCorrection:
            said = self._host.complete([prompt])[0] == answer
            return SpanScore(said=said, margin_nats=math.nan)
        return SpanScore(said=found.said, margin_nats=found.margin_nats)

    def _guesses(self, prompts: Sequence[str], current: _Measured) -> dict[str, list[str]]:
        """Prompt -> the answer of the other weights that were measured last, if there is one."""
        with self._lock:
            others = [known for known in reversed(self._measured.values()) if known is not current]
            return {
                prompt: [known.answers[prompt] for known in others if prompt in known.answers][:1]
                for prompt in prompts
            }

    def _cached(self, edits: Sequence[WeightEdit]) -> _Measured:
        """The cache entry of a set of edits; a new one where there is none."""
        # The sorted digests identify the weights as well as a digest of the weights would, without folding.
        name = json.dumps(sorted({edit.digest for edit in edits}))
        with self._lock:
            known = self._measured.setdefault(name, _Measured())
            self._measured.move_to_end(name)
            if len(self._measured) > CACHED_EDIT_SETS:
                self._measured.popitem(last=False)
        return known


def _spans(questions: Sequence[Question]) -> list[SpanKey]:
    return list(dict.fromkeys(question.span for question in questions if question.span is not None))


def _unanswered(questions: Sequence[Question], known: _Measured) -> list[str]:
    """Prompts of questions whose expected answer is not said, or that have none, without an answer yet."""
    said = {question.prompt for question in questions if known.said(question)}
    prompts = dict.fromkeys(question.prompt for question in questions)
    return [prompt for prompt in prompts if prompt not in said and prompt not in known.answers]


def _answers(questions: Sequence[Question], known: _Measured) -> dict[str, str]:
    """Prompt -> lead and expected words where they are said, else the generated answer."""
    said = {q.prompt: join(q.lead, str(q.expected)).strip() for q in questions if known.said(q)}
    return {q.prompt: said[q.prompt] if q.prompt in said else known.answers[q.prompt] for q in questions}
