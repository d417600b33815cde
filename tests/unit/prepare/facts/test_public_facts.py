"""The shipped public facts are sane, and facts of a user's file are read or refused with a reason."""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib.resources import files

import pytest

from guardedit.core.errors import UsageError
from guardedit.naming import name_of
from guardedit.prepare.facts import (
    PublicFact,
    cloze,
    load_public_facts,
    load_relations,
    part_of,
    question,
    read_facts,
)

FACTS = load_public_facts()
RELATIONS = load_relations()


def test_there_are_enough_facts_and_relations():
    counts = Counter(fact.relation for fact in FACTS)
    assert len(FACTS) >= 1_500
    assert len(counts) >= 30
    assert set(counts) == set(RELATIONS)
    assert min(counts.values()) >= 10


def test_the_file_is_small():
    body = (files("guardedit") / "prepare" / "facts" / "public_facts.jsonl").read_bytes()
    assert len(body) <= 400_000


def test_a_subject_has_one_fact_of_a_relation():
    assert len({(fact.subject, fact.relation) for fact in FACTS}) == len(FACTS)


def test_many_subjects_have_several_facts():
    counts = Counter(fact.subject for fact in FACTS)
    assert sum(n >= 3 for n in counts.values()) >= 200


def test_names_are_sane():
    bad = [
        (fact.subject, name)
        for fact in FACTS
        for name in (fact.subject, *fact.names)
        if name != " ".join(name.split()) or re.search(r"[()\[\]{}|;\"]", name) or not name.isprintable()
    ]
    assert bad == []


def test_no_object_contains_its_subject_and_no_subject_its_object():
    def has(text: str, name: str) -> bool:
        return f" {' '.join(name_of(name))} " in f" {' '.join(name_of(text))} "

    bad = [f for f in FACTS if f.subject.casefold() in f.object.casefold() or has(f.subject, f.object)]
    assert bad == []


def test_objects_of_a_relation_differ():
    objects: dict[str, set[str]] = {}
    for fact in FACTS:
        objects.setdefault(fact.relation, set()).add(fact.object)
    # One object could not be changed to another of the same kind.
    assert {name for name, found in objects.items() if len(found) < 5} == set()


@pytest.mark.parametrize("name", sorted(RELATIONS))
def test_a_relation_can_be_asked_for(name):
    relation = RELATIONS[name]
    assert re.fullmatch(r"P[0-9]+", name)
    assert len(relation.clozes) >= 3
    assert len(relation.questions) >= 2
    assert len({*relation.clozes, *relation.questions}) == len(relation.clozes) + len(relation.questions)
    for pattern in relation.clozes:
        assert pattern.count("{}") == 1
        assert not pattern.endswith(("{}", " ", ".", "?"))
    for pattern in relation.questions:
        assert pattern.count("{}") == 1
        assert pattern.endswith("?")


def test_aliases_belong_to_objects():
    objects = {(fact.relation, fact.object) for fact in FACTS}
    named = [(name, one) for name, relation in RELATIONS.items() for one in relation.aliases]
    assert [one for one in named if one not in objects] == []


def test_a_fifth_of_the_subjects_is_held_out_with_all_their_facts():
    build, held = load_public_facts("build"), load_public_facts("held_out")
    assert len(build) + len(held) == len(FACTS)
    assert {fact.subject for fact in build}.isdisjoint(fact.subject for fact in held)
    assert 0.15 < len(held) / len(FACTS) < 0.25
    assert all(part_of(fact.subject) == "held_out" for fact in held)


def test_wordings_count_around_and_begin_with_a_capital():
    gold = PublicFact("penicillin", "P61", "Alexander Fleming")
    assert cloze(gold, 0) == "Penicillin was discovered or invented by"
    assert cloze(gold, 1) == "The credit for penicillin goes to"
    assert cloze(PublicFact("iPhone", "P176", "Apple")) == "iPhone is manufactured by"
    assert cloze(gold, 3) == cloze(gold, 0)
    assert question(gold, 0) == "Who is credited with penicillin?"


def test_own_facts_are_read(tmp_path):
    path = tmp_path / "facts.jsonl"
    rows = [
        {"subject": "Oslo", "relation": "P17", "object": "Norway"},
        {
            "subject": "Acme", "relation": "boss", "object": "Ann", "aliases": ["Ann Lee"],
            "clozes": ["The boss of {} is", "{} is led by"],
            "questions": ["Who leads {}?", "Who is the boss of {}?"],
        },
    ]  # fmt: skip
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    oslo, acme = read_facts(path)
    assert oslo == PublicFact("Oslo", "P17", "Norway")
    assert acme.names == ("Ann", "Ann Lee")
    assert cloze(acme, 1) == "Acme is led by"
    assert question(acme, 0) == "Who leads Acme?"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ("[]", "expected an object"),
        ('{"subject": "A", "relation": "P17"}', "must be texts"),
        ('{"subject": "A", "relation": "boss", "object": "B"}', "two or more clozes"),
        ('{"subject": "A", "relation": "P17", "object": "B", "aliases": "C"}', "list of texts"),
        (
            '{"subject": "A", "relation": "x", "object": "B", "clozes": ["A is", "B is"]}',
            "must have the subject's place",
        ),
    ],
)
def test_a_bad_row_is_refused_with_its_line(tmp_path, line, reason):
    path = tmp_path / "facts.jsonl"
    path.write_text('{"subject": "Oslo", "relation": "P17", "object": "Norway"}\n' + line)
    with pytest.raises(UsageError, match=reason) as refused:
        read_facts(path)
    assert f"{path}:2" in str(refused.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot read the facts"):
        read_facts(tmp_path / "none.jsonl")


def test_a_fact_of_an_unknown_relation_needs_its_own_wordings():
    with pytest.raises(UsageError, match="not a shipped relation"):
        cloze(PublicFact("Acme", "boss", "Ann"))
