"""The sections of a policy except rules and limits: editing, memory, serving, proxy, subjects and quota.

Each description says what the key does, its unit, and what a larger value means. The reference page of the
policy is generated from them.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from guardedit.naming import Relations, identity
from guardedit.policy.strict import Positive, Share, StrictModel, as_tuple

#: An editing method, maybe with filters: `memit-seq+rect`.
MethodName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_+-]{0,47}$")]
#: A relation in any spelling, or a prompt in its place.
RelationName = Annotated[str, Field(min_length=1, max_length=500)]
InversePair = Annotated[tuple[RelationName, RelationName], BeforeValidator(as_tuple)]
#: A subject in any spelling.
ReservedWord = Annotated[str, Field(min_length=1, max_length=200)]


class EditingSection(StrictModel):
    """How facts are written into the weights.

    `null` means the editing method's own value. A method ignores the settings that it does not use.
    """

    method: MethodName = Field("joint", description="Editing method of rules that name none.")
    batch: int = Field(
        24,
        ge=1,
        le=10_000,
        description="Most subjects in one trial. Larger: fewer trials, but more of them to find the harmful "
        "edit when one is rejected.",
    )
    max_batch_wait_s: float = Field(
        0.0,
        ge=0.0,
        description="Longest wait for a batch to fill, in seconds; its facts are answered from memory "
        "meanwhile. Larger: fuller batches and later promotion. 0: no wait.",
    )
    layer: int | None = Field(
        None, ge=0, description="Layer to edit, counted from 0. null: the layer in the model's edit card."
    )
    steps: int | None = Field(
        None,
        ge=1,
        le=1_000,
        description="Most gradient steps of the value optimisation. Larger: slower, and more facts reach "
        "their target. null: the method's value.",
    )
    learning_rate_ratio: Positive | None = Field(
        None,
        description="Length of the first step of the value optimisation, as a multiple of the norm of the "
        "original value. Larger: fewer steps are needed, but they are less stable. null: the "
        "method's value.",
    )
    clamp_ratio: Positive | None = Field(
        None,
        description="Longest change of a value, as a multiple of the norm of the original value. Larger: "
        "stronger edits with more side effects. null: the method's value.",
    )
    ridge: float | None = Field(
        None,
        ge=0.0,
        description="Added to the diagonal of the weighted second moments of the background. Larger: "
        "smaller and weaker changes of the weights. null: the method's value.",
    )
    background_weight: Positive | None = Field(
        None,
        description="Lambda: how many background tokens one edit is weighed against. Larger: other text "
        "changes less, and edits are weaker. null: the method's value.",
    )
    contexts: int | None = Field(
        None,
        ge=0,
        le=64,
        description="Number of prefixes to average over, in addition to the bare prompt. Larger: slower, "
        "and edits hold in more contexts. 0: only the bare prompt. null: the method's value.",
    )
    preservation_weight: float | None = Field(
        None,
        ge=0.0,
        description="Weight of keeping the subject's other answers, against reaching the target. Larger: "
        "they change less, and fewer facts reach their target. null: the method's value.",
    )
    expected_edits: int | None = Field(
        None,
        ge=0,
        description="Total number of edits that shall find room in a layer; each is made as if so many were "
        "there. Larger: weaker early edits, more room for later ones. null: the method's value.",
    )


class MemorySection(StrictModel):
    """The memory's scope test: by its score in [0, 1] a fact is in scope, unsure or out of scope."""

    accept_threshold: Share | None = Field(
        None,
        description="Score from which a fact is in scope. Larger: fewer questions are answered from memory, "
        "and fewer wrongly. null: the calibrated threshold.",
    )
    unsure_threshold: Share | None = Field(
        None,
        description="Score below which a question is out of scope. Larger: fewer questions are unsure. "
        "null: the calibrated threshold.",
    )
    unsure: Literal["answer_from_base", "use_fact"] = Field(
        "answer_from_base",
        description="What to do between the two thresholds: `answer_from_base` leaves the fact out, "
        "`use_fact` states it before the question.",
    )
    strategy: Literal["context", "demonstrations", "constrained"] = Field(
        "context",
        description="What facts in scope do to an answer. `context` states them beside the question, "
        "`demonstrations` puts three examples before that, `constrained` also lets the answer begin with the "
        "facts' targets, if the question is in scope for sure; guardedit has to run the model for it.",
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


class ServingSection(StrictModel):
    """How the replicas' weights are checked."""

    check_every_s: Positive = Field(
        60.0,
        description="Seconds between two comparisons of the served tensors with what they should be; one "
        "that changed in memory is reported and repaired. Larger: less work, later repair.",
    )


class ProxySection(StrictModel):
    """How `guardedit proxy` states facts to the server behind it, and what it does when it cannot."""

    where: Literal["before_question", "after_question", "system"] = Field(
        "before_question",
        description="Where a fact goes: beside the last user turn, or into the system's turn. Servers that "
        "cache the beginning of a conversation lose the whole cache with `system`.",
    )
    statement: Annotated[str, Field(min_length=1, max_length=500, pattern=r"\{facts\}")] = Field(
        "Note: {facts}", description="How it is put; `{facts}` stands for the fact as a sentence."
    )
    memory_away: Literal["pass", "refuse"] = Field(
        "pass",
        description="When the memory cannot be asked in time: `pass` forwards the request as it came, "
        "`refuse` answers with status 503.",
    )
    memory_timeout_s: Positive = Field(
        1.0, description="Longest wait for the memory, in seconds. Larger: fewer requests without their fact."
    )
    upstream_timeout_s: Positive = Field(
        600.0,
        description="Longest silence of the server behind the proxy, in seconds. Larger: slow answers "
        "survive.",
    )


class SubjectsSection(StrictModel):
    """What may be the subject of a fact. Names are compared regardless of case, width and typography."""

    reserved: Literal["reject", "hold", "allow"] = Field(
        "reject",
        description="What to do with a fact about a function word, a single letter or digit, or signs "
        "alone: `reject` it, `hold` it for a person, or `allow` it. Retractions are always "
        "allowed.",
    )
    mixed_alphabets: Literal["reject", "hold", "allow"] = Field(
        "hold",
        description="What to do with a fact whose subject mixes alphabets that look alike in one word, as a "
        "Cyrillic letter in a Latin name: `reject` it, `hold` it for a person, or `allow` it. "
        "Retractions are always allowed.",
    )
    words: Annotated[tuple[ReservedWord, ...], Field(max_length=10_000), BeforeValidator(as_tuple)] = Field(
        (), description="Further subjects that are reserved."
    )


class RelationsSection(StrictModel):
    """What the memory cannot know about relations. Names are compared regardless of case and typography.

    A relation is named as corrections name it; where they have no relation, by their prompt.
    """

    many_valued: Annotated[tuple[RelationName, ...], Field(max_length=10_000), BeforeValidator(as_tuple)] = (
        Field(
            (),
            description="Relations that can have many targets at once, such as `borders`: their facts "
            "accumulate. In any other relation a new fact supersedes the earlier one of its subject.",
        )
    )
    inverse: Annotated[tuple[InversePair, ...], Field(max_length=10_000), BeforeValidator(as_tuple)] = Field(
        (),
        description="Pairs of inverse relations, such as `[capital, capital of]`; a symmetric relation is "
        "paired with itself. A fact that contradicts a live one by its inverse is held.",
    )

    @model_validator(mode="after")
    def _one_inverse_each(self) -> Self:
        inverses: dict[str, str] = {}
        for one, other in (
            pair for first, second in self.inverse for pair in ((first, second), (second, first))
        ):
            if inverses.setdefault(identity(one), identity(other)) != identity(other):
                raise PydanticCustomError(
                    "two_inverses",
                    "relations.inverse gives '{relation}' two inverses: leave one of its pairs out",
                    {"relation": one},
                )
        return self

    @cached_property
    def declared(self) -> Relations:
        """The relations in their comparable form."""
        return Relations.of(self.many_valued, self.inverse)


class QuotaSection(StrictModel):
    """How much may change in one day, and by one correction. Retractions are never held by it."""

    subject_edits_per_day: int | None = Field(
        20,
        ge=1,
        description="Most accepted corrections in 24 hours that reach one name, as their subject or in a "
        "wording; further ones are held. Larger: fewer are held. null: no limit.",
    )
    names_per_correction: int | None = Field(
        4,
        ge=0,
        description="Most names, in addition to the subject, that the wordings of one correction may "
        "mention; with more it is held. Larger: fewer are held. null: no limit.",
    )
