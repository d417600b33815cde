"""The whole way of a correction in one process, on the shipped model."""

from __future__ import annotations

import json

from guardedit.core.fact import Placement
from guardedit.core.verdict import Outcome
from guardedit.runtime.local import LocalSystem
from guardedit.telemetry.events import problems


def answers(system, changes):
    return [a.text for a in system.ask([c.prompt for c in changes])]


def test_corrections_are_answered_and_most_move_into_the_weights(system, changes, submit, settle):
    made = changes(16)
    assert submit(system, [c.raw for c in made]) == 16
    settle(system)
    said = answers(system, made)
    right = sum(text == c.target for text, c in zip(said, made, strict=True))
    assert right >= 15
    status = system.status()
    assert status.memory + status.weights == 16
    assert status.weights >= 8
    assert status.perplexity_ratio < 1.03
    assert system.coordinator._ledger.verify() == []


def test_a_correction_is_live_before_any_trial(system, changes, submit):
    made = changes(3, seed=1)
    submit(system, [c.raw for c in made])
    live = system.coordinator.live
    live.step()

    found = system.ask([c.prompt for c in made])
    assert {a.placement for a in found} == {"memory"}
    assert [a.text for a in found] == [c.target for c in made]


def test_a_retraction_of_a_fact_in_the_weights_gives_the_old_answer_back(system, changes, submit, settle):
    made = changes(6, seed=2)
    submit(system, [c.raw for c in made])
    settle(system)
    live = system.coordinator._ledger.live()
    gone = next(f for f in live.values() if f.placement is Placement.WEIGHTS)
    body = {
        "id": "r",
        "op": "retract",
        "subject": gone.key.subject,
        "relation": gone.key.relation,
        "prompt": "{} is",
    }
    before = system.loaded.host.complete([gone.prompt])[0]
    submit(system, [json.dumps(body).encode()], name="retract")
    settle(system)
    answer = system.ask([gone.prompt])[0]
    assert answer.text == before
    assert answer.fact_id == ""
    assert all(gone.id not in edit.facts for edit in system.coordinator._ledger.edits())


def test_rollback_undo_and_redo_give_the_same_bytes(system, changes, submit, settle):
    first, second = changes(5, seed=3), changes(4, seed=4, prefix="d")
    submit(system, [c.raw for c in first])
    settle(system)
    early = system.epoch()
    submit(system, [c.raw for c in second], name="more")
    settle(system)
    late = system.epoch()
    assert late.weights_sha256 != early.weights_sha256

    back = system.roll_back(early.number, facts_too=True)
    assert (back.state_sha256, back.weights_sha256) == (early.state_sha256, early.weights_sha256)
    forth = system.roll_back(late.number, facts_too=True)
    assert (forth.state_sha256, forth.weights_sha256) == (late.state_sha256, late.weights_sha256)

    facts = [f for f in system.coordinator._ledger.live().values() if f.placement is Placement.WEIGHTS]
    chosen = [facts[3], facts[0], facts[2]]
    for fact in chosen:
        system.undo(fact.id)
    assert system.epoch().weights_sha256 != late.weights_sha256
    for fact in reversed(chosen):
        system.redo(fact.id)
    assert system.epoch().weights_sha256 == late.weights_sha256
    assert system.epoch().state_sha256 == late.state_sha256
    measured = system.worker.weights_sha256(system.coordinator._ledger.edits())
    assert measured == late.weights_sha256


def test_a_rollback_of_the_weights_loses_no_fact(system, changes, submit, settle):
    made = changes(8, seed=5)
    submit(system, [c.raw for c in made])
    settle(system)
    assert system.status().weights > 0
    system.roll_back(0)
    status = system.status()
    assert (status.memory, status.weights) == (8, 0)
    assert answers(system, made) == [c.target for c in made]


def test_a_restart_continues_from_the_ledger(system, changes, submit, settle):
    made = changes(6, seed=6)
    submit(system, [c.raw for c in made])
    system.step()
    system.restart_coordinator()
    settle(system)
    before = system.epoch()
    system.restart_coordinator()
    settle(system)
    assert system.epoch() == before
    assert system.coordinator._ledger.verify() == []


def test_drift_beyond_the_budget_rolls_back_to_last_good_and_names_culprits(
    settings, policy, changes, submit, settle
):
    # A budget so small that the first batch breaks it, a guard that lets it pass.
    drift = policy.drift.model_copy(update={"perplexity_ratio_to_base": 1.00001})
    strict = policy.model_copy(update={"drift": drift})
    with LocalSystem(settings, strict) as system:
        made = changes(5, seed=7)
        submit(system, [c.raw for c in made])
        settle(system)
        kinds = [epoch.kind for epoch in system.coordinator._ledger.epochs()]
        assert "rollback" in kinds
        assert system.status().rollbacks >= 1
        assert system.consolidator.consolidate.kept.now()
        assert answers(system, made) == [c.target for c in made]


def test_in_shadow_mode_nothing_is_served(settings, policy, changes, submit, settle):
    with LocalSystem(settings, policy.model_copy(update={"mode": "shadow"})) as system:
        made = changes(4, seed=8)
        submit(system, [c.raw for c in made])
        settle(system)
        counts = system.coordinator._ledger.counts()
        assert sum(counts.corrections.values()) == 4
        found = system.ask([c.prompt for c in made])
        assert {a.placement for a in found} == {"base"}
        assert counts.edits_live == 0
        assert b'guardedit_mode{mode="shadow"} 1.0' in system.metrics()[0]


def test_every_event_of_the_running_loop_fits_the_table(settings, policy, changes, submit, settle):
    with LocalSystem(settings, policy) as system:
        heard = []
        for parts in (system.coordinator.live.parts, system.consolidator.consolidate.parts):
            tell = parts.observe
            object.__setattr__(parts, "observe", lambda event, tell=tell: (heard.append(event), tell(event)))
        made = changes(5, seed=9)
        submit(system, [*(c.raw for c in made), b"not json"])
        settle(system)
        assert {"decided", "judged", "settled", "published", "dead_lettered"} <= {e.kind for e in heard}
        assert [p for event in heard for p in problems(event)] == []


def test_no_served_epoch_lacks_an_accepting_verdict(system, changes, submit, settle):
    submit(system, [c.raw for c in changes(12, seed=10)])
    settle(system)
    ledger = system.coordinator._ledger
    promoted = [epoch for epoch in ledger.epochs() if epoch.kind == "promote"]
    assert promoted
    for epoch in promoted:
        verdict = ledger.verdict(epoch.number)
        assert verdict is not None
        assert verdict["outcome"] == Outcome.ACCEPT.value
