"""How a fact becomes keys and masked wordings."""

from __future__ import annotations

from guardedit.core.correction import Correction
from guardedit.core.fact import Fact
from guardedit.memory.shelf import entry_of


def entry(subject: str, *prompts: str, relation: str = "P131"):
    told = Correction(
        id="a", subject=subject, prompt=prompts[0], paraphrases=prompts[1:], target_new="x", relation=relation
    )
    return entry_of(
        Fact(
            key=told.key,
            version=1,
            correction_id="a",
            wordings=told.wordings,
            target="x",
            subject_at=told.subject_at,
        )
    )


def test_the_subject_is_masked_where_it_was_put_and_as_a_question_would_be_masked():
    assert entry("York", "{} is not New York; it lies in").asked == (
        "someone is not New York; it lies in",
        "someone is not New someone; it lies in",
    )


def test_a_wording_that_names_the_subject_once_is_masked_once():
    assert entry("York", "{} lies in", "The county of {} is", relation="lies in").asked == (
        "someone lies in",
        "The county of someone is",
    )


def test_a_subject_that_is_part_of_a_word_is_masked_there_too():
    assert entry("राम", "{}ायण है").asked == ("someoneायण है",)
