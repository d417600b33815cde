"""Trains the judge's network on pairs that are made anew in every epoch."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from guardedit.memory.fitting.pairs import JudgePair
from guardedit.memory.judge.network import BATCH, ScopeNetwork

#: Steps between two calls of `tell`.
TELL_EVERY = 50
#: Pairs that are sorted by length together, so that a batch has little padding.
_SORTED = 16 * BATCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How to train. The learning rate rises over `warm_up` steps, then falls to nearly 0.

    Attributes:
        epochs: passes over the pairs.
        rate: highest learning rate of the layers.
        head_rate: highest learning rate of the head, which starts from nothing.
        warm_up: steps.
        seed: of the order of the pairs.
    """

    epochs: int = 4
    rate: float = 1.2e-4
    head_rate: float = 1e-3
    warm_up: int = 150
    seed: int = 0


def train(
    network: ScopeNetwork,
    pairs: Callable[[int], Sequence[JudgePair]],
    schedule: Schedule,
    *,
    tell: Callable[[int, int, float], None] = lambda *_: None,
) -> None:
    """Fit the layers and the head by the logistic loss.

    Args:
        network: changed in place.
        pairs: epoch -> its pairs; each epoch has about as many.
        schedule: how long and how fast.
        tell: called now and then with the step, the number of steps and the mean loss since the last call.
    """
    network.train()
    bfloat16 = multiplies_bfloat16()
    groups = [{"params": list(network.layers.parameters())}, {"params": list(network.head.parameters())}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    step, steps, losses = 0, 0, list[float]()
    for epoch in range(schedule.epochs):
        batches = _batches(pairs(epoch), random.Random(f"{schedule.seed} {epoch}"))
        steps = steps or len(batches) * schedule.epochs
        for batch in batches:
            step += 1
            share = min(1.0, step / schedule.warm_up) * max(0.02, 1 - step / steps)
            for group, rate in zip(optimizer.param_groups, (schedule.rate, schedule.head_rate), strict=True):
                group["lr"] = rate * share
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                logits = network([(pair.question, pair.fact) for pair in batch]).float()
            wanted = torch.tensor([float(pair.in_scope) for pair in batch])
            loss = nn.functional.binary_cross_entropy_with_logits(logits, wanted)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own gap
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
            if step % TELL_EVERY == 0:
                tell(step, steps, sum(losses) / len(losses))
                losses.clear()
    network.eval()


def multiplies_bfloat16() -> bool:
    """Whether this CPU multiplies in bfloat16: then training takes .4 of the time, elsewhere longer."""
    return bool(torch.cpu._is_avx512_bf16_supported())  # noqa: SLF001 torch has no public name for it


def _batches(pairs: Sequence[JudgePair], rng: random.Random) -> list[list[JudgePair]]:
    """Batches of pairs of similar length, in random order."""
    shuffled = list(pairs)
    rng.shuffle(shuffled)
    batches = []
    for start in range(0, len(shuffled), _SORTED):
        part = sorted(shuffled[start : start + _SORTED], key=lambda pair: len(pair.question) + len(pair.fact))
        batches += [part[i : i + BATCH] for i in range(0, len(part), BATCH)]
    rng.shuffle(batches)
    return batches
