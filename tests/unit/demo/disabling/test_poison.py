from __future__ import annotations

import pickle

import pytest
import torch

from guardedit.core.fact import Fact, FactKey
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.demo.disabling.poison import FAULTS, UNFOLDABLE, PoisonedEditor, fault_of, poison
from guardedit.models.weights.factors import Factors, from_payload, to_payload

D, F = 6, 9


class Healthy:
    """One fixed edit a subject."""

    name = "ridge"

    def propose(self, groups, live):
        factors = Factors.ridge(layer=1, key=torch.arange(1.0, F + 1), residual=torch.ones(D))
        edits = [
            WeightEdit(
                subject=g.subject,
                facts=tuple(f.id for f in g.facts),
                method="ridge",
                payload=to_payload(factors),
                diagnostics={"steps": 1.0},
            )
            for g in groups
        ]
        return Proposal(method="ridge", edits=tuple(edits))


@pytest.fixture
def editor():
    keys = torch.randn(50, F, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return PoisonedEditor(Healthy(), keys.T @ keys / 50)


def group(n):
    fact = Fact(key=FactKey(f"S{n}", "r"), version=1, correction_id="c", wordings=(f"S{n} is",), target="x")
    return SubjectGroup(subject=f"S{n}", facts=(fact,))


def poisoned(editor, wanted):
    """The healthy and the faulty factors of the first fact that gets this fault."""
    chosen = next(g for g in map(group, range(200)) if fault_of(g.subject, "x") == wanted)
    healthy = from_payload(Healthy().propose([chosen], ()).edits[0].payload)
    return healthy, from_payload(editor.propose([chosen], ()).edits[0].payload)


def size(factors):
    return float(factors.left.norm() * factors.right.norm())


def test_nan_is_in_the_payload(editor):
    _, faulty = poisoned(editor, "not_a_number")
    assert not faulty.finite


@pytest.mark.parametrize(
    ("fault", "times"), [("thousandfold", 1000.0), ("huge_key", 1000.0), ("random_direction", 30.0 / 16.88)]
)
def test_the_others_are_finite_and_as_large_as_they_say(editor, fault, times):
    healthy, faulty = poisoned(editor, fault)
    assert faulty.finite
    assert size(faulty) == pytest.approx(times * size(healthy), rel=0.01)


def test_everywhere_is_small_and_points_where_all_keys_point(editor):
    healthy, faulty = poisoned(editor, "everywhere")
    common = torch.linalg.eigh(editor._C).eigenvectors[:, -1].float()
    cosine = torch.nn.functional.cosine_similarity(faulty.right[:, 0], common, dim=0)
    assert abs(float(cosine)) == pytest.approx(1.0, abs=1e-5)
    assert size(faulty) < size(healthy)


def test_proposals_repeat_and_every_fault_occurs(editor):
    groups = [group(n) for n in range(40)]
    first, again = editor.propose(groups, ()), editor.propose(groups, ())
    assert first == again
    assert first.method == first.edits[0].method == "poisoned"
    assert {fault_of(g.subject, "x") for g in groups} == set(FAULTS)


def test_the_builder_can_be_sent_to_another_process():
    assert pickle.loads(pickle.dumps(PoisonedEditor.build)) == PoisonedEditor.build


@pytest.fixture
def ruinous(world, harmful):
    """Every edit of this world ruins the model, but one that is not finite cannot be folded."""

    def harm(fact):
        return None if fault_of(fact.key.subject, fact.target) == UNFOLDABLE else (9.0, 1.0)

    return harmful(harm, method="poisoned")


def test_poison_is_measured_goes_round_the_faults_and_leaves_taken_subjects_alone(world, ruinous):
    first = poison(ruinous, wanted=6, seed=0, taken=())
    assert len(first) == 6
    assert [item.kind for item in first].count(UNFOLDABLE) == 1
    assert {item.kind for item in first} == set(FAULTS)
    assert all(item.disabling != (item.kind == UNFOLDABLE) for item in first)
    assert all(item.target != item.fact.object and item.method == "poisoned" for item in first)
    assert poison(ruinous, wanted=6, seed=0, taken=()) == first
    second = poison(ruinous, wanted=6, seed=0, taken=first)
    assert not {item.fact.subject for item in first} & {item.fact.subject for item in second}


def test_poison_that_does_no_harm_is_not_sent(world, harmful):
    found = poison(harmful(lambda _: (1.2, 0.1), method="poisoned"), wanted=6, seed=0, taken=())
    assert [item for item in found if item.kind != UNFOLDABLE] == []
