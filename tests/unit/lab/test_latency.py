"""Latency is measured on a fake system that answers when the test wants."""

from __future__ import annotations

import json
import math
from itertools import islice
from types import SimpleNamespace

import pytest

from guardedit.core.messages import Fate, Receipt
from guardedit.core.serving import Answer, ScopedFact
from guardedit.lab import latency
from guardedit.lab.latency import corrections_of, measure


class Town:
    """Answers from a fact after `after` questions. Corrections in `unchanged` make no new fact."""

    def __init__(self, *, after: int = 1, unchanged: frozenset[str] = frozenset()) -> None:
        self.after, self.unchanged, self.epoch = after, unchanged, 0
        self.waiting: dict[str, tuple[str, int]] = {}

    def receive(self, deliveries):
        for delivery in deliveries:
            body = json.loads(delivery.raw)
            if body["id"] not in self.unchanged:
                self.epoch += 1
            self.waiting[body["prompt"].format(body["subject"])] = (delivery.raw, 0)
        return len(deliveries)

    def receipt(self, correction_id):
        return Receipt(correction_id=correction_id, fate=Fate.UNCHANGED)

    def served(self):
        return self.epoch

    def ask(self, prompts, *, tenant="default"):
        raw, asked = self.waiting[prompts[0]]
        self.waiting[prompts[0]] = (raw, asked + 1)
        made = latency.TimedCorrection(id="", raw=raw, prompt=prompts[0])
        fact = made.fact_id if asked >= self.after else "another"
        used = ScopedFact(fact=SimpleNamespace(id=fact), scope="accept", score=1.0)
        return [Answer(text="", epoch=self.epoch, placement="memory", used=(used,))]


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr(latency, "ASKED_S", 0.1)
    monkeypatch.setattr(latency, "SUSPICIOUS_S", 0.02)
    monkeypatch.setattr(latency, "PATIENCE_S", 0.1)


def corrections(world, count):
    subjects = sorted(world.by_subject)
    return list(islice(corrections_of(world, subjects, seed=0, prefix="c", confidence=0.8), count))


def measured(town, made):
    return measure(town, town, made, facts=0, busy=lambda: True, name="t", tell=lambda _: None)


def test_the_first_answer_is_one_from_the_new_fact(world):
    found = measured(Town(after=2), corrections(world, 8))
    assert (found.corrections, found.on_trial) == (4, 1.0)
    assert all(0 < seconds < 0.1 for seconds in found.first_answer_s)
    assert found.questions_per_s > 0


def test_a_correction_that_changes_nothing_is_left_out(world):
    made = corrections(world, 8)
    found = measured(Town(unchanged=frozenset({made[1].id})), made)
    assert found.corrections == 3


def test_a_correction_that_never_answers_is_nan(world, monkeypatch):
    monkeypatch.setattr(Town, "receipt", lambda *_: None)
    found = measured(Town(after=10**9), corrections(world, 4))
    assert all(math.isnan(seconds) for seconds in found.first_answer_s)


def test_streams_of_other_subjects_and_turns_share_no_question(world):
    subjects = sorted(world.by_subject)
    ones = corrections_of(world, subjects[::2], seed=0, prefix="a", confidence=1.0)
    others = corrections_of(world, subjects[1::2], seed=0, prefix="b", confidence=1.0)
    later = corrections_of(world, subjects[::2], seed=0, prefix="c", confidence=1.0, turn=100)
    asked = [one.prompt for stream in (ones, others, later) for one in islice(stream, 200)]
    assert len(set(asked)) == 600
