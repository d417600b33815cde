"""The consolidating cycle: undecided facts are tried again and then held; served tensors are repaired."""

from __future__ import annotations

from tests.fakes import raw


def kept_of(town, subject):
    return town.consolidate.kept.now().get(town.facts()[subject].id)


def test_an_undecided_fact_is_tried_with_more_probes_and_then_held(town):
    town.guard.doubtful = {"Eve"}
    town.send(raw("Eve", "Lima"))
    assert kept_of(town, "Eve").state == "held"
    assert kept_of(town, "Eve").tries == 3
    assert {1, 2, 4} <= set(town.guard.efforts)
    assert town.placed() == {"Eve": "memory"}


def test_an_undecided_fact_is_promoted_once_a_trial_can_decide(town):
    town.guard.broken = True
    town.submit(raw("Eve", "Lima"))
    town.loop.step()
    assert kept_of(town, "Eve").state == "undecided"
    town.guard.broken = False
    town.settle()
    assert town.placed() == {"Eve": "weights"}
    assert kept_of(town, "Eve") is None


def test_a_held_fact_is_tried_again_when_it_is_released(town):
    town.guard.doubtful = {"Eve"}
    town.send(raw("Eve", "Lima"))
    town.guard.doubtful = set()
    town.settle()
    assert town.placed() == {"Eve": "memory"}
    town.ledger.release_fact(town.facts()["Eve"].id)
    town.settle()
    assert town.placed() == {"Eve": "weights"}


def test_an_undecided_fact_does_not_delay_new_ones(town):
    town.guard.doubtful = {"Eve"}
    town.submit(raw("Eve", "Lima"))
    town.loop.step()
    town.submit(raw("Ada", "Rome"), name="next")
    town.loop.step()
    assert town.placed()["Ada"] == "weights"


def test_a_method_that_fails_for_one_subject_keeps_that_one_in_memory_only(town):
    town.worker.breaks_on = frozenset({"Eve"})
    town.send(raw("Ada", "Rome"), raw("Eve", "Lima"))
    assert town.placed() == {"Ada": "weights", "Eve": "memory"}
    assert kept_of(town, "Eve").code == "refused"
    assert "ZeroDivisionError" in kept_of(town, "Eve").reason


def test_served_tensors_are_compared_from_time_to_time(town):
    town.replica.problems = ["transformer.h.3 was changed in memory"]
    town.consolidate.step()
    assert town.replica.problems  # not yet
    town.clock.now_s += 61
    town.consolidate.step()
    assert town.replica.problems == []
    assert [e.fields["problem"] for e in town.heard if e.kind == "tampered"] == [
        "transformer.h.3 was changed in memory"
    ]
    assert [kind for _, kind, _ in town.ledger.events(kinds=("tampered",))] == ["tampered"]


def test_a_small_batch_waits_for_more_facts_but_not_for_ever(build):
    town = build(limits={"batch": 3, "batch_wait_s": 30.0})
    town.submit(raw("Ada", "Rome"))
    assert town.loop.step().waiting
    assert town.placed() == {"Ada": "memory"}
    town.clock.now_s += 31
    town.loop.step()
    assert town.placed() == {"Ada": "weights"}


def test_a_clock_that_is_set_back_stops_neither_batches_nor_repairs(build):
    town = build(limits={"batch": 3, "batch_wait_s": 30.0})
    town.submit(raw("Ada", "Rome"))
    assert town.loop.step().waiting
    town.clock.now_s -= 86_400
    town.replica.problems = ["layer 3"]
    town.loop.step()
    assert town.placed() == {"Ada": "weights"}
    assert "tampered" in {event.kind for event in town.heard}
