from __future__ import annotations

from dataclasses import replace

import pytest

from guardedit.core.messages import Fate
from guardedit.demo.assess import audit
from guardedit.demo.stream.expected import Line, LineKind


def lost(story, now_s=0.0):
    return audit.lost_corrections(story.ledger, story.deliveries, now_s=now_s)


def test_a_clean_run_has_lost_nothing_and_applied_nothing_twice(story, make):
    first = make.correction(1)
    story.accept(first)
    story.settle(first, fate=Fate.DUPLICATE)
    story.accept(make.correction(2, "Rome", subject="Person 1"), version=2)
    story.settle(make.retraction(3, "Person 1"))
    assert lost(story) == []
    assert audit.applied_twice(story.ledger) == []


def test_a_line_that_waits_or_never_arrived_is_lost(story, make):
    delivery = story.receive(make.correction(1))
    assert lost(story) == [f"{delivery.position} has no fate"]
    story.deliveries[0] = type(delivery)(raw=b"x", source="submit", position="demo:99")
    assert lost(story) == ["demo:99 has no fate"]


def test_an_accepted_fact_that_is_not_live_is_lost(story, make):
    correction = make.correction(1)
    fact = story.accept(correction)
    story.commit(fact.key, None, kind="undo", reason="by mistake")
    assert lost(story) == ["c1 was accepted and has no effect"]


def test_a_retraction_without_effect_is_lost(story, make):
    fact = story.accept(make.correction(1))
    story.settle(make.retraction(2, "Person 1"))
    story.commit(fact.key, fact, kind="redo", reason="by mistake")
    assert lost(story) == ["c2 was accepted and has no effect"]


def test_an_expired_fact_may_be_gone_only_after_its_time(story, make):
    fact = story.accept(make.correction(1, valid_until_s=50.0))
    story.commit(fact.key, None, kind="expire", reason="time")
    assert lost(story, now_s=60.0) == []
    assert lost(story, now_s=40.0) == ["c1 was accepted and has no effect"]


def test_two_versions_by_one_correction_are_one_too_many(story, make):
    correction = make.correction(1)
    fact = story.accept(correction)
    again = replace(fact, version=2)
    story.commit(fact.key, again, kind="redo", reason="twice")
    assert audit.applied_twice(story.ledger) == ["c1"]


def test_a_disabling_fact_in_any_epoch_is_found_even_after_it_left(story, make):
    good, bad = story.accept(make.correction(1)), story.accept(make.correction(2))
    story.promote(good)
    assert audit.disabling_promoted(story.ledger, frozenset({"c2"})) == []
    story.promote(bad)
    story.commit(
        bad.key,
        bad,
        kind="rollback",
        reason="drift: too much",
        edits=[e for e in story.ledger.edits() if bad.id not in e.facts],
    )
    assert audit.disabling_promoted(story.ledger, frozenset({"c2"})) == [bad.id]
    assert audit.disabling_promoted(story.ledger, frozenset({"c9"})) == []


def test_an_unexpected_fate_names_line_kind_and_both_fates(story, make):
    correction = make.correction(1)
    story.accept(correction)
    lines = [Line(raw=story.deliveries[0].raw, kind=LineKind.DOUBTFUL, fate=Fate.HELD, correction_id="c1")]
    (found,) = audit.unexpected_fates(story.ledger, lines, story.deliveries)
    assert (found.line, found.kind, found.expected, found.found) == (1, "doubtful", "held", "accepted")
    as_it_was = [Line(raw=story.deliveries[0].raw, kind=LineKind.UPDATE, fate=Fate.ACCEPTED)]
    assert audit.unexpected_fates(story.ledger, as_it_was, story.deliveries) == []


def test_placement_counts_tell_a_full_layer_from_a_rejection(story, make):
    facts = [story.accept(make.correction(n)) for n in range(4)]
    memory_only = story.accept(make.correction(9), method="")
    story.promote(facts[0])
    story.reject(facts[1], "reliability 0 < 1")
    story.reject(facts[2], "full: passes alone, not beside the others")
    found = audit.placement_counts(story.ledger)
    assert (found.memory, found.weights, found.to_weights) == (4, 1, 4)
    assert (found.unsuitable, found.full) == (1, 1)
    assert found.share_in_weights == pytest.approx(0.25)
    assert memory_only.id in audit.recorded_facts(story.ledger)
