"""Builds the guard and the drift watch with the limits of a policy."""

from __future__ import annotations

from guardedit.assembly.model_files import model_folder
from guardedit.guard import (
    CollapseGuard,
    DriftLimits,
    DriftWatch,
    GuardLimits,
    Noise,
    ProbeSet,
    usual_detectors,
)
from guardedit.memory.context import Prompts
from guardedit.policy.schema import Policy
from guardedit.settings import Settings


def load_noise(settings: Settings) -> Noise:
    """The noise of the model in the settings; none where it was not measured. Raises GuardError."""
    return Noise.load(model_folder(settings))


def guard(policy: Policy, probes: ProbeSet, prompts: Prompts, noise: Noise) -> CollapseGuard:
    """The collapse guard with the policy's limits, for a model that is asked with `prompts`."""
    g = policy.guard
    return CollapseGuard(
        probes,
        GuardLimits(
            max_relative_size=g.relative_size_max,
            max_value_ratio=g.value_ratio_max,
            max_key_outlier=g.key_outlier_max,
            max_background_error=g.background_error_max,
            max_capacity_ratio=g.capacity_ratio_max,
            max_ratio_to_serving=g.perplexity_ratio_to_serving,
            max_ratio_to_base=g.perplexity_ratio_to_base,
            max_worst_sentence_ratio=g.worst_sentence_ratio,
            min_reliability=g.reliability_min,
            min_paraphrase=g.paraphrase_min,
            min_other_subject=g.other_subject_min,
            min_other_subject_to_base=g.other_subject_to_base_min,
            min_same_subject=g.same_subject_min,
            min_earlier=g.earlier_min,
            min_remembered=g.remembered_min,
            confidence=g.confidence,
            min_texts=g.min_probe_texts,
            min_tokens=g.min_probe_tokens,
            min_other_subject_questions=g.min_other_subject_questions,
            other_subject_sample=g.other_subject_sample,
            earlier_sample=g.earlier_sample,
            remembered_sample=g.remembered_sample,
            shadow=frozenset(g.shadow),
        ),
        # An answer that can be forced needs no trial: the fact's own question is always answered with it.
        served=None if prompts.forces or prompts.asking_nats is not None else prompts.with_fact,
        asked=prompts.alone,
        noise=noise,
    )


def drift_watch(policy: Policy) -> DriftWatch:
    """The drift watch with the policy's limits."""
    d = policy.drift
    limits = DriftLimits(
        max_ratio_to_base=d.perplexity_ratio_to_base,
        max_ratio_to_last_good=d.perplexity_ratio_to_last_good,
        cusum_slack_nats=d.cusum_slack_nats,
        cusum_threshold_nats=d.cusum_threshold_nats,
        ewma_weight=d.ewma_lambda,
        ewma_deviation_nats=d.ewma_deviation_nats,
        ewma_limit_deviations=d.ewma_width,
    )
    return DriftWatch(limits, usual_detectors(limits))
