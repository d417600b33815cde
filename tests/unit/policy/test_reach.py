"""The names that a correction can change answers about."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardedit.core.correction import Correction
from guardedit.naming import name_of
from guardedit.policy.reach import charged, reach


def told(*prompts: str, **given: str) -> Correction:
    body = {"id": "a", "subject": "York", "target_new": "Lima", **given}
    return Correction(prompt=prompts[0], paraphrases=prompts[1:], **body)  # type: ignore[arg-type]  # a shorthand


@pytest.mark.parametrize(
    ("prompt", "others"),
    [
        ("What is the capital of {}?", []),
        ("{} is not New York; it lies in", ["new york"]),
        ("New York is not {}, which lies in", ["new york"]),
        ("Where does {} lie? It lies in", []),
        ("{}. The mother tongue of Danielle Darrieux is", ["danielle darrieux"]),
        ("{}. Stelco is based in", ["stelco"]),
        ("In 1990, {} was part of", ["1990"]),
        ("Is {} in St. Louis? Jean-Luc O'Brien says it lies in", ["jean - luc o ' brien", "st . louis"]),
        ("The firms Smith & Sons and Acme left {} for", ["acme", "smith & sons"]),
        ("I say that {} lies in", []),
        ("The twin of Lima is {}, the heart of Old Lima is", ["old lima"]),
        ("{} and York lie in", []),
        ("Question: Where does {} lie? Answer:", []),
        ("Q: {} lies where? A:", []),
    ],
)
def test_names_are_what_looks_like_one_but_for_the_answers(prompt, others):
    assert reach(told(prompt)) == ("york", *others)


def test_known_names_count_however_they_are_written():
    known = {name_of(name) for name in ("Stelco", "東京", "York", "Zürich")}
    found = reach(told("stelco and {} lie in", "東京の{}は", "Zu\u0308rich, {} and YORK are in"), known)
    assert found == ("york", "stelco", "zürich", "東 京")


def test_aliases_are_reached_and_charged():
    named = Correction(
        id="a", subject="York", prompt="{} lies in", target_new="Lima", aliases=("Eboracum", "YORK")
    )
    assert reach(named) == charged(named) == ("york", "eboracum")


def test_the_old_answer_is_no_name_that_is_reached():
    assert reach(told("{}, once in New Leeds, is now in", target_true="New Leeds")) == ("york",)
    assert reach(told("{}, once in New Leeds, is now in")) == ("york", "new leeds")


def test_a_word_that_a_thousand_wordings_share_is_charged_to_nobody():
    shared = told("The English title of {} in 1990 was", "{} of Stelco and New York is")
    assert reach(shared) == ("york", "1990", "english", "new york", "stelco")
    assert charged(shared) == ("york", "new york")
    assert charged(shared, {name_of("Stelco")}) == ("york", "new york", "stelco")


def test_a_name_counts_once_however_many_wordings_mention_it():
    assert reach(told(*(f"{{}} of Peru, way {n * 'x'}" for n in range(1, 9)))) == ("york", "peru")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=8))
def test_any_wording_has_a_reach_that_begins_with_the_subject(before, behind, subject):
    found = reach(told(f"{before}{{}}{behind}", subject=subject), {name_of("a"), name_of(behind)})
    assert len(found) == len(set(found)) >= 1
    assert found == reach(told(f"{before}{{}}{behind}", subject=subject), {name_of("a"), name_of(behind)})
