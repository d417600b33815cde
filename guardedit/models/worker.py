"""A model worker: one base model, on which edits are proposed and measured but never kept.

Implements `Worker`. Stateless but for caches: what a hash says was measured is not measured again.
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
from guardedit.core.protocols import Editor, SubjectGroup
from guardedit.models.host import ModelHost
from guardedit.models.text.guessing import complete_guessed
from guardedit.models.weights.fold import Fold

#: Sets of edits whose answers are kept. A trial compares three: base, serving, candidate; a failing batch
#: is tried edit by edit.
KEPT_EPOCHS = 64


@dataclass
class _Known:
    """What is known of one set of weights."""

    weights_sha256: str = ""  # "": not folded yet
    logprobs: dict[str, tuple[tuple[float, ...], ...]] = field(default_factory=dict)  # by texts' digest
    answers: dict[str, str] = field(default_factory=dict)


class ModelWorker:
    """One loaded model with its fold and its editing methods. Safe in several threads."""

    def __init__(self, host: ModelHost, fold: Fold, editors: Mapping[str, Editor]) -> None:
        self._host = host
        self._fold = fold
        self._editors = editors
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._lock = Lock()  # of what is known; never held while the model runs

    @property
    def base_sha256(self) -> str:
        """Digest of the base model."""
        return self._host.base_sha256

    def propose(self, method: str, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """Ask the named method.

        Raises:
            EditError: for a method this worker was not given, or that cannot be built.
        """
        try:
            editor = self._editors[method]
        except KeyError:
            known = ", ".join(sorted(self._editors))
            raise EditError(
                f"no editing method {method!r} here, known: {known}: name one in the policy"
            ) from None
        except UsageError as error:
            raise EditError(f"editing method {method!r} cannot be used: {error}") from error
        return editor.propose(groups, live)

    def inspect(self, edits: Sequence[WeightEdit], live: Sequence[WeightEdit]) -> list[Inspection]:
        """Tier 0 numbers of each of `edits`, folded together with `live`."""
        return self._fold.inspect(edits, live)

    def capacity_ratio(self, edits: Sequence[WeightEdit]) -> float:
        """Live keys over the effective free rank of the fullest layer."""
        return self._fold.capacity_ratio(edits)

    def weights_sha256(self, edits: Sequence[WeightEdit]) -> str:
        """Digest of the folded matrices."""
        return self._fold.weights_sha256(edits)

    def measure(self, edits: Sequence[WeightEdit], probes: Probes) -> Measurement:
        """Run the probes on fold(base, edits), asking only what these weights were not asked before.

        Answers are those of `ModelHost.complete` but where two tokens' logits agree to the last digits: there
        what is guessed may decide. Verdicts are kept in the ledger, so no replay depends on it.
        """
        started = time.perf_counter()
        known = self._of(edits)
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
        known: _Known,
        *,
        texts: str,
        prompts: Sequence[str],
    ) -> None:
        """Run the model and add what it says to what is known."""
        folded = self._fold.folded(edits)
        with self._host.patched(folded.patch):
            scores = {} if texts in known.logprobs else {texts: self._scores(probes)}
            said = complete_guessed(self._host, self._guesses(probes, prompts, but=known))
        with self._lock:
            known.weights_sha256 = folded.sha256
            known.logprobs |= scores
            known.answers |= said

    def _scores(self, probes: Probes) -> tuple[tuple[float, ...], ...]:
        return tuple(map(tuple, self._host.token_logprobs(probes.texts)))

    def _guesses(self, probes: Probes, prompts: Sequence[str], *, but: _Known) -> dict[str, list[str]]:
        """What a prompt's answer may be: what is expected, and what other weights said last."""
        guesses: dict[str, list[str]] = {prompt: [] for prompt in prompts}
        for question in probes.questions:
            if question.expected is not None and question.prompt in guesses:
                guesses[question.prompt].append(question.expected)
        with self._lock:
            others = [known for known in reversed(self._known.values()) if known is not but]
        for prompt, texts in guesses.items():
            texts.extend([known.answers[prompt] for known in others if prompt in known.answers][:1])
        return guesses

    def _of(self, edits: Sequence[WeightEdit]) -> _Known:
        # The sorted digests name the weights as surely as their hash does, without folding.
        name = json.dumps(sorted({edit.digest for edit in edits}))
        with self._lock:
            known = self._known.setdefault(name, _Known())
            self._known.move_to_end(name)
            if len(self._known) > KEPT_EPOCHS:
                self._known.popitem(last=False)
        return known
