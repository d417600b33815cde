"""The digest of a set of facts: equal for equal sets, and updated fact by fact."""

from __future__ import annotations

import random
from dataclasses import replace

from guardedit.core.fact import Placement
from guardedit.memory.fact_sets import digest_after, facts_sha256


def test_any_order_gives_the_same_digest(world):
    assert facts_sha256(random.Random(1).sample(world, len(world))) == facts_sha256(world)


def test_every_field_counts(world):
    first, *rest = world
    changed = [
        replace(first, target="elsewhere"),
        first.placed(Placement.WEIGHTS),
        replace(first, valid_until_s=5.0),
        replace(first, version=7),
        replace(first, reported_at_s=1.0),
    ]
    assert len({facts_sha256([fact, *rest]) for fact in [first, *changed]}) == 6


def test_an_updated_digest_equals_one_computed_from_the_whole_set(world):
    rng, facts, digest = random.Random(2), list(world[:4]), facts_sha256(world[:4])
    for _ in range(40):
        removed = rng.sample(facts, rng.randrange(len(facts)))
        added = rng.sample([fact for fact in world if fact not in facts], 2)
        digest = digest_after(digest, removed, added)
        facts = [fact for fact in facts if fact not in removed] + added
        assert digest == facts_sha256(facts)
        facts, digest = facts[:5], digest_after(digest, facts[5:], ())
    assert digest_after(digest, facts, ()) == facts_sha256(())
