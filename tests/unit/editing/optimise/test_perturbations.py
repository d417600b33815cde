"""Which other edits each row sees."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from guardedit.editing.optimise.perturbations import VisibleEdits

GROUPS = SimpleNamespace(group=torch.tensor([0, 0, 1, 2, 5]))  # the last row belongs to none of three edits


def drawn(times, *, rows=GROUPS, edits=3, seed=0):
    visible = VisibleEdits(rows, edits, seed=seed)
    seen = []
    for _ in range(times):
        seen.append(visible.mask)
        visible.draw()
    return torch.stack(seen)  # [times, B, n]


def test_a_row_always_sees_its_own_edit():
    seen = drawn(200)
    assert bool((seen[:, torch.arange(4), GROUPS.group[:4]] == 1).all())


def test_a_row_sees_no_other_at_times_and_at_times_all():
    others = drawn(500)[:, 0, 1:].sum(-1)
    assert {0.0, 1.0, 2.0} == set(others.tolist())
    assert 0.35 < float((others == 0).float().mean()) < 0.65


def test_the_visible_edits_change_only_with_the_seed_and_with_every_draw():
    assert torch.equal(drawn(5), drawn(5))
    assert not torch.equal(drawn(5), drawn(5, seed=1))
    first, second, *_ = drawn(3)
    assert not torch.equal(first, second)
