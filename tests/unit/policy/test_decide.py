"""Deciding: first match wins, errors hold, built-in rules, and never an exception."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardedit.core.correction import Correction, Op, Provenance
from guardedit.core.decision import Decision, Route
from guardedit.policy.decide import DecisionContext, decide
from guardedit.policy.load import parse_policy
from guardedit.policy.schema import Policy

NOW = DecisionContext(now_s=1_000.0)
PLAIN = {"id": "1", "subject": "Ada", "prompt": "{} was born in", "target_new": "Paris"}


def policy(*rules: str, extra: str = "") -> Policy:
    lines = "".join(f"  - {{{rule}}}\n" for rule in (*rules, "id: default, route: weights, why: the rest"))
    return parse_policy(f"apiVersion: guardedit/v1\nrules:\n{lines}{extra}", name="p.yaml")


def correction(**changes: object) -> Correction:
    return Correction(**{**PLAIN, **changes})  # type: ignore[arg-type]  # a test's shorthand


def route(decision: Decision) -> tuple[str, str]:
    return decision.rule, decision.route.value


def test_the_first_rule_that_fires_wins_and_the_trace_ends_there() -> None:
    rules = policy(
        "id: a, match: {source: wiki}, route: hold, why: not yet",
        "id: b, when: target_words == 1, route: memory, why: one word",
        "id: c, when: 'true', route: reject, why: never reached",
    )
    decision = decide(rules, correction(), NOW)
    assert route(decision) == ("b", "memory")
    assert decision.reason == "one word"
    assert decision.policy_sha256 == rules.sha256
    assert [(t.rule, t.matched, t.because) for t in decision.trace] == [
        ("a", False, "source 'unknown' is not wiki"),
        ("b", True, "`target_words == 1` is true"),
    ]


@pytest.mark.parametrize(
    ("match", "changes", "fires"),
    [
        ("source: 'wiki*'", {"provenance": Provenance(source="wikidata")}, True),
        ("source: 'Wiki*'", {"provenance": Provenance(source="wikidata")}, False),
        ("source: [x, 'wiki*']", {"provenance": Provenance(source="wikidata")}, True),
        ("relation: 'P1?'", {"relation": "P19"}, True),
        ("relation: 'P[23]*'", {"relation": "P19"}, False),
        ("relation: '*'", {}, True),
        ("relation: '?*'", {}, False),
        ("tag: 'a*'", {"tags": ("x", "ab")}, True),
        ("tag: '*'", {}, False),
        ("tenant: tenant-7", {"tenant": "tenant-7"}, True),
        ("subject: 'A*', tag: x", {"tags": ("x",)}, True),
        ("subject: 'A*', tag: x", {"tags": ("y",)}, False),
        ("op: retract", {}, False),
        ("op: [upsert, retract]", {}, True),
    ],
)
def test_globs_match_the_fields_of_a_correction(match: str, changes: dict[str, object], fires: bool) -> None:
    rules = policy(f"id: a, match: {{{match}}}, route: hold, why: why")
    assert (decide(rules, correction(**changes), NOW).rule == "a") is fires


@pytest.mark.parametrize("route_of_rule", ["memory", "weights", "reject"])
def test_a_condition_without_a_value_holds_whatever_its_rule_says(route_of_rule: str) -> None:
    rules = policy(f"id: a, when: 'tags[0] == \"x\"', route: {route_of_rule}, why: why")
    decision = decide(rules, correction(), NOW)
    assert route(decision) == ("a", "hold")
    assert "has no value" in decision.reason
    assert "index=0" in decision.trace[-1].because


def test_a_condition_is_not_evaluated_where_its_match_fails() -> None:
    rules = policy("id: a, match: {source: other}, when: 1 / 0 == 1, route: hold, why: why")
    assert decide(rules, correction(), NOW).rule == "default"


def test_an_expired_correction_is_rejected_before_any_rule() -> None:
    rules = policy("id: a, when: 'true', route: memory, why: why")
    decision = decide(rules, correction(valid_until_s=940.0), NOW)
    assert route(decision) == ("expired", "reject")
    assert decision.reason == "expired 60 s ago"
    assert decide(rules, correction(valid_until_s=1_000.0), NOW).rule == "expired"
    assert decide(rules, correction(valid_until_s=1_000.5), NOW).rule == "a"


def test_a_retraction_passes_whatever_route_its_rule_gives() -> None:
    gone = correction(op=Op.RETRACT, target_new="")
    decision = decide(policy(), gone, NOW)
    assert route(decision) == ("retract", "memory")
    assert decision.method == ""
    assert "default" in decision.reason


@pytest.mark.parametrize("stop", ["hold", "reject"])
def test_a_rule_can_stop_a_retraction(stop: str) -> None:
    rules = policy(f"id: a, match: {{op: retract}}, route: {stop}, why: ask first")
    gone = correction(op=Op.RETRACT, target_new="")
    assert route(decide(rules, gone, NOW)) == ("a", stop)


def test_the_quota_holds_corrections_but_neither_retractions_nor_rejections() -> None:
    rules = policy(
        "id: a, match: {tag: bad}, route: reject, why: why", extra="quota: {subject_edits_per_day: 2}\n"
    )
    full = DecisionContext(now_s=1_000.0, subject_edits_24h=2)
    assert route(decide(rules, correction(), full)) == ("quota", "hold")
    assert route(decide(rules, correction(op=Op.RETRACT, target_new=""), full)) == ("retract", "memory")
    assert route(decide(rules, correction(tags=("bad",)), full)) == ("a", "reject")
    unlimited = policy(extra="quota: {subject_edits_per_day: null}\n")
    many = DecisionContext(now_s=1_000.0, subject_edits_24h=10**6)
    assert route(decide(unlimited, correction(), many)) == ("default", "weights")


def test_a_fact_that_is_not_valid_yet_is_held() -> None:
    assert route(decide(policy(), correction(valid_from_s=1_001.0), NOW)) == ("not-yet-valid", "hold")
    assert route(decide(policy(), correction(valid_from_s=1_000.0), NOW)) == ("default", "weights")


@pytest.mark.parametrize("subject", ["of", "Is", "x", "?!", "の"])
def test_a_reserved_word_is_no_subject_unless_the_operator_says_so(subject: str) -> None:
    told = correction(subject=subject)
    decision = decide(policy(), told, NOW)
    assert route(decision) == ("reserved-subject", "reject")
    assert repr(subject) in decision.reason
    assert route(decide(policy(extra="subjects: {reserved: hold}\n"), told, NOW)) == (
        "reserved-subject",
        "hold",
    )
    assert route(decide(policy(extra="subjects: {reserved: allow}\n"), told, NOW)) == ("default", "weights")


def test_a_reserved_word_is_no_alias_either() -> None:
    decision = decide(policy(), correction(aliases=("Adelaide", "her")), NOW)
    assert route(decision) == ("reserved-subject", "reject")
    assert "the alias 'her' is a function word" in decision.reason
    rules = policy(extra="subjects: {words: [Adelaide]}\n")
    assert route(decide(rules, correction(aliases=("ADELAIDE",)), NOW)) == ("reserved-subject", "reject")
    gone = correction(aliases=("her",), op=Op.RETRACT, target_new="")
    assert route(decide(policy(), gone, NOW)) == ("retract", "memory")


def test_aliases_have_a_limit_of_their_own_and_can_be_read_by_rules() -> None:
    many = correction(aliases=tuple(f"Person{n}" for n in range(16)))
    assert route(decide(policy(), many, NOW)) == ("default", "weights")
    rules = policy("id: a, when: \"'Person3' in aliases\", route: hold, why: why")
    assert route(decide(rules, many, NOW)) == ("a", "hold")
    assert route(decide(rules, correction(), NOW)) == ("default", "weights")


def test_a_rule_that_rejects_is_stronger_than_a_reserved_word_that_is_held() -> None:
    rules = policy("id: a, match: {tag: bad}, route: reject, why: why", extra="subjects: {reserved: hold}\n")
    assert route(decide(rules, correction(subject="of", tags=("bad",)), NOW)) == ("a", "reject")


def test_a_fact_about_a_reserved_word_can_always_be_taken_back() -> None:
    gone = correction(subject="of", op=Op.RETRACT, target_new="")
    assert route(decide(policy(), gone, NOW)) == ("retract", "memory")


@pytest.mark.parametrize("subject", ["\u0410pple", "Micr\u03bfsoft", "Bank of Amer\u0456ca"])
def test_a_subject_that_looks_like_another_is_held_with_its_letters(subject: str) -> None:
    told = correction(subject=subject)
    decision = decide(policy(), told, NOW)
    assert route(decision) == ("mixed-alphabets", "hold")
    assert subject.encode("unicode_escape").decode() in decision.reason
    for setting, expected in (("reject", ("mixed-alphabets", "reject")), ("allow", ("default", "weights"))):
        rules = policy(extra=f"subjects: {{mixed_alphabets: {setting}}}\n")
        assert route(decide(rules, told, NOW)) == expected
    gone = correction(subject=subject, op=Op.RETRACT, target_new="")
    assert route(decide(policy(), gone, NOW)) == ("retract", "memory")
    named = decide(policy(), correction(subject="Norvik Glass", aliases=(subject,)), NOW)
    assert route(named) == ("mixed-alphabets", "hold")
    assert "the alias" in named.reason


@pytest.mark.parametrize(
    "subject",
    [
        "Apple",
        "Z\u00fcrich",
        "\u0410\u043d\u043d\u0430",
        "\u03b2-carotene",
        "\u30c8\u30e8\u30bfGR\u30e4\u30ea\u30b9",
        "\u00b5Torrent",
    ],
)
def test_a_name_in_one_alphabet_is_not_held(subject: str) -> None:
    assert route(decide(policy(), correction(subject=subject), NOW)) == ("default", "weights")


def test_the_operator_reserves_further_words() -> None:
    rules = policy(extra="subjects: {words: [Ada, 'Acme Corp']}\n")
    assert route(decide(rules, correction(subject="ADA"), NOW)) == ("reserved-subject", "reject")
    assert route(decide(rules, correction(subject="Bob"), NOW)) == ("default", "weights")


def test_a_correction_whose_wordings_mention_many_names_is_held_with_the_names() -> None:
    many = correction(paraphrases=tuple(f"{{}}. The mother tongue of Person{n} is" for n in range(30)))
    decision = decide(policy(), many, NOW)
    assert route(decision) == ("reach", "hold")
    assert "30 other names, the limit is 4: 'person0'" in decision.reason
    few = correction(paraphrases=tuple(f"{{}}. The mother tongue of Person{n} is" for n in range(4)))
    assert route(decide(policy(), few, NOW)) == ("default", "weights")
    assert route(decide(policy(extra="quota: {names_per_correction: 3}\n"), few, NOW)) == ("reach", "hold")
    assert route(decide(policy(extra="quota: {names_per_correction: null}\n"), many, NOW)) == (
        "default",
        "weights",
    )
    assert route(
        decide(policy(), correction(op=Op.RETRACT, target_new="", paraphrases=many.paraphrases), NOW)
    ) == (
        "retract",
        "memory",
    )


def test_names_that_only_the_caller_knows_count_too() -> None:
    wide = DecisionContext(now_s=1_000.0, reach=("ada", "a1", "b1", "c1", "d1", "e1"))
    assert route(decide(policy(), correction(), wide)) == ("reach", "hold")
    rules = policy("id: a, when: names_reached > 5, route: reject, why: why")
    assert route(decide(rules, correction(), wide)) == ("a", "reject")


def test_a_contradicted_inverse_is_held_and_a_retraction_is_not() -> None:
    against = DecisionContext(now_s=1_000.0, contradiction="'Paris' as 'capital' of 'Italy' contradicts")
    decision = decide(policy(), correction(), against)
    assert route(decision) == ("inverse", "hold")
    assert decision.reason == against.contradiction
    assert route(decide(policy(), correction(op=Op.RETRACT, target_new=""), against)) == ("retract", "memory")


def test_conflicts_go_to_the_newest_report_unless_the_policy_says_otherwise() -> None:
    assert policy().conflicts == "newest_report"
    assert policy(extra="conflicts: last_arrival\n").conflicts == "last_arrival"


def test_only_the_weights_have_a_method_and_a_rule_may_name_it() -> None:
    rules = policy(
        "id: a, match: {tag: 'method:rome'}, route: weights, method: rome, why: why",
        "id: b, match: {tag: m}, route: memory, why: why",
    )
    assert decide(rules, correction(tags=("method:rome",)), NOW).method == "rome"
    assert decide(rules, correction(tags=("m",)), NOW).method == ""
    assert decide(rules, correction(), NOW).method == "joint"
    assert rules.methods == ("joint", "rome")


TEXTS = st.text(max_size=12)
TIMES = st.none() | st.floats()


@settings(max_examples=100, deadline=None)
@given(
    correction=st.builds(
        Correction,
        id=TEXTS,
        subject=TEXTS | st.just("\ud800"),
        prompt=TEXTS | TEXTS.map(lambda text: f"A {{}} {text}"),
        target_new=TEXTS,
        relation=TEXTS,
        tenant=TEXTS,
        tags=st.lists(TEXTS, max_size=3).map(tuple),
        valid_from_s=TIMES,
        valid_until_s=TIMES,
        op=st.sampled_from(Op),
        provenance=st.builds(Provenance, source=TEXTS, time_s=TIMES, confidence=st.floats()),
    ),
    context=st.builds(
        DecisionContext,
        now_s=st.floats(),
        subject_edits_24h=st.integers(0, 2**80),
        known_subject=st.booleans(),
        reach=st.lists(TEXTS, max_size=8).map(tuple),
    ),
)
def test_decide_has_an_answer_for_everything(correction: Correction, context: DecisionContext) -> None:
    rules = policy(
        "id: a, match: {source: '[!a]*', tag: '?'}, route: reject, why: why",
        "id: b, when: 'subject.matches(\"^(a+)+$\") || confidence < 0.1', route: memory, why: why",
        "id: c, when: 'tags[0] == relation && age_s / 0.0 > 1.0', route: reject, why: why",
        "id: d, when: 'subject_edits_24h * 4611686018427387904 > 0', route: memory, why: why",
    )
    decision = decide(rules, correction, context)
    assert decision.route in Route
    assert decision.reason
    assert decision.trace[-1].matched
    assert decision == decide(rules, correction, context)
    assert (decision.method != "") is (decision.route is Route.WEIGHTS)


def test_a_time_that_is_not_a_number_never_counts_as_expired() -> None:
    assert decide(policy(), correction(valid_until_s=math.nan), NOW).rule == "default"


def test_a_broken_condition_asks_for_named_approvers_where_a_rule_names_them():
    text = """
apiVersion: guardedit/v1
rules:
  - {id: broken, when: 1 / evidence_count > 0, route: memory, why: divides by zero}
  - {id: two, match: {tag: a}, route: hold, approvals: 2, why: any two people}
  - {id: named, match: {tag: b}, route: hold, approvals: 2, approvers: [anna, bob], why: these two people}
  - {id: rest, route: memory, why: everything else}
"""
    correction = Correction(id="a", subject="Ada", prompt="{} lives in", target_new="Rome")
    made = decide(parse_policy(text, name="p"), correction, DecisionContext(now_s=0.0, signed_by="k"))
    assert (made.route, made.approvals, made.approvers) == ("hold", 2, ("anna", "bob"))
    assert made.signed_by == "k"


@pytest.mark.parametrize(
    ("rules", "approvals", "approvers", "ttl_s"),
    [
        (["approvals: 3", "approvers: [ceo]"], 1, ("ceo",), None),
        (["approvals: 2, approval_ttl_s: 9", "approvers: [anna, bob, ceo], approval_ttl_s: 5"],
         2, ("anna", "bob", "ceo"), 5),
        (["approvals: 2, approvers: [anna, bob, ceo]", "approvers: [ceo, bob]"], 2, ("ceo", "bob"), None),
        (["approvals: 2, approvers: [anna, bob]", "approvers: [ceo]"], 2, ("anna", "bob"), None),
        (["approvals: 2", "approvals: 3"], 3, (), None),
    ],
)  # fmt: skip
def test_a_broken_condition_asks_for_what_all_rules_ask_for(rules, approvals, approvers, ttl_s):
    text = "apiVersion: guardedit/v1\nrules:\n"
    text += "  - {id: broken, when: 1 / evidence_count > 0, route: memory, why: divides by zero}\n"
    for n, rule in enumerate(rules):
        text += f"  - {{id: r{n}, match: {{tag: t{n}}}, route: hold, {rule}, why: people decide}}\n"
    text += "  - {id: rest, route: memory, why: everything else}\n"
    correction = Correction(id="a", subject="Ada", prompt="{} lives in", target_new="Rome")
    made = decide(parse_policy(text, name="p"), correction, DecisionContext(now_s=0.0))
    assert (made.route, made.approvals, made.approvers, made.approval_ttl_s) == (
        "hold", approvals, approvers, ttl_s,
    )  # fmt: skip
