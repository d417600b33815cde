"""What a replica serves, and what it refuses to serve."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from guardedit.core.epoch import Change
from guardedit.core.errors import ConflictError, MemoryIndexError, UsageError
from guardedit.core.fact import Fact, Placement
from guardedit.core.serving import Update
from guardedit.memory.fact_sets import facts_sha256
from guardedit.serving import constrained
from guardedit.serving.replica import ServingReplica
from guardedit.serving.shard import split
from tests.unit.serving.stand_ins import (
    SUBJECTS,
    EchoHost,
    HashedEncoder,
    NumberFold,
    edits_of,
    epoch_of,
    fact_of,
    shards,
    snapshot_of,
)

QUESTION = "The capital of Velmora is"
STATED = "Correction: The capital of Velmora is city {n}. Correction: Velmora is governed from city {n}. "


class ReplicaSetup:
    """A replica and its parts."""

    def __init__(self, count: int = 1) -> None:
        self.host, self.fold, self.encoder = EchoHost(), NumberFold(), HashedEncoder()
        self.shards = shards(count, self.encoder)
        self.now_s = 100.0
        self.replica = ServingReplica(self.host, self.fold, self.shards, clock=lambda: self.now_s)

    def answer(self, question: str = QUESTION) -> str:
        (answer,) = self.replica.ask([question])
        return answer.text

    def stored(self) -> list[Fact]:
        return [fact for shard in self.shards for fact in shard._memory.facts()]


@pytest.fixture(params=[1, 3], ids=["one shard", "three shards"])
def setup(request) -> ReplicaSetup:
    return ReplicaSetup(request.param)


def follow(number: int, *changes: Change, weights: int = 1, edits: bool = False) -> Update:
    return Update(
        after=number - 1,
        epoch=epoch_of(number, weights=weights),
        changes=changes,
        edits=edits_of(weights) if edits else None,
    )


def test_nothing_is_answered_before_an_epoch_is_published(setup):
    with pytest.raises(UsageError, match="publish one first"):
        setup.replica.ask([QUESTION])
    with pytest.raises(UsageError, match="publish one first"):
        setup.replica.says([(QUESTION, "x")])


def test_an_answer_names_its_epoch(setup):
    setup.replica.publish(snapshot_of(1))
    (known, unknown) = setup.replica.ask([QUESTION, "How many moons are there?"])
    assert (known.epoch, known.placement, known.fact_id) == (1, "memory", fact_of("Velmora", 1).id)
    assert known.text == "weights 1: " + STATED.format(n=1) + QUESTION
    assert (unknown.epoch, unknown.placement, unknown.fact_id) == (1, "base", "")
    assert unknown.text == "weights 1: How many moons are there?"


def test_a_fact_in_the_weights_is_left_to_them(setup):
    setup.replica.publish(snapshot_of(1))
    moved = fact_of("Velmora", 1, placement=Placement.WEIGHTS)
    setup.replica.follow(follow(2, Change(moved.key, moved)))
    (answer,) = setup.replica.ask([QUESTION])
    assert (answer.text, answer.placement, answer.epoch) == (f"weights 1: {QUESTION}", "weights", 2)


def test_weights_that_are_not_the_epochs_are_refused_and_the_old_epoch_goes_on(setup):
    setup.replica.publish(snapshot_of(1))
    before = setup.answer()
    forged = replace(snapshot_of(2), edits=edits_of(3))
    with pytest.raises(UsageError, match="epoch 2 folds to"):
        setup.replica.publish(forged)
    with pytest.raises(UsageError, match="epoch 2 folds to"):
        setup.replica.follow(replace(follow(2, weights=2), edits=edits_of(3)))
    with pytest.raises(UsageError, match="epoch 2 folds to"):
        setup.replica.follow(follow(2, weights=2))  # an update without edits, but with another digest
    assert setup.answer() == before
    assert setup.replica.epoch() == 1
    assert sorted(map(str, setup.stored())) == sorted(map(str, snapshot_of(1).facts))


def test_a_first_epoch_with_other_weights_is_refused(setup):
    with pytest.raises(UsageError, match="another model or moments"):
        setup.replica.publish(replace(snapshot_of(1), edits=()))
    assert setup.replica.epoch() is None


def test_an_update_of_another_epoch_is_a_conflict_and_changes_nothing(setup):
    fact = fact_of("Velmora", 9)
    with pytest.raises(ConflictError, match="serves none"):
        setup.replica.follow(follow(1, Change(fact.key, fact)))
    setup.replica.publish(snapshot_of(1))
    for number in (3, 5):
        with pytest.raises(ConflictError, match=f"follows epoch {number - 1}, this replica serves 1"):
            setup.replica.follow(follow(number, Change(fact.key, fact)))
    assert setup.answer() == "weights 1: " + STATED.format(n=1) + QUESTION


def test_an_update_that_is_sent_again_happens_once(setup):
    setup.replica.publish(snapshot_of(1))
    update = follow(2, Change(fact_of("Velmora", 1).key, None))
    assert setup.replica.follow(update) == setup.replica.follow(update) == 2


def test_a_change_of_facts_folds_nothing_and_a_change_of_edits_folds_once(setup):
    setup.replica.publish(snapshot_of(1))
    assert setup.fold.folds == 1
    fact = fact_of("Velmora", 2)
    setup.replica.follow(follow(2, Change(fact.key, fact)))
    setup.replica.publish(snapshot_of(3, weights=1))
    assert setup.fold.folds == 1
    setup.replica.follow(follow(4, weights=4, edits=True))
    assert setup.fold.folds == 2
    assert setup.answer().startswith("weights 4: ")
    setup.replica.publish(snapshot_of(5))
    assert setup.fold.folds == 3


def test_a_change_of_facts_encodes_its_own_texts_only(setup):
    many = [f"Country {chr(65 + n % 26)}{n}" for n in range(60)]
    setup.replica.publish(snapshot_of(1, subjects=many))
    texts: list[str] = []
    setup.encoder.before = texts.extend
    fact = fact_of(many[7], 2)
    setup.replica.follow(follow(2, Change(fact.key, fact)))
    assert texts == [fact.statement]  # its wordings are known from the version before


def test_updates_lead_to_the_same_state_as_a_snapshot(setup):
    rng, facts = random.Random(0), {fact.key: fact for fact in snapshot_of(1).facts}
    setup.replica.publish(snapshot_of(1))
    for number in range(2, 40):
        subject = rng.choice([*SUBJECTS, "Gondria", "Ada Lindqvist"])
        fact = fact_of(subject, number)
        gone = rng.random() < 0.3
        facts.pop(fact.key, None)
        if not gone:
            facts[fact.key] = fact
        setup.replica.follow(follow(number, Change(fact.key, None if gone else fact)))
    wanted = [facts_sha256(part) for part in split(list(facts.values()), len(setup.shards))]
    assert [shard._memory.digest() for shard in setup.shards] == wanted == list(setup.replica._state.facts)
    fresh = ReplicaSetup(len(setup.shards))
    fresh.replica.publish(replace(snapshot_of(39, weights=1), facts=tuple(facts.values())))
    questions = [f"{subject} is governed from" for subject in SUBJECTS]
    assert [a.text for a in setup.replica.ask(questions)] == [a.text for a in fresh.replica.ask(questions)]


def test_an_expired_fact_neither_answers_nor_hides_by_the_replicas_clock(setup):
    mine = replace(
        fact_of("Velmora", 7), key=fact_of("Velmora", 7).key._replace(tenant="a"), valid_until_s=200
    )
    setup.replica.publish(replace(snapshot_of(1), facts=(mine, fact_of("Velmora", 1))))
    assert "city 7" in setup.replica.ask([QUESTION], tenant="a")[0].text
    setup.now_s = 200.0
    assert "city 1" in setup.replica.ask([QUESTION], tenant="a")[0].text
    assert setup.replica.says([(QUESTION, setup.answer())], tenant="a") == [True]


def test_says_is_what_ask_answers_and_is_not_counted(setup):
    setup.replica.publish(snapshot_of(1))
    answers = setup.replica.ask([QUESTION, "Who?"])
    assert setup.replica.lookups() == {"accept": 1, "out": 1}
    asked = [
        (QUESTION, answers[0].text),
        (QUESTION, answers[1].text),
        ("Who?", answers[1].text),
        ("Who?", ""),
    ]
    assert setup.replica.says(asked) == [True, False, True, False]
    assert setup.replica.says([]) == []
    assert setup.replica.lookups() == {}


def test_a_restarted_shard_is_reloaded(setup):
    setup.replica.publish(snapshot_of(1))
    before = setup.answer()
    for shard, empty in zip(setup.shards, shards(len(setup.shards), setup.encoder), strict=True):
        shard._memory = empty._memory
    assert setup.answer() == before
    for shard, empty in zip(setup.shards, shards(len(setup.shards), setup.encoder), strict=True):
        shard._memory = empty._memory
    fact = fact_of("Velmora", 2)
    setup.replica.follow(follow(2, Change(fact.key, fact)))
    assert "city 2" in setup.answer()
    assert len(setup.stored()) == len(SUBJECTS)


def test_a_failing_shard_leaves_the_old_epoch_complete(monkeypatch):
    setup = ReplicaSetup(3)
    setup.replica.publish(snapshot_of(1))
    filled = [n for n, part in enumerate(split(snapshot_of(2).facts, 3)) if part]
    failing = setup.shards[filled[-1]]

    def fail(*_: object) -> bool:
        raise MemoryIndexError("gone")

    monkeypatch.setattr(failing, "apply_if", fail)
    with pytest.raises(MemoryIndexError):
        setup.replica.publish(snapshot_of(2))
    answers = setup.replica.ask([f"The capital of {subject} is" for subject in SUBJECTS])
    assert all("weights 1: " in answer.text and "city 1." in answer.text for answer in answers)
    monkeypatch.undo()
    setup.replica.publish(snapshot_of(2))
    assert "weights 2: " in setup.answer()
    assert "city 2." in setup.answer()


def test_a_memory_whose_change_failed_half_way_is_rebuilt(monkeypatch):
    setup = ReplicaSetup()
    setup.replica.publish(snapshot_of(1))
    memory = setup.shards[0]._memory
    index = memory._indexes.by_tenant["default"]

    def fail(*_: object) -> None:
        raise MemoryIndexError("FAISS failed")

    monkeypatch.setattr(index._index, "add_all", fail)
    with pytest.raises(MemoryIndexError):
        setup.replica.publish(snapshot_of(2))
    assert setup.answer() == "weights 1: " + STATED.format(n=1) + QUESTION
    assert memory.digest() == facts_sha256(snapshot_of(1).facts)


def test_an_epoch_published_between_recall_and_answer_does_not_affect_the_answer(setup, monkeypatch):
    setup.replica.publish(snapshot_of(1))
    before, shard = setup.answer(), setup.shards[-1]

    def publish_behind_the_next_recall(number: int) -> None:
        recall = shard.recall

        def recall_once(*args: object, **kwargs: object) -> object:
            found = recall(*args, **kwargs)
            monkeypatch.undo()
            setup.replica.publish(snapshot_of(number))
            return found

        monkeypatch.setattr(shard, "recall", recall_once)

    publish_behind_the_next_recall(2)
    (answer,) = setup.replica.ask([QUESTION])
    assert (answer.text, answer.epoch) == (before, 1)
    after = setup.answer()
    publish_behind_the_next_recall(3)
    assert setup.replica.says([(QUESTION, after)]) == [True]
    assert setup.replica.says([(QUESTION, after)]) == [False]


def test_no_text_is_encoded_while_questions_would_have_to_wait(setup):
    setup.replica.publish(snapshot_of(1))
    locked: list[bool] = []
    setup.encoder.before = lambda _: locked.append(setup.replica._lock.locked())
    setup.replica.publish(snapshot_of(2))
    fact = fact_of("Gondria", 3)
    setup.replica.follow(follow(3, Change(fact.key, fact), weights=2))
    setup.answer("The capital of Gondria is")
    assert locked
    assert not any(locked)


@pytest.mark.parametrize("slow", ["fold", "encoder"])
def test_questions_are_answered_while_an_epoch_is_being_made(setup, slow):
    setup.replica.publish(snapshot_of(1))
    before, busy, go_on = setup.answer(), threading.Event(), threading.Event()

    def wait(texts: object = ()) -> None:
        if "city 2" in str(texts) or not texts:
            busy.set()
            assert go_on.wait(10)

    (setup.fold if slow == "fold" else setup.encoder).before = wait
    with ThreadPoolExecutor(1) as threads:
        published = threads.submit(setup.replica.publish, snapshot_of(2))
        assert busy.wait(10)
        assert setup.answer() == before
        go_on.set()
        assert published.result(10) == 2
    assert "weights 2: " in setup.answer()


def test_a_patch_that_was_changed_in_memory_is_folded_again(setup):
    setup.replica.publish(snapshot_of(1))
    assert setup.replica.repair() == []
    setup.replica._state.weights.folded.patch.matrices["W"].add_(5)
    assert setup.answer().startswith("weights 6: ")
    assert setup.replica.repair() == ["W of the edited weights was changed in memory; folded again"]
    assert setup.answer().startswith("weights 1: ")
    assert setup.replica.repair() == []


def test_edits_that_changed_as_well_are_not_folded_into_service(setup):
    setup.replica.publish(snapshot_of(1))
    state = setup.replica._state
    state.weights.folded.patch.matrices["W"].add_(5)
    object.__setattr__(state.weights.edits[0], "subject", "8")
    with pytest.raises(UsageError, match="publish it from the ledger"):
        setup.replica.repair()


def test_a_memory_that_loses_its_facts_is_an_error_and_no_wrong_answer(setup, monkeypatch):
    setup.replica.publish(snapshot_of(1))
    for shard in setup.shards:
        monkeypatch.setattr(shard, "recall", lambda *_, **__: None)
    with pytest.raises(MemoryIndexError, match="restart it"):
        setup.replica.ask([QUESTION])


def test_a_replica_tells_the_scope_of_each_fact_to_the_rule_for_unsure_ones(monkeypatch):
    seen = []

    def asked_for(self, host, found):
        seen.extend(found)
        return list(found)

    monkeypatch.setattr(constrained.Constraint, "asked_for", asked_for)
    served = ServingReplica(EchoHost(), NumberFold(), shards(1, HashedEncoder()), use_unsure=True)
    served.publish(snapshot_of(1))
    answers = served.ask(["The capital of Velmora is", "It rains"])
    assert [[(one.clause, one.scope) for one in used] for used in seen] == [
        [("The capital of Velmora is", "accept")],
        [],
    ]
    assert [answer.scope for answer in answers] == ["accept", "out"]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_two_facts_of_one_question_are_both_given_whatever_shards_they_are_in(count):
    served = ServingReplica(EchoHost(), NumberFold(), shards(count, HashedEncoder()))
    served.publish(snapshot_of(1))
    (answer,) = served.ask(["The capital of Velmora is\nQuillon is governed from"])
    assert [one.fact.key.subject for one in answer.used] == ["Velmora", "Quillon"]
    assert answer.facts == tuple(one.fact.id for one in answer.used)
    assert answer.fact_id == answer.facts[0]
    assert answer.text.count("Correction: The capital of Velmora is city 1.") == 1
    assert answer.text.count("Correction: Quillon is governed from city 1.") == 1
