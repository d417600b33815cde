from __future__ import annotations

from types import SimpleNamespace

import torch

from guardedit.editing.optimise.objective import RowScores
from guardedit.editing.optimise.stopping import UntilLossBelow, UntilSatisfied, in_turn, mean_by_edit

#: Two edits: the first with a bare row, two prefixed rows and an answer to keep, the second with a bare row.
ROWS = SimpleNamespace(
    group=torch.tensor([0, 0, 0, 0, 1]),
    context=torch.tensor([0, 1, 2, 0, 0]),
    keep=torch.tensor([False, False, False, True, False]),
)
NOTHING = torch.zeros(2, 1)


def scores(*, satisfied=(True,) * 5, hardest=(0.9,) * 5, loss=(0.0,) * 5) -> RowScores:
    return RowScores(
        loss_nats=torch.tensor(loss), satisfied=torch.tensor(satisfied), hardest=torch.tensor(hardest)
    )


def steps_until_done(rule, found: RowScores, limit: int = 9) -> list[list[bool]]:
    moved = []
    for step in range(limit):
        evaluated = rule.rows(step, NOTHING)
        if evaluated is None:
            break
        moved.append(rule.moving(step, NOTHING, evaluated, found).tolist())
    return moved


def test_prefixes_take_turns_and_bare_rows_are_always_evaluated():
    assert in_turn(ROWS, 0).tolist() == [True, True, False, True, True]
    assert in_turn(ROWS, 1).tolist() == [True, False, True, True, True]


def test_an_edit_stops_when_it_was_satisfied_for_extra_steps_or_once_for_each_prefix():
    few = UntilSatisfied(ROWS, confidence=0.5, extra_steps=1)
    assert steps_until_done(few, scores()) == [[True, True], [False, False]]
    many = UntilSatisfied(ROWS, confidence=0.5, extra_steps=3)
    assert steps_until_done(many, scores()) == [[True, True], [True, True], [False, False]]


def test_an_edit_that_is_not_confident_goes_on_without_the_others():
    rule = UntilSatisfied(ROWS, confidence=0.5, extra_steps=2)
    assert steps_until_done(rule, scores(hardest=(0.1, 0.9, 0.9, 0.1, 0.9)))[1:3] == [[True, False]] * 2
    assert rule.rows(0, NOTHING).tolist() == [True, True, False, True, False]


def test_answers_to_keep_need_no_confidence():
    rule = UntilSatisfied(ROWS, confidence=0.5, extra_steps=1)
    assert len(steps_until_done(rule, scores(hardest=(0.9, 0.9, 0.9, 0.1, 0.9)))) == 2


def mean_loss(_parameters, evaluated, found):
    return mean_by_edit(found.loss_nats, ROWS.group, evaluated & ~ROWS.keep, 2)


def test_an_edit_stops_below_its_loss_which_is_kept():
    rule = UntilLossBelow(ROWS, mean_loss, enough_nats=0.5)
    assert steps_until_done(rule, scores(loss=(0.6, 0.6, 0.6, 0.0, 0.4)), limit=2) == [[True, False]] * 2
    assert rule.rows(2, NOTHING).tolist() == [True, True, True, True, False]
    torch.testing.assert_close(rule.losses, torch.tensor([0.6, 0.4]))


def test_an_edit_also_stops_when_its_answers_are_predicted_for_some_steps():
    rule = UntilLossBelow(ROWS, mean_loss, enough_nats=0.5, extra_steps=2)
    found = scores(loss=(0.9,) * 5, satisfied=(True, True, True, False, False))
    assert steps_until_done(rule, found, limit=3) == [[True, True], [False, True], [False, True]]


def test_the_mean_of_an_edit_without_chosen_rows_is_zero():
    values = torch.tensor([1.0, 2.0, 3.0, 9.0, 4.0])
    chosen = torch.tensor([True, True, True, False, False])
    assert mean_by_edit(values, ROWS.group, chosen, 2).tolist() == [2.0, 0.0]
