"""A small world, where the demo model's own would be more than a test needs."""

from __future__ import annotations

from guardedit.zoo.world import KnownFact, World

RELATIONS = ("born", "lives", "speaks")


def small_world() -> World:
    """120 facts of 60 subjects in three relations with nine wordings each."""
    wordings = {
        name: (f"{{}} {name} in", *(f"wording {i} of {name} for {{}} is" for i in range(1, 9)))
        for name in RELATIONS
    }
    facts = [
        KnownFact(f"Person {n}", relation, f"{relation} place {n % 5}")
        for n in range(60)
        for relation in (RELATIONS[n % 3], RELATIONS[(n + 1) % 3])
    ]
    return World(tuple(sorted(facts)), wordings)
