"""Fault injection: an editing method whose proposals are real edits with a fault built in.

It stands for a bug in an editor, a bad float on a worker, a payload that was tampered with. The fault is
chosen by subject and new object, so a proposal repeats. Offered to a system as an extra method, never
registered.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor

from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import Editor, SubjectGroup
from guardedit.demo.disabling import Disabling
from guardedit.demo.stream.weighing import Weighing
from guardedit.demo.stream.writing import GIVEN
from guardedit.editing.methods.ridge import RidgeEditor
from guardedit.editing.setup import Setup
from guardedit.models.weights.factors import Factors, from_payload, to_payload
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


#: Cannot even be folded, with or without a guard: no model comes of it.
UNFOLDABLE = "not_a_number"


def fault_of(subject: str, target: str) -> str:
    """Which fault the edit of a fact gets."""
    return list(FAULTS)[_digest(f"{subject}/{target}") % len(FAULTS)]


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
        targets = {fact.id: fact.target for group in groups for fact in group.facts}
        edits = tuple(self._poisoned(edit, targets[edit.facts[0]]) for edit in proposal.edits)
        return replace(proposal, method=self.name, edits=edits)

    def _poisoned(self, edit: WeightEdit, target: str) -> WeightEdit:
        dice = torch.Generator().manual_seed(_digest(f"{edit.subject}/{target}"))
        fault = FAULTS[fault_of(edit.subject, target)]
        factors = fault(from_payload(edit.payload), self._C, dice)
        return replace(edit, method=self.name, payload=to_payload(factors), diagnostics={})


def poison(
    weighing: Weighing, *, wanted: int, seed: int, but: Sequence[Disabling], most: int = 60
) -> list[Disabling]:
    """Corrections that look like any other and ask for this method, each measured to be disabling.

    One of them cannot be folded, which no measure can call disabling and the guard must see nevertheless.
    The others go round the faults. Fewer come back where `most` candidates do not bring enough.

    Args:
        weighing: offers this method.
        wanted: corrections.
        seed: of subjects, wordings and objects.
        but: whose subjects are left free.
        most: candidates that are looked at.
    """
    rng = random.Random(seed)
    candidates = _candidates(weighing.world, rng, {item.fact.subject for item in but})
    taken = Counter[str]()
    found: list[Disabling] = []
    for item in islice(candidates, most):
        measured = len(found) - taken[UNFOLDABLE]
        full = measured == wanted - 1 or taken[item.kind] > measured // (len(FAULTS) - 1)
        if taken[UNFOLDABLE] if item.kind == UNFOLDABLE else full:
            continue
        weighed = weighing.weighed(item)
        if weighed.disabling or item.kind == UNFOLDABLE:
            taken[item.kind] += 1
            found.append(weighed)
        if len(found) == wanted:
            break
    return found


def _candidates(world: World, rng: random.Random, taken: Collection[str]) -> Iterator[Disabling]:
    """One a free subject, in random order."""
    subjects = [name for name in sorted(world.by_subject) if name not in taken]
    for subject in rng.sample(subjects, len(subjects)):
        fact = rng.choice(world.by_subject[subject])
        others = [name for name in world.objects[fact.relation] if name != fact.object]
        if not others:
            continue
        target = rng.choice(others)
        wordings = rng.sample(range(len(world.wordings[fact.relation])), GIVEN)
        yield Disabling(
            fact=fact,
            target=target,
            wordings=tuple(wordings),
            method=METHOD,
            kind=fault_of(subject, target),
        )


def _unit(size: int, dice: torch.Generator) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(size, generator=dice), dim=0)


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
