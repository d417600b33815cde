"""Calibration: example worlds, the logistic fit, and thresholds compared with counting."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from guardedit.core.errors import MemoryIndexError
from guardedit.memory.fitting.calibrate import EXAMPLES, accept_threshold, best_pairs, fit_logistic
from guardedit.memory.fitting.examples import example_worlds, read_examples
from guardedit.memory.scope import ScopeThresholds


def test_the_shipped_thresholds_come_from_the_shipped_examples():
    assert ScopeThresholds.load().examples_sha256 == hashlib.sha256(EXAMPLES.read_bytes()).hexdigest()


def test_worlds_repeat_for_a_seed_and_label_their_questions():
    examples = read_examples(EXAMPLES)
    once = list(example_worlds(examples, seed=4, questions=20))
    assert once == list(example_worlds(examples, seed=4, questions=20))
    assert once != list(example_worlds(examples, seed=5, questions=20))
    for world in once:
        live = {fact.key for fact in world.facts}
        assert len(live) == len(world.facts)
        assert all(one.answer is None or one.answer in live for one in world.questions)
        assert any(one.answer is None for one in world.questions)


def test_the_logistic_fit_is_where_the_gradient_vanishes():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 3))
    right = rng.random(400) < 1 / (1 + np.exp(-(x @ [2.0, -1.0, 0.0] + 0.5)))
    weights, bias = fit_logistic(x, right, ridge=1.0)
    residual = 1 / (1 + np.exp(-(x @ weights + bias))) - right
    assert np.allclose(x.T @ residual + weights, 0, atol=1e-6)
    assert residual.sum() == pytest.approx(0, abs=1e-6)
    assert weights[0] > 1
    assert weights[1] < 0


def test_the_accept_threshold_is_the_lowest_with_the_precision():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    right = np.array([True, True, False, True, False])
    assert accept_threshold(scores, right, precision=1.0) == 0.8
    assert accept_threshold(scores, right, precision=0.75) == 0.6
    assert accept_threshold(scores, ~right, precision=0.9) == 1.0


def test_each_question_keeps_its_best_scored_pair():
    scores = np.array([0.2, 0.9, 0.5, 0.4])
    assert best_pairs(scores, np.array([7, 7, 3, 3])).tolist() == [2, 1]


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        '{"kind": "p", "relation": "r"}',
        '{"kind": "p", "relation": "r", "wordings": ["one {}"]}',
        '{"kind": "p", "relation": "r", "wordings": ["one {}", "none"]}',
    ],
)
def test_a_wrong_line_of_examples_is_named(tmp_path: Path, line: str):
    path = tmp_path / "e.jsonl"
    path.write_text(f'{{"kind": "p", "subjects": ["a", "b"]}}\n{line}\n')
    with pytest.raises(MemoryIndexError, match=":2:"):
        read_examples(path)


def test_a_kind_without_subjects_is_named(tmp_path: Path):
    path = tmp_path / "e.jsonl"
    path.write_text('{"kind": "p", "relation": "r", "wordings": ["a {}", "b {}"]}\n')
    with pytest.raises(MemoryIndexError, match="no subjects for kind 'p'"):
        read_examples(path)
