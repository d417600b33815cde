from __future__ import annotations

import math

from guardedit.demo.timeline import timeline


def points_of(story, make):
    facts = [story.accept(make.correction(n)) for n in range(3)]
    story.promote(facts[0], ratio=1.01)
    story.reject(facts[1], "too much", ratio=7.5)
    story.ledger.note("trial", {"edits": [], "verdict": {"outcome": "reject", "reason": "", "gates": []}})
    story.commit(facts[0].key, facts[0], kind="rollback", reason="manual")
    return timeline(story.ledger)


def test_every_epoch_and_every_trial_is_a_point_in_order(story, make):
    points = points_of(story, make)
    assert [p.kind for p in points] == [
        "base", "remember", "remember", "remember", "promote", "trial", "trial", "rollback"
    ]  # fmt: skip
    assert [p.mark for p in points][-4:] == ["accepted", "rejected", "rejected", "rolled_back"]
    places = [p.at for p in points]
    assert places == sorted(places)
    assert 4.0 < places[5] < places[6] < 5.0


def test_ratios_come_from_verdicts_and_follow_the_weights(story, make):
    points = points_of(story, make)
    ratios = [p.ratio for p in points]
    assert ratios[:6] == [1.0, 1.0, 1.0, 1.0, 1.01, 7.5]
    assert math.isnan(ratios[6])  # refused before it was measured
    assert ratios[7] == 1.0  # the base model's weights again


def test_facts_are_counted_by_placement(story, make):
    points = points_of(story, make)
    assert [(p.memory, p.weights) for p in points][3:5] == [(3, 0), (2, 1)]
    assert (points[-1].memory, points[-1].weights) == (3, 0)


def test_the_drift_watch_reads_all_texts_so_its_ratio_counts(story, make):
    fact = story.accept(make.correction(0))
    story.promote(fact, ratio=1.01)
    reading = {"log_ratio_to_base": math.log(1.02), "log_ratio_to_last_good": 0.0, "restart": False}
    story.ledger.note("reading", {"epoch": story.ledger.epoch().number, **reading})
    assert timeline(story.ledger)[-1].ratio == 1.02
