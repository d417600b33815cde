"""Where the first sentence of an answer ends, and whether a name stands in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardedit.naming import answer_end, contains_name, first_sentence, name_at

WORDS = st.lists(st.sampled_from(["Rome", "the", "New", "York", "D.C", "3.5", "é", "東京"]), max_size=6)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Russian, fluent in English, and more", "Russian"),
        ("Russian, fluent in English, and more", "English"),
        ("It is Washington D.C. today", "Washington D.C."),
        ("It is Washington D.C", "Washington D.C."),
        ("St. Louis. It lies", "St. Louis"),
        ("E. coli is a bacterium", "E. coli"),
        ("Yahoo! was sold", "Yahoo!"),
        ("C++ and Java", "C++"),
        ("the Toyota Motor Corporation", "Toyota"),
        ("In the Kingdom of Spain", "Spain"),
        ("\n\n PARIS\nLyon", "Paris"),
        ("in New York City", "New York"),
        ("born on 5 May 1990.", "5 May 1990"),
        ("about 3.5 million", "3.5 million"),
        ("巴黎。", "巴黎"),
        ("Zürich Hbf", "zürich"),
        ("в городе Москва.", "Москва"),
        ("from lake Como", "Como"),
    ],
)
def test_a_name_stands_in_the_first_sentence(text, name):
    assert contains_name(text, name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Lyon. Paris is larger", "Paris"),
        ("Lyon\nParis", "Paris"),
        ("Lyon! Paris", "Paris"),
        ("Is it? Paris", "Paris"),
        ("里昂。巴黎", "巴黎"),
        ("ल्योन। पेरिस", "पेरिस"),
        ("New York", "York"),
        ("St. Louis", "Louis"),
        ("Mt. Rushmore", "Rushmore"),
        ("Saint-Denis", "Denis"),
        ("Annexed", "Annex"),
        ("3.5 million", "3"),
        ("3.5 million", "5 million"),
        ("1,990 people", "990 people"),
        ("1990s", "1990"),
        ("in 1990-1995", "1990"),
        ("C is older", "C++"),
        ("東京都", "京都"),
        ("в Москве", "Москва"),
        ("Paris", "Paris Hilton"),
        ("", "Paris"),
    ],
)
def test_a_name_does_not_stand_in_the_first_sentence(text, name):
    assert not contains_name(text, name)


@given(WORDS, WORDS)
def test_only_the_first_sentence_counts(first, second):
    sentence = " ".join(first)
    assert contains_name(f"{sentence}, zebra.\n{' '.join(second)}", "zebra")
    assert not contains_name(f"{sentence} is.\n{' '.join(second)} zebra", "zebra")


@given(WORDS)
def test_the_first_sentence_begins_the_text_and_is_not_longer_than_the_answer(words):
    text = " ".join(words)
    assert text.strip().startswith(first_sentence(text))
    assert len(first_sentence(text)) <= len(text[: answer_end(text, final=True)])


def test_the_place_is_that_of_the_first_whole_mention():
    assert name_at("New York, then York", "York") == 15
    assert name_at("Rome. York", "York") is None
