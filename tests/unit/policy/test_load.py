"""Loading a policy: everything wrong is reported at once, with its place and a suggestion."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardedit.core.errors import PolicyError
from guardedit.policy.load import MAX_POLICY_BYTES, load_policy, parse_policy
from guardedit.policy.schema import Policy

SMALLEST = """apiVersion: guardedit/v1
rules:
  - {id: default, route: memory, why: nothing else is known}
"""


def complaints(text: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, name="p.yaml")
    return [line for line in str(caught.value).splitlines() if line.startswith("p.yaml:")]


def test_the_smallest_policy_has_all_defaults() -> None:
    policy = parse_policy(SMALLEST, name="p.yaml")
    assert policy.mode == "enforce"
    assert policy.editing.method == "joint"
    assert policy.guard.perplexity_ratio_to_serving == 1.01
    assert policy.rules[0].route == "memory"


def test_all_problems_are_reported_at_once_in_the_order_of_the_file() -> None:
    text = """apiVersion: guardedit/v2
mode: shadwo
rules:
  - id: a
    match: {sorce: x}
    when: confidnce < 0.5
    route: wieghts
    why: because
  - id: a
    match: {source: y}
    route: hold
guard: {reliability_min: 1.5}
edting: {}
"""
    found = complaints(text)
    expected = [
        ("1:13", "apiVersion", "did you mean 'guardedit/v1'?"),
        ("2:7", "mode", "did you mean 'shadow'?"),
        ("5:13", "rules[0].match.sorce", "did you mean 'source'?"),
        ("6:11", "rules[0].when", "did you mean 'confidence'?"),
        ("7:12", "rules[0].route", "did you mean 'weights'?"),
        ("9:5", "rules[1]", "the last rule 'a' has a condition"),
        ("9:5", "rules[1].why", "required but not given"),
        ("9:9", "rules[1].id", "already the id of rules[0]"),
        ("12:26", "guard.reliability_min", "less than or equal to 1, got 1.5"),
        ("13:1", "edting", "did you mean 'editing'?"),
    ]
    assert len(found) == len(expected), found
    for line, (place, key, message) in zip(found, expected, strict=True):
        assert line.startswith(f"p.yaml:{place}: {key}: ")
        assert message in line


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("[]", "empty"),
        ("{id: a}", "rules:"),
        ("[{id: a, match: {tag: []}, route: hold, why: why}]", "empty: give at least one"),
        ("[{id: a, match: {}, route: hold, why: why}]", "nothing to match"),
        ("[{id: a, match: {op: delete}, route: hold, why: why}]", "'upsert' or 'retract'"),
        ("[{id: a, route: hold, method: rome, why: why}]", "no effect on route hold"),
        ("[{id: retract, route: hold, why: why}]", "built-in rule"),
        ("[{id: A B, route: hold, why: why}]", "should match pattern"),
        ("[{id: a, route: hold, why: why}, {id: b, route: hold, why: why}]", "unreachable: 'a'"),
        ("[{id: a, when: 'true', route: hold, why: why}]", "add a last rule"),
        ("[{id: a, when: 3, route: hold, why: why}]", "valid string, got 3"),
        ("[{id: a, route: hold, why: why, when: }, 7]", "rules[1]"),
    ],
)
def test_a_wrong_rule_is_explained(rules: str, message: str) -> None:
    found = complaints(f"apiVersion: guardedit/v1\nrules: {rules}\n")
    assert any(message in line for line in found), found


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("guard: {perplexity_ratio_to_base: .nan}", "finite number"),
        ("guard: {perplexity_ratio_to_base: 0.9}", "greater than or equal to 1"),
        ("guard: {shadow: [finite]}", "guard.shadow[0]: must be"),
        ("guard: {other_subject_sample: 2}", "every trial would be inconclusive"),
        ("editing: {batch: 2.5}", "valid integer"),
        ("editing: {batch: '3'}", "valid integer"),
        ("editing: {layer: no}", "valid integer, got 'no'"),
        ("editing: {method: ../evil}", "match pattern"),
        ("drift: {perplexity_ratio_to_base: 1.01}", "would roll back what the guard accepts"),
        ("memory: {accept_threshold: 0.1, unsure_threshold: 0.2}", "swap them"),
        ("memory: {unsure: base}", "'answer_from_base' or 'use_fact'"),
        ("relations: {many_valued: P47}", "valid array, got 'P47'"),
        ("relations: {many_valued: ['']}", "at least 1 character"),
        ("relations: {inverse: [[P36]]}", "relations.inverse[0][1]: required but not given"),
        ("relations: {inverse: [[P36, P1376], [p1376, P17]]}", "gives 'p1376' two inverses"),
        ("quota: {subject_edits_per_day: 0}", "greater than or equal to 1"),
        ("guard: &g {}", "anchor &g"),
    ],
)
def test_a_wrong_section_is_explained(section: str, message: str) -> None:
    found = complaints(f"{SMALLEST}{section}\n")
    assert any(message in line for line in found), found


def test_more_rules_than_a_person_can_read_are_refused() -> None:
    rules = "".join(f"  - {{id: r{i}, match: {{tag: t{i}}}, route: hold, why: why}}\n" for i in range(200))
    text = SMALLEST.replace("rules:\n", f"rules:\n{rules}")
    assert any("at most 200 items" in line for line in complaints(text))


def test_a_policy_that_is_no_mapping_says_what_one_is() -> None:
    for text in ("", "- 1\n", "just text", "~"):
        assert "begins with `apiVersion" in complaints(text)[0]


def test_a_condition_over_several_lines_is_shown_with_a_caret() -> None:
    text = SMALLEST.replace(
        "rules:\n",
        "rules:\n  - id: x\n    when: |\n      confidence < 0.4 &&\n      targt_words > 2\n"
        "    route: hold\n    why: why\n",
    )
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, name="p.yaml")
    assert str(caught.value).splitlines() == [
        "p.yaml:4:11: rules[0].when: undeclared reference to 'targt_words'; did you mean 'target_words'?",
        "    targt_words > 2",
        "    ^",
    ]


def test_the_hash_covers_content_and_not_comments_order_or_spelling() -> None:
    plain = parse_policy(f"{SMALLEST}guard: {{paraphrase_min: 0.8, earlier_min: 0.9}}\n", name="a")
    same = parse_policy(
        f"# a comment\n{SMALLEST}guard:\n  earlier_min: 9e-1\n  paraphrase_min: .8\n", name="b"
    )
    other = parse_policy(f"{SMALLEST}guard: {{paraphrase_min: 0.8, earlier_min: 0.91}}\n", name="c")
    assert plain.sha256 == same.sha256
    assert plain.sha256 != other.sha256
    assert len(plain.sha256) == 64


def test_one_glob_and_a_list_of_one_are_the_same_policy() -> None:
    text = "apiVersion: guardedit/v1\nrules:\n  - {id: a, match: {source: SOURCE}, route: hold, why: why}\n"
    text += "  - {id: b, route: hold, why: why}\n"
    one = parse_policy(text.replace("SOURCE", "x*"), name="one")
    many = parse_policy(text.replace("SOURCE", "[x*]"), name="many")
    assert one.sha256 == many.sha256


def test_a_policy_can_be_pickled_with_its_conditions() -> None:
    text = SMALLEST.replace(
        "rules:\n", "rules:\n  - {id: x, when: confidence < 0.4, route: hold, why: why}\n"
    )
    policy = parse_policy(text, name="p.yaml")
    copy = pickle.loads(pickle.dumps(policy))
    assert copy == policy
    assert copy.sha256 == policy.sha256


def test_the_content_of_a_policy_reads_back_as_the_same_policy() -> None:
    policy = parse_policy(SMALLEST, name="p.yaml")
    assert Policy.model_validate_json(policy.model_dump_json(by_alias=True)).sha256 == policy.sha256


def test_every_key_is_described() -> None:
    schema = Policy.model_json_schema()
    for model in (schema, *schema["$defs"].values()):
        for key, body in model["properties"].items():
            assert body.get("description"), f"{model['title']}.{key}"


def test_a_file_that_cannot_be_read_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"nowhere\.yaml: cannot be read \(No such file"):
        load_policy(tmp_path / "nowhere.yaml")
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"# caf\xe9\n")
    with pytest.raises(PolicyError, match="byte 5 is not UTF-8"):
        load_policy(tmp_path / "latin.yaml")


def test_an_oversized_file_is_refused_without_being_parsed(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_bytes(b"#" * MAX_POLICY_BYTES + b"\n")
    with pytest.raises(PolicyError, match="larger than 262144 bytes"):
        load_policy(path)
    with path.open("wb") as file:
        os.truncate(file.fileno(), 1 << 40)  # a sparse terabyte
    with pytest.raises(PolicyError, match="larger than"):
        load_policy(path)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_policy_is_a_policy_error_and_nothing_else(data: st.DataObject) -> None:
    text = (Path(__file__).parents[3] / "policies" / "conservative.yaml").read_text()
    at = data.draw(st.integers(0, len(text) - 1))
    length = data.draw(st.integers(0, 30))
    patch = data.draw(st.text(max_size=8))
    damaged = text[:at] + patch + text[at + length :]
    try:
        policy = parse_policy(damaged, name="p.yaml")
    except PolicyError:
        return
    assert policy.rules[-1].when is None


def test_the_sections_on_subjects_conflicts_and_quota_are_checked_like_the_others() -> None:
    found = complaints(
        SMALLEST
        + "subjects:\n  reservd: hold\n  reserved: rejct\n  words: ['']\n"
        + "conflicts: newest_reprt\nquota: {names_per_corection: 4, names_per_correction: -1}\n"
    )
    text = (
        "\n".join(found) if isinstance(found[0], str) else "\n".join(" ".join(map(str, one)) for one in found)
    )
    for hint in ("'reserved'", "'reject'", "'newest_report'", "'names_per_correction'"):
        assert f"did you mean {hint}?" in text
    assert "subjects.words[0]" in text
    assert "quota.names_per_correction" in text


def test_a_rule_cannot_take_the_name_of_a_built_in_check() -> None:
    for name in ("reserved-subject", "reach"):
        with pytest.raises(PolicyError, match="built-in rule"):
            parse_policy(
                SMALLEST.replace(
                    "rules:\n", f"rules:\n  - {{id: {name}, match: {{tag: x}}, route: hold, why: why}}\n"
                ),
                name="p",
            )


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("route: memory, approvals: 2", "approvals has no effect on route memory"),
        ("route: reject, approvers: [anna]", "approvers has no effect on route reject"),
        ("route: weights, approval_ttl_s: 5", "approval_ttl_s has no effect on route weights"),
        ("route: hold, approvals: 0", "greater than or equal to 1"),
        ("route: hold, approvals: 21", "less than or equal to 20"),
        (
            "route: hold, approvals: 3, approvers: [anna, bob]",
            "3 approvals can never be reached with 2 approvers",
        ),
        ("route: hold, approvals: 2, approvers: [anna, anna]", "can never be reached with 1 approvers"),
        ("route: hold, approvers: []", "empty: give at least one entry"),
        ("route: hold, approvers: [Anna]", "pattern"),
        ("route: hold, approval_ttl_s: 0", "greater than 0"),
    ],
)
def test_approvals_are_checked(rule: str, why: str):
    text = f"apiVersion: guardedit/v1\nrules:\n  - {{id: all, {rule}, why: all of it}}\n"
    with pytest.raises(PolicyError) as error:
        parse_policy(text, name="p")
    assert why in str(error.value)
