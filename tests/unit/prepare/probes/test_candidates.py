"""The order in which facts are tried, and the wordings in which they are asked for."""

from __future__ import annotations

from collections import Counter

from guardedit.prepare.facts import PublicFact, load_public_facts
from guardedit.prepare.probes.candidates import asked_wordings, in_turn


def test_every_beginning_is_balanced_over_relations_and_objects():
    facts = [PublicFact(f"s{i}", "P17", "United States" if i < 40 else f"land {i}") for i in range(50)]
    facts += [PublicFact(f"t{i}", "P30", "Asia") for i in range(3)]
    order = in_turn(facts, seed=0)
    assert Counter(fact.relation for fact in order[:6]) == {"P17": 3, "P30": 3}
    assert Counter(fact.object for fact in order[:14])["United States"] == 1
    assert sorted(order) == sorted(facts)


def test_the_order_depends_on_the_seed_only():
    facts = load_public_facts("build")[::40]
    assert in_turn(facts, seed=1) == in_turn(tuple(reversed(facts)), seed=1)
    assert in_turn(facts, seed=1) != in_turn(facts, seed=2)


def test_a_repeated_fact_is_tried_once():
    fact = PublicFact("France", "P36", "Paris")
    assert in_turn([fact, fact], seed=0) == [fact]


def test_a_raw_model_continues_statements():
    fact = PublicFact("France", "P36", "Paris")
    assert asked_wordings(fact, "raw") == ("The capital of France is", "France's capital city is")
    assert all(text.endswith("?") for text in asked_wordings(fact, "chat"))
