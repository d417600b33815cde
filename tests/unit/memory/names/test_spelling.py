"""Words found by words that are spelt almost like them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from guardedit.memory.names.spelling import LONG, SHORTEST, SpellingIndex


def near(word: str, *known: str) -> dict[str, int]:
    index = SpellingIndex()
    index.add(known)
    return index.near(word)


@pytest.mark.parametrize(
    ("word", "known", "wrong"),
    [
        ("oslow", "oslor", 1),  # replaced
        ("velmra", "velmora", 1),  # left out
        ("velmoora", "velmora", 1),  # added
        ("vemlora", "velmora", 1),  # swapped
        ("einstien", "einstein", 1),
        ("mircosoft", "microsoft", 1),
        ("volkswaagen", "volkswagen", 1),
        ("volkswegan", "volkswagen", 2),
        ("microsfot", "microsoft", 1),
        ("microsftt", "microsoft", 2),
    ],
)
def test_a_word_with_a_letter_or_two_wrong_is_near(word, known, wrong):
    assert near(word, known, "another", "stranger") == {known: wrong}


@pytest.mark.parametrize(
    ("word", "known"),
    [
        ("velmora", "velmora"),  # right
        ("valmara", "velmora"),  # two letters of seven
        ("felmora", "velmora"),  # the first letter
        ("oslo", "osla"),  # too short
        ("volksvegan", "volkswagen"),  # three letters
        ("mcrosfot", "microsoft"),  # wrong at both ends
        ("n57abc", "n52abc"),  # with digits
        ("australian", "australia"),
        ("volkswagens", "volkswagen"),
        ("australia", "australian"),
    ],
)
def test_another_word_is_not(word, known):
    assert near(word, known) == {}


def test_a_removed_word_is_found_no_more():
    index = SpellingIndex()
    index.add(["velmora", "velmora", "einstein"])
    index.remove(["velmora"])
    assert index.near("velmra") == {"velmora": 1}
    index.remove(["velmora", "einstein"])
    assert index.near("velmra") == {}
    assert vars(index) == vars(SpellingIndex())


@given(st.text("abcd", min_size=SHORTEST, max_size=LONG - 1), st.text("abcd", min_size=4, max_size=LONG))
def test_every_word_with_one_letter_wrong_is_found(known, word):
    wrong = OSA.distance(word, known)
    if wrong == 1 and word[0] == known[0]:
        assert near(word, known) == {known: 1}
    else:
        assert near(word, known) == {}


@given(st.text("abcdefgh", min_size=LONG, max_size=14), st.data())
def test_a_long_word_is_found_with_a_letter_wrong_anywhere_but_in_front(known, data):
    at = data.draw(st.integers(1, len(known) - 1))
    word = f"{known[:at]}x{known[at + 1 :]}"
    assert near(word, known) == {known: 1}
