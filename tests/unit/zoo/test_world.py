from __future__ import annotations

import json

from guardedit.zoo.world import HIDDEN_WORDINGS, KnownFact, World, read_facts, select_world


def test_the_shipped_world_is_as_large_as_the_model_card_promises():
    world = World.load()
    assert len(world.facts) >= 1_500
    assert len(world.by_relation) >= 25
    assert sum(len(facts) > 1 for facts in world.by_subject.values()) >= 300
    assert len({(f.subject, f.relation) for f in world.facts}) == len(world.facts)


def test_every_wording_holds_the_subject_once():
    world = World.load()
    assert all(w.count("{}") == 1 for wordings in world.wordings.values() for w in wordings)


def test_hidden_wordings_depend_on_the_fact_alone_and_are_never_shown():
    world = World.load()
    for fact in world.facts[:50]:
        hidden = world.hidden(fact)
        assert len(hidden) == HIDDEN_WORDINGS
        assert hidden == World.load().hidden(fact)
        assert hidden.isdisjoint(world.shown(fact))


def test_saving_and_loading_gives_the_same_world(tmp_path):
    world = World.load()
    world.save(tmp_path / "world.json")
    assert World.load(tmp_path / "world.json") == world


def test_selection_takes_plain_names_and_subjects_with_several_facts_first(tmp_path):
    rows = [("Alda", "P19", "Rome"), ("Alda", "P20", "Paris"), ("Brom", "P19", "Oslo")]
    rows += [("Zoë", "P19", "Rome"), ("Alda", "P19", "Milan"), ("Rome Club", "P19", "Rome")]
    path = tmp_path / "facts.jsonl"
    lines = [json.dumps({"subject": s, "relation": r, "object": o}) for s, r, o in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    facts = read_facts(path, ["P19", "P20"])
    assert facts == [
        KnownFact("Alda", "P19", "Rome"),
        KnownFact("Alda", "P20", "Paris"),
        KnownFact("Brom", "P19", "Oslo"),
    ]
    assert select_world(facts, count=2).facts == tuple(facts[:2])
    assert set(select_world(facts, count=3).facts) == set(facts)
