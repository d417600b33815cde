"""The embedded model as methods are given it, some facts to edit, and an editor that changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest
import torch

from guardedit import assembly
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.setup import Setup
from guardedit.lab.editors.cases import EditCase, vetted
from guardedit.lab.editors.measure import Examiner
from guardedit.lab.editors.world_facts import world_cases
from guardedit.models.text.guessing import complete_guessed
from guardedit.models.weights.factors import Factors, to_payload
from guardedit.settings import Settings
from guardedit.zoo.world import World

TEXTS = ("The river runs through the old town.", "He was a man of few words and many letters.")


class Idle:
    """Proposes edits that change nothing, and remembers what it was asked for."""

    name = "idle"

    def __init__(self, refuses: Sequence[str] = ()) -> None:
        self.asked: list[tuple[list[str], list[str]]] = []
        self.refuses = set(refuses)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        self.asked.append(([f.id for g in groups for f in g.facts], [f for e in live for f in e.facts]))
        good = [group for group in groups if group.subject not in self.refuses]
        return Proposal(
            method=self.name,
            edits=tuple(_idle(group) for group in good),
            refused={f.id: "no" for g in groups if g.subject in self.refuses for f in g.facts},
            seconds=0.5 * len(groups),
        )


def _idle(group: SubjectGroup) -> WeightEdit:
    # Different in what does not act, so that every edit has a digest of its own.
    name = torch.tensor(list(group.facts[0].id.encode()))
    factors = Factors.direct(
        layer=3, left=torch.zeros(256), right=torch.zeros(1024), key=torch.ones(1024), extra={"name": name}
    )
    return WeightEdit(
        subject=group.subject,
        facts=tuple(sorted(fact.id for fact in group.facts)),
        method="idle",
        payload=to_payload(factors),
    )


@pytest.fixture
def idle() -> type[Idle]:
    return Idle


@pytest.fixture(scope="session")
def setup(warm_home, policy) -> Setup:
    return assembly.load_setup(Settings(home=warm_home, metrics=None), policy)


@pytest.fixture(scope="session")
def demo_world() -> World:
    return World.load()


@pytest.fixture(scope="session")
def cases(setup, demo_world) -> list[EditCase]:
    """Four edits of facts the demo model knows."""
    made = world_cases(demo_world, count=8, seed=0)
    return vetted(made, partial(complete_guessed, setup.host))[:4]


@pytest.fixture(scope="session")
def examiner(setup) -> Examiner:
    return Examiner.of(setup.host, setup.fold, TEXTS)
