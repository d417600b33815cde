"""Which facts become questions, which steps are asked for what, and that a stopped build goes on."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from guardedit.memory.context import Prompts
from guardedit.models.text.form import RawForm
from guardedit.prepare.facts import PublicFact
from guardedit.prepare.probes import building
from guardedit.prepare.probes.building import BuildSettings, QuestionBuilder
from guardedit.prepare.probes.kept_results import KeptResults
from guardedit.prepare.probes.known import AnswerPlace

FACTS = [PublicFact(f"s{n}", "P17", f"o{n}") for n in range(12)]


class Model:
    """Gives s0 to s9 in the plain statement, s0 to s7 in both wordings; noise 0 flips s3."""

    def __init__(self):
        self.asked: list[tuple[str, int]] = []

    def screen(self, _host, facts):
        self.asked.append(("screen", len(facts)))
        return [1.0 if int(fact.subject[1:]) < 10 else -9.0 for fact in facts]

    def find_places(self, _host, _prompts, facts):
        self.asked.append(("places", len(facts)))
        return [
            (
                AnswerPlace(f"1 {fact.subject}?", fact.object),
                AnswerPlace(f"2 {fact.subject}?", fact.object, "It is"),
            )
            if int(fact.subject[1:]) < 9
            else None
            for fact in facts
        ]

    def margins(self, _host, _prompts, places, patch=None):
        self.asked.append((f"margins {patch}", len(places)))
        return [self._margin(place, patch) for place in places]

    def _margin(self, place, patch):
        if place.question == "2 s8?":
            return -0.1
        return -0.1 if place.question == "1 s3?" and patch == "noise 0" else 0.1


@pytest.fixture
def model(monkeypatch):
    found = Model()
    for name in ("screen", "find_places", "margins"):
        monkeypatch.setattr(building, name, getattr(found, name))
    monkeypatch.setattr(
        building, "benign_patches", lambda *_, count, seed: [f"noise {n}" for n in range(count)]
    )
    return found


def build(questions=400, kept=None, tell=lambda *_: None, noise=2, prompts=Prompts()):  # noqa: B008 - frozen
    settings = BuildSettings(questions=questions, noise=noise, layers=(1,))
    return QuestionBuilder(SimpleNamespace(), prompts, settings, kept or KeptResults(None), tell).build(FACTS)


def test_a_fact_must_be_said_in_both_wordings_and_stay_under_noise(model):
    found = build()
    assert {fact.subject for fact, _ in found.rows} == {"s0", "s1", "s2", "s4", "s5", "s6", "s7"}
    assert (found.screened, found.asked, found.known, found.stable) == (12, 10, 8, 7)
    assert len(found.rows) == 14


def test_each_step_is_asked_only_for_what_is_left(model):
    build()
    assert model.asked == [
        ("screen", 12),
        ("places", 10),
        ("margins None", 18),
        ("margins noise 0", 16),
        ("margins noise 1", 14),
    ]


def test_it_stops_when_there_are_enough(model, monkeypatch):
    monkeypatch.setattr(building, "SCREENED_AT_ONCE", 4)
    found = build(questions=1)
    assert len(found.rows) == 2
    assert found.screened == 4
    assert found.stable >= 1


def test_a_chat_model_is_asked_for_many_facts_at_once(model, monkeypatch):
    monkeypatch.setattr(building, "SCREENED_AT_ONCE", 2)
    monkeypatch.setattr(building, "ASKED_AT_ONCE", 5)
    build(prompts=Prompts(RawForm("chat")))
    asked = [n for step, n in model.asked if step == "places"]
    assert sum(asked) == 10
    assert all(n >= 5 for n in asked[:-1])


def test_a_stopped_build_goes_on(model, tmp_path):
    path = tmp_path / "results.jsonl"

    def stop(text, *_):
        if text.startswith("asking"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(kept=KeptResults(path), tell=stop)
    assert model.asked == [("screen", 12)]
    first = build(kept=KeptResults(path))
    assert [step for step, _ in model.asked].count("screen") == 1
    before = len(model.asked)
    assert build(kept=KeptResults(path)) == first
    assert len(model.asked) == before


def test_progress_is_told(model):
    told = []
    build(tell=lambda *state: told.append(state))
    assert told == [("0 facts screened, questions found", 0, 400), ("asking for 10 facts", 0, 400)]


def test_a_fact_with_another_wording_is_asked_again(model):
    """Results are kept by everything that was asked; a user who edits a wording must not get the old ones."""
    fact = PublicFact(
        "Acme", "boss", "Ann", clozes=("The boss of {} is", "{} is led by"), questions=("Who?", "Who leads?")
    )
    settings = BuildSettings(questions=1, noise=0, layers=(1,))
    builder = QuestionBuilder(SimpleNamespace(), Prompts(), settings, KeptResults(None), lambda *_: None)
    for other in (replace(fact, clozes=("Acme's boss is", "{} is led by")), replace(fact, aliases=("Anne",))):
        assert builder._key(fact) != builder._key(other)
    assert builder._key(fact) == builder._key(replace(fact))
