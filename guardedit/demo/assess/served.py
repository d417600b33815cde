"""What was served, by the rule that says what is disabling: every epoch's weights, measured apart.

Reads the ledger and measures on held-out texts and questions; no verdict of the guard plays a part.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from guardedit.core.protocols import Worker
from guardedit.demo.harm import Harm, weigh
from guardedit.demo.held_out import HeldOut
from guardedit.ledger.reading import LedgerReader


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedWeights:
    """Weights that were served, the numbers of the epochs that served them, and what they do."""

    epochs: tuple[int, ...]
    harm: Harm


def served_weights(ledger: LedgerReader, worker: Worker, apart: HeldOut) -> list[ServedWeights]:
    """All that ever were in an epoch, the base model's own left out, oldest first."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for epoch in ledger.epochs():
        if epoch.weights_sha256 != epoch.base_sha256:
            numbers[epoch.weights_sha256].append(epoch.number)
    return [
        ServedWeights(epochs=tuple(found), harm=weigh(worker, ledger.edits(found[0]), apart))
        for found in numbers.values()
    ]


def disabling_epochs(served: list[ServedWeights]) -> list[int]:
    """Epochs whose weights are disabling, or could not be measured."""
    return sorted(
        number
        for weights in served
        if weights.harm.disabling or weights.harm.problem
        for number in weights.epochs
    )


def worst(served: list[ServedWeights]) -> Harm:
    """The largest of each number over all that was served; the base model's, where nothing else was."""
    return Harm(
        perplexity_ratio=max((s.harm.perplexity_ratio for s in served), default=1.0),
        answers_lost=max((s.harm.answers_lost for s in served), default=0.0),
        problem="; ".join(sorted({s.harm.problem for s in served if s.harm.problem})),
    )
