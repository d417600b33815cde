"""The sections of a policy that limit harm: the guard's gates on a trial, and drift over serving epochs.

Descriptions are as in `policy.sections`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from guardedit.policy.resolution import refusal
from guardedit.policy.strict import Positive, Share, StrictModel, as_tuple

#: The guard's gates that can be put into shadow. `finite` is not among them: NaN is never served.
GateName = Literal[
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
    "relative_size",
    "value_ratio",
    "key_outlier",
    "background_error",
    "capacity_ratio",
]

#: Gates on samples of questions -> the key with the size of the sample.
SAMPLES: Mapping[GateName, str] = MappingProxyType(
    {
        "other_subject": "other_subject_sample",
        "other_subject_to_base": "other_subject_sample",
        "earlier": "earlier_sample",
        "remembered": "remembered_sample",
    }
)

PerplexityRatio = Annotated[float, Field(ge=1.0, le=1_000.0)]


class GuardSection(StrictModel):
    """The limits of a trial. A value equal to its limit passes.

    Shares are shares of questions that are answered rightly: the model says the expected answer, in whatever
    words before and after it. What changes by harmless edits of the model is allowed on top. A sample must
    tell an epoch that loses half of what its limit allows from one that loses twice as much; a policy whose
    sample is too small for that is refused. A ratio of perplexities is 1 when nothing changed.
    """

    perplexity_ratio_to_serving: PerplexityRatio = Field(
        1.01,
        description="Highest perplexity of a trial, as a multiple of that of the serving epoch. Larger: "
        "more harm per batch is accepted.",
    )
    perplexity_ratio_to_base: PerplexityRatio = Field(
        1.03,
        description="Highest perplexity of a trial, as a multiple of that of the unedited model. Larger: "
        "more harm by all edits together is accepted.",
    )
    worst_sentence_ratio: PerplexityRatio = Field(
        1.5,
        description="Highest perplexity of the single worst probe text, as a multiple of that of the "
        "serving epoch. Larger: more harm to a single text is accepted.",
    )
    reliability_min: Share = Field(
        1.0,
        description="Least share of an edited fact's own prompts that must be answered with the target, for "
        "each fact. Larger: stricter.",
    )
    paraphrase_min: Share = Field(
        0.8,
        description="Least share of the batch's other wordings that must be answered with the target. "
        "Larger: stricter.",
    )
    other_subject_min: Share = Field(
        0.98,
        description="Least share of right answers of the serving epoch about other subjects that must stay "
        "right. Larger: stricter.",
    )
    other_subject_to_base_min: Share = Field(
        0.95,
        description="Least share of right answers of the unedited model about other subjects that must stay "
        "right, so that small losses add up. Larger: stricter.",
    )
    same_subject_min: Share = Field(
        0.95,
        description="Least share of the serving epoch's other right answers about the edited subjects that "
        "must stay right. Larger: stricter.",
    )
    earlier_min: Share = Field(
        0.97, description="Least share of sampled earlier edits that must still hold. Larger: stricter."
    )
    remembered_min: Share = Field(
        0.97,
        description="Least share of sampled facts in memory that must be answered rightly, of those that "
        "the unedited model answers rightly. Not asked where the model's memory card lets answers be forced. "
        "Larger: stricter.",
    )
    relative_size_max: Positive = Field(
        8.0,
        description="Largest Frobenius norm of one edit's change, as a multiple of that of the base matrix. "
        "Larger: larger changes are accepted.",
    )
    value_ratio_max: Positive = Field(
        16.0,
        description="Largest norm of a new value, as a multiple of the median norm of values at that site. "
        "Larger: more unusual values are accepted.",
    )
    key_outlier_max: Positive = Field(
        8.0,
        description="Largest Mahalanobis length of a key under the background's second moments, as a "
        "multiple of the expected length; 1 is ordinary. Larger: more unusual keys are "
        "accepted.",
    )
    background_error_max: Positive = Field(
        0.05,
        description="Largest expected squared output error of one edit on background text, as a share of "
        "the squared output. Larger: more side effects are accepted.",
    )
    capacity_ratio_max: Share = Field(
        0.3,
        description="Largest number of live keys, as a share of the edited layer's effective free rank; "
        "above it nothing is promoted. Larger: more edits in a layer.",
    )
    confidence: float = Field(
        0.95,
        ge=0.5,
        lt=1.0,
        description="One-sided confidence level of the paired and binomial tests. A value beyond its limit "
        "is rejected if that is certain at this level, else inconclusive; neither is served. "
        "Larger: more values are inconclusive.",
    )
    min_probe_texts: int = Field(
        8,
        ge=1,
        description="Number of probe texts below which perplexity is inconclusive. Larger: needs more texts.",
    )
    min_probe_tokens: int = Field(
        200,
        ge=1,
        description="Number of predicted tokens below which perplexity is inconclusive. Larger: needs more "
        "text.",
    )
    min_other_subject_questions: int = Field(
        8,
        ge=0,
        description="Number of questions about other subjects below which those gates are inconclusive. "
        "Larger: needs more questions.",
    )
    other_subject_sample: int = Field(
        168,
        ge=0,
        description="Questions about other subjects in one trial. Larger: slower and more certain.",
    )
    earlier_sample: int = Field(
        112,
        ge=0,
        description="Most earlier edits that are asked again in one trial. Larger: slower and more certain.",
    )
    remembered_sample: int = Field(
        112,
        ge=0,
        description="Most facts in memory that are asked in one trial. Larger: slower and more certain.",
    )
    shadow: Annotated[tuple[GateName, ...], BeforeValidator(as_tuple)] = Field(
        (), description="Names of gates that are measured and reported but do not decide."
    )

    @model_validator(mode="after")
    def _sample_is_large_enough(self) -> Self:
        sample, needed = self.other_subject_sample, self.min_other_subject_questions
        if sample < needed:
            raise PydanticCustomError(
                "sample_too_small",
                "other_subject_sample {sample} is below min_other_subject_questions {needed}: every "
                "trial would be inconclusive; raise the one or lower the other",
                {"sample": sample, "needed": needed},
            )
        return self

    @model_validator(mode="after")
    def _samples_resolve_their_limits(self) -> Self:
        for gate, size in SAMPLES.items():
            sample = getattr(self, size)
            why = refusal(sample, getattr(self, f"{gate}_min"))
            # Without a sample nothing is asked, and a shadow gate decides nothing.
            if why is not None and sample and gate not in self.shadow:
                raise PydanticCustomError(
                    "unresolvable",
                    "{gate}_min with {size}: {why}",
                    {"gate": gate, "size": size, "why": why},
                )
        return self


class DriftSection(StrictModel):
    """The limits of drift over serving epochs. A breach rolls back to the last good epoch."""

    perplexity_ratio_to_base: PerplexityRatio = Field(
        1.05,
        description="Highest perplexity of the serving epoch, as a multiple of that of the unedited model. "
        "Larger: later rollback.",
    )
    perplexity_ratio_to_last_good: PerplexityRatio = Field(
        1.04,
        description="Highest perplexity of the serving epoch, as a multiple of that of the last good one. "
        "Larger: later rollback.",
    )
    cusum_slack_nats: float = Field(
        0.002,
        ge=0.0,
        description="CUSUM: growth of log perplexity per epoch that counts as noise, in nats. Larger: fewer "
        "false alarms, later detection.",
    )
    cusum_threshold_nats: Positive = Field(
        0.03,
        description="CUSUM: accumulated growth beyond the slack that raises the alarm, in nats. Larger: "
        "fewer false alarms, later detection.",
    )
    ewma_lambda: float = Field(
        0.1,
        gt=0.0,
        le=1.0,
        description="EWMA: weight of the newest epoch in the moving average. Larger: reacts faster and "
        "detects only larger growth; 1 keeps no history.",
    )
    ewma_deviation_nats: Positive = Field(
        0.005,
        description="EWMA: standard deviation of the growth per epoch without drift, in nats. Larger: fewer "
        "false alarms, later detection.",
    )
    ewma_width: Positive = Field(
        4.0,
        description="EWMA: distance at which the alarm is raised, in standard deviations of the moving "
        "average; 2.5 to 4 are usual. Larger: fewer false alarms, later detection.",
    )
