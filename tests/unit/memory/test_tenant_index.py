"""How a fact becomes keys and masked wordings."""

from __future__ import annotations

from dataclasses import replace

from guardedit.core.correction import Correction
from guardedit.core.fact import Fact
from guardedit.memory.tenant_index import entry_of


def entry(subject: str, *prompts: str, relation: str = "P131"):
    correction = Correction(
        id="a", subject=subject, prompt=prompts[0], paraphrases=prompts[1:], target_new="x", relation=relation
    )
    return entry_of(
        Fact(
            key=correction.key,
            version=1,
            correction_id="a",
            wordings=correction.wordings,
            target="x",
            subject_at=correction.subject_at,
        )
    )


def test_the_subject_is_masked_where_it_was_filled_in_and_at_every_mention():
    assert entry("York", "{} is not New York; it lies in").masked == (
        "someone is not New York; it lies in",
        "someone is not New someone; it lies in",
    )


def test_a_wording_that_names_the_subject_once_is_masked_once():
    assert entry("York", "{} lies in", "The county of {} is", relation="lies in").masked == (
        "someone lies in",
        "The county of someone is",
    )


def test_a_subject_that_is_part_of_a_word_is_masked_there_too():
    assert entry("राम", "{}ायण है").masked == ("someoneायण है",)


def test_aliases_are_masked_in_the_wordings_as_the_subject_is():
    plain = entry("United Kingdom", "The capital of {} is", "Who governs Britain, or {}?")
    named = entry_of(replace(plain.fact, aliases=("Britain",)))
    assert named.masked == (
        "The capital of someone is",
        "Who governs Britain, or someone?",
        "Who governs someone, or someone?",
    )
