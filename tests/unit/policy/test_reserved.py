"""Words that are no subject, and names that look a little like them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardedit.policy.reserved import why_reserved

RESERVED = [
    "of", "Of", "OF", "ＯＦ", "o\u200df", " of ", "of.", "'of'", "of the", "Of The", "is a", "who is it",
    "is", "It", "what", "It’s", "don't", "n’t", "'s", "der", "Die", "où", "qué", "è", "não", "het", "l’",
    "の", "から", "です", "的", "什么", "은", "에서",
    "x", "X", "é", "e\u0301", "7", "٧", "क", "ก", "か", "x.", "(x)",
    "", "...", "?!", "-", "—", "™", "©", "$", "→", "\u200b", "\u0301",
]  # fmt: skip
NAMES = [
    "Oslo", "York", "The Who", "Who Is It", "US", "U.S.", "USA", "UN", "C++", "C#", "X-Men", "1984",
    "東", "김", "東京", "さくら", "राम", "ไทย", "👩‍🚀", "❤️", "🇩🇪", "42", "A1",
    "Ofelia", "Island", "Seine", "Como", "Dr. No", "O'Brien", "علی‌رضا",
]  # fmt: skip


@pytest.mark.parametrize("subject", RESERVED)
def test_what_stands_in_every_sentence_or_says_nothing_is_no_subject(subject):
    assert why_reserved(subject)


@pytest.mark.parametrize("subject", NAMES)
def test_a_name_is_a_subject(subject):
    assert why_reserved(subject) == ""


def test_the_operator_adds_words_in_any_spelling():
    assert why_reserved("ACME  corp", ["Acme Corp"]) == "is reserved by the policy"
    assert why_reserved("Acme", ["Acme Corp"]) == ""
    assert (why_reserved("US"), why_reserved("US", ["us"])) == ("", "is reserved by the policy")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=10))
def test_every_text_is_one_or_the_other(subject):
    assert isinstance(why_reserved(subject, [subject]), str)
    assert why_reserved(subject, [subject])
