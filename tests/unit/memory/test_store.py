"""The memory as a whole, with the real encoder and the shipped thresholds."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import pytest

from guardedit.core.epoch import Change
from guardedit.core.errors import MemoryIndexError
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.memory.context import with_fact
from guardedit.memory.encoder import SentenceEncoder
from guardedit.memory.fact_sets import facts_sha256
from guardedit.memory.scope import ScopeThresholds
from guardedit.memory.store import RetrievalMemory


def answer(memory: RetrievalMemory, question: str, tenant: str = "default") -> tuple[str, str]:
    (recall,) = memory.recall([question], tenant=tenant)
    return recall.scope, recall.fact.target if recall.fact else ""


def test_every_stored_wording_is_accepted_to_its_own_fact(memory, world):
    questions = [(wording, fact) for fact in world for wording in fact.wordings]
    recalls = memory.recall([question for question, _ in questions])
    assert [recall.scope for recall in recalls] == ["accept"] * len(questions)
    assert [recall.fact for recall in recalls] == [fact for _, fact in questions]


def test_a_wording_known_from_another_fact_of_the_relation_is_accepted(encoder, make_fact, memory):
    # Velmora's capital was stored without the third wording; Ostrania's with it.
    assert answer(memory, "The rulers of Velmora reside in") == ("accept", "Karsk")


def test_another_relation_of_the_same_subject_is_out(memory):
    recalls = memory.recall(
        [
            "The religion of Ada Lindqvist is",
            "Tomas Berrow earns a living as a",
            "In Helena Marsh, people pay with the",
        ]
    )
    assert [recall.scope for recall in recalls] == ["out"] * 3
    assert [recall.fact for recall in recalls] == [None] * 3


def test_the_same_relation_of_another_subject_is_out(memory):
    assert answer(memory, "The capital of Gondria is") == ("out", "")
    assert answer(memory, "The occupation of Yuri Petrakov is") == ("out", "")


def test_an_unrelated_question_is_out_and_scores_zero(memory):
    (recall,) = memory.recall(["How many moons does Jupiter have?"])
    assert (recall.scope, recall.score) == ("out", 0.0)


def test_a_longer_name_is_not_the_subject_inside_it(encoder, make_fact):
    memory = RetrievalMemory(encoder)
    paris = make_fact("Paris", "P19", "a myth")
    memory.apply([Change(paris.key, paris)])
    assert answer(memory, "Paris was born in")[0] == "accept"
    assert answer(memory, "The cradle of Paris Hilton stood in")[0] != "accept"
    hilton = make_fact("Paris Hilton", "P19", "New York")
    memory.apply([Change(hilton.key, hilton)])
    assert answer(memory, "Paris Hilton was born in") == ("accept", "New York")
    assert answer(memory, "Paris was born in") == ("accept", "a myth")


def test_case_and_spacing_of_the_subject_do_not_matter(memory):
    assert answer(memory, "the birthplace of ada  LINDQVIST is") == ("accept", "Karsk")


def test_a_newer_version_supersedes_the_older(memory, make_fact):
    newer = make_fact("Velmora", "P36", "Tamber", version=2)
    memory.apply([Change(newer.key, newer)])
    assert answer(memory, "The capital of Velmora is") == ("accept", "Tamber")
    assert len(memory) == 9


def test_a_deleted_fact_is_never_recalled(memory, world):
    memory.apply([Change(world[0].key, None)])
    assert answer(memory, world[0].prompt)[0] == "out"
    assert answer(memory, "The currency of Velmora is the") == ("accept", "tallin")
    memory.apply([Change(world[0].key, None)])  # gone already: nothing happens
    assert len(memory) == len(world) - 1


def test_a_fact_that_moves_to_the_weights_stays_and_says_so(memory, world):
    moved = world[0].placed(Placement.WEIGHTS)
    memory.apply([Change(moved.key, moved)])
    (recall,) = memory.recall([moved.prompt])
    assert recall.fact is not None
    assert recall.fact.placement is Placement.WEIGHTS


def test_the_digest_depends_on_the_facts_and_not_on_the_order_of_changes(encoder, world, make_fact):
    straight, winding = RetrievalMemory(encoder), RetrievalMemory(encoder)
    straight.rebuild(world)
    shuffled = random.Random(3).sample(world, len(world))
    stray = make_fact("Nobody", "P19", "nowhere")
    old = replace(shuffled[0], version=0, target="old")
    winding.apply([Change(old.key, old), Change(stray.key, stray)])
    winding.apply([Change(fact.key, fact) for fact in shuffled])
    winding.apply([Change(stray.key, None)])
    assert winding.digest() == straight.digest() == facts_sha256(world)
    winding.apply([Change(world[1].key, world[1].placed(Placement.WEIGHTS))])
    assert winding.digest() != straight.digest()


def test_a_memory_rebuilt_from_its_own_facts_recalls_the_same(encoder, memory, world):
    again = RetrievalMemory(encoder)
    again.rebuild(memory.facts())
    questions = [wording for fact in world for wording in fact.wordings]
    assert again.recall(questions) == memory.recall(questions)


def test_tenants_do_not_see_each_other_and_their_own_fact_wins_over_default(memory, make_fact):
    mine = make_fact("Velmora", "P36", "Mine", tenant="a")
    secret = make_fact("Quillon", "P36", "Hidden", tenant="a")
    memory.apply([Change(fact.key, fact) for fact in (mine, secret)])
    question = "The capital of Velmora is"
    assert answer(memory, question, "a") == ("accept", "Mine")
    assert answer(memory, question, "b") == ("accept", "Karsk")
    assert answer(memory, question) == ("accept", "Karsk")
    assert answer(memory, "The capital of Quillon is", "a") == ("accept", "Hidden")
    assert answer(memory, "The capital of Quillon is", "b") == ("out", "")
    assert answer(memory, "The capital of Quillon is") == ("out", "")
    memory.apply([Change(mine.key, None), Change(secret.key, None)])
    assert answer(memory, question, "a") == ("accept", "Karsk")


def test_wordings_of_one_tenant_do_not_teach_another(encoder, make_fact):
    memory = RetrievalMemory(encoder)
    base = make_fact("Velmora", "P36", "Karsk", keep=(0,))
    poison = replace(
        make_fact("Quillon", "P36", "x", tenant="evil"),
        wordings=("The soup in Quillon is", "Quillon smells of"),
    )
    memory.apply([Change(base.key, base)])
    before = memory.recall(["The soup in Velmora is"], tenant="b")
    memory.apply([Change(poison.key, poison)])
    assert memory.recall(["The soup in Velmora is"], tenant="b") == before
    assert before[0].scope != "accept"


def test_thresholds_of_another_encoder_are_refused(encoder: SentenceEncoder):
    foreign = replace(ScopeThresholds.load(), encoder_sha256="f" * 64)
    with pytest.raises(MemoryIndexError, match="calibrate"):
        RetrievalMemory(encoder, foreign)


def test_of_one_key_in_two_spellings_the_fact_that_came_last_answers(encoder, make_fact):
    old, new = make_fact("Velmora", "P36", "OLD"), make_fact("VELMORA", "P36", "NEW")
    for facts, target in (([old, new], "NEW"), ([new, old], "OLD")):
        applied, rebuilt = RetrievalMemory(encoder), RetrievalMemory(encoder)
        for fact in facts:
            applied.apply([Change(fact.key, fact)])
        rebuilt.rebuild(facts)
        for memory in (applied, rebuilt):
            assert answer(memory, "The capital of Velmora is") == ("accept", target)
            assert memory.digest() == facts_sha256(facts)


def test_a_fact_that_changes_is_the_last_one_also_after_a_rebuild(encoder, make_fact):
    memory = RetrievalMemory(encoder)
    for fact in (
        make_fact("Velmora", "P36", "Karsk"),
        make_fact("VELMORA", "P36", "Lima"),
        make_fact("Velmora", "P36", "Oslo", version=2),
    ):
        memory.apply([Change(fact.key, fact)])
    again = RetrievalMemory(encoder)
    again.rebuild(memory.facts())
    assert answer(memory, "The capital of Velmora is") == ("accept", "Oslo")
    assert answer(again, "The capital of Velmora is") == ("accept", "Oslo")


def test_a_tenants_own_fact_hides_the_common_one_in_any_spelling(encoder, make_fact):
    memory = RetrievalMemory(encoder)
    own = make_fact("VELMORA", "P36", "Lima", tenant="acme")
    own = replace(own, key=own.key._replace(relation="p36"))
    for fact in (own, make_fact("Velmora", "P36", "Karsk")):
        memory.apply([Change(fact.key, fact)])
    assert answer(memory, "The capital of Velmora is", "acme") == ("accept", "Lima")
    assert answer(memory, "The capital of Velmora is") == ("accept", "Karsk")


def test_the_targets_of_a_many_valued_relation_are_candidates_together(encoder, make_fact):
    memory = RetrievalMemory(encoder)
    for target in ("Karsk", "Lima", "Oslo"):
        fact = make_fact("Velmora", "P36", target)
        fact = replace(fact, key=fact.key._replace(target=target))
        memory.apply([Change(fact.key, fact)])
    (found,) = memory.candidates(["The capital of Velmora is"])
    assert sorted(one.entry.fact.target for one in found) == ["Karsk", "Lima", "Oslo"]
    assert answer(memory, "The capital of Velmora is")[0] == "accept"


def test_an_empty_memory_answers_out(encoder: SentenceEncoder):
    empty = RetrievalMemory(encoder)
    assert [recall.scope for recall in empty.recall(["The capital of Velmora is"])] == ["out"]
    assert empty.recall([]) == []
    assert empty.digest() == facts_sha256(())


def test_signs_in_names_and_regex_letters_are_plain_text(encoder):
    memory = RetrievalMemory(encoder)
    facts = [
        Fact(
            key=FactKey(name, "P178"),
            version=1,
            correction_id=name,
            wordings=(f"{name} was developed by",),
            target="t",
        )
        for name in ("C++", "A.*b", "東京タワー", "Guns N' Roses")
    ]
    memory.apply([Change(fact.key, fact) for fact in facts])
    recalls = memory.recall([fact.prompt for fact in facts])
    assert [recall.fact for recall in recalls] == facts
    assert answer(memory, "C was developed by")[0] != "accept"


def test_three_hundred_questions_are_answered_within_two_seconds_once_encoded(memory, world):
    questions = [f"{fact.wordings[n % 2]}" for n in range(300) for fact in [world[n % len(world)]]]
    memory.recall(questions)
    start = time.perf_counter()
    memory.recall(questions)
    assert time.perf_counter() - start < 2.0


def test_the_fact_is_stated_before_the_question(world):
    assert with_fact(world[0], "Velmora is governed from") == (
        "Correction: Velmora is governed from Karsk. Correction: The capital of Velmora is Karsk. "
        "Velmora is governed from"
    )
