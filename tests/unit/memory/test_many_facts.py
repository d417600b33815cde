"""Many facts at once, one more of many, and input that is meant to do harm."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from guardedit.core.epoch import Change
from guardedit.core.errors import MemoryIndexError
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.lab.memory_scale.synthetic import WordModel, fact, named_question, unnamed_question
from guardedit.lab.memory_scale.timing import TimedModel
from guardedit.memory import store
from guardedit.memory.encoder import SentenceEncoder
from guardedit.memory.fact_sets import facts_sha256
from guardedit.memory.scope import ScopeThresholds
from guardedit.memory.store import RetrievalMemory
from guardedit.memory.subject import MOST_CHARACTERS, shortened
from guardedit.memory.tenant_index import entry_of, texts_of
from guardedit.serving.shard import MemoryShard
from guardedit.serving.sharded_facts import ShardedFacts

MANY = 1_200
FACTS = [fact(number) for number in range(MANY)]
QUESTIONS = [ask(number) for number in range(0, MANY, 9) for ask in (named_question, unnamed_question)]


@pytest.fixture
def model() -> TimedModel:
    timed = TimedModel(WordModel())
    timed.calls = []
    return timed


@pytest.fixture
def empty(model: TimedModel) -> RetrievalMemory:
    encoder = SentenceEncoder(model, sha256=WordModel.sha256)
    return RetrievalMemory(encoder, replace(ScopeThresholds.load(), encoder_sha256=encoder.sha256))


def changes(facts: Sequence[Fact]) -> list[Change]:
    return [Change(one.key, one) for one in facts]


def seen(memory: RetrievalMemory) -> list[tuple[str, Fact | None]]:
    return [(recall.scope, recall.fact) for recall in memory.recall(QUESTIONS)]


def test_many_facts_at_once_answer_as_the_same_one_by_one(empty):
    singly, at_once, replaced = empty, empty.empty(), empty.empty()
    for start in range(0, MANY, 100):
        singly.apply(changes(FACTS[start : start + 100]))
    assert at_once.apply_if(changes(FACTS), before=empty.empty().digest(), after=facts_sha256(FACTS))
    assert replaced.replace_facts(FACTS) == at_once.digest() == singly.digest() == facts_sha256(FACTS)
    assert seen(at_once) == seen(singly) == seen(replaced)
    assert not at_once.apply_if(changes(FACTS), before="0" * 64, after="")
    with pytest.raises(MemoryIndexError, match="load all facts of the epoch instead"):
        at_once.apply_if(
            changes([fact(number + 5_000) for number in range(MANY)]), before=at_once.digest(), after="f" * 64
        )
    assert at_once.digest() == facts_sha256(FACTS)


def test_a_change_that_another_thread_makes_while_many_are_added_is_kept(empty, monkeypatch):
    other, build, turns = fact(9_999), store.contents_of, []

    def slow(facts, encoder):
        built = build(facts, encoder)
        if not turns:
            turns.append(empty.apply([Change(other.key, other)]))
        return built

    monkeypatch.setattr(store, "contents_of", slow)
    empty.apply(changes(FACTS))
    assert empty.digest() == facts_sha256([*FACTS, other])
    assert empty.recall([other.prompt])[0].fact == other


def test_after_one_write_only_the_new_texts_are_encoded(empty, model):
    facts = ShardedFacts([MemoryShard(empty)])
    facts.apply(facts.prepare(changes(FACTS)))
    before = model.texts
    for number in range(MANY, MANY + 5):
        model.calls = []
        facts.apply(facts.prepare(changes([fact(number)])))
        encoded = [text for call in model.calls for text in call]
        assert sorted(encoded) == sorted(set(encoded))
        assert set(encoded) <= set(texts_of([entry_of(fact(number))]))
    facts.apply(facts.prepare([Change(FACTS[0].key, FACTS[0].placed(Placement.WEIGHTS))]))
    facts.apply(facts.prepare([Change(one.key, None) for one in FACTS[:300]]))
    assert model.texts - before <= 5 * 8


def test_of_an_enormous_question_the_beginning_and_the_end_are_looked_at(empty, model):
    empty.apply(changes(FACTS[:100]))
    model.calls = []
    filler = "x1 " * 333_000
    for question in (f"{filler} {FACTS[5].prompt}", f"{FACTS[5].prompt} {filler}"):
        (recall,) = empty.recall([question])
        assert recall.named
        assert empty.subjects([question]) == [[FACTS[5].key.subject]]
    assert max(len(text) for call in model.calls for text in call) <= MOST_CHARACTERS + 1
    assert shortened("a" * MOST_CHARACTERS) == "a" * MOST_CHARACTERS
    assert empty.recall(["\0" * 1_000_000, "", " ", "?" * 500_000])[0].fact is None


def test_others_are_answered_while_thousands_of_questions_are(empty):
    """The lock is free between two batches: a question gets in long before all the others are answered."""
    empty.apply(changes(FACTS[:200]))
    many, done = [named_question(number % 200) for number in range(3_000)], threading.Event()
    worker = threading.Thread(target=lambda: (empty.recall(many), done.set()))
    worker.start()
    answered = 0
    while not done.is_set() and answered < 3:
        empty.recall([FACTS[0].prompt])
        answered += not done.is_set()
        time.sleep(0)
    worker.join()
    assert answered >= 3


def test_a_fact_whose_subject_is_in_every_question_takes_over_no_other(encoder, memory, world, make_fact):
    questions = [wording for one in world for wording in one.wordings] + ["What is the time in the capital?"]
    before = [(recall.scope, recall.fact) for recall in memory.recall(questions)]
    for name in ("the", "is", "The capital of", "?"):
        greedy = replace(make_fact("Zed", "P140", "everything"), key=FactKey(name, "P140"), version=9)
        greedy = replace(greedy, wordings=(f"{name} is the answer to", f"In matters of {name}, all say"))
        memory.apply([Change(greedy.key, greedy)])
    assert [(recall.scope, recall.fact) for recall in memory.recall(questions)] == before


def test_a_flood_of_near_duplicates_hides_no_other_fact(encoder, memory, world, make_fact):
    questions = [wording for one in world for wording in one.wordings]
    before = [(recall.scope, recall.fact) for recall in memory.recall(questions)]
    flood = [make_fact(f"Velmora {number}", "P36", f"Town {number}", keep=(0,)) for number in range(300)]
    memory.apply(changes(flood))
    assert [(recall.scope, recall.fact) for recall in memory.recall(questions)] == before
    found = memory.recall([one.prompt for one in flood[::20]])
    assert [recall.fact for recall in found] == flood[::20]
    assert len(memory) == len(world) + 300
