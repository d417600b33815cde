"""Conditions: what compiles, what has a value, and that an error is never taken for true."""

from __future__ import annotations

import math
import pickle

import pytest

from guardedit.core.correction import Correction, Provenance
from guardedit.core.errors import PolicyError
from guardedit.policy.expr import MAX_EXPRESSION_BYTES, Condition
from guardedit.policy.variables import VARIABLES, DecisionContext, read_variables

CORRECTION = Correction(
    id="1",
    subject="Ada",
    prompt="{} was born in",
    target_new="New York",
    tags=("a", "b"),
    provenance=Provenance(confidence=0.5, source="wiki"),
)
VALUES = read_variables(CORRECTION, DecisionContext(now_s=1_000.0, subject_edits_24h=3))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("confidence < 0.7", True),
        ("target_words > 6", False),
        ("'a' in tags", True),
        ("tags.exists(t, t.startsWith('c'))", False),
        ("subject_is_first && !has_expiry", True),
        ("valid_for_s > 1e9", True),
        ("age_s > 0.0 || age_s <= 0.0", False),  # unknown is NaN, and NaN compares false
        ("true || 1 / 0 == 1", True),
        ("subject_edits_24h >= 3", True),
    ],
)
def test_a_condition_is_true_or_false(text: str, expected: bool) -> None:
    assert Condition(text).holds(VALUES) is expected


@pytest.mark.parametrize(
    "text",
    [
        "1 / 0 == 1",
        "9223372036854775807 + target_words > 0",
        "tags[5] == 'x'",
        "subject.matches('(')",
        "{'a': 1}.b == 2",
        "tags.exists(t, 1 / 0 == 1)",
        "(1 / 0 == 1) ? true : false",
        "timestamp('yesterday') < timestamp('today')",
        "int(1e300) > 2",
        "dyn(target_words) == 2 && dyn(subject) > 1",
    ],
)
def test_an_error_value_is_raised_and_never_read_as_true(text: str) -> None:
    with pytest.raises(PolicyError, match="has no value"):
        Condition(text).holds(VALUES)


def test_a_missing_or_wrongly_typed_value_is_an_error_too() -> None:
    with pytest.raises(PolicyError, match="confidence"):
        Condition("confidence < 0.7").holds({})
    with pytest.raises(PolicyError, match="confidence"):
        Condition("confidence < 0.7").holds({"confidence": "high"})


def test_a_condition_that_loops_too_long_is_an_error() -> None:
    digits = "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"
    text = "target_words > 0"
    for name in "abcdef":
        text = f"{digits}.all({name}, {text})"
    with pytest.raises(PolicyError, match="has no value"):
        Condition(text).holds(VALUES)


def test_an_unknown_name_gets_a_caret_and_a_suggestion() -> None:
    with pytest.raises(PolicyError) as caught:
        Condition("subject == 'x' &&\n  confidnce < 0.5")
    lines = str(caught.value).splitlines()
    assert lines[0] == "undeclared reference to 'confidnce'; did you mean 'confidence'?"
    assert lines[1] == "      confidnce < 0.5"
    assert lines[2].index("^") == lines[1].index("confidnce")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("confidence < 1", "1.0 for a double"),
        ("target_words", "is a int, not a bool"),
        ("dyn(has_expiry)", "not a bool"),
        ("target_words >", "Syntax error"),
        ("", "empty"),
        ("  \n", "empty"),
        ("true" + " && true" * 300, "2404 bytes"),
        ("(" * 900 + "true" + ")" * 900, "recursion"),
        ("subject == '\ud800'", "not valid Unicode"),
    ],
)
def test_what_cannot_be_compiled_is_a_policy_error(text: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message.replace("(", r"\(")):
        Condition(text)


def test_an_expression_at_the_limit_compiles() -> None:
    text = "true" + " " * (MAX_EXPRESSION_BYTES - 4)
    assert Condition(text).holds(VALUES)


def test_a_condition_travels_by_its_text() -> None:
    condition = Condition("confidence < 0.7")
    copy = pickle.loads(pickle.dumps(condition))
    assert copy == condition
    assert hash(copy) == hash(condition)
    assert copy.holds(VALUES)


@pytest.mark.parametrize("name", VARIABLES)
def test_every_variable_has_the_type_it_declares(name: str) -> None:
    text = {
        "bool": f"{name} || !{name}",
        "int": f"{name} >= 0",
        "double": f"{name} >= 0.0 || {name} < 0.0 || {name} != {name}",
        "string": f"{name}.size() >= 0",
        "list(string)": f"{name}.all(t, t.size() > 0)",
    }[VARIABLES[name].type]
    assert Condition(text).holds(VALUES)
    assert Condition(text).holds(read_variables(CORRECTION, DecisionContext(now_s=math.inf)))
