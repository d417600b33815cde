"""The schema of a policy: rules in order, and the other sections. One YAML file is one `Policy`."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from guardedit.core.errors import warn_renamed
from guardedit.policy.expr import Condition
from guardedit.policy.limits import DriftSection, GuardSection
from guardedit.policy.order import order_problems
from guardedit.policy.publish import Destination, FleetDestination, plain_url
from guardedit.policy.sections import (
    EditingSection,
    MemorySection,
    MethodName,
    ProxySection,
    QuotaSection,
    RelationsSection,
    ServingSection,
    SubjectsSection,
)
from guardedit.policy.sources import Sources
from guardedit.policy.strict import Positive, StrictModel, as_tuple

#: Rule ids that `decide` uses itself.
BUILT_IN_RULES = frozenset(
    {
        "expired",
        "retract",
        "quota",
        "reach",
        "not-yet-valid",
        "reserved-subject",
        "mixed-alphabets",
        "inverse",
    }
)


def _one_or_many(value: object) -> object:
    return (value,) if isinstance(value, str) else as_tuple(value)


def _not_built_in(value: str) -> str:
    if value in BUILT_IN_RULES:
        raise PydanticCustomError(
            "built_in_rule", "'{id}' names a built-in rule: choose another id", {"id": value}
        )
    return value


Glob = Annotated[str, Field(min_length=1, max_length=200)]
Globs = Annotated[tuple[Glob, ...], Field(min_length=1, max_length=200), BeforeValidator(_one_or_many)]
#: As `guardedit tokens add` accepts it.
PersonName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Ops = Annotated[tuple[Literal["upsert", "retract"], ...], Field(min_length=1), BeforeValidator(_one_or_many)]


class Match(StrictModel):
    """Globs over a correction's fields. All given keys must match; a key matches when one of its globs does.

    Case matters. `*` is any run of characters, also an empty one; `?` is one character; `[abc]` is one of
    these.
    """

    relation: Globs | None = Field(
        None, description="Relation of the correction; the empty text when it has none."
    )
    source: Globs | None = Field(None, description="Source that the provenance names.")
    tenant: Globs | None = Field(None, description="Tenant that owns the fact.")
    tag: Globs | None = Field(None, description="Any tag of the correction.")
    subject: Globs | None = Field(None, description="Subject of the fact.")
    op: Ops | None = Field(None, description="`upsert` or `retract`; globs are not allowed.")

    @model_validator(mode="before")
    @classmethod
    def _with_present_names(cls, given: Any) -> Any:
        if isinstance(given, dict) and "scope" in given and "tenant" not in given:
            warn_renamed("policy key", "scope", "tenant")
            return {("tenant" if key == "scope" else key): value for key, value in given.items()}
        return given

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if not self.given:
            raise PydanticCustomError(
                "empty_match", "nothing to match: name a key such as `source`, or leave `match` out"
            )
        return self

    @property
    def given(self) -> dict[str, tuple[str, ...]]:
        """The keys that were given, with their globs."""
        return {key: value for key in type(self).model_fields if (value := getattr(self, key)) is not None}


class Rule(StrictModel):
    """One rule. It fires when both `match` and `when` hold; one that is left out always holds."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$"), AfterValidator(_not_built_in)] = Field(
        description="Name of the rule in decisions, logs and metrics."
    )
    match: Match | None = Field(None, description="Globs over the correction's fields.")
    when: Condition | None = Field(None, description="A CEL condition over the declared variables.")
    route: Literal["memory", "weights", "hold", "reject"] = Field(
        description="Where the correction goes; `weights` means memory first, then weights if the guard "
        "accepts."
    )
    method: MethodName | None = Field(
        None, description="Editing method for route `weights`. Left out: editing.method."
    )
    approvals: int | None = Field(
        None,
        ge=1,
        le=20,
        description="For route `hold`: how many different persons have to approve. Left out: one.",
    )
    approvers: (
        Annotated[tuple[PersonName, ...], Field(min_length=1, max_length=200), BeforeValidator(as_tuple)]
        | None
    ) = Field(
        None,
        description="For route `hold`: names of the tokens whose approval counts. Left out: those of all "
        "approvers.",
    )
    approval_ttl_s: Positive | None = Field(
        None,
        description="For route `hold`: how long an approval counts, in seconds. Left out: without end.",
    )
    why: str = Field(
        min_length=3, max_length=500, description="The reason for people, shown with every decision."
    )

    @model_validator(mode="after")
    def _method_goes_with_weights(self) -> Self:
        if self.method is not None and self.route != "weights":
            raise PydanticCustomError(
                "method_without_weights",
                "method '{method}' has no effect on route {route}: remove it, or route to weights",
                {"method": self.method, "route": self.route},
            )
        return self

    @model_validator(mode="after")
    def _approvals_go_with_hold(self) -> Self:
        given = [
            name for name in ("approvals", "approvers", "approval_ttl_s") if getattr(self, name) is not None
        ]
        if given and self.route != "hold":
            raise PydanticCustomError(
                "approvals_without_hold",
                "{name} has no effect on route {route}: remove it, or route to hold",
                {"name": given[0], "route": self.route},
            )
        if self.approvers is not None and len(set(self.approvers)) < (self.approvals or 1):
            raise PydanticCustomError(
                "too_few_approvers",
                "{approvals} approvals can never be reached with {names} approvers: name more of them",
                {"approvals": self.approvals, "names": len(set(self.approvers))},
            )
        return self

    @property
    def writes_weights(self) -> bool:
        """Whether a fact can be routed to the weights here. Retractions always go to memory."""
        only_retractions = self.match is not None and self.match.op == ("retract",)
        return self.route == "weights" and not only_retractions


class Policy(StrictModel):
    """Everything that an operator decides about corrections, trials and serving."""

    api_version: Literal["guardedit/v1"] = Field(
        alias="apiVersion", description="Version of this file's format."
    )
    mode: Literal["enforce", "shadow"] = Field(
        "enforce",
        description="`enforce` serves what is accepted. `shadow` decides and measures trials, but serves no "
        "edit and no fact from memory.",
    )
    rules: Annotated[tuple[Rule, ...], BeforeValidator(as_tuple)] = Field(
        min_length=1, max_length=200, description="Rules in order; the first one that fires decides."
    )
    sources: Sources = Field(
        (), description="Sources that have to sign their corrections. Others are accepted unsigned."
    )
    editing: EditingSection = Field(EditingSection(), description="How facts are written into the weights.")
    guard: GuardSection = Field(GuardSection(), description="The limits of a trial.")
    drift: DriftSection = Field(DriftSection(), description="When to roll back to the last good epoch.")
    memory: MemorySection = Field(MemorySection(), description="The memory's scope test.")
    subjects: SubjectsSection = Field(SubjectsSection(), description="What may be the subject of a fact.")
    relations: RelationsSection = Field(
        RelationsSection(), description="Relations with many targets at once, and inverse relations."
    )
    conflicts: Literal["newest_report", "last_arrival"] = Field(
        "newest_report",
        description="Which of two reports about one key is live: `newest_report` is the newer one by "
        "provenance.time_s, `last_arrival` the one that arrived last. The other one is "
        "recorded. If either has no time, the last arrival is live.",
    )
    quota: QuotaSection = Field(QuotaSection(), description="Limits on changes over time.")
    serving: ServingSection = Field(ServingSection(), description="How the served tensors are checked.")
    proxy: ProxySection = Field(ProxySection(), description="How facts are stated to another server.")
    publish: Annotated[tuple[Destination, ...], Field(max_length=50), BeforeValidator(as_tuple)] = Field(
        (), description="Where `guardedit publish run` brings each epoch."
    )

    @model_validator(mode="after")
    def _rules_are_in_order(self) -> Self:
        rules = [rule.model_dump(mode="json", exclude_none=True) for rule in self.rules]
        if problems := order_problems(rules):
            raise PydanticCustomError(
                "rule_order", "{problems}", {"problems": "; ".join(p.message for p in problems)}
            )
        return self

    @model_validator(mode="after")
    def _drift_budget_covers_the_guard(self) -> Self:
        budget, limit = self.drift.perplexity_ratio_to_base, self.guard.perplexity_ratio_to_base
        if budget < limit:
            raise PydanticCustomError(
                "drift_budget",
                "drift.perplexity_ratio_to_base {budget} is below guard.perplexity_ratio_to_base {limit}: "
                "drift would roll back what the guard accepts; raise the one or lower the other",
                {"budget": budget, "limit": limit},
            )
        return self

    @model_validator(mode="after")
    def _destinations_differ(self) -> Self:
        fleets = [one for one in self.publish if isinstance(one, FleetDestination)]
        for key, given in (
            ("name", [one.name for one in self.publish]),
            ("alias", [one.alias for one in fleets]),
            # Two that share a place would delete each other's files.
            ("place", [one.place for one in self.publish]),
            ("replica", [plain_url(replica) for one in fleets for replica in one.replicas]),
        ):
            if twice := next((value for value in given if given.count(value) > 1), None):
                raise PydanticCustomError(
                    "publish_twice",
                    "publish: the {key} '{value}' occurs twice: each needs its own",
                    {"key": key, "value": twice},
                )
        return self

    @cached_property
    def sha256(self) -> str:
        """Digest of the content with defaults filled in; comments and the order of keys do not matter."""
        body = self.model_dump(mode="json", by_alias=True)
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

    @property
    def methods(self) -> tuple[str, ...]:
        """Every editing method that a decision may name, sorted. The assembly checks that they exist."""
        named = {rule.method or self.editing.method for rule in self.rules if rule.writes_weights}
        return tuple(sorted(named))

    @property
    def writes_weights(self) -> bool:
        """Whether a correction can be routed to the weights. If not, nothing is needed but the model."""
        return bool(self.methods)
