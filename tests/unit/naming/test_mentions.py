"""Where names stand in a text: whole, in any spelling, in scripts with and without spaces."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardedit.naming import Mention, find_mentions, last_span, name_of


def mentions(text: str, *subjects: str) -> list[Mention]:
    known = {name_of(subject) for subject in subjects}
    return find_mentions(text, known, longest=max(map(len, known)))


def test_the_cases_of_the_folder_names_are_found_and_another_word_is_not():
    told = ("Zürich", "Guns N' Roses", "राम")
    for asked in ("The mayor of Zürich is", "The singer of Guns N’ Roses is", "राम का जन्म स्थान है"):
        for form in ("NFC", "NFD"):
            (found,) = mentions(unicodedata.normalize(form, asked), *told)
            assert not found.extended
    assert mentions("रामायण का जन्म स्थान है", *told) == []


def test_places_refer_to_the_text_as_given():
    text = unicodedata.normalize("NFD", "Who is Zoë d’Été’s é?")
    (found,) = mentions(text, "Zoë d'Été")
    assert unicodedata.normalize("NFC", text[found.start : found.end]) == "Zoë d’Été"


@pytest.mark.parametrize(
    ("text", "subject", "found"),
    [
        ("東京の人口は", "東京", 1),
        ("IBM的总裁是谁", "IBM", 1),
        ("ไทยมีเมืองหลวงชื่อ", "ไทย", 1),
        ("เมืองหลวงของไทยคือ", "ไทย", 1),
        ("ลาวาร้อน", "ลาว", 0),  # the vowel belongs to the last consonant
        ("เกาะ", "กา", 0),  # so does one that is written before
        ("မြန်မာနိုင်ငံ", "မြန်မာ", 1),
        ("မြန်မာ", "မြ", 0),
        ("ភ្នំពេញ", "ភ", 0),
        (unicodedata.normalize("NFD", "서울의 시장은"), "서울", 1),
        ("دولت مُحَمَّد", "محمد", 1),
        ("محمدی", "محمد", 0),
        ("می‌خواهم", "می", 0),
        ("İSTANBUL'un başkanı", "istanbul", 1),
        ("the 👩‍🚀 job", "👩", 0),
        ("the 👩‍🚀 job", "👩‍🚀", 1),
        ("㍿とは", "会社", 0),  # one character is never cut
        ("ＹＯＲＫ lies in", "York", 1),
        ("It’s Karl\u00adstad’s", "Karlstad", 1),
    ],
)
def test_a_name_is_found_whole(text, subject, found):
    assert len(mentions(text, subject)) == found


@pytest.mark.parametrize(
    ("text", "subject", "extended"),
    [
        ("東京の人口は", "東京", False),
        ("東京都の人口は", "東京", True),
        ("東京都の人口は", "京都", True),
        ("東京タワーの高さは", "東京", True),
        ("パリは", "パリ", False),
        ("パリスは", "パリ", True),
        ("ベラルーシアの", "ルーシア", True),
        ("トヨタ自動車の", "トヨタ", True),
        ("北京的市长是", "北京", False),
        ("谁是北京的市长", "北京", False),
        ("北京大学在哪里", "北京", True),
        ("中国的首都", "国", True),
        ("東京2020の", "東京", True),
        ("서울의 시장은", "서울", False),
        ("남서울의 시장은", "서울", True),
        ("서울대학교의 총장은", "서울", True),
        ("さくらの花", "さくら", False),
        ("さくらんぼの", "さくら", True),
        ("Saint‑Paris is", "Paris", True),
        ("Pat O’Brien is", "Brien", True),
        ("The mayor of l’Aquila is", "Aquila", False),
    ],
)
def test_a_name_that_may_be_part_of_a_longer_one_is_doubtful(text, subject, extended):
    (found,) = mentions(text, subject)
    assert found.extended is extended


def test_a_longer_known_name_wins_in_a_script_without_spaces():
    found = mentions("東京都の人口は", "東京", "東京都")
    assert ["".join(mention.name) for mention in found] == ["東京都"]


def test_the_last_whole_occurrence_is_where_an_unknown_place_is_looked_for():
    assert last_span("Annexed Anne by Annex", "ANNE") == (8, 12)
    assert last_span("York is not New York", "York") == (16, 20)
    assert last_span("Annexed", "Anne") is None
    assert last_span("Anne", "") is None


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=20), st.text(max_size=4), st.text(max_size=20))
def test_any_text_can_be_searched_for_any_name(before, subject, behind):
    text = f"{before} {subject} {behind}"
    found = mentions(text, subject)
    assert bool(found) == bool(name_of(subject))
    for mention in found:
        assert name_of(text[mention.start : mention.end]) == mention.name
