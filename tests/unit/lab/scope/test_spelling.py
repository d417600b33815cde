"""Other spellings of a subject."""

from __future__ import annotations

import random

import pytest

from guardedit.lab.scope.spelling import misspelt, surname, typography


@pytest.mark.parametrize(
    ("subject", "last"),
    [
        ("Ada Lindqvist", "Lindqvist"),
        ("J. B. Priestley", "Priestley"),
        ("Fifi D'Orsay", "D'Orsay"),
        ("Émile Zola", "Zola"),
        ("Appian", None),
        ("Constantine the Great", None),
        ("Li Po", None),  # too short to be sure
        ("William Wills, 1st Baron Winterstoke", None),
    ],
)
def test_a_surname_is_the_last_word_of_a_person_s_name(subject, last):
    assert surname(subject) == last


def test_a_slip_changes_one_word_but_not_its_first_letter():
    rng = random.Random(0)
    wrong = [misspelt("Volkswagen of Oslo", rng) for _ in range(200)]
    found = [text for text in wrong if text is not None]

    assert len(set(found)) > 15
    assert all(
        text != "Volkswagen of Oslo" and text[0] == "V" and text.endswith(" of Oslo") for text in found
    )
    assert {len(text) - len("Volkswagen of Oslo") for text in found} == {-1, 0, 1}
    assert None not in [misspelt("Volkswagen", rng) for _ in range(50)]  # no two equal letters side by side


def test_the_same_seed_makes_the_same_slips():
    assert misspelt("Massachusetts", random.Random(3), slips=2) == misspelt(
        "Massachusetts", random.Random(3), slips=2
    )


def test_a_short_word_is_left_alone():
    assert misspelt("Oslo", random.Random(0)) is None


def test_typography_names_only_what_changes():
    assert typography("Oslo") == {}
    assert typography("The L'Oréal-Group") == {
        "article": "L'Oréal-Group",
        "hyphen": "The L'Oréal Group",
        "accent": "The L'Oreal-Group",
        "apostrophe": "The L\u2019Oréal-Group",
    }
    assert typography("Theodor") == {}
