"""The same corrections by ROME as first published: each written into the weights at once, one at a time.

For comparison only. There is no memory, no verdict and no way back; what is retracted stays. Works on a
loaded model and leaves that model as it was. Ends once the model is gone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from guardedit.agent.deciding import as_told
from guardedit.assembly import LoadedModel
from guardedit.core.correction import Correction, Op, decode_correction
from guardedit.core.protocols import SubjectGroup
from guardedit.core.receipt import Fate
from guardedit.demo.expected import DemoStream
from guardedit.demo.scores import Fluency, Questions, Scores, fluency, score
from guardedit.demo.unguarded import GONE, Course
from guardedit.guard.perplexity import Logprobs
from guardedit.models.bypass import Patch
from guardedit.models.matrices import to_stored
from guardedit.models.weights.factors import Factors, from_payload

METHOD = "rome"


class OriginalRome:
    """A model that ROME writes into, fact by fact.

    Args:
        bench: a model with the method `rome`.
        texts: for the perplexity.
        clock: seconds.
    """

    def __init__(
        self, bench: LoadedModel, texts: Sequence[str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._bench, self._texts, self._clock = bench, texts, clock
        self._base: Logprobs = bench.host.token_logprobs(texts)
        self._matrices: dict[str, Tensor] = {}  # name -> [d, f] float64

    def run(self, stream: DemoStream, *, tell: Callable[[int, float], None] = lambda *_: None) -> Course:
        """Write every accepted upsert of the stream, in order, disabling ones among them."""
        curve: list[tuple[int, float]] = []
        seconds = 0.0
        for number, line in enumerate(stream.lines, start=1):
            correction = decode_correction(line.raw) if line.fate is Fate.ACCEPTED else None
            if correction is None or correction.op is not Op.UPSERT:
                continue
            started = self._clock()
            written = self._write(correction)
            seconds += self._clock() - started
            if not written:
                continue
            curve.append((number, self._ratio()))
            tell(*curve[-1])
            if not curve[-1][1] < GONE:
                break
        gone = bool(curve) and not curve[-1][1] < GONE
        return Course(
            curve=tuple(curve),
            lines=curve[-1][0] if gone else len(stream.lines),
            edits=len(curve),
            seconds=seconds,
        )

    def asked(self, questions: Questions) -> tuple[Scores, Fluency]:
        """The questions to the model as it was left, and its perplexity."""
        with self._bench.host.patched(self._stored()):
            now = self._bench.host.token_logprobs(self._texts)
            return score(self._bench.host.complete, questions), fluency(now, self._base)

    def _write(self, correction: Correction) -> bool:
        """The next edit, made on the model as the earlier ones have left it; whether there was one."""
        factors = self._edit(correction)
        if factors is None:
            return False
        host = self._bench.host
        name = host.layout.matrix_name(factors.layer)
        W = self._matrices.get(name, host.base_matrix(factors.layer).double())
        self._matrices[name] = W + factors.left.double() @ factors.right.double().t()
        return True

    def _edit(self, correction: Correction) -> Factors | None:
        fact = replace(as_told(correction), method=METHOD)
        group = SubjectGroup(subject=correction.subject, facts=(fact,))
        with self._bench.host.patched(self._stored()):
            edits = self._bench.editors[METHOD].propose([group], ()).edits
        factors = from_payload(edits[0].payload) if edits else None
        return factors if factors is not None and factors.finite else None

    def _stored(self) -> Patch:
        model = self._bench.host.model
        return Patch({name: to_stored(model, name, W) for name, W in self._matrices.items()})

    def _ratio(self) -> float:
        with self._bench.host.patched(self._stored()), torch.inference_mode():
            ratio = fluency(self._bench.host.token_logprobs(self._texts), self._base).ratio
        return math.inf if math.isnan(ratio) else ratio
