"""Questions, their places and their fingerprint."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from guardedit.core.probe import Probes, Question, QuestionKind

QUESTION = Question(prompt="The capital of Peru is", kind=QuestionKind.OTHER_SUBJECT, expected="Lima")


def test_a_fingerprint_without_leads_is_that_of_older_ledgers():
    probes = Probes(texts=("A.",), questions=(QUESTION,))
    body = [["A."], [["The capital of Peru is", "other_subject", "Lima"]]]
    assert probes.sha256 == hashlib.sha256(json.dumps(body).encode()).hexdigest()
    assert replace(probes, questions=(replace(QUESTION, lead="It is"),)).sha256 != probes.sha256


def test_only_a_question_with_an_expected_answer_has_a_place_for_it():
    assert replace(QUESTION, lead="It is").span == ("The capital of Peru is", "It is", "Lima")
    assert replace(QUESTION, expected=None).span is None


def test_messages_name_what_a_person_asked():
    assert replace(QUESTION, asked="Peru?").wording == "Peru?"
    assert QUESTION.wording == QUESTION.prompt
