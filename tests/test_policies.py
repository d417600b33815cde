"""Every policy that is shipped loads, and decides what its comments promise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from guardedit.core.correction import Correction, Op, Provenance
from guardedit.core.decision import Route
from guardedit.policy.decide import DecisionContext, decide
from guardedit.policy.load import load_policy
from guardedit.policy.schema import Policy

POLICIES = Path(__file__).parent.parent / "policies"
NOW_S = 1_700_000_000.0
PLAIN = Correction(
    id="1",
    subject="Ada",
    prompt="{} was born in",
    target_new="Paris",
    provenance=Provenance(source="curated-1"),
)


def shipped(name: str) -> Policy:
    return load_policy(POLICIES / f"{name}.yaml")


def said(policy: Policy, correction: Correction, **context: int) -> tuple[str, str]:
    decision = decide(policy, correction, DecisionContext(now_s=NOW_S, **context))
    assert decision.policy_sha256 == policy.sha256
    return decision.rule, decision.route.value


def from_source(source: str, confidence: float = 1.0) -> Correction:
    return replace(PLAIN, provenance=Provenance(source=source, confidence=confidence))


RETRACTION = replace(PLAIN, op=Op.RETRACT, target_new="")
EXPIRING = replace(PLAIN, valid_until_s=NOW_S + 60)
EXPIRED = replace(PLAIN, valid_until_s=NOW_S - 60)
LONG = replace(PLAIN, target_new="a house with seven doors and no windows")


def test_every_shipped_policy_is_tested_here() -> None:
    names = {path.stem for path in POLICIES.glob("*.yaml")}
    assert names == {"default", "conservative", "memory-only", "shadow", "demo", "demo-real"}


@pytest.mark.parametrize("name", ["default", "conservative", "memory-only", "shadow", "demo", "demo-real"])
def test_every_rule_has_a_comment_above_it(name: str) -> None:
    lines = (POLICIES / f"{name}.yaml").read_text().splitlines()
    policy = shipped(name)
    for rule in policy.rules[:-1]:
        at = lines.index(f"  - id: {rule.id}")
        assert lines[at - 1].strip().startswith("#"), rule.id


@pytest.mark.parametrize(
    ("correction", "expected"),
    [
        (PLAIN, ("default", "weights")),
        (RETRACTION, ("retract", "memory")),
        (EXPIRING, ("expires", "memory")),
        (EXPIRED, ("expired", "reject")),
        (LONG, ("long-target", "memory")),
        (from_source("wiki", 0.69), ("low-confidence", "memory")),
        (from_source("wiki", 0.7), ("not-quite-sure", "memory")),
        (from_source("wiki", 0.94), ("not-quite-sure", "memory")),
        (from_source("wiki", 0.95), ("default", "weights")),
        (from_source("wiki", 0.39), ("very-low-confidence", "hold")),
        (from_source("untrusted-blog"), ("untrusted-source", "hold")),
        (replace(PLAIN, tags=("method:rome",)), ("compare-rome", "weights")),
        (replace(PLAIN, tags=("method:poisoned",)), ("default", "weights")),
    ],
)
@pytest.mark.parametrize("name", ["default", "shadow"])
def test_default_and_shadow_decide_alike(
    name: str, correction: Correction, expected: tuple[str, str]
) -> None:
    assert said(shipped(name), correction) == expected


def test_the_default_policy_names_joint_and_rome_and_nothing_else() -> None:
    assert shipped("default").methods == ("joint", "rome")
    assert "poisoned" not in (POLICIES / "default.yaml").read_text()
    rome = decide(shipped("default"), replace(PLAIN, tags=("method:rome",)), DecisionContext(now_s=NOW_S))
    assert rome.method == "rome"
    assert decide(shipped("default"), PLAIN, DecisionContext(now_s=NOW_S)).method == "joint"


def test_the_demo_policy_is_the_default_one_plus_faults_and_a_price_for_small_batches() -> None:
    default, demo = shipped("default"), shipped("demo")
    priced = default.editing.model_copy(update={"expected_edits": 128})
    default = default.model_copy(update={"editing": priced})
    added = [rule for rule in demo.rules if rule not in default.rules]
    assert [rule.id for rule in added] == ["inject-faults"]
    rest = tuple(rule for rule in demo.rules if rule not in added)
    assert demo.model_copy(update={"rules": rest}) == default
    poisoned = decide(demo, replace(PLAIN, tags=("method:poisoned",)), DecisionContext(now_s=NOW_S))
    assert (poisoned.route, poisoned.method) == (Route.WEIGHTS, "poisoned")
    assert said(demo, PLAIN) == ("default", "weights")


def test_the_default_policy_holds_a_subject_that_is_edited_all_day() -> None:
    assert said(shipped("default"), PLAIN, subject_edits_24h=20) == ("quota", "hold")
    assert said(shipped("default"), PLAIN, subject_edits_24h=19) == ("default", "weights")


def test_shadow_is_the_default_policy_in_another_mode() -> None:
    default, shadow = shipped("default"), shipped("shadow")
    assert shadow.mode == "shadow"
    assert shadow.model_copy(update={"mode": "enforce"}) == default
    assert shadow.sha256 != default.sha256


@pytest.mark.parametrize(
    ("correction", "expected"),
    [
        (PLAIN, ("curated", "weights")),
        (from_source("wiki"), ("default", "memory")),
        (from_source("wiki", 0.6), ("doubtful", "hold")),
        (from_source("untrusted-blog"), ("untrusted-source", "reject")),
        (RETRACTION, ("retract", "memory")),
        (replace(RETRACTION, provenance=Provenance(source="wiki")), ("foreign-retraction", "hold")),
        (replace(PLAIN, tags=("method:rome",)), ("no-method-wishes", "memory")),
        (EXPIRING, ("volatile-or-long", "memory")),
    ],
)
def test_conservative_lets_only_curated_sources_near_the_weights(
    correction: Correction, expected: tuple[str, str]
) -> None:
    assert said(shipped("conservative"), correction) == expected


def test_conservative_holds_a_contested_subject() -> None:
    assert said(shipped("conservative"), PLAIN, subject_edits_24h=2) == ("contested-subject", "hold")
    assert said(shipped("conservative"), RETRACTION, subject_edits_24h=2) == ("retract", "memory")


def test_conservative_limits_are_nowhere_looser_than_the_default_ones() -> None:
    default, conservative = shipped("default").guard, shipped("conservative").guard
    for name in type(default).model_fields:
        ours, theirs = getattr(conservative, name), getattr(default, name)
        if name.endswith(("_max", "_to_serving", "_to_base", "_sentence_ratio")):
            assert ours <= theirs, name
        elif name != "shadow":
            assert ours >= theirs, name


def test_memory_only_never_sends_anything_to_the_weights() -> None:
    policy = shipped("memory-only")
    assert policy.methods == ()
    assert said(policy, PLAIN) == ("default", "memory")
    assert said(policy, replace(PLAIN, tags=("method:rome",))) == ("default", "memory")
    assert Route.WEIGHTS.value not in {rule.route for rule in policy.rules}


@pytest.mark.parametrize(
    ("name", "writes"), [("memory-only", False), ("default", True), ("shadow", True), ("conservative", True)]
)
def test_which_policies_can_route_to_the_weights(name: str, writes: bool) -> None:
    assert shipped(name).writes_weights is writes


def test_a_rule_for_retractions_alone_routes_no_fact_to_the_weights() -> None:
    body = shipped("memory-only").model_dump(mode="json", by_alias=True, exclude_none=True)
    rule = {"id": "taken-back", "route": "weights", "why": "it was wrong", "match": {"op": "retract"}}
    assert not Policy.model_validate({**body, "rules": [rule, *body["rules"]]}).writes_weights
    rule["match"] = {"op": ["retract", "upsert"]}
    assert Policy.model_validate({**body, "rules": [rule, *body["rules"]]}).writes_weights
