"""Reading YAML: the core schema of 1.2, places of everything, and what is refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardedit.policy.read import Place, read_yaml


def test_plain_scalars_follow_the_core_schema_of_yaml_1_2() -> None:
    text = (
        "[no, on, 12:30:00, 0777, 0o17, 0x1F, 1e-3, .5, 1_000, 2026-01-01, -.inf, ~, true, '7', -0, "
        "99999999999999999999999]"
    )
    assert read_yaml(text).data == [
        *("no", "on", "12:30:00"),
        *(777, 15, 31, 0.001, 0.5),
        *("1_000", "2026-01-01", -math.inf, None, True, "7", 0),
        1e23,
    ]
    assert math.isnan(read_yaml(".nan").data)


def test_keys_and_values_have_their_places() -> None:
    reading = read_yaml("a: 1\nb:\n  - c: x\n    d: |\n      long\n")
    assert reading.data == {"a": 1, "b": [{"c": "x", "d": "long\n"}]}
    assert reading.keys[("b", 0, "d")] == Place(4, 5)
    assert reading.values[("a",)] == Place(1, 4)
    assert reading.problems == []


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", Place(3, 1), "already given in line 1"),
        ("a: &x 1\n", Place(1, 4), "anchor &x"),
        ("a: !!str 1\n", Place(1, 4), "tag"),
        ("a: !python/object:os.system 1\n", Place(1, 4), "tag"),
        ("a: &x [1]\nb: *x\n", Place(2, 4), "alias *x"),
        ("!!str a: 1\n", Place(1, 1), "anchor or a tag"),
        ("%YAML 1.1\n---\na: no\n", Place(2, 1), "directives"),
        ("a: 1\n---\nb: 2\n", Place(2, 1), "second document"),
        ("? [a, b]\n: 1\n", Place(1, 3), "not a text"),
        ("a: [1\n", Place(2, 1), "not YAML"),
        ('a: "\\ud800"\n', Place(1, 4), "U+D800"),
        ('a: "\\0"\n', Place(1, 4), "U+0000"),
        ("a: \x01", Place(1, 1), "not YAML"),
        ("a: " + "[" * 40 + "]" * 40, Place(1, 20), "nested deeper"),
    ],
)
def test_what_a_policy_has_no_use_for_is_refused_where_it_stands(
    text: str, place: Place, message: str
) -> None:
    problems = read_yaml(text).problems
    assert any(p.place == place and message in p.message for p in problems), problems


def test_the_first_of_repeated_keys_is_kept() -> None:
    assert read_yaml("a: 1\na: 2\n").data == {"a": 1}


def test_an_alias_bomb_is_refused_without_being_expanded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    reading = read_yaml("\n".join(lines))
    assert sum(p.message.startswith("alias") for p in reading.problems) == 72


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-?[]{}&*!|>'\"%#\n \t,0.\\ux\ud800\x00é"), max_size=40))
def test_any_text_is_read_or_explained(text: str) -> None:
    reading = read_yaml(text)
    assert reading.data is None or not any("not YAML" in p.message for p in reading.problems)
