"""Measures the harm of all weights that were ever served, on held-out texts and questions.

No verdict of the guard is used.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

from guardedit.core.protocols import Worker
from guardedit.demo.disabling.harm import Harm, measure_harm
from guardedit.demo.disabling.held_out import HeldOut
from guardedit.ledger.reading import LedgerReader


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedWeights:
    """Served weights.

    Attributes:
        epochs: numbers of the epochs that served them.
        harm: compared with the base model.
    """

    epochs: tuple[int, ...]
    harm: Harm


def served_weights(ledger: LedgerReader, worker: Worker, held_out: HeldOut) -> list[ServedWeights]:
    """All weights of any epoch except the base model's, oldest first."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for epoch in ledger.epochs():
        if epoch.weights_sha256 != epoch.base_sha256:
            numbers[epoch.weights_sha256].append(epoch.number)
    return [
        ServedWeights(epochs=tuple(found), harm=measure_harm(worker, ledger.edits(found[0]), held_out))
        for found in numbers.values()
    ]


def disabling_epochs(served: list[ServedWeights]) -> list[int]:
    """Numbers of the epochs whose weights are disabling or could not be measured."""
    return sorted(
        number
        for weights in served
        if weights.harm.disabling or weights.harm.problem
        for number in weights.epochs
    )


def worst(served: list[ServedWeights]) -> Harm:
    """The maximum of each number over all served weights. Without any: the base model's numbers."""
    return Harm(
        perplexity_ratio=_largest([s.harm.perplexity_ratio for s in served], default=1.0),
        answers_lost=_largest([s.harm.answers_lost for s in served], default=0.0),
        problem="; ".join(sorted({s.harm.problem for s in served if s.harm.problem})),
    )


def _largest(values: list[float], *, default: float) -> float:
    """The largest measured value. What `max` returns for a NaN depends on its position."""
    return max((value for value in values if not math.isnan(value)), default=math.nan if values else default)
