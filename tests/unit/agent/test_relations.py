"""What the policy declares about relations: many targets accumulate, contradicted inverses are held."""

from __future__ import annotations

import pytest

from guardedit.core.messages import Fate
from guardedit.naming import Relations
from guardedit.policy.decide import DecisionContext, decide
from guardedit.policy.load import parse_policy
from tests.fakes import raw

DECLARED = """
relations:
  many_valued: [borders, "{} is a neighbour of"]
  inverse: [[capital, capital of]]
"""
POLICY = f"apiVersion: guardedit/v1\nrules:\n  - {{id: all, route: weights, why: all}}\n{DECLARED}"


def borders(target: str | None, **others: object) -> bytes:
    body = {"relation": "borders", "prompt": "{} borders", **others}
    return raw("France", target, **body)


def capital(subject: str, relation: str, target: str, **others: object) -> bytes:
    return raw(subject, target, relation=relation, prompt=f"The {relation} {{}} is", **others)


@pytest.fixture
def declared(build):
    policy = parse_policy(POLICY, name="p.yaml")
    return build(
        others={
            "decide": lambda correction, facts: decide(policy, correction, DecisionContext(**facts)),
            "relations": policy.relations.declared,
        }
    )


def targets(town) -> list[str]:
    return [fact.target for fact in town.ledger.live().values()]


def test_targets_of_a_many_valued_relation_accumulate_and_of_any_other_are_superseded(declared):
    declared.send(borders("Spain"), borders("Italy"), raw("France", "Paris"), raw("France", "Lyon"))
    assert targets(declared) == ["Spain", "Italy", "Lyon"]
    assert declared.ledger.verify() == []


def test_the_same_target_in_another_spelling_is_the_same_fact(declared):
    declared.send(borders("Spain"))
    declared.send(borders("SPAIN", relation="BORDERS", id="2"), name="2")
    (fact,) = declared.ledger.live().values()
    assert (fact.key.target, fact.target, fact.version) == ("Spain", "SPAIN", 2)


def test_a_correction_of_one_target_replaces_that_one_alone(declared):
    declared.send(borders("Spain"), borders("Portugal"))
    declared.send(borders("Italy", target_true="portugal"), name="2")
    assert targets(declared) == ["Spain", "Italy"]


def test_a_retraction_ends_the_named_target_or_all_of_them(declared):
    declared.send(borders("Spain"), borders("Italy"), borders("Belgium"))
    declared.send(borders(None, op="retract", target_true="ITALY"), name="2")
    assert targets(declared) == ["Spain", "Belgium"]
    declared.send(borders(None, op="retract"), name="3")
    assert targets(declared) == []
    declared.send(borders("Spain", id="again"), name="4")
    declared.send(borders(None, op="retract"), name="5")
    assert targets(declared) == []
    assert Fate.DUPLICATE not in declared.fates()


def test_a_prompt_without_a_relation_can_be_many_valued_too(declared):
    for target in ("Spain", "Italy"):
        declared.send(raw("France", target, relation=None, prompt="{} is a neighbour of"), name=target)
    assert targets(declared) == ["Spain", "Italy"]


def test_a_question_without_a_relation_is_about_the_relation_that_asks_it(declared):
    declared.send(borders("Spain"))
    declared.send(borders("Italy", relation=None), name="2")
    assert targets(declared) == ["Spain", "Italy"]
    assert {key.relation for key in declared.ledger.live()} == {"borders"}


def test_facts_of_a_many_valued_relation_stay_in_memory(declared):
    declared.send(borders("Spain"), borders("Italy"), raw("France", "Paris"))
    placed = {fact.target: fact.placement.value for fact in declared.ledger.live().values()}
    assert placed == {"Spain": "memory", "Italy": "memory", "Paris": "weights"}


def test_an_undo_takes_back_one_target_and_a_redo_brings_it_back(declared):
    declared.send(borders("Spain"), borders("Italy"))
    italy = next(fact for fact in declared.ledger.live().values() if fact.target == "Italy")
    declared.operator.undo(italy.id)
    assert targets(declared) == ["Spain"]
    declared.operator.redo(italy.id)
    assert targets(declared) == ["Spain", "Italy"]


def test_what_a_source_wrote_is_taken_back_beside_the_targets_of_others(declared):
    declared.send(borders("Spain"), borders("Italy", provenance={"source": "other"}))
    declared.send(borders("Mars", target_true="Italy", provenance={"source": "bad"}), name="2")
    assert targets(declared) == ["Spain", "Mars"]
    declared.operator.undo_source("bad")
    assert targets(declared) == ["Spain", "Italy"]


def test_a_relation_that_becomes_many_valued_keeps_its_fact_and_back_again(build, home):
    town = build()
    town.send(borders("Spain"))
    town.stop()
    town = build(others={"relations": Relations.of(["borders"])})
    town.send(borders("Italy"), name="2")
    town.send(borders("Spain", id="same"), name="3")
    assert sorted(targets(town)) == ["Italy", "Spain"]
    town.stop()
    town = build()
    town.send(borders("Malta"), name="4")
    assert targets(town) == ["Malta"]
    assert town.ledger.verify() == []


def test_a_contradicted_inverse_is_held_with_the_fact_that_contradicts_it(declared):
    declared.send(capital("Paris", "capital of", "France"))
    declared.send(capital("Italy", "capital", "Paris"), name="2")
    entry = declared.ledger.entries()[-1]
    assert entry.fate is Fate.HELD
    assert entry.reason.startswith("'Paris' as 'capital' of 'Italy' contradicts fact ")
    assert "'France' as 'capital of' of 'Paris'" in entry.reason
    declared.ledger.release(entry.correction_id)
    declared.settle()
    assert targets(declared) == ["France", "Paris"]


def test_an_inverse_that_agrees_and_one_of_the_same_batch(declared):
    declared.send(
        capital("Paris", "capital of", "France"),
        capital("FRANCE", "Capital", "paris"),
        capital("Rome", "capital of", "France"),
        capital("Spain", "capital", "Madrid"),
    )
    assert declared.fates() == [Fate.ACCEPTED, Fate.ACCEPTED, Fate.HELD, Fate.ACCEPTED]


def test_a_replaced_or_retracted_fact_contradicts_nothing(declared):
    declared.send(capital("Paris", "capital of", "France"))
    declared.send(capital("Paris", "capital of", "Italy"), name="2")
    declared.send(capital("Italy", "capital", "Paris"), name="3")
    assert declared.fates() == [Fate.ACCEPTED] * 3


def test_another_tenants_fact_contradicts_nothing_but_a_common_one_does(declared):
    declared.send(capital("Paris", "capital of", "France", tenant="acme"))
    declared.send(capital("Italy", "capital", "Paris"), name="2")
    declared.send(capital("Spain", "capital", "Paris", tenant="acme"), name="3")
    assert declared.fates() == [Fate.ACCEPTED, Fate.ACCEPTED, Fate.HELD]
