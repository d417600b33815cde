"""Fault injection: an editing method whose proposals are real edits with a fault built in.

It stands for a bug in an editor, a bad float on a worker, a payload that was tampered with. The fault is
chosen by the fact's id, so a proposal repeats. Offered to a system as an extra method, never registered.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import Editor, SubjectGroup
from guardedit.editing.methods.ridge import RidgeEditor
from guardedit.editing.setup import Setup
from guardedit.evaluation.writing import Disabling
from guardedit.models.factors import Factors, from_payload, to_payload
from guardedit.zoo.world import World

METHOD = "poisoned"

#: A fault: healthy factors, second moments C [f, f], a seeded generator -> what is proposed instead.
Fault = Callable[[Factors, Tensor, torch.Generator], Factors]


def not_a_number(healthy: Factors, C: Tensor, dice: torch.Generator) -> Factors:
    """One NaN in the residual."""
    del C, dice
    left = healthy.left.clone()
    left[0, 0] = float("nan")
    return Factors.ridge(layer=healthy.layer, key=healthy.right, residual=left)


def thousandfold(healthy: Factors, C: Tensor, dice: torch.Generator) -> Factors:
    """The right direction, a thousand times too far."""
    del C, dice
    return Factors.ridge(layer=healthy.layer, key=healthy.right, residual=1000.0 * healthy.left)


def huge_key(healthy: Factors, C: Tensor, dice: torch.Generator) -> Factors:
    """A key that is no key: random, and a thousand times longer than one."""
    del C
    key = 1000.0 * healthy.right.norm() * _unit(healthy.right.shape[0], dice)
    return Factors.direct(layer=healthy.layer, left=healthy.left, right=key, key=key.clone())


def random_direction(healthy: Factors, C: Tensor, dice: torch.Generator) -> Factors:
    """A rank-one change in a random direction, thirty times the healthy length."""
    del C
    left = 30.0 * healthy.left.norm() * _unit(healthy.left.shape[0], dice)
    return Factors.direct(
        layer=healthy.layer, left=left, right=_unit(healthy.right.shape[0], dice), key=healthy.right
    )


def everywhere(healthy: Factors, C: Tensor, dice: torch.Generator) -> Factors:
    """The right residual where all text has its keys: small numbers, wrong answers everywhere."""
    del dice
    common = torch.linalg.eigh(C).eigenvectors[:, -1]
    right = common.float() / (healthy.right.norm() * 0.5)
    return Factors.direct(layer=healthy.layer, left=healthy.left, right=right, key=healthy.right)


FAULTS: Mapping[str, Fault] = {
    "not_a_number": not_a_number,
    "thousandfold": thousandfold,
    "huge_key": huge_key,
    "random_direction": random_direction,
    "everywhere": everywhere,
}


def fault_of(fact_id: str) -> str:
    """Which fault a fact's edit gets."""
    return list(FAULTS)[_digest(fact_id) % len(FAULTS)]


class PoisonedEditor:
    """The ridge editor's proposals, each with a fault."""

    name = METHOD

    def __init__(self, healthy: Editor, C: Tensor) -> None:
        self._healthy = healthy
        self._C = C

    @classmethod
    def build(cls, setup: Setup) -> PoisonedEditor:
        """As every editing method is built."""
        return cls(RidgeEditor.build(setup), setup.moments[setup.layer].C)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One faulty edit a subject."""
        proposal = self._healthy.propose(groups, live)
        return replace(
            proposal, method=self.name, edits=tuple(self._poisoned(edit) for edit in proposal.edits)
        )

    def _poisoned(self, edit: WeightEdit) -> WeightEdit:
        fact = edit.facts[0]
        dice = torch.Generator().manual_seed(_digest(fact))
        factors = FAULTS[fault_of(fact)](from_payload(edit.payload), self._C, dice)
        return replace(edit, method=self.name, payload=to_payload(factors), diagnostics={})


def choose(world: World, *, count: int, seed: int, but: Sequence[Disabling]) -> list[Disabling]:
    """Corrections that look like any other and ask for this method, about subjects that `but` leaves free."""
    rng = random.Random(seed)
    taken = {item.fact.subject for item in but}
    subjects = [name for name in sorted(world.by_subject) if name not in taken]
    chosen = []
    for subject in rng.sample(subjects, count):
        fact = rng.choice(world.by_subject[subject])
        others = [name for name in world.objects[fact.relation] if name != fact.object]
        wording = rng.randrange(len(world.wordings[fact.relation]))
        chosen.append(Disabling(fact=fact, target=rng.choice(others), wording=wording, method=METHOD))
    return chosen


def _unit(size: int, dice: torch.Generator) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(size, generator=dice), dim=0)


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
