"""The digest of a set of facts: equal for equal sets, and kept by increments."""

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


def test_increments_lead_where_counting_anew_leads(world):
    rng, held, digest = random.Random(2), list(world[:4]), facts_sha256(world[:4])
    for _ in range(40):
        gone = rng.sample(held, rng.randrange(len(held)))
        come = rng.sample([fact for fact in world if fact not in held], 2)
        digest = digest_after(digest, gone, come)
        held = [fact for fact in held if fact not in gone] + come
        assert digest == facts_sha256(held)
        held, digest = held[:5], digest_after(digest, held[5:], ())
    assert digest_after(digest, held, ()) == facts_sha256(())
