"""A model worker: proposes and measures edits on one base model, and never keeps them.

Implements `Worker`. Its only state is a cache, so that the same set of edits is not measured twice.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

from guardedit.core.errors import EditError, UsageError
from guardedit.core.probe import Inspection, Measurement, Probes
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import MethodEditor, SubjectGroup
from guardedit.models.host import ModelHost
from guardedit.models.text.guessing import complete_guessed
from guardedit.models.weights.fold import Fold

#: Sets of edits whose measurements are cached. A trial compares three: base, serving and candidate; a
#: rejected batch is tried again in parts.
CACHED_EDIT_SETS = 64


@dataclass
class _Measured:
    """Measurements on one set of weights.

    Attributes:
        weights_sha256: digest of the folded weights; empty before they are folded.
        logprobs: digest of the texts -> for each text, log probabilities in nats.
        answers: prompt -> answer.
    """

    weights_sha256: str = ""
    logprobs: dict[str, tuple[tuple[float, ...], ...]] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)


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

        Answers are those of `ModelHost.complete`, except where the logits of two tokens are equal up to
        rounding; there a guess may decide. Verdicts are recorded in the ledger, so a replay does not depend
        on this.
        """
        started = time.perf_counter()
        known = self._cached(edits)
        texts = hashlib.sha256(json.dumps(probes.texts).encode()).hexdigest()
        prompts = list(dict.fromkeys(question.prompt for question in probes.questions))
        unasked = [prompt for prompt in prompts if prompt not in known.answers]
        if unasked or texts not in known.logprobs:
            self._ask(edits, probes, known, texts=texts, prompts=unasked)
        return Measurement(
            weights_sha256=known.weights_sha256,
            logprobs=known.logprobs[texts],
            answers={prompt: known.answers[prompt] for prompt in prompts},
            seconds=time.perf_counter() - started,
        )

    def _ask(
        self,
        edits: Sequence[WeightEdit],
        probes: Probes,
        known: _Measured,
        *,
        texts: str,
        prompts: Sequence[str],
    ) -> None:
        """Run the model and add its log probabilities and answers to `known`."""
        folded = self._fold.folded(edits)
        with self._host.patched(folded.patch):
            scores = {} if texts in known.logprobs else {texts: self._scores(probes)}
            answers = complete_guessed(self._host, self._guesses(probes, prompts, known))
        with self._lock:
            known.weights_sha256 = folded.sha256
            known.logprobs |= scores
            known.answers |= answers

    def _scores(self, probes: Probes) -> tuple[tuple[float, ...], ...]:
        return tuple(map(tuple, self._host.token_logprobs(probes.texts)))

    def _guesses(self, probes: Probes, prompts: Sequence[str], current: _Measured) -> dict[str, list[str]]:
        """Prompt -> its expected answers, and the answer of the other weights that were measured last."""
        guesses: dict[str, list[str]] = {prompt: [] for prompt in prompts}
        for question in probes.questions:
            if question.expected is not None and question.prompt in guesses:
                guesses[question.prompt].append(question.expected)
        with self._lock:
            others = [known for known in reversed(self._measured.values()) if known is not current]
        for prompt, texts in guesses.items():
            texts.extend([known.answers[prompt] for known in others if prompt in known.answers][:1])
        return guesses

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
