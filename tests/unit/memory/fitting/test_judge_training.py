"""A small network learns what it is shown, and a judge that is fitted to it is calibrated and measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from guardedit.core.errors import MemoryIndexError
from guardedit.memory.encoder import packaged_minilm
from guardedit.memory.fitting.judge import balanced_threshold, fit_judge, fit_platt, is_held_out
from guardedit.memory.fitting.pairs import make_pairs, most_alike
from guardedit.memory.fitting.relations import load_relations
from guardedit.memory.fitting.training import Schedule, train
from guardedit.memory.judge.network import ScopeNetwork


def test_a_network_learns_the_pairs_that_it_is_shown(encoder):
    torch.manual_seed(0)
    network = ScopeNetwork(packaged_minilm(), layers=1)
    relations = load_relations()[:2]
    pairs = list(make_pairs(relations, most_alike(relations, encoder), seed=0))[:64]
    embeddings = network.embeddings.word_embeddings.weight.clone()
    told = list[float]()
    train(
        network,
        lambda _: pairs,
        Schedule(epochs=40, rate=1e-3, warm_up=5),
        tell=lambda step, steps, loss: told.append(loss),
    )
    said = network.logits([(pair.question, pair.fact) for pair in pairs]) > 0
    assert (said == torch.tensor([pair.in_scope for pair in pairs])).float().mean() > 0.9
    assert told
    assert torch.equal(network.embeddings.word_embeddings.weight, embeddings)


def test_a_fitted_judge_is_measured_on_relations_that_it_did_not_see(encoder):
    relations = load_relations()
    held = [one for one in relations if is_held_out(one.relation)][:2]
    used = [one for one in relations if not is_held_out(one.relation)][:2]
    fitted = fit_judge(encoder, [*used, *held], layers=1, schedule=Schedule(epochs=1))
    about = fitted.judge.about
    assert about.held_out == tuple(one.relation for one in held)
    assert 0 < about.unsure <= about.accept <= 1
    assert sum(one.pairs for one in fitted.measures) == sum(one.pairs for one in fitted.before)
    assert all(one.right <= one.pairs for one in fitted.measures)


def test_too_few_relations_to_hold_any_out_are_refused(encoder):
    used = [one for one in load_relations() if not is_held_out(one.relation)][:3]
    with pytest.raises(MemoryIndexError, match="3 relations are too few"):
        fit_judge(encoder, used, layers=1, schedule=Schedule())


def test_the_balanced_threshold_counts_both_kinds_the_same():
    probabilities = np.array([0.1, 0.2, 0.3, 0.6] + [0.55, 0.7] + [0.9] * 20)
    right = np.array([False] * 4 + [True] * 22)
    # Of the two that are on the wrong side of .61 or .55, the wrong one is one of 4, the right one of 22.
    assert balanced_threshold(probabilities, right) == 0.61


def test_platt_scaling_finds_the_scale_of_overconfident_logits():
    rng = np.random.default_rng(0)
    true = rng.normal(0, 2, 20_000)
    right = rng.random(20_000) < 1 / (1 + np.exp(-true))
    scale, bias = fit_platt(3 * true + 1, right)
    assert scale == pytest.approx(1 / 3, rel=0.05)
    assert bias == pytest.approx(-1 / 3, abs=0.05)
