"""Tier 1: judge a candidate epoch against the serving epoch and the base model. Pure functions.

The rule for perplexity. The same weights always give the same numbers, so the only uncertainty is whether the
probe texts represent all text. The point estimate decides whether an epoch may be served. At or below the
limit it passes, even if the upper confidence bound is above the limit. Otherwise every harmless edit that
lands near the limit would be kept in memory; and harm that adds up is caught by the budget against the base
model and by the drift watch. Above the limit it never passes. It is rejected when the harm is certain (lower
bound above the limit); else the gate is inconclusive, and the edits are tried again beside other edits or
with more texts.
"""

from __future__ import annotations

import math
from dataclasses import replace

from guardedit.core.errors import GuardError
from guardedit.core.probe import Measurement, Probes
from guardedit.core.verdict import Gate, Outcome, Verdict
from guardedit.guard import looks
from guardedit.guard.answer_counts import count_answers
from guardedit.guard.answers import answer_gates, answer_numbers
from guardedit.guard.gates import at_most, undecided, unmeasured, verdict_of
from guardedit.guard.limits import GuardLimits
from guardedit.guard.noise import Noise
from guardedit.guard.perplexity import PairedRatio, mean_sentence_perplexity, paired_ratio, perplexity


def judge(
    *,
    candidate: Measurement,
    serving: Measurement,
    base: Measurement,
    probes: Probes,
    limits: GuardLimits,
    noise: Noise | None = None,
    final: bool = True,
) -> Verdict:
    """The verdict on a candidate, from three measurements on the same probes.

    Gates: `perplexity_ratio_to_serving`, `perplexity_ratio_to_base`, `worst_sentence_ratio` (against the
    serving epoch), and those of `answers.answer_gates`. A value that could not be measured (a NaN, an
    infinite log-probability, a missing answer, texts that do not pair) is an error and never passes. `noise`
    is that of the model; None: none was measured. `final`: there are no more texts to read; otherwise what is
    not clear is inconclusive, see `looks`.
    """
    counts = count_answers(candidate, serving, base, probes)
    gates = [
        *_serving_gates(candidate, serving, probes, limits, final=final),
        _base_gate(candidate, base, probes, limits, final=final),
        *answer_gates(counts, candidate, probes, limits, noise or Noise()),
    ]
    verdict = verdict_of(gates, limits, probe_sha256=probes.sha256)
    numbers = _numbers(candidate, serving, base) | answer_numbers(counts)
    return replace(verdict, measured=verdict.measured | numbers)


def _serving_gates(
    candidate: Measurement, serving: Measurement, probes: Probes, limits: GuardLimits, *, final: bool
) -> list[Gate]:
    limit, worst_limit = limits.max_ratio_to_serving, limits.max_worst_sentence_ratio
    try:
        pair = _pair(candidate, serving, probes)
    except GuardError as error:
        return [
            unmeasured("perplexity_ratio_to_serving", limit, maximum=True, detail=str(error)),
            unmeasured("worst_sentence_ratio", worst_limit, maximum=True, detail=str(error)),
        ]
    worst = at_most(
        "worst_sentence_ratio",
        pair.worst_text_ratio,
        worst_limit if final else looks.clear_worst(worst_limit),
        certain=pair.worst_text_ratio > worst_limit,
        detail=f"the perplexity of one text is {pair.worst_text_ratio:.4g} times that of the serving epoch",
    )
    gate = _ratio_gate("perplexity_ratio_to_serving", pair, limit, "the serving epoch", limits)
    return [gate if final else _early(gate, pair, limits), worst]


def _base_gate(
    candidate: Measurement, base: Measurement, probes: Probes, limits: GuardLimits, *, final: bool
) -> Gate:
    name, limit = "perplexity_ratio_to_base", limits.max_ratio_to_base
    try:
        pair = _pair(candidate, base, probes)
    except GuardError as error:
        return unmeasured(name, limit, maximum=True, detail=str(error))
    gate = _ratio_gate(name, pair, limit, "the base model", limits)
    return gate if final else _early(gate, pair, limits)


def _ratio_gate(name: str, pair: PairedRatio, limit: float, against: str, limits: GuardLimits) -> Gate:
    lower, upper = pair.bounds(limits.confidence)
    gate = at_most(
        name,
        pair.ratio,
        limit,
        certain=lower > limit,
        detail=f"perplexity is {pair.ratio:.4f} times that of {against}, between {lower:.4f} and {upper:.4f} "
        f"over {pair.tokens} tokens of {pair.texts} texts",
    )
    if pair.texts < limits.min_texts or pair.tokens < limits.min_tokens:
        why = (
            f"{pair.tokens} predicted tokens in {pair.texts} texts, at least {limits.min_tokens} in "
            f"{limits.min_texts} are needed: add texts to the probe set"
        )
        return undecided(gate, detail=why)
    return gate


def _early(gate: Gate, pair: PairedRatio, limits: GuardLimits) -> Gate:
    """The gate on a ratio after the first look: it decides only what is clear."""
    lower, upper = looks.clear_bounds(pair, limits)
    if gate.outcome is Outcome.ERROR or upper <= gate.limit or lower > gate.limit:
        return gate
    return undecided(
        gate, detail=f"between {lower:.4f} and {upper:.4f} on {pair.texts} texts: read the others"
    )


def _pair(candidate: Measurement, reference: Measurement, probes: Probes) -> PairedRatio:
    for role, measurement in (("candidate", candidate), ("reference", reference)):
        if len(measurement.logprobs) != len(probes.texts):
            raise GuardError(
                f"the {role} was measured on {len(measurement.logprobs)} texts, but the probes have "
                f"{len(probes.texts)}: measure it on these probes"
            )
        for index, text in enumerate(measurement.logprobs):
            if not all(map(math.isfinite, text)):
                raise GuardError(f"the {role} has a log-probability that is not finite, in text {index}")
    return paired_ratio(candidate.logprobs, reference.logprobs)


def _numbers(candidate: Measurement, serving: Measurement, base: Measurement) -> dict[str, float]:
    """Numbers recorded beside the gates, for charts and the drift watch; NaN where undefined."""
    ours, theirs = mean_sentence_perplexity(candidate.logprobs), mean_sentence_perplexity(serving.logprobs)
    return {
        "perplexity": perplexity(candidate.logprobs),
        "perplexity_serving": perplexity(serving.logprobs),
        "perplexity_base": perplexity(base.logprobs),
        "sentence_perplexity_ratio": ours / theirs if theirs else math.nan,
        "seconds": candidate.seconds,
    }
