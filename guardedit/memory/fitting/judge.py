"""Fits a judge: trains it on most relations, calibrates and measures it on the rest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from guardedit.core.errors import MemoryIndexError
from guardedit.memory.fitting.calibrate import fit_logistic
from guardedit.memory.encoder import packaged_minilm
from guardedit.memory.judge.network import ScopeNetwork
from guardedit.memory.fitting.pairs import Pair, make_pairs
from guardedit.memory.fitting.relations import Relation
from guardedit.memory.fitting.training import Schedule, train
from guardedit.memory.judge.trained import About, TrainedJudge

#: One relation of so many is held out.
HELD_OUT = 6
#: How often a pair of the operator's own is shown in an epoch, so that it counts beside thousands of others.
OWN_TIMES = 4
#: Seed of the pairs that are held out. It is that of no epoch.
_HELD_OUT_SEED = -1


class KindMeasure(NamedTuple):
    """How often a judge is right about held-out pairs of one kind, with the threshold at one half."""

    kind: str
    in_scope: bool
    pairs: int
    right: int


class FittedJudge(NamedTuple):
    """A judge, and how it did on the held-out pairs, which it never saw, nor any wording of their relations."""

    judge: TrainedJudge
    measures: tuple[KindMeasure, ...]


def fit_judge(
    relations: Sequence[Relation],
    *,
    layers: int,
    schedule: Schedule,
    own: Sequence[Pair] = (),
    start: TrainedJudge | None = None,
    bfloat16: bool = False,
    tell: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> FittedJudge:
    """Train, calibrate and measure a judge.

    Args:
        relations: what pairs are made from.
        layers: of the network; ignored with `start`.
        schedule: of the training.
        own: labelled pairs of an operator, all trained on.
        start: the judge to begin with; None: the encoder's own layers.
        bfloat16: see `train`.
        tell: see `train`.

    Raises:
        MemoryIndexError: there are too few relations to hold any out.
    """
    held = [relation for relation in relations if is_held_out(relation.relation)]
    used = [relation for relation in relations if not is_held_out(relation.relation)]
    if len(held) < 2 or len(used) < 2:
        raise MemoryIndexError(
            f"{len(relations)} relations are too few to train and to measure: give 20 or more"
        )
    torch.manual_seed(schedule.seed)
    network = ScopeNetwork(packaged_minilm(), start.about.layers if start else layers)
    if start:
        network.load_state_dict(start.network.state_dict())
    train(
        network,
        lambda epoch: [*make_pairs(used, seed=1000 * schedule.seed + epoch), *(list(own) * OWN_TIMES)],
        schedule,
        bfloat16=bfloat16,
        tell=tell,
    )
    pairs = list(make_pairs(held, seed=_HELD_OUT_SEED))
    judge = TrainedJudge(network, About(layers=len(network.layers)))
    scale, bias = fit_platt(judge.logits([(pair.question, pair.fact) for pair in pairs]), pairs)
    about = About(
        layers=len(network.layers),
        scale=round(scale, 4),
        bias=round(bias, 4),
        relations_sha256=relations_sha256(relations),
        held_out=tuple(relation.relation for relation in held),
    )
    fitted = TrainedJudge(network, about)
    return FittedJudge(fitted, measure(fitted, pairs))


def is_held_out(relation: str) -> bool:
    """Whether a relation of this name is for calibration and measuring."""
    return hashlib.sha256(relation.encode()).digest()[0] % HELD_OUT == 0


def fit_platt(logits: NDArray[np.float64], pairs: Sequence[Pair]) -> tuple[float, float]:
    """Scale and bias that make sigmoid(scale * logit + bias) a probability (Platt 1999)."""
    right = np.array([pair.in_scope for pair in pairs])
    weights, bias = fit_logistic(logits[:, None], right, ridge=1e-3)
    return float(weights[0]), bias


def measure(judge: TrainedJudge, pairs: Sequence[Pair]) -> tuple[KindMeasure, ...]:
    """How often the judge is right, by kind of pair."""
    said = judge.probabilities([(pair.question, pair.fact) for pair in pairs]) > 0.5
    counts: dict[tuple[str, bool], list[int]] = {}
    for pair, yes in zip(pairs, said, strict=True):
        count = counts.setdefault((pair.kind, pair.in_scope), [0, 0])
        count[0] += 1
        count[1] += int(bool(yes) == pair.in_scope)
    return tuple(KindMeasure(*of, *count) for of, count in sorted(counts.items()))


def relations_sha256(relations: Sequence[Relation]) -> str:
    """Digest of the relations' content."""
    body = json.dumps([asdict(relation) for relation in relations], sort_keys=True)
    return hashlib.sha256(body.encode()).hexdigest()
