"""The memory with the judge: which facts it gives to which questions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guardedit.core.epoch import Change
from guardedit.core.errors import MemoryIndexError
from guardedit.core.fact import Fact, FactKey
from guardedit.memory import RetrievalMemory, ScopeThresholds
from guardedit.memory.encoder import SentenceEncoder
from guardedit.memory.judge.trained import TrainedJudge


def fact(subject: str, prompt: str, target: str) -> Fact:
    wording = prompt.replace("{}", subject)
    return Fact(
        key=FactKey(subject, prompt), version=1, correction_id=wording, wordings=(wording,), target=target
    )


@pytest.fixture(scope="module")
def memory() -> RetrievalMemory:
    judge = TrainedJudge.load()
    memory = RetrievalMemory(SentenceEncoder.load(), judge.thresholds(ScopeThresholds.load()), judge)
    facts = [
        fact("Klara Odenwald", "{} was born in", "Turin"),
        fact("Klara Odenwald", "{} was born on", "3 May 1960"),
        fact("Klara Odenwald", "The employer of {} is", "Norvik Glass"),
        fact("Twitter", "{} is owned by", "Sony"),
        fact("Albert Einstein", "{} is a citizen of", "Brazil"),
    ]
    memory.apply([Change(one.key, one) for one in facts])
    return memory


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("Klara Odenwald was born in", "Turin"),
        ("Where was Klara Odenwald born?", "Turin"),
        ("When was Klara Odenwald born?", "3 May 1960"),
        ("who does klara odenwald work for", "Norvik Glass"),
        ("Who owns Twitter?", "Sony"),
        ("What nationality is Einstein?", "Brazil"),
        ("Who used to own Twitter?", None),
        ("When did Klara Odenwald die?", None),
        ("How many employees does Twitter have?", None),
        ("Who painted the Mona Lisa?", None),
    ],
)
def test_a_question_gets_the_fact_that_it_asks_for(memory, question, wanted):
    found = memory.recall([question])[0]
    assert (found.fact.target if found.fact else None) == wanted, found


def test_two_questions_in_one_get_both_facts(memory):
    found = memory.recall(["Who owns Twitter and where was Klara Odenwald born?"])[0]
    assert [one.fact.target for one in found.found] == ["Sony", "Turin"]


def test_a_question_in_the_words_of_a_fact_is_sure(memory):
    assert memory.recall(["The employer of Klara Odenwald is"])[0].score == 1.0


def test_thresholds_and_judge_must_belong_together(memory):
    encoder, judge, plain = SentenceEncoder.load(), TrainedJudge.load(), ScopeThresholds.load()
    with pytest.raises(MemoryIndexError, match="for judge none"):
        RetrievalMemory(encoder, plain, judge)
    with pytest.raises(MemoryIndexError, match="this one is none"):
        RetrievalMemory(encoder, judge.thresholds(plain))
    with pytest.raises(MemoryIndexError, match="for encoder"):
        RetrievalMemory(encoder, replace(plain, encoder_sha256="0" * 64))
