"""The first look at a part of the texts: what is clear is decided, and nothing else."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from guardedit.core.probe import Measurement, Probes, Question, QuestionKind
from guardedit.core.verdict import Outcome
from guardedit.guard import CollapseGuard, GuardLimits, ProbeSet
from guardedit.guard.judge import judge
from guardedit.guard.looks import EVERY, first_texts

LIMITS = GuardLimits(
    min_texts=8, min_tokens=8, max_ratio_to_serving=1.02, max_ratio_to_base=1.02, max_worst_sentence_ratio=1.5
)
TEXTS = tuple(f"Text {i}." for i in range(160))
TOKENS = 30


def measured(shift=0.0, *, noise=0.0, seed=0, texts=160):
    """Every text is worse by `shift` nats a token, give or take `noise`."""
    rng = random.Random(seed)
    return Measurement(
        weights_sha256="",
        logprobs=tuple((-3.0 - shift - rng.gauss(0, noise),) * TOKENS for _ in range(texts)),
    )


def judged(candidate, *, final, base=None):
    base = base or measured(texts=len(candidate.logprobs))
    probes = Probes(texts=TEXTS[: len(candidate.logprobs)])
    return judge(candidate=candidate, serving=base, base=base, probes=probes, limits=LIMITS, final=final)


def on_texts(verdict):
    return {gate.name: gate.outcome for gate in verdict.gates if gate.name.startswith("perplexity")}


@pytest.mark.parametrize(
    ("shift", "noise", "outcome"),
    [
        (0.002, 0.01, Outcome.ACCEPT),
        (0.018, 0.03, Outcome.INCONCLUSIVE),  # below the limit, but not clearly
        (0.022, 0.03, Outcome.INCONCLUSIVE),  # above it, but not clearly
        (0.100, 0.03, Outcome.REJECT),
    ],
)
def test_only_what_is_clear_is_decided_early(shift, noise, outcome):
    assert set(on_texts(judged(measured(shift, noise=noise, texts=40), final=False)).values()) == {outcome}


def test_a_text_that_is_nearly_too_bad_is_not_passed_early():
    rows = list(measured(texts=40).logprobs)
    rows[5] = tuple(x - 0.3 for x in rows[5])  # x1.35, below the limit of 1.5
    candidate = replace(measured(texts=40), logprobs=tuple(rows))
    outcomes = {
        final: next(
            g for g in judged(candidate, final=final).gates if g.name == "worst_sentence_ratio"
        ).outcome
        for final in (False, True)
    }
    assert outcomes == {False: Outcome.INCONCLUSIVE, True: Outcome.ACCEPT}


@pytest.mark.parametrize("shift", [0.0, 0.01, 0.0198, 0.03])
def test_deciding_early_agrees_with_all_texts_as_often_as_stated(shift):
    """Texts of differing harm: the share of early decisions that all texts would reverse."""
    runs, wrong, early = 200, 0, 0
    for seed in range(runs):
        whole = measured(shift, noise=0.03, seed=seed)
        part = replace(whole, logprobs=whole.logprobs[::EVERY])
        first = on_texts(judged(part, final=False))["perplexity_ratio_to_base"]
        last = on_texts(judged(whole, final=True))["perplexity_ratio_to_base"]
        if first is not Outcome.INCONCLUSIVE:
            early += 1
            wrong += (first is Outcome.ACCEPT) != (last is Outcome.ACCEPT)
    assert wrong <= (1 - LIMITS.confidence) * runs
    assert early > runs / 2 or shift in (0.01, 0.0198)


def test_a_part_that_is_too_small_is_no_first_look():
    assert first_texts(TEXTS[:28], LIMITS) == TEXTS[:28]
    assert first_texts(TEXTS[:29], LIMITS) == TEXTS[:29:EVERY]


def test_the_guard_looks_at_the_same_questions():
    guard = CollapseGuard(ProbeSet(TEXTS), LIMITS)
    probes = Probes(texts=TEXTS, questions=(Question(prompt="a", kind=QuestionKind.RELIABILITY),))
    assert guard.first_look(probes) == replace(probes, texts=TEXTS[::EVERY])
