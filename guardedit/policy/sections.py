"""The sections of a policy beside its rules: editing, guard, drift, memory, subjects and quota.

Each key says what it means and in which unit. What obeys a setting lives elsewhere.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

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
GATES: tuple[str, ...] = get_args(GateName)


def as_tuple(value: object) -> object:
    """YAML's lists as tuples, for strict and immutable models."""
    return tuple(value) if isinstance(value, list) else value


PerplexityRatio = Annotated[float, Field(ge=1.0, le=1_000.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
#: A method, with options behind it: `memit-seq+rect`.
MethodName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_+-]{0,47}$")]


#: A subject in any spelling.
ReservedWord = Annotated[str, Field(min_length=1, max_length=200)]


class Strict(BaseModel):
    """Frozen, no coercion, no unknown keys, no NaN."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Editing(Strict):
    """How facts are written into the weights. A method ignores what it has no use for."""

    method: MethodName = Field("joint", description="Editing method of rules that name none.")
    batch: int = Field(24, ge=1, le=10_000, description="Most subjects tried together in one epoch.")
    max_batch_wait_s: float = Field(
        0.0,
        ge=0.0,
        description="Seconds a batch may wait to fill, its facts live in memory meanwhile; 0: never.",
    )
    layer: int | None = Field(
        None, ge=0, description="Layer to edit, counted from 0; null takes it from the model card."
    )
    steps: int | None = Field(
        None,
        ge=1,
        le=1_000,
        description="Most gradient steps for one fact's target value; null: the method's.",
    )
    learning_rate_ratio: Positive | None = Field(
        None,
        description="Step of the value optimisation, in norms of the original value; null: the method's.",
    )
    clamp_ratio: Positive | None = Field(
        None, description="Longest change of a value, in norms of the original value; null: the method's."
    )
    ridge: float | None = Field(
        None, ge=0.0, description="Added to the diagonal of the weighted background; null: the method's."
    )
    background_weight: Positive | None = Field(
        None,
        description="Lambda: background tokens that one edit is weighed against; null: the method's.",
    )
    contexts: int | None = Field(
        None,
        ge=0,
        le=64,
        description="Left contexts to average over; 0: bare prompt; null: the method's.",
    )
    preservation_weight: float | None = Field(
        None,
        ge=0.0,
        description="Weight of keeping the subject's other answers; null: the method's.",
    )
    expected_edits: int | None = Field(
        None,
        ge=0,
        description="Edits that shall find room in all; each pays as if they were there; null: the method's.",
    )


class Guard(Strict):
    """The limits of a trial; a value equal to its limit passes.

    Shares are of questions asked by free generation. A ratio of perplexities is 1 when nothing changed.
    """

    perplexity_ratio_to_serving: PerplexityRatio = Field(
        1.01, description="Highest perplexity of a trial over that of the serving epoch."
    )
    perplexity_ratio_to_base: PerplexityRatio = Field(
        1.03, description="Highest perplexity of a trial over that of the unedited model."
    )
    worst_sentence_ratio: PerplexityRatio = Field(
        1.5, description="The same for the single worst probe text, over the serving epoch."
    )
    reliability_min: Share = Field(
        1.0,
        description="Share of an edited fact's own questions that must be answered, judged fact by fact.",
    )
    paraphrase_min: Share = Field(0.8, description="Share of other wordings of the batch answered.")
    other_subject_min: Share = Field(
        0.98, description="Share of other subjects' answers unchanged against the serving epoch."
    )
    other_subject_to_base_min: Share = Field(
        0.95, description="The same against the unedited model, so that many small losses add up."
    )
    same_subject_min: Share = Field(
        0.95, description="Share of edited subjects' other answers that are unchanged."
    )
    earlier_min: Share = Field(0.97, description="Share of sampled earlier edits that still hold.")
    remembered_min: Share = Field(
        0.97, description="Share of sampled facts in the memory answered as well as by the unedited model."
    )
    relative_size_max: Positive = Field(
        8.0, description="Frobenius norm of one edit's change over that of the base matrix."
    )
    value_ratio_max: Positive = Field(
        16.0, description="Norm of a new value over the median norm of values at that place."
    )
    key_outlier_max: Positive = Field(
        8.0, description="Length of a key under the background's second moments; 1 is ordinary."
    )
    background_error_max: Positive = Field(
        0.05, description="Expected squared output error of one edit on background text, over the output."
    )
    capacity_ratio_max: Share = Field(
        0.3, description="Live keys over the edited layer's effective free rank; beyond it none is promoted."
    )
    confidence: float = Field(
        0.95,
        ge=0.5,
        lt=1.0,
        description="One-sided level of the paired and binomial tests. Beyond its limit a value that is not "
        "certain at this level is inconclusive instead of rejected; neither is served.",
    )
    min_probe_texts: int = Field(8, ge=1, description="Fewer probe texts make a perplexity inconclusive.")
    min_probe_tokens: int = Field(
        200, ge=1, description="Fewer predicted tokens than this make a perplexity inconclusive."
    )
    min_other_subject_questions: int = Field(
        8, ge=0, description="Fewer questions about other subjects make locality inconclusive."
    )
    other_subject_sample: int = Field(48, ge=0, description="Questions about other subjects in one trial.")
    earlier_sample: int = Field(32, ge=0, description="Earlier edits asked again in one trial.")
    remembered_sample: int = Field(48, ge=0, description="Facts in the memory asked in one trial.")
    shadow: Annotated[tuple[GateName, ...], BeforeValidator(as_tuple)] = Field(
        (), description="Gates that are measured and reported but do not decide."
    )

    @model_validator(mode="after")
    def _sample_is_large_enough(self) -> Self:
        asked, needed = self.other_subject_sample, self.min_other_subject_questions
        if asked < needed:
            raise PydanticCustomError(
                "sample_too_small",
                "other_subject_sample {asked} is below min_other_subject_questions {needed}: every "
                "trial would be inconclusive; raise the one or lower the other",
                {"asked": asked, "needed": needed},
            )
        return self


class Drift(Strict):
    """The watch over serving epochs. A breach rolls back to the last good epoch."""

    perplexity_ratio_to_base: PerplexityRatio = Field(
        1.05, description="Budget: highest perplexity of the serving epoch over that of the unedited model."
    )
    perplexity_ratio_to_last_good: PerplexityRatio = Field(
        1.04, description="Budget: highest perplexity of the serving epoch over that of the last good one."
    )
    cusum_slack_nats: float = Field(
        0.002, ge=0.0, description="Growth of log perplexity per epoch that is taken for noise, in nats."
    )
    cusum_threshold_nats: Positive = Field(
        0.03, description="Summed growth beyond the slack at which CUSUM alarms, in nats."
    )
    ewma_lambda: float = Field(
        0.1, gt=0.0, le=1.0, description="Weight of the newest epoch in the moving average; 1 has no memory."
    )
    ewma_deviation_nats: Positive = Field(
        0.005, description="Standard deviation of the growth per epoch while all is well, in nats."
    )
    ewma_width: Positive = Field(
        4.0, description="Deviations of the moving average at which EWMA alarms; 2.5 to 4 are usual."
    )


class Memory(Strict):
    """The retrieval memory's scope test, by its score in [0, 1]: accept, unsure or out."""

    accept_threshold: Share | None = Field(
        None, description="Score from which a fact is in scope; null takes the calibrated one."
    )
    unsure_threshold: Share | None = Field(
        None, description="Score below which a question is out of scope; null takes the calibrated one."
    )
    unsure: Literal["answer_from_base", "use_fact"] = Field(
        "answer_from_base", description="What to do between the two: leave the fact out, or use it."
    )

    @model_validator(mode="after")
    def _thresholds_are_in_order(self) -> Self:
        low, high = self.unsure_threshold, self.accept_threshold
        if low is not None and high is not None and low > high:
            raise PydanticCustomError(
                "threshold_order",
                "unsure_threshold {low} is above accept_threshold {high}: swap them",
                {"low": low, "high": high},
            )
        return self


class Serving(Strict):
    """How what answers is looked after."""

    check_every_s: Positive = Field(
        60.0,
        description="Seconds between two comparisons of the served tensors with what they should be; one "
        "that was changed in memory is reported and mended.",
    )


class Subjects(Strict):
    """What may be the subject of a fact. Names are compared whatever their case, width and typography."""

    reserved: Literal["reject", "hold", "allow"] = Field(
        "reject",
        description="Route of a fact about a function word, a single letter or digit, or signs without any. "
        "Retractions are never stopped by it.",
    )
    words: Annotated[tuple[ReservedWord, ...], Field(max_length=10_000), BeforeValidator(as_tuple)] = Field(
        (), description="Further subjects that are reserved."
    )


class Quota(Strict):
    """How much may change in how short a time, and by one correction. Retractions are never held by it."""

    subject_edits_per_day: int | None = Field(
        20,
        ge=1,
        description="Accepted corrections in 24 hours that reached one name, as their subject or in a "
        "wording; further ones are held. null: no quota.",
    )
    names_per_correction: int | None = Field(
        4,
        ge=0,
        description="Names beside its subject that the wordings of one correction may mention; with more it "
        "is held. null: no limit.",
    )
