"""The same corrections without a guard: each written into the weights at once, by ROME as first published.

For comparison only. There is no memory, no verdict and no way back; what is retracted stays. Works on a
loaded model of its own and leaves that model as it was.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.assembly import Bench
from guardedit.core.correction import Correction, Op, decode_correction
from guardedit.core.fact import Fact
from guardedit.core.protocols import SubjectGroup
from guardedit.core.receipt import Fate
from guardedit.evaluation.expected import DemoStream
from guardedit.evaluation.scores import Fluency, Questions, Scores, fluency, score
from guardedit.guard.perplexity import Logprobs
from guardedit.models.bypass import Patch
from guardedit.models.factors import Factors, from_payload
from guardedit.models.matrices import to_stored

METHOD = "rome"
#: A perplexity ratio that nobody would call the same model.
COLLAPSED = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unguarded:
    """What became of the model.

    Attributes:
        scores: the same questions as for the guarded run.
        fluency: perplexity over the base model's, after everything.
        curve: perplexity ratio after each correction that was written; infinite beyond numbers.
        collapsed_at: how many were written when the ratio first exceeded `COLLAPSED`; None: never.
        written: corrections in the weights.
        refused: corrections for which the method made no edit.
        seconds: for all edits, without the questions.
    """

    scores: Scores
    fluency: Fluency
    curve: tuple[float, ...]
    collapsed_at: int | None
    written: int
    refused: int
    seconds: float


def unguarded(
    stream: DemoStream,
    bench: Bench,
    questions: Questions,
    texts: Sequence[str],
    *,
    tell: Callable[[int, int, float], None] = lambda *_: None,
) -> Unguarded:
    """Write every accepted update of the stream, in order, then ask.

    Args:
        stream: accepted upserts are written, disabling ones among them.
        bench: a model with the method `rome`.
        questions: as asked of the guarded system.
        texts: for the perplexity.
        tell: written so far, of how many, perplexity ratio.
    """
    host = bench.host
    base = host.token_logprobs(texts)
    wanted = [correction for correction in _accepted(stream) if correction.op is Op.UPSERT]
    matrices: dict[str, Tensor] = {}  # name -> [d, f] float64
    curve: list[float] = []
    refused, spent_s = 0, 0.0
    for correction in wanted:
        started = time.monotonic()
        factors = _edit(bench, correction, matrices)
        if factors is None:
            refused += 1
            continue
        name = host.layout.matrix_name(factors.layer)
        W = matrices.get(name, host.base_matrix(factors.layer).double())
        matrices[name] = W + factors.left.double() @ factors.right.double().t()
        spent_s += time.monotonic() - started
        curve.append(_ratio(bench, matrices, texts, base))
        tell(len(curve), len(wanted), curve[-1])
    with host.patched(_stored(bench, matrices)):
        now = host.token_logprobs(texts)
        answered = score(host.complete, questions)
    return Unguarded(
        scores=answered,
        fluency=fluency(now, base),
        curve=tuple(curve),
        collapsed_at=next((n for n, ratio in enumerate(curve, 1) if not ratio <= COLLAPSED), None),
        written=len(curve),
        refused=refused,
        seconds=spent_s,
    )


def _accepted(stream: DemoStream) -> list[Correction]:
    return [decode_correction(line.raw) for line in stream.lines if line.fate is Fate.ACCEPTED]


def _edit(bench: Bench, correction: Correction, matrices: dict[str, Tensor]) -> Factors | None:
    """The next edit, made on the model as the earlier ones have left it."""
    fact = Fact(
        key=correction.key,
        version=1,
        correction_id=correction.id,
        wordings=correction.wordings,
        subject_at=correction.subject_at,
        target=correction.target_new,
        method=METHOD,
    )
    group = SubjectGroup(subject=correction.subject, facts=(fact,))
    with bench.host.patched(_stored(bench, matrices)):
        edits = bench.editors[METHOD].propose([group], ()).edits
    factors = from_payload(edits[0].payload) if edits else None
    return factors if factors is not None and factors.finite else None


def _stored(bench: Bench, matrices: dict[str, Tensor]) -> Patch:
    return Patch({name: to_stored(bench.host.model, name, W) for name, W in matrices.items()})


def _ratio(bench: Bench, matrices: dict[str, Tensor], texts: Sequence[str], base: Logprobs) -> float:
    with bench.host.patched(_stored(bench, matrices)), torch.inference_mode():
        ratio = fluency(bench.host.token_logprobs(texts), base).ratio
    return math.inf if math.isnan(ratio) else ratio
