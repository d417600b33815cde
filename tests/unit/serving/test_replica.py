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
from guardedit.serving.holdings import pinned_sha256
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
TOLD = "Correction: The capital of Velmora is city {n}. Correction: Velmora is governed from city {n}. "


class LoadedModel:
    """A replica with everything it is made of."""

    def __init__(self, count: int = 1) -> None:
        self.host, self.fold, self.encoder = EchoHost(), NumberFold(), HashedEncoder()
        self.shards = shards(count, self.encoder)
        self.now_s = 100.0
        self.replica = ServingReplica(self.host, self.fold, self.shards, clock=lambda: self.now_s)

    def said(self, question: str = QUESTION) -> str:
        (answer,) = self.replica.ask([question])
        return answer.text

    def held(self) -> list[Fact]:
        return [fact for shard in self.shards for fact in shard._memory.facts()]


@pytest.fixture(params=[1, 3], ids=["one shard", "three shards"])
def bench(request) -> LoadedModel:
    return LoadedModel(request.param)


def follow(number: int, *changes: Change, weights: int = 1, edits: bool = False) -> Update:
    return Update(
        after=number - 1,
        epoch=epoch_of(number, weights=weights),
        changes=changes,
        edits=edits_of(weights) if edits else None,
    )


def test_nothing_is_answered_before_an_epoch_is_published(bench):
    with pytest.raises(UsageError, match="publish an epoch first"):
        bench.replica.ask([QUESTION])
    with pytest.raises(UsageError, match="publish an epoch first"):
        bench.replica.says([(QUESTION, "x")])


def test_an_answer_is_of_the_epoch_and_names_it(bench):
    bench.replica.publish(snapshot_of(1))
    (known, unknown) = bench.replica.ask([QUESTION, "How many moons are there?"])
    assert (known.epoch, known.placement, known.fact_id) == (1, "memory", fact_of("Velmora", 1).id)
    assert known.text == "weights 1: " + TOLD.format(n=1) + QUESTION
    assert (unknown.epoch, unknown.placement, unknown.fact_id) == (1, "base", "")
    assert unknown.text == "weights 1: How many moons are there?"


def test_a_fact_in_the_weights_is_left_to_them(bench):
    bench.replica.publish(snapshot_of(1))
    moved = fact_of("Velmora", 1, placement=Placement.WEIGHTS)
    bench.replica.follow(follow(2, Change(moved.key, moved)))
    (answer,) = bench.replica.ask([QUESTION])
    assert (answer.text, answer.placement, answer.epoch) == (f"weights 1: {QUESTION}", "weights", 2)


def test_weights_that_are_not_the_epochs_are_refused_and_the_old_epoch_goes_on(bench):
    bench.replica.publish(snapshot_of(1))
    before = bench.said()
    forged = replace(snapshot_of(2), edits=edits_of(3))
    with pytest.raises(UsageError, match="epoch 2 folds to"):
        bench.replica.publish(forged)
    with pytest.raises(UsageError, match="epoch 2 folds to"):
        bench.replica.follow(replace(follow(2, weights=2), edits=edits_of(3)))
    with pytest.raises(UsageError, match="epoch 2 folds to"):
        bench.replica.follow(follow(2, weights=2))  # says that the weights stay, names others
    assert bench.said() == before
    assert bench.replica.epoch() == 1
    assert sorted(map(str, bench.held())) == sorted(map(str, snapshot_of(1).facts))


def test_a_first_epoch_with_other_weights_is_refused(bench):
    with pytest.raises(UsageError, match="another model or moments"):
        bench.replica.publish(replace(snapshot_of(1), edits=()))
    assert bench.replica.epoch() is None


def test_an_update_of_another_epoch_is_a_conflict_and_changes_nothing(bench):
    fact = fact_of("Velmora", 9)
    with pytest.raises(ConflictError, match="serves none"):
        bench.replica.follow(follow(1, Change(fact.key, fact)))
    bench.replica.publish(snapshot_of(1))
    for number in (3, 5):
        with pytest.raises(ConflictError, match=f"follows epoch {number - 1}, this replica serves 1"):
            bench.replica.follow(follow(number, Change(fact.key, fact)))
    assert bench.said() == "weights 1: " + TOLD.format(n=1) + QUESTION


def test_an_update_that_is_sent_again_happens_once(bench):
    bench.replica.publish(snapshot_of(1))
    update = follow(2, Change(fact_of("Velmora", 1).key, None))
    assert bench.replica.follow(update) == bench.replica.follow(update) == 2


def test_a_change_of_facts_folds_nothing_and_a_change_of_edits_folds_once(bench):
    bench.replica.publish(snapshot_of(1))
    assert bench.fold.folds == 1
    fact = fact_of("Velmora", 2)
    bench.replica.follow(follow(2, Change(fact.key, fact)))
    bench.replica.publish(snapshot_of(3, weights=1))
    assert bench.fold.folds == 1
    bench.replica.follow(follow(4, weights=4, edits=True))
    assert bench.fold.folds == 2
    assert bench.said().startswith("weights 4: ")
    bench.replica.publish(snapshot_of(5))
    assert bench.fold.folds == 3


def test_a_change_of_facts_encodes_its_own_texts_only(bench):
    many = [f"Country {chr(65 + n % 26)}{n}" for n in range(60)]
    bench.replica.publish(snapshot_of(1, subjects=many))
    texts: list[str] = []
    bench.encoder.before = texts.extend
    fact = fact_of(many[7], 2)
    bench.replica.follow(follow(2, Change(fact.key, fact)))
    assert texts == [fact.statement]  # its wordings are known from the version before


def test_updates_lead_where_a_snapshot_leads(bench):
    rng, facts = random.Random(0), {fact.key: fact for fact in snapshot_of(1).facts}
    bench.replica.publish(snapshot_of(1))
    for number in range(2, 40):
        subject = rng.choice([*SUBJECTS, "Gondria", "Ada Lindqvist"])
        fact = fact_of(subject, number)
        gone = rng.random() < 0.3
        facts.pop(fact.key, None)
        if not gone:
            facts[fact.key] = fact
        bench.replica.follow(follow(number, Change(fact.key, None if gone else fact)))
    assert bench.replica.memory_sha256() == pinned_sha256(list(facts.values()), len(bench.shards))
    assert [shard._memory.digest() for shard in bench.shards] == bench.replica.memory_sha256()
    fresh = LoadedModel(len(bench.shards))
    fresh.replica.publish(replace(snapshot_of(39, weights=1), facts=tuple(facts.values())))
    questions = [f"{subject} is governed from" for subject in SUBJECTS]
    assert [a.text for a in bench.replica.ask(questions)] == [a.text for a in fresh.replica.ask(questions)]


def test_an_expired_fact_neither_answers_nor_hides_by_the_replicas_clock(bench):
    mine = replace(
        fact_of("Velmora", 7), key=fact_of("Velmora", 7).key._replace(tenant="a"), valid_until_s=200
    )
    bench.replica.publish(replace(snapshot_of(1), facts=(mine, fact_of("Velmora", 1))))
    assert "city 7" in bench.replica.ask([QUESTION], tenant="a")[0].text
    bench.now_s = 200.0
    assert "city 1" in bench.replica.ask([QUESTION], tenant="a")[0].text
    assert bench.replica.says([(QUESTION, bench.said())], tenant="a") == [True]


def test_says_is_what_ask_answers_and_is_not_counted(bench):
    bench.replica.publish(snapshot_of(1))
    answers = bench.replica.ask([QUESTION, "Who?"])
    assert bench.replica.lookups() == {"accept": 1, "out": 1}
    asked = [
        (QUESTION, answers[0].text),
        (QUESTION, answers[1].text),
        ("Who?", answers[1].text),
        ("Who?", ""),
    ]
    assert bench.replica.says(asked) == [True, False, True, False]
    assert bench.replica.says([]) == []
    assert bench.replica.lookups() == {}


def test_a_shard_that_was_restarted_is_filled_again(bench):
    bench.replica.publish(snapshot_of(1))
    before = bench.said()
    for shard, empty in zip(bench.shards, shards(len(bench.shards), bench.encoder), strict=True):
        shard._memory = empty._memory
    assert bench.said() == before
    for shard, empty in zip(bench.shards, shards(len(bench.shards), bench.encoder), strict=True):
        shard._memory = empty._memory
    fact = fact_of("Velmora", 2)
    bench.replica.follow(follow(2, Change(fact.key, fact)))
    assert "city 2" in bench.said()
    assert len(bench.held()) == len(SUBJECTS)


def test_a_shard_that_fails_leaves_the_old_epoch_whole(monkeypatch):
    bench = LoadedModel(3)
    bench.replica.publish(snapshot_of(1))
    filled = [n for n, part in enumerate(split(snapshot_of(2).facts, 3)) if part]
    failing = bench.shards[filled[-1]]

    def fail(*_: object) -> bool:
        raise MemoryIndexError("gone")

    monkeypatch.setattr(failing, "move", fail)
    with pytest.raises(MemoryIndexError):
        bench.replica.publish(snapshot_of(2))
    answers = bench.replica.ask([f"The capital of {subject} is" for subject in SUBJECTS])
    assert all("weights 1: " in answer.text and "city 1." in answer.text for answer in answers)
    monkeypatch.undo()
    bench.replica.publish(snapshot_of(2))
    assert "weights 2: " in bench.said()
    assert "city 2." in bench.said()


def test_a_memory_in_which_a_change_failed_half_way_is_filled_anew(monkeypatch):
    bench = LoadedModel()
    bench.replica.publish(snapshot_of(1))
    memory = bench.shards[0]._memory
    shelf = memory._shelves["default"]

    def fail(*_: object) -> None:
        raise MemoryIndexError("FAISS failed")

    monkeypatch.setattr(shelf.index, "add", fail)
    with pytest.raises(MemoryIndexError):
        bench.replica.publish(snapshot_of(2))
    assert bench.said() == "weights 1: " + TOLD.format(n=1) + QUESTION
    assert memory.digest() == facts_sha256(snapshot_of(1).facts)


def test_an_epoch_that_comes_between_recall_and_answer_has_no_say_in_it(bench, monkeypatch):
    bench.replica.publish(snapshot_of(1))
    before, shard = bench.said(), bench.shards[-1]

    def publish_behind_the_next_recall(number: int) -> None:
        recall = shard.recall

        def recall_once(*args: object, **kwargs: object) -> object:
            found = recall(*args, **kwargs)
            monkeypatch.undo()
            bench.replica.publish(snapshot_of(number))
            return found

        monkeypatch.setattr(shard, "recall", recall_once)

    publish_behind_the_next_recall(2)
    (answer,) = bench.replica.ask([QUESTION])
    assert (answer.text, answer.epoch) == (before, 1)
    after = bench.said()
    publish_behind_the_next_recall(3)
    assert bench.replica.says([(QUESTION, after)]) == [True]
    assert bench.replica.says([(QUESTION, after)]) == [False]


def test_no_text_is_encoded_while_questions_would_have_to_wait(bench):
    bench.replica.publish(snapshot_of(1))
    held: list[bool] = []
    bench.encoder.before = lambda _: held.append(bench.replica._lock.locked())
    bench.replica.publish(snapshot_of(2))
    fact = fact_of("Gondria", 3)
    bench.replica.follow(follow(3, Change(fact.key, fact), weights=2))
    bench.said("The capital of Gondria is")
    assert held
    assert not any(held)


@pytest.mark.parametrize("slow", ["fold", "encoder"])
def test_questions_are_answered_while_an_epoch_is_being_made(bench, slow):
    bench.replica.publish(snapshot_of(1))
    before, busy, go_on = bench.said(), threading.Event(), threading.Event()

    def wait(texts: object = ()) -> None:
        if "city 2" in str(texts) or not texts:
            busy.set()
            assert go_on.wait(10)

    (bench.fold if slow == "fold" else bench.encoder).before = wait
    with ThreadPoolExecutor(1) as threads:
        published = threads.submit(bench.replica.publish, snapshot_of(2))
        assert busy.wait(10)
        assert bench.said() == before
        go_on.set()
        assert published.result(10) == 2
    assert "weights 2: " in bench.said()


def test_a_patch_that_was_changed_in_memory_is_folded_anew(bench):
    bench.replica.publish(snapshot_of(1))
    assert bench.replica.repair() == []
    bench.replica._pinned.weights.folded.patch.matrices["W"].add_(5)
    assert bench.said().startswith("weights 6: ")
    assert bench.replica.repair() == ["W of the edited weights was changed in memory; folded anew"]
    assert bench.said().startswith("weights 1: ")
    assert bench.replica.repair() == []


def test_edits_that_changed_as_well_are_not_folded_into_service(bench):
    bench.replica.publish(snapshot_of(1))
    pinned = bench.replica._pinned
    pinned.weights.folded.patch.matrices["W"].add_(5)
    object.__setattr__(pinned.weights.edits[0], "subject", "8")
    with pytest.raises(UsageError, match="publish it from the ledger"):
        bench.replica.repair()


def test_a_memory_that_forgets_is_an_error_and_no_wrong_answer(bench, monkeypatch):
    bench.replica.publish(snapshot_of(1))
    for shard in bench.shards:
        monkeypatch.setattr(shard, "recall", lambda *_, **__: None)
    with pytest.raises(MemoryIndexError, match="restart it"):
        bench.replica.ask([QUESTION])
