from __future__ import annotations

import pytest

from guardedit.cli.terminal.lists import layers_in, names_in, numbers_in
from guardedit.core.errors import UsageError


def test_nothing_given_is_an_empty_list():
    assert names_in(None) == names_in(" , ") == ()
    assert numbers_in("--sizes", None) == numbers_in("--sizes", "") == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1,many", "is not a list of numbers: write them as 1,8,64"),
        ("8,0", "holds 0: the smallest allowed is 1"),
        ("1,1.5", "is not a list of numbers"),
        ("1,inf", "is not a list of numbers"),
        ("1,1000001", "holds 1000001: the largest allowed is 1000000"),
    ],
)
def test_a_wrong_number_is_named_with_its_option(text, problem):
    with pytest.raises(UsageError, match=f"^--sizes '{text}' {problem}"):
        numbers_in("--sizes", text, at_least=1)


def test_a_large_number_can_be_written_short():
    assert numbers_in("--facts", "1e3,20,1E6") == (1_000, 20, 1_000_000)


def test_layers_are_all_or_numbers_from_0():
    assert (layers_in(" all "), layers_in("0,2")) == (None, (0, 2))
    for text in ("", "1,two", "-1"):
        with pytest.raises(UsageError, match="neither all nor a list of layers"):
            layers_in(text)
