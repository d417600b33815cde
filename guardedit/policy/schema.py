"""The shape of a policy: rules in order, and the sections beside them. One YAML file is one Policy.

Knows what is well formed and what can never fire; reading files and deciding live in other files.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from guardedit.core.renamed import warn_renamed
from guardedit.policy.expr import Condition
from guardedit.policy.order import order_problems
from guardedit.policy.sections import (
    Drift,
    Editing,
    Guard,
    Memory,
    MethodName,
    Quota,
    Serving,
    Strict,
    Subjects,
    as_tuple,
)

#: Rule ids that `decide` uses itself.
BUILT_IN_RULES = frozenset({"expired", "retract", "quota", "reach", "not-yet-valid", "reserved-subject"})


def _one_or_many(value: object) -> object:
    return (value,) if isinstance(value, str) else as_tuple(value)


def _free_id(value: str) -> str:
    if value in BUILT_IN_RULES:
        raise PydanticCustomError(
            "built_in_rule", "'{id}' names a built-in rule: choose another id", {"id": value}
        )
    return value


Glob = Annotated[str, Field(min_length=1, max_length=200)]
Globs = Annotated[tuple[Glob, ...], Field(min_length=1, max_length=200), BeforeValidator(_one_or_many)]
Ops = Annotated[tuple[Literal["upsert", "retract"], ...], Field(min_length=1), BeforeValidator(_one_or_many)]


class Match(Strict):
    """Every given key must match; a key matches when any of its globs does. Case matters.

    `*` is any run of characters, also none; `?` is one character; `[abc]` is one of them.
    """

    relation: Globs | None = Field(None, description="Relation of the correction, empty when it named none.")
    source: Globs | None = Field(None, description="Source that the provenance names.")
    tenant: Globs | None = Field(None, description="Tenant that owns the fact.")
    tag: Globs | None = Field(None, description="Any tag of the correction.")
    subject: Globs | None = Field(None, description="What the fact is about.")
    op: Ops | None = Field(None, description="`upsert` or `retract`; no globs.")

    @model_validator(mode="before")
    @classmethod
    def _under_the_present_names(cls, given: Any) -> Any:
        if isinstance(given, dict) and "scope" in given and "tenant" not in given:
            warn_renamed("policy key", "scope", "tenant")
            return {("tenant" if key == "scope" else key): value for key, value in given.items()}
        return given

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.given:
            raise PydanticCustomError(
                "empty_match", "nothing to match: name a key such as `source`, or leave `match` out"
            )
        return self

    @property
    def given(self) -> dict[str, tuple[str, ...]]:
        """The keys that were given, with their globs."""
        return {key: value for key in type(self).model_fields if (value := getattr(self, key)) is not None}


class Rule(Strict):
    """One rule. It fires when `match` and `when` both hold; one that is left out holds always."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$"), AfterValidator(_free_id)] = Field(
        description="Name in decisions, logs and metrics."
    )
    match: Match | None = Field(None, description="Globs over the correction's fields.")
    when: Condition | None = Field(None, description="A CEL condition over the declared variables.")
    route: Literal["memory", "weights", "hold", "reject"] = Field(
        description="Where the correction goes; `weights` means memory first."
    )
    method: MethodName | None = Field(
        None, description="Editing method for route `weights`; left out: editing.method."
    )
    why: str = Field(min_length=3, max_length=500, description="The reason, shown with every decision.")

    @model_validator(mode="after")
    def _method_goes_with_weights(self) -> Self:
        if self.method is not None and self.route != "weights":
            raise PydanticCustomError(
                "method_without_weights",
                "method '{method}' has no effect on route {route}: remove it, or route to weights",
                {"method": self.method, "route": self.route},
            )
        return self


class Policy(Strict):
    """Everything an operator decides: the dial of the product."""

    api_version: Literal["guardedit/v1"] = Field(
        alias="apiVersion", description="Version of this file's shape."
    )
    mode: Literal["enforce", "shadow"] = Field(
        "enforce",
        description="`shadow` decides and measures trials, but serves no edit and no remembered fact.",
    )
    rules: Annotated[tuple[Rule, ...], BeforeValidator(as_tuple)] = Field(
        min_length=1, max_length=200, description="Read from the top; the first that fires decides."
    )
    editing: Editing = Field(Editing(), description="How facts are written into the weights.")
    guard: Guard = Field(Guard(), description="The limits of a trial.")
    drift: Drift = Field(Drift(), description="When to go back to the last good epoch.")
    memory: Memory = Field(Memory(), description="The retrieval memory's scope test.")
    subjects: Subjects = Field(Subjects(), description="What may be the subject of a fact.")
    conflicts: Literal["newest_report", "last_arrival"] = Field(
        "newest_report",
        description="Which of two reports about one key is live: the newer by provenance.time_s, or the one "
        "that arrived last. The loser is recorded; without a time on both sides the last arrival wins.",
    )
    quota: Quota = Field(Quota(), description="Limits on changes over time.")
    serving: Serving = Field(Serving(), description="How the served tensors are looked after.")

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
                "the watch would roll back what the guard lets pass; raise the one or lower the other",
                {"budget": budget, "limit": limit},
            )
        return self

    @cached_property
    def sha256(self) -> str:
        """Digest of the content, defaults filled in; comments and the order of keys do not count."""
        body = self.model_dump(mode="json", by_alias=True)
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

    @property
    def methods(self) -> tuple[str, ...]:
        """Every editing method that a decision may name, sorted: the assembly checks that they exist."""
        named = {rule.method or self.editing.method for rule in self.rules if rule.route == "weights"}
        return tuple(sorted(named))
