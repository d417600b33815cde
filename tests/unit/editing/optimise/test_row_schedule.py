"""Which rows each step evaluates."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from guardedit.editing.optimise import row_schedule
from guardedit.editing.optimise.row_schedule import RowSchedule

#: Two subjects, each with four bare rows, four behind prefixes and one answer to keep.
ROWS = SimpleNamespace(
    group=torch.tensor([0] * 9 + [1] * 9),
    context=torch.tensor(([0] * 4 + [1, 2, 3, 1] + [0]) * 2),
    keep=torch.tensor(([False] * 8 + [True]) * 2),
)
STEPS = 32
BARE, PREFIXED = (~ROWS.keep & (ROWS.context == 0)), ROWS.context > 0


def evaluated(*, fine, loss_nats=0.0, rows=ROWS, steps=STEPS):
    """[steps, B] bool, where `fine` is whether every evaluated row is satisfied."""
    plan, seen = RowSchedule(rows, steps), []
    for step in range(steps):
        active = plan.rows(step)
        seen.append(active)
        plan.record(step, active, torch.full_like(active, fine), torch.full(active.shape, loss_nats))
    return torch.stack(seen)


def test_the_first_half_evaluates_one_row_a_subject_and_the_second_at_one_of_each_kind():
    seen = evaluated(fine=False)
    for subject in (0, 1):
        mine = (ROWS.group == subject) & ~ROWS.keep
        assert set(seen[: STEPS // 2, mine].sum(1).tolist()) == {1}
        assert set(seen[STEPS // 2 :, mine & BARE].sum(1).tolist()) == {1}
        assert set(seen[STEPS // 2 :, mine & PREFIXED].sum(1).tolist()) == {1}


def test_every_row_has_as_many_turns_as_the_others_of_its_kind():
    turns = evaluated(fine=False).sum(0)
    assert set(turns[BARE | PREFIXED].tolist()) == {STEPS // 2 // 8 + STEPS // 2 // 4}
    assert set(turns[ROWS.keep].tolist()) == {STEPS}


def test_what_is_satisfied_rests_and_longer_each_time():
    often, seldom = evaluated(fine=False, steps=64).sum(0), evaluated(fine=True, steps=64).sum(0)
    assert bool((seldom[BARE] < often[BARE]).all())


def test_an_answer_to_keep_that_has_hardly_moved_rests_longest():
    def pauses(nats):
        looks = evaluated(fine=True, loss_nats=nats, steps=64)[:, ROWS.keep][:, 0].nonzero()[:, 0]
        return looks.diff().tolist()[-3:]

    assert pauses(2 * row_schedule.CALM_NATS) == [row_schedule.KEEP_REST] * 3
    assert pauses(0.5 * row_schedule.CALM_NATS) == [row_schedule.CALM_REST] * 3


def test_without_prefixes_no_step_is_lost():
    bare = SimpleNamespace(
        group=torch.zeros(4).long(), context=torch.zeros(4).long(), keep=torch.zeros(4).bool()
    )
    assert set(evaluated(fine=False, rows=bare).sum(1).tolist()) == {1}


def test_all_is_done_when_every_row_was_satisfied_at_its_last_look():
    plan = RowSchedule(ROWS, STEPS)
    assert not plan.all_satisfied
    for step in range(STEPS):
        active = plan.rows(step)
        plan.record(step, active, active, torch.zeros(len(active)))
    assert plan.all_satisfied
