"""Fits a judge: trains it on most relations, calibrates and measures it on the rest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from guardedit.core.errors import MemoryIndexError
from guardedit.memory.encoder import Encoder, packaged_minilm
from guardedit.memory.fitting.calibrate import accept_threshold, fit_logistic
from guardedit.memory.fitting.pairs import JudgePair, make_pairs, most_alike
from guardedit.memory.fitting.relations import WordedRelation
from guardedit.memory.fitting.training import Schedule, train
from guardedit.memory.judge.network import ScopeNetwork
from guardedit.memory.judge.trained import About, TrainedJudge

#: One relation of so many is held out.
HELD_OUT = 6
#: How often a pair of the operator's own is shown in an epoch, so that it counts beside thousands of others.
OWN_TIMES = 4
#: Share of the facts with at least the `accept` probability that are asked for, on held-out pairs.
PRECISION = 0.97
#: Seed of the pairs that a judge is calibrated on. Neither it nor the one below is that of an epoch.
_HELD_OUT_SEED = -1


class KindMeasure(NamedTuple):
    """How often a judge is right about held-out pairs of one kind, with the threshold at one half."""

    kind: str
    in_scope: bool
    pairs: int
    right: int


class FittedJudge(NamedTuple):
    """A judge, and how it did on held-out pairs: it saw no wording of their relations, nor their subjects.

    Attributes:
        judge: the new one.
        measures: of the new one.
        before: the same kinds, of the judge that it was compared with.
    """

    judge: TrainedJudge
    measures: tuple[KindMeasure, ...]
    before: tuple[KindMeasure, ...]


def fit_judge(
    encoder: Encoder,
    relations: Sequence[WordedRelation],
    *,
    layers: int,
    schedule: Schedule,
    own: Sequence[JudgePair] = (),
    own_held_out: Sequence[JudgePair] = (),
    start: TrainedJudge | None = None,
    beside: TrainedJudge | None = None,
    tell: Callable[[int, int, float], None] = lambda *_: None,
) -> FittedJudge:
    """Train, calibrate and measure a judge.

    Args:
        encoder: finds the relations that are alike.
        relations: what pairs are made from.
        layers: of the network; ignored with `start`.
        schedule: of the training.
        own: labelled pairs of an operator, to train on.
        own_held_out: such pairs to calibrate and to measure on.
        start: the judge to begin with; None: the encoder's own layers.
        beside: the judge that it is compared with; None: itself.
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
    like, like_held = most_alike(used, encoder), most_alike(held, encoder)
    torch.manual_seed(schedule.seed)
    network = ScopeNetwork(packaged_minilm(), start.about.layers if start else layers)
    if start:
        network.load_state_dict(start.network.state_dict())
    train(
        network,
        lambda epoch: [*make_pairs(used, like, seed=1000 * schedule.seed + epoch), *(list(own) * OWN_TIMES)],
        schedule,
        tell=tell,
    )
    judge = calibrated(network, [*make_pairs(held, like_held, seed=_HELD_OUT_SEED), *own_held_out], relations)
    pairs = [*make_pairs(held, like_held, seed=_HELD_OUT_SEED - 1), *own_held_out]
    return FittedJudge(judge, measure(judge, pairs), measure(beside or judge, pairs))


def calibrated(
    network: ScopeNetwork, pairs: Sequence[JudgePair], relations: Sequence[WordedRelation]
) -> TrainedJudge:
    """The network as a judge whose probabilities and bands fit these pairs, on which it was not trained."""
    layers = len(network.layers)
    logits = TrainedJudge(network, About(layers=layers)).logits([(one.question, one.fact) for one in pairs])
    right = np.array([pair.in_scope for pair in pairs])
    scale, bias = fit_platt(logits, right)
    about = About(
        layers=layers,
        scale=round(scale, 4),
        bias=round(bias, 4),
        relations_sha256=relations_sha256(relations),
        held_out=tuple(one.relation for one in relations if is_held_out(one.relation)),
    )
    judge = TrainedJudge(network, about)
    probabilities = judge.probabilities([(one.question, one.fact) for one in pairs])
    unsure = balanced_threshold(probabilities, right)
    accept = max(unsure, accept_threshold(probabilities, right, precision=PRECISION))
    return TrainedJudge(network, replace(about, accept=round(accept, 4), unsure=unsure))


def is_held_out(relation: str) -> bool:
    """Whether a relation of this name is for calibration and measuring."""
    return hashlib.sha256(relation.encode()).digest()[0] % HELD_OUT == 0


def fit_platt(logits: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[float, float]:
    """Scale and bias that make sigmoid(scale * logit + bias) a probability (Platt 1999)."""
    weights, bias = fit_logistic(logits[:, None], right, ridge=1e-3)
    return float(weights[0]), bias


def balanced_threshold(probabilities: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """The threshold, in hundredths, at which as few pairs of both kinds as possible are on the wrong side.

    How often people ask beside the facts differs from system to system, so both kinds count the same.
    """
    cuts = np.arange(5, 96) / 100
    lost = (probabilities[right][:, None] < cuts).mean(axis=0)
    given = (probabilities[~right][:, None] >= cuts).mean(axis=0)
    return float(cuts[int(np.argmin(lost + given))])


def measure(judge: TrainedJudge, pairs: Sequence[JudgePair]) -> tuple[KindMeasure, ...]:
    """How often the judge is right, by kind of pair."""
    said = judge.probabilities([(pair.question, pair.fact) for pair in pairs]) > 0.5
    counts: dict[tuple[str, bool], list[int]] = {}
    for pair, yes in zip(pairs, said, strict=True):
        count = counts.setdefault((pair.kind, pair.in_scope), [0, 0])
        count[0] += 1
        count[1] += int(bool(yes) == pair.in_scope)
    return tuple(KindMeasure(*of, *count) for of, count in sorted(counts.items()))


def relations_sha256(relations: Sequence[WordedRelation]) -> str:
    """Digest of the relations' content."""
    body = json.dumps([asdict(relation) for relation in relations], sort_keys=True)
    return hashlib.sha256(body.encode()).hexdigest()
