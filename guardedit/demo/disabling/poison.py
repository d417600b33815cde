"""Injects faults: an editing method whose proposals are ordinary edits with a fault.

It simulates a bug in an editor, a corrupted float on a worker, or a payload that was tampered with. Subject
and target decide the fault, so proposals are reproducible. The demo passes the method to the system directly;
it is not in the registry.
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
from guardedit.core.protocols import MethodEditor, SubjectGroup
from guardedit.demo.disabling.edit import DisablingEdit
from guardedit.demo.disabling.tester import HarmTester
from guardedit.demo.worlds.stream_world import StreamWorld
from guardedit.editing.methods.ridge import RidgeEditor
from guardedit.editing.setup import Setup
from guardedit.models.weights.factors import Factors, from_payload, to_payload

METHOD = "poisoned"
#: Optimisation steps of the healthy edit.
STEPS = 8

#: (healthy factors, second moments C [f, f], seeded generator) -> faulty factors.
Fault = Callable[[Factors, Tensor, torch.Generator], Factors]


def not_a_number(healthy: Factors, C: Tensor, generator: torch.Generator) -> Factors:
    """One NaN in the residual."""
    del C, generator
    left = healthy.left.clone()
    left[0, 0] = float("nan")
    return Factors.ridge(layer=healthy.layer, key=healthy.right, residual=left)


def thousandfold(healthy: Factors, C: Tensor, generator: torch.Generator) -> Factors:
    """The right direction with a thousand times the length."""
    del C, generator
    return Factors.ridge(layer=healthy.layer, key=healthy.right, residual=1000.0 * healthy.left)


def huge_key(healthy: Factors, C: Tensor, generator: torch.Generator) -> Factors:
    """A random key with a thousand times the length."""
    del C
    key = 1000.0 * healthy.right.norm() * _unit(healthy.right.shape[0], generator)
    return Factors.direct(layer=healthy.layer, left=healthy.left, right=key, key=key.clone())


def random_direction(healthy: Factors, C: Tensor, generator: torch.Generator) -> Factors:
    """A rank-one change in a random direction with thirty times the length."""
    del C
    left = 30.0 * healthy.left.norm() * _unit(healthy.left.shape[0], generator)
    return Factors.direct(
        layer=healthy.layer, left=left, right=_unit(healthy.right.shape[0], generator), key=healthy.right
    )


def everywhere(healthy: Factors, C: Tensor, generator: torch.Generator) -> Factors:
    """The right residual along the main direction of all keys: small numbers, wrong answers everywhere."""
    del generator
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


#: The fault that makes an edit impossible to fold, with or without a guard.
UNFOLDABLE = "not_a_number"


def fault_of(subject: str, target: str) -> str:
    """The name of the fault for a fact."""
    return list(FAULTS)[_digest(f"{subject}/{target}") % len(FAULTS)]


class PoisonedEditor:
    """Makes the proposals of a healthy editor, each with a fault.

    Args:
        healthy: whose edits have one pair of factors.
        C: second moments [f, f] of the edited layer.
    """

    name = METHOD

    def __init__(self, healthy: MethodEditor, C: Tensor) -> None:
        self._healthy = healthy
        self._C = C

    @classmethod
    def build(cls, setup: Setup) -> PoisonedEditor:
        """On top of a hasty ridge editor: the fault counts, not whether the answer is reached."""
        hasty = replace(setup.settings, steps=STEPS, contexts=0, least_reached=0.0)
        return cls(RidgeEditor.build(replace(setup, settings=hasty)), setup.moments[setup.layer].C)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One faulty edit per subject."""
        proposal = self._healthy.propose(groups, live)
        targets = {fact.id: fact.target for group in groups for fact in group.facts}
        edits = tuple(self._poisoned(edit, targets[edit.facts[0]]) for edit in proposal.edits)
        return replace(proposal, method=self.name, edits=edits)

    def _poisoned(self, edit: WeightEdit, target: str) -> WeightEdit:
        generator = torch.Generator().manual_seed(_digest(f"{edit.subject}/{target}"))
        fault = FAULTS[fault_of(edit.subject, target)]
        factors = fault(from_payload(edit.payload), self._C, generator)
        return replace(edit, method=self.name, payload=to_payload(factors), diagnostics={})


def poison(
    tester: HarmTester, *, wanted: int, seed: int, taken: Sequence[DisablingEdit], most: int = 60
) -> list[DisablingEdit]:
    """Corrections that ask for this method, each measured to be disabling.

    One of them cannot be folded, so it cannot be measured, but the guard must reject it as well. Among the
    others each fault is about equally frequent. Fewer than `wanted` are returned if `most` candidates do not
    contain enough.

    Args:
        tester: offers this method.
        wanted: number of corrections.
        seed: seed of subjects, wordings and targets.
        taken: their subjects are not used.
        most: candidates to look at.
    """
    rng = random.Random(seed)
    candidates = _candidates(tester.world, rng, {item.fact.subject for item in taken})
    counts = Counter[str]()  # fault -> corrections
    found: list[DisablingEdit] = []
    for candidate in islice(candidates, most):
        measured = len(found) - counts[UNFOLDABLE]
        full = measured == wanted - 1 or counts[candidate.kind] > measured // (len(FAULTS) - 1)
        if counts[UNFOLDABLE] if candidate.kind == UNFOLDABLE else full:
            continue
        tested = tester.tested(candidate)
        if tested.disabling or candidate.kind == UNFOLDABLE:
            counts[candidate.kind] += 1
            found.append(tested)
        if len(found) == wanted:
            break
    return found


def _candidates(world: StreamWorld, rng: random.Random, taken: Collection[str]) -> Iterator[DisablingEdit]:
    """One per subject that is not taken, in random order."""
    subjects = [name for name in sorted(world.by_subject) if name not in taken]
    for subject in rng.sample(subjects, len(subjects)):
        fact = rng.choice(world.by_subject[subject])
        others = [name for name in world.objects[fact.relation] if name != fact.object]
        if not others:
            continue
        target = rng.choice(others)
        yield DisablingEdit(
            fact=fact,
            target=target,
            wordings=world.given(fact, rng),
            method=METHOD,
            kind=fault_of(subject, target),
        )


def _unit(size: int, generator: torch.Generator) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(size, generator=generator), dim=0)


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
