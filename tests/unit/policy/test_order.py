"""Rules taken together: a rule is called unreachable only when it truly is."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardedit.policy.order import _glob_covers, order_problems

DEFAULT = {"id": "default"}


def unreachable(*rules: dict[str, object]) -> list[int]:
    found = order_problems([*rules, DEFAULT])
    return [problem.rule for problem in found if problem.message.startswith("unreachable")]


@pytest.mark.parametrize(
    ("earlier", "later", "dead"),
    [
        ({"match": {"source": "a*"}}, {"match": {"source": "ab*"}}, True),
        ({"match": {"source": "ab*"}}, {"match": {"source": "a*"}}, False),
        ({"match": {"source": ["a", "b"]}}, {"match": {"source": "b", "tag": "x"}}, True),
        ({"match": {"source": "a", "tag": "x"}}, {"match": {"source": "a"}}, False),
        ({"match": {"source": "a"}, "when": "x"}, {"match": {"source": "a"}}, False),
        ({"match": {"source": "a"}, "when": "x"}, {"match": {"source": "a"}, "when": "x"}, True),
        ({"match": {"source": "a"}}, {"match": {"source": "a"}, "when": "x"}, True),
        ({"when": "x"}, {"match": {"source": "a"}, "when": "x"}, True),
        ({"match": {"source": "*"}}, {"when": "x"}, False),  # equal in effect, but not decided
    ],
)
def test_a_rule_is_unreachable_when_an_earlier_one_always_fires_first(
    earlier: dict[str, object], later: dict[str, object], dead: bool
) -> None:
    assert unreachable(earlier, later) == ([1] if dead else [])


def test_everything_after_a_rule_without_condition_is_unreachable() -> None:
    assert unreachable({"id": "a"}, {"match": {"source": "b"}}) == [1, 2]


def test_malformed_rules_are_passed_over() -> None:
    assert order_problems([]) == []
    assert order_problems([1, None, {"id": 3}]) == []
    assert unreachable({"match": 5}, {"match": {"source": {"a": 1}}}, {"match": {"source": [1]}}) == []


@settings(max_examples=300, deadline=None)
@given(*[st.text(alphabet="ab*?[]", min_size=1, max_size=5)] * 2, st.text(alphabet="ab*?[]", max_size=6))
def test_a_covering_glob_matches_whatever_the_covered_one_matches(wide: str, narrow: str, text: str) -> None:
    if _glob_covers(wide, narrow) and fnmatchcase(text, narrow):
        assert fnmatchcase(text, wide)
