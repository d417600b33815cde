"""The list of English words, and how it is made."""

from __future__ import annotations

import pytest

from guardedit.memory.names.english import WORDS, is_common, is_known
from guardedit.memory.names.word_list import main


@pytest.mark.parametrize("word", ["the", "who", "river", "owner", "headquarters", "brown", "capital", "born"])
def test_common_words_are_in_the_list(word):
    assert is_common(word)
    assert is_known(word)


@pytest.mark.parametrize("word", ["maria", "johnson", "paris", "germany"])
def test_names_are_known_but_not_common(word):
    assert not is_common(word)
    assert is_known(word)


@pytest.mark.parametrize("word", ["einstien", "volkswaagen", "mircosoft", "velmora", ""])
def test_no_misspelling_is_known(word):
    assert not is_known(word)


def test_the_list_is_sorted_and_holds_each_word_once():
    lines = WORDS.read_text(encoding="utf-8").splitlines()
    assert lines == sorted(set(lines))


def test_it_is_made_from_texts_without_the_first_words_of_sentences(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(
        "Ships sail. So the river met Anna there. "
        * 12
        + "An owl met Bob. An owl saw Bob. An owl heard Bob. He saw Mark, Mark "
        "and Mark."
    )
    main([str(text), "--out", str(tmp_path / "words.txt")])
    assert (tmp_path / "words.txt").read_text().split() == [
        "Anna", "Mark", "met", "owl?", "river", "sail", "the", "there",
    ]  # fmt: skip
