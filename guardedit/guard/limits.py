"""The limits of the guard and of the drift watch. `assembly` fills them in from the policy.

The defaults are starting points for a small model. Tier 0 limits depend on the model and the editing method:
use the 99.9th percentile over some hundred benign edits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from guardedit.core.errors import GuardError

#: Gates of tier 0, measured on the proposed edits without a forward pass.
INSPECTION_GATES = (
    "finite",
    "relative_size",
    "value_ratio",
    "key_outlier",
    "background_error",
    "capacity_ratio",
)
#: Gates of tier 1, measured on the candidate epoch.
TRIAL_GATES = (
    "perplexity_ratio_to_serving",
    "perplexity_ratio_to_base",
    "worst_sentence_ratio",
    "reliability",
    "paraphrase",
    "other_subject",
    "other_subject_to_base",
    "same_subject",
    "earlier",
    "remembered",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardLimits:
    """Limits of both tiers. A value equal to its limit passes. `inf` and 0 switch a limit off.

    Attributes:
        max_relative_size: Frobenius norm of one edit over that of the base matrix.
        max_value_ratio: norm of a new value over the median norm at its site.
        max_key_outlier: Mahalanobis length of the key over the expected one.
        max_background_error: expected relative output error on ordinary text, of one edit.
        max_capacity_ratio: live keys over the effective free rank of the layer.
        max_ratio_to_serving: perplexity of the candidate over that of the serving epoch.
        max_ratio_to_base: perplexity of the candidate over that of the base model; the total budget.
        max_worst_sentence_ratio: perplexity of the worst single text over that in the serving epoch.
        min_reliability: share of the batch's own prompts that are answered with the target.
        min_paraphrase: share of the batch's other wordings that are answered with the target.
        min_other_subject: share of right answers about other subjects that stay right.
        min_other_subject_to_base: the same compared with the base model, where many small losses add up.
        min_same_subject: share of other right answers about the edited subjects that stay right.
        min_earlier: share of earlier edits that are still answered with their target.
        min_remembered: of the facts in memory that the base model answers rightly, the share that stays so.
        confidence: one-sided confidence level at which a sampled value beyond its limit counts as certain.
        min_texts: with fewer probe texts, perplexity is inconclusive.
        min_tokens: with fewer predicted tokens, perplexity is inconclusive.
        min_other_subject_questions: with fewer questions, the gates on other subjects are inconclusive.
        other_subject_sample: number of questions about other subjects in a trial.
        earlier_sample: number of earlier edits of other subjects in a trial.
        remembered_sample: number of facts in memory in a trial.
        shadow: names of gates that are measured and reported, but decide nothing.

    Raises:
        GuardError: on a limit that is NaN or out of range, or an unknown gate in `shadow`.
    """

    max_relative_size: float = 8.0
    max_value_ratio: float = 16.0
    max_key_outlier: float = 8.0
    max_background_error: float = 0.05
    max_capacity_ratio: float = 0.5

    max_ratio_to_serving: float = 1.02
    max_ratio_to_base: float = 1.03
    max_worst_sentence_ratio: float = 1.5
    min_reliability: float = 1.0
    min_paraphrase: float = 0.8
    min_other_subject: float = 0.97
    min_other_subject_to_base: float = 0.95
    min_same_subject: float = 0.95
    min_earlier: float = 0.95
    min_remembered: float = 0.95

    confidence: float = 0.95
    min_texts: int = 8
    min_tokens: int = 200
    min_other_subject_questions: int = 8
    other_subject_sample: int = 112
    earlier_sample: int = 68
    remembered_sample: int = 68
    shadow: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        _refuse_bad_numbers(self)
        if not 0.5 <= self.confidence < 1.0:
            raise GuardError(f"confidence must be in [0.5, 1), got {self.confidence}")
        # `finite` cannot be a shadow gate: an epoch that is not finite is never served.
        known = (*INSPECTION_GATES[1:], *TRIAL_GATES)
        if unknown := sorted(self.shadow.difference(known)):
            raise GuardError(f"gate {unknown[0]!r} cannot be a shadow gate; known: {', '.join(known)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftLimits:
    """Perplexity budgets over epochs, and the settings of the CUSUM and EWMA detectors.

    Attributes:
        max_ratio_to_base: cumulative perplexity ratio to the base model.
        max_ratio_to_last_good: perplexity ratio to last-good, the epoch that a breach returns to.
        cusum_slack_nats: growth of log perplexity per epoch that counts as noise.
        cusum_threshold_nats: accumulated growth beyond the slack that counts as drift.
        ewma_weight: weight of the newest epoch, in (0, 1].
        ewma_deviation_nats: standard deviation of the growth per epoch without drift.
        ewma_limit_deviations: half width of the control limit, in standard deviations of the average.
    """

    max_ratio_to_base: float = 1.05
    max_ratio_to_last_good: float = 1.04
    cusum_slack_nats: float = 0.002
    cusum_threshold_nats: float = 0.03
    ewma_weight: float = 0.1
    ewma_deviation_nats: float = 0.005
    ewma_limit_deviations: float = 4.0

    def __post_init__(self) -> None:
        _refuse_bad_numbers(self)


def _refuse_bad_numbers(limits: GuardLimits | DriftLimits) -> None:
    # Every comparison with NaN is false, so a NaN limit would let everything pass.
    for item in fields(limits):
        value = getattr(limits, item.name)
        if isinstance(value, (int, float)) and (math.isnan(value) or value < 0):
            raise GuardError(f"{item.name} must be a number of at least 0, got {value!r}")
        if item.name.startswith("min_") and isinstance(value, float) and value > 1.0:
            raise GuardError(f"{item.name} is a share of answers and must be at most 1, got {value!r}")
