"""Fit the scope test to an encoder: weights and two thresholds from labelled synthetic questions.

Run it as `python -m guardedit.memory.fitting.calibrate`. It writes the thresholds as JSON; `defaults.json` is
its result for the default encoder. The thresholds are chosen on relations that the weights were not fitted
on.
"""

from __future__ import annotations

import argparse
import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from guardedit.core.epoch import Change
from guardedit.core.fact import FactKey
from guardedit.memory.candidates import Candidate
from guardedit.memory.encoder import Encoder, SentenceEncoder
from guardedit.memory.fitting.examples import Examples, example_worlds, read_examples
from guardedit.memory.scope.features import N_FEATURES
from guardedit.memory.scope.thresholds import DEFAULTS, ScopeThresholds
from guardedit.memory.store import RetrievalMemory

EXAMPLES = Path(__file__).with_name("examples.jsonl")
FOLDS = 5

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPairs:
    """Pairs of a question and a fact whose subject it names, and cosines of questions that name no subject.

    Attributes:
        x: (n, N_FEATURES) features.
        right: (n,) bool, whether the question is about the fact.
        question: (n,) int, number of the pair's question; each question has at most one right and one wrong
            pair.
        relation: (n,) str, the relation that the question asks for.
        unnamed: (m,) best cosines of the questions that name no live subject and are about no fact.
    """

    x: Floats
    right: NDArray[np.bool_]
    question: NDArray[np.int64]
    relation: NDArray[np.str_]
    unnamed: Floats


def calibrate(
    encoder: Encoder,
    examples: Examples,
    *,
    examples_sha256: str,
    seed: int = 0,
    questions: int = 150,
    precision: float = 0.99,
    recall: float = 0.98,
) -> ScopeThresholds:
    """Thresholds: `accept` reaches `precision` and `reject` keeps `recall`, both on unseen relations.

    Both are measured on the example worlds, where about as many questions ask for another relation of a live
    subject as ask for a live fact.
    """
    blank = ScopeThresholds(
        weights=(0.0,) * N_FEATURES, bias=0.0, accept=1.0, reject=0.0, alias_cosine=1.0,
        encoder_sha256=encoder.sha256, examples_sha256=examples_sha256,
    )  # fmt: skip
    pairs = labelled_pairs(encoder, examples, blank, seed=seed, questions=questions)
    weights, bias = fit_logistic(pairs.x, pairs.right)
    scores = unseen_scores(pairs, seed=seed)
    best = best_pairs(scores, pairs.question)
    accept = accept_threshold(scores[best], pairs.right[best], precision=precision)
    reject = min(accept, float(np.quantile(scores[pairs.right], 1 - recall)))
    return replace(
        blank,
        weights=tuple(round(float(w), 4) for w in weights),
        bias=round(bias, 4),
        accept=round(accept, 4),
        reject=round(reject, 4),
        alias_cosine=round(float(pairs.unnamed.max()), 4),
    )


def labelled_pairs(
    encoder: Encoder, examples: Examples, blank: ScopeThresholds, *, seed: int, questions: int
) -> LabelledPairs:
    """Retrieve candidates for every question of every example world, and label them."""
    x, right, question, relation, unnamed = [], [], [], [], []
    count = 0
    for world in example_worlds(examples, seed=seed, questions=questions):
        memory = RetrievalMemory(encoder, blank)
        memory.apply([Change(fact.key, fact) for fact in world.facts])
        found = memory.candidates([labelled.question for labelled in world.questions])
        for number, (labelled, row) in enumerate(zip(world.questions, found, strict=True), start=count):
            if row and not row[0].features.named:
                unnamed.append(row[0].features.full)
                continue
            for candidate in hardest_pairs(row, labelled.answer):
                x.append(candidate.features.vector())
                right.append(candidate.entry.fact.key == labelled.answer)
                question.append(number)
                relation.append(labelled.relation)
        count += len(world.questions)
    return LabelledPairs(
        x=np.stack(x),
        right=np.array(right),
        question=np.array(question),
        relation=np.array(relation),
        unnamed=np.array(unnamed),
    )


def hardest_pairs(row: Sequence[Candidate], answer: FactKey | None) -> list[Candidate]:
    """The right candidate, if there is one, and the wrong one that is most similar to the question.

    There are so many easy wrong candidates that, with them, every threshold would look precise.
    """
    usable = [candidate for candidate in row if not candidate.features.doubtful]
    wrong = [candidate for candidate in usable if candidate.entry.fact.key != answer]
    right = [candidate for candidate in usable if candidate.entry.fact.key == answer]
    return right + sorted(wrong, key=lambda c: (-c.features.relation, c.entry.fact.id))[:1]


def fit_logistic(x: Floats, right: NDArray[np.bool_], *, ridge: float = 1.0) -> tuple[Floats, float]:
    """Weights (d,) and bias of a ridge logistic regression on x (n, d), by Newton's method. Deterministic."""
    a = np.column_stack([x, np.ones(len(x))])  # (n, d+1)
    penalty = ridge * np.eye(a.shape[1])
    penalty[-1, -1] = 0.0
    w = np.zeros(a.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(a @ w, -30, 30)))
        gradient = a.T @ (p - right) + penalty @ w
        hessian = (a * (p * (1 - p))[:, None]).T @ a + penalty
        step = np.linalg.solve(hessian, gradient)
        w -= step
        if np.abs(step).max() < 1e-8:
            break
    return w[:-1], float(w[-1])


def unseen_scores(pairs: LabelledPairs, *, seed: int) -> Floats:
    """(n,) cross-validated scores: each pair is scored by weights fitted without its relation."""
    names = sorted(set(pairs.relation.tolist()))
    random.Random(seed).shuffle(names)
    scores = np.empty(len(pairs.right))
    for fold in range(FOLDS):
        out = np.isin(pairs.relation, names[fold::FOLDS])
        weights, bias = fit_logistic(pairs.x[~out], pairs.right[~out])
        scores[out] = 1 / (1 + np.exp(-(pairs.x[out] @ weights + bias)))
    return scores


def best_pairs(scores: Floats, question: NDArray[np.int64]) -> NDArray[np.int64]:
    """(questions,) index of each question's pair with the highest score, which a recall would return."""
    order = np.lexsort((-scores, question))
    _, first = np.unique(question[order], return_index=True)
    return order[first]


def accept_threshold(scores: Floats, right: NDArray[np.bool_], *, precision: float) -> float:
    """The lowest of (n,) scores at or above which at least `precision` of the pairs are right; else 1."""
    order = np.argsort(-scores, kind="stable")
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(share >= precision)
    return float(scores[order[enough[-1]]]) if len(enough) else 1.0


def main(argv: Sequence[str] | None = None) -> None:
    """Calibrate and write the thresholds."""
    parser = argparse.ArgumentParser(
        prog="python -m guardedit.memory.fitting.calibrate", description=main.__doc__
    )
    parser.add_argument(
        "--examples", type=Path, default=EXAMPLES, help="JSON Lines, as in memory/fitting/examples.py"
    )
    parser.add_argument("--encoder", help="name or path; default: all-MiniLM-L6-v2 from its package")
    parser.add_argument("--out", type=Path, default=DEFAULTS)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    digest = hashlib.sha256(args.examples.read_bytes()).hexdigest()
    thresholds = calibrate(
        SentenceEncoder.load(args.encoder),
        read_examples(args.examples),
        examples_sha256=digest,
        seed=args.seed,
    )
    thresholds.save(args.out)


if __name__ == "__main__":
    main()
