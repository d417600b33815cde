"""Questions find their facts in any spelling of the name, and other words do not match."""

from __future__ import annotations

import json
import unicodedata

import pytest

from guardedit.core.correction import decode_correction
from guardedit.core.epoch import Change
from guardedit.core.fact import Fact
from guardedit.memory.store import RetrievalMemory

#: The facts of the cases `names`, `joiners` and `subject-again-after-placeholder`, and two more.
CORRECTIONS = (
    ("Zürich", "The mayor of {} is", "Karsk", "mayor"),
    ("Guns N' Roses", "The singer of {} is", "Karsk", "singer"),
    ("राम", "{} का जन्म स्थान है", "Karsk", "P19"),
    ("علی\u200cرضا", "The birthplace of {} is", "Lima", "P19"),
    ("ශ්\u200dරී ලංකා", "The capital of {} is", "Colombo", "P36"),
    ("York", "{} is not New York; it lies in", "Lima", "P131"),
    ("東京", "{}の市長は", "Karsk", "mayor"),
    ("👩\u200d🚀", "The name of {} is", "astronaut", "P2561"),
)
FIELDS = ("subject", "prompt", "target_new", "relation")


@pytest.fixture(scope="module")
def stored(encoder) -> RetrievalMemory:
    memory = RetrievalMemory(encoder)
    corrections = [
        decode_correction(json.dumps(dict(zip(FIELDS, row, strict=True))).encode()) for row in CORRECTIONS
    ]
    memory.apply(
        [
            Change(
                one.key,
                Fact(
                    key=one.key,
                    version=1,
                    correction_id=one.id,
                    wordings=one.wordings,
                    target=one.target_new,
                    subject_at=one.subject_at,
                ),
            )
            for one in corrections
        ]
    )
    return memory


@pytest.mark.parametrize(
    ("question", "target"),
    [
        ("The mayor of Zürich is", "Karsk"),
        ("The mayor of ZÜRICH is", "Karsk"),
        ("The singer of Guns N’ Roses is", "Karsk"),
        ("The singer of guns n´  roses is", "Karsk"),
        ("राम का जन्म स्थान है", "Karsk"),
        ("The birthplace of علی\u200cرضا is", "Lima"),
        ("The birthplace of علیرضا is", "Lima"),
        ("The capital of ශ්රී ලංකා is", "Colombo"),
        ("York is not New York; it lies in", "Lima"),
        ("東京の市長は", "Karsk"),
        ("The name of 👩\u200d🚀 is", "astronaut"),
    ],
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_question_finds_its_fact_in_any_spelling(stored, question, target, form):
    (recall,) = stored.recall([unicodedata.normalize(form, question)])
    assert (recall.scope, recall.fact and recall.fact.target) == ("accept", target)


@pytest.mark.parametrize(
    "question",
    [
        "रामायण का जन्म स्थान है",
        "The mayor of Zurichberg is",
        "The capital of New York is",
        "New York lies in",
        "東京都の市長は",
        "The birthplace of علی is",
        "The name of 👩 is",
    ],
)
def test_another_word_is_not_answered_for(stored, question):
    (recall,) = stored.recall([question])
    assert recall.scope != "accept"


@pytest.mark.parametrize(
    "question", ["रामायण का जन्म स्थान है", "सीता का जन्म स्थान है", "रामायण के लेखक", "京都の市長は"]
)
def test_another_word_of_a_script_that_the_encoder_cannot_read_is_no_alias(stored, question):
    """The encoder reads it letter by letter, so any two sentences look similar."""
    (recall,) = stored.recall([question])
    assert (recall.scope, recall.fact) == ("out", None)


@pytest.mark.parametrize("subject", ["V\u0435lmora", "Velm\u043era", "\u0475elmora"])
def test_a_name_with_a_letter_of_another_alphabet_is_not_accepted_for_the_subject(memory, subject):
    (recall,) = memory.recall([f"The capital of {subject} is"])
    assert recall.scope != "accept"
