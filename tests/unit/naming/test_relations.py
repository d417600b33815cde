"""Which statements contradict each other by a declared inverse."""

from __future__ import annotations

import pytest

from guardedit.core.fact import Fact, FactKey
from guardedit.naming import Relations, contradicted, key_name

DECLARED = Relations.of(
    ["borders", "contains"],
    [("capital", "capital of"), ("spouse", "spouse"), ("contains", "lies in"), ("borders", "borders")],
)


def fact(subject: str, relation: str, target: str) -> Fact:
    key = FactKey(subject, relation, target=target if DECLARED.is_many_valued(relation) else "")
    return Fact(key=key, version=1, correction_id="c", wordings=("?",), target=target)


@pytest.mark.parametrize(
    ("said", "live", "contradicts"),
    [
        (("Italy", "capital", "Paris"), ("Paris", "capital of", "France"), True),
        (("Italy", "capital", "Paris"), ("France", "capital", "Paris"), True),
        (("Paris", "capital of", "Italy"), ("France", "capital", "Paris"), True),
        (("France", "CAPITAL", "paris"), ("Paris", "Capital Of", "FRANCE"), False),
        (("France", "capital", "Lyon"), ("France", "capital", "Paris"), False),  # it is replaced
        (("France", "capital", "Lyon"), ("Paris", "capital of", "France"), True),
        (("Ada", "spouse", "Bob"), ("Bob", "spouse", "Ada"), False),
        (("Ada", "spouse", "Bob"), ("Bob", "spouse", "Eve"), True),
        (("Ada", "spouse", "Bob"), ("Eve", "spouse", "Bob"), True),
        (("France", "contains", "Paris"), ("France", "contains", "Lyon"), False),
        (("France", "contains", "Paris"), ("Italy", "contains", "Paris"), True),
        (("France", "contains", "Paris"), ("Paris", "lies in", "Italy"), True),
        (("France", "borders", "Spain"), ("Spain", "borders", "Portugal"), False),
        (("Italy", "mayor", "Paris"), ("Paris", "mayor of", "France"), False),  # not declared
    ],
)
def test_statements_contradict_each_other_by_a_functional_relation(said, live, contradicts):
    found = contradicted(fact(*said).key, said[-1], [fact(*live)], DECLARED)
    assert (found is not None) == contradicts


def test_without_declarations_nothing_is_contradicted():
    live = fact("Paris", "capital of", "France")
    assert contradicted(FactKey("Italy", "capital"), "Paris", [live], Relations()) is None


def test_keys_are_the_same_in_any_spelling_and_apart_by_tenant_and_target():
    apple = FactKey("Apple", "CEO")
    assert key_name(FactKey("\uff21\uff30\uff30\uff2c\uff25", "ceo")) == key_name(apple)
    for other in (
        FactKey("Apple", "CEO", "acme"),
        FactKey("Apple", "CEO", target="Ada"),
        FactKey("A", "CEO"),
    ):
        assert key_name(other) != key_name(apple)
