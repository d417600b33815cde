"""Facts in several shards answer as those in one memory do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guardedit.core.fact import Fact, FactKey
from guardedit.lab.memory_scale.synthetic import WordModel, fact, relation_of, subject
from guardedit.memory.encoder import SentenceEncoder
from guardedit.memory.scope import ScopeThresholds
from guardedit.memory.store import RetrievalMemory
from guardedit.serving.shard import MemoryShard
from guardedit.serving.sharded_facts import ShardedFacts

FACTS = 400


def own_fact(number: int) -> Fact:
    """The tenant's own version of every third fact."""
    one = fact(number, target="Own")
    return replace(one, key=FactKey(one.key.subject, one.key.relation, "tenant"))


def questions(number: int) -> list[str]:
    relation, name = relation_of(number), subject(number)
    return [
        fact(number).prompt,
        f"What is the {relation} of {name}?",
        f"The {relation} of {name.split()[0]} is",  # names no subject
        f"The {relation_of(number + 1)} of {name} is",
        f"Is {name} or {subject(number + 1)} known for its {relation}?",
    ]


def recalls(shards: int, asked: list[str]):
    encoder = SentenceEncoder(WordModel(), sha256=WordModel.sha256)
    thresholds = replace(ScopeThresholds.load(), encoder_sha256=encoder.sha256)
    facts = ShardedFacts([MemoryShard(RetrievalMemory(encoder, thresholds)) for _ in range(shards)])
    own = [own_fact(number) for number in range(0, FACTS, 3)]
    facts.apply(facts.prepare_facts([*(fact(number) for number in range(FACTS)), *own]))
    return facts.recall_with_reload(asked, tenant="tenant", now_s=0.0)


@pytest.mark.parametrize("shards", [2, 4])
def test_a_tenants_own_fact_hides_that_of_default_whatever_the_number_of_shards(shards):
    asked = [question for number in range(0, FACTS, 3) for question in questions(number)]
    one, several = recalls(1, asked), recalls(shards, asked)
    unnamed = [(a, b) for a, b in zip(one, several, strict=True) if not a.named]
    assert [(b.scope, b.fact, b.named) for _, b in unnamed] == [(a.scope, a.fact, False) for a, _ in unnamed]
    assert {a.scope for a, _ in unnamed} == {"unsure", "out"}  # or nothing was tested
    assert sum(a.fact.target == "Own" for a, _ in unnamed if a.fact) > FACTS / 20
    named = [(a, b) for a, b in zip(one, several, strict=True) if a.named]
    assert all(a.fact == b.fact for a, b in named if a.fact and b.fact)
    # A shard learns wordings of its own facts alone, so it can be less sure than one memory with all facts.
    assert sum(a.scope != b.scope for a, b in named) <= 0.02 * len(named)
