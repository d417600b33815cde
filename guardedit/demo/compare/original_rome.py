"""Makes the same corrections with ROME as published: each goes into the weights at once, one at a time.

For comparison only. There is no memory, no verdict and no undo; retractions have no effect. Works on a
loaded model and leaves it unchanged. Ends when the model is ruined.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from guardedit.agent.deciding import first_version
from guardedit.assembly import LoadedModel
from guardedit.core.correction import Correction, Op, decode_correction
from guardedit.core.messages import Fate
from guardedit.core.protocols import SubjectGroup
from guardedit.demo.compare.second_system import RUINED_RATIO, ComparisonRun
from guardedit.demo.scores import AnswerScores, PerplexityRatio, Questions, compare_perplexity, score
from guardedit.demo.stream.expected import DemoStream
from guardedit.guard.perplexity import Logprobs
from guardedit.models.bypass import Patch
from guardedit.models.matrices import to_stored
from guardedit.models.weights.factors import Factors, from_payload

METHOD = "rome"


class OriginalRome:
    """A model into which ROME edits fact after fact.

    Args:
        loaded: a model with the method `rome`.
        texts: texts for measuring perplexity.
        clock: clock in seconds.
    """

    def __init__(
        self, loaded: LoadedModel, texts: Sequence[str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._loaded, self._texts, self._clock = loaded, texts, clock
        self._base: Logprobs = loaded.host.token_logprobs(texts)
        self._matrices: dict[str, Tensor] = {}  # name -> edited matrix [d, f] float64

    def run(
        self, stream: DemoStream, *, tell: Callable[[int, float], None] = lambda *_: None
    ) -> ComparisonRun:
        """Edit in every accepted upsert of the stream, in order, including the disabling ones.

        Args:
            stream: corrections with their expected fates.
            tell: progress; takes lines done and perplexity ratio.
        """
        curve: list[tuple[int, float]] = []
        seconds = 0.0
        for number, line in enumerate(stream.lines, start=1):
            correction = decode_correction(line.raw) if line.fate is Fate.ACCEPTED else None
            if correction is None or correction.op is not Op.UPSERT:
                continue
            started = self._clock()
            edited = self._edit_in(correction)
            seconds += self._clock() - started
            if not edited:
                continue
            curve.append((number, self._ratio()))
            tell(*curve[-1])
            if not curve[-1][1] < RUINED_RATIO:
                break
        ruined = bool(curve) and not curve[-1][1] < RUINED_RATIO
        return ComparisonRun(
            curve=tuple(curve),
            lines=curve[-1][0] if ruined else len(stream.lines),
            edits=len(curve),
            seconds=seconds,
        )

    def ask(self, questions: Questions) -> tuple[AnswerScores, PerplexityRatio]:
        """Ask the model after `run`, and measure its perplexity."""
        with self._loaded.host.patched(self._patch()):
            logprobs = self._loaded.host.token_logprobs(self._texts)
            return score(self._loaded.host.complete, questions), compare_perplexity(logprobs, self._base)

    def _edit_in(self, correction: Correction) -> bool:
        """Make the next edit on top of the earlier ones. Returns whether there was an edit."""
        factors = self._propose(correction)
        if factors is None:
            return False
        host = self._loaded.host
        name = host.layout.matrix_name(factors.layer)
        W = self._matrices.get(name, host.base_matrix(factors.layer).double())
        self._matrices[name] = W + factors.left.double() @ factors.right.double().t()
        return True

    def _propose(self, correction: Correction) -> Factors | None:
        fact = replace(first_version(correction), method=METHOD)
        group = SubjectGroup(subject=correction.subject, facts=(fact,))
        with self._loaded.host.patched(self._patch()):
            edits = self._loaded.editors[METHOD].propose([group], ()).edits
        factors = from_payload(edits[0].payload) if edits else None
        return factors if factors is not None and factors.finite else None

    def _patch(self) -> Patch:
        model = self._loaded.host.model
        return Patch({name: to_stored(model, name, W) for name, W in self._matrices.items()})

    def _ratio(self) -> float:
        with self._loaded.host.patched(self._patch()), torch.inference_mode():
            ratio = compare_perplexity(self._loaded.host.token_logprobs(self._texts), self._base).ratio
        return math.inf if math.isnan(ratio) else ratio
