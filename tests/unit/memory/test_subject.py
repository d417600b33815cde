"""Names in texts: whole words, the longest known name, and names that go on."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardedit.memory.subject import MASK, mask_names, masked, word_overlap
from guardedit.naming import find_mentions, name_of


def mentions(text: str, *subjects: str):
    known = {name_of(subject) for subject in subjects}
    return find_mentions(text, known, longest=max(map(len, known)))


@pytest.mark.parametrize(
    ("text", "subject", "found"),
    [
        ("Ada was born in", "Ada", 1),
        ("Adamant was born in", "Ada", 0),
        ("What is ADA's job?", "Ada", 1),
        ("The sons of St. Louis", "St. Louis", 1),
        ("Beyoncé sings, beyoncé dances", "BEYONCÉ", 2),
        ("C++ was made by", "C++", 1),
        ("C was made by", "C++", 0),
        ("東京の人口は", "東京", 1),
        ("", "Ada", 0),
    ],
)
def test_a_name_is_found_as_whole_words(text: str, subject: str, found: int):
    assert len(mentions(text, subject)) == found


@pytest.mark.parametrize(
    ("text", "extended"),
    [
        ("Paris Hilton was born in", True),
        ("The father of Paris Hilton is", True),
        ("The mayor of Old Paris is", True),
        ("In the Province of Paris people speak", True),
        ("Paris-Nice was won by", True),
        ("Paris 2 was released in", True),
        ("Is Paris big?", False),
        ("The mayor of Paris is", False),
        ("In Paris, People vote", False),
        ("WHERE IS PARIS NOW", False),
        ("It rains. Is Paris asleep?", False),
        ("It rains. Old Paris sleeps", True),
        ("New Paris lies in", True),
    ],
)
def test_a_name_that_seems_to_go_on_is_marked(text: str, extended: bool):
    (mention,) = mentions(text, "Paris")
    assert mention.extended is extended


def test_a_known_longer_name_hides_the_shorter_inside_it():
    found = mentions("Paris Hilton flew to Paris", "Paris", "Paris Hilton")
    assert [" ".join(mention.name) for mention in found] == ["paris hilton", "paris"]
    assert masked("Paris Hilton flew to Paris", [(21, 26)]) == f"Paris Hilton flew to {MASK}"


def test_overlapping_names_are_both_found():
    found = mentions("New York City is", "New York", "York City")
    assert len(found) == 2


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=30), st.text(max_size=12))
def test_any_text_and_any_subject_can_be_masked(text: str, subject: str):
    result = mask_names(text, [subject])
    if not name_of(subject):
        assert result == text


def test_overlap_is_undisturbed_by_case_and_signs_and_is_zero_for_nothing():
    assert word_overlap("The job of someone is", "the JOB of someone is:") == 1
    assert word_overlap("someone sings", "someone paints") == 0
    assert word_overlap("someone", "someone") == 0
