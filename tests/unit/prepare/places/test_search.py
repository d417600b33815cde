"""The search on the embedded model, whose facts are given to it as a user's are."""

from __future__ import annotations

import math

import pytest

from guardedit import assembly
from guardedit.models.weights.second_moments import collect
from guardedit.policy.load import load_policy
from guardedit.prepare.facts import PublicFact, cloze
from guardedit.prepare.places import search
from guardedit.prepare.places.search import search_places
from guardedit.settings import Settings, policy_file
from guardedit.zoo.world import World

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def settings(warm_home) -> Settings:
    return Settings(home=warm_home, policy=policy_file("default"))


@pytest.fixture(scope="module")
def setup(settings):
    return assembly.load_setup(settings, load_policy(settings.policy), layer=0, layers=(0,), use_card=False)


@pytest.fixture(scope="module")
def facts() -> list[PublicFact]:
    world = World.load()
    return [
        PublicFact(
            fact.subject, fact.relation, fact.object,
            clozes=tuple(text for text in world.wordings[fact.relation] if not text.endswith("?"))[:3],
            questions=("Who is {}?", "What is {}?"),
        )
        for fact in world.facts[:1500]
    ]  # fmt: skip


def run(setup, facts, *, budget_s: float, clock=None):
    texts = [f"An ordinary sentence number {n} about the river." for n in range(12)]
    background = [f"{cloze(fact)} {fact.object}." for fact in facts]
    now = clock or (lambda: 0.0)
    return search_places(
        setup,
        facts,
        texts,
        moments=lambda layers: collect(setup.host, background, layers, min_tokens=2_000, exact=False),
        budget_s=budget_s,
        clock=now,
    )


def test_without_time_the_most_promising_place_is_tried_and_checked_on_other_facts(setup, facts) -> None:
    times = iter(range(10_000))
    found = run(setup, facts, budget_s=0.5, clock=lambda: float(next(times)))
    assert (len(found.trials), found.rounds) == (1, 1)
    assert found.trials[0].facts == 4
    assert found.checked.edits == search.MOST_FACTS
    assert found.checked.efficacy > 0.5
    assert math.isfinite(found.checked.perplexity_ratio)
    card = found.card(setup.host.base_sha256, seed=0, method="joint")
    assert card.layers == found.best.place.layers
    # The embedded model ends its answers, so edits teach it to do so, too.
    assert card.joint["ends_answer"] is True


def test_each_factor_is_on_the_value_that_the_variation_began_with(setup, facts, monkeypatch) -> None:
    monkeypatch.setattr(search, "MOST_FACTS", 4)
    monkeypatch.setattr(search, "SCREENED", 1)
    monkeypatch.setattr(search, "GAIN", -10.0)  # everything gains
    monkeypatch.setattr(search, "VARIED", (("joint", "divergence_price", (4.0, 16.0)),))
    found = run(setup, facts, budget_s=1e9)
    prices = [trial.candidate.settings.joint["divergence_price"] for trial in found.trials]
    # The second trial is the one with half of the steps.
    assert prices == [3_000.0, 3_000.0, 12_000.0, 48_000.0]


@pytest.mark.parametrize(("gain", "steps"), [(1.0, 30), (-10.0, 60)])
def test_half_of_the_steps_stay_unless_they_cost_merit(setup, facts, monkeypatch, gain, steps) -> None:
    monkeypatch.setattr(search, "MOST_FACTS", 4)
    monkeypatch.setattr(search, "SCREENED", 1)
    monkeypatch.setattr(search, "GAIN", gain)
    monkeypatch.setattr(search, "VARIED", ())
    found = run(setup, facts, budget_s=1e9)
    assert found.trials[1].candidate.settings.joint["steps"] == 30
    assert found.best.settings.joint.get("steps", setup.joint.steps) == steps


def test_a_model_that_knows_too_little_is_refused_with_the_remedy(setup) -> None:
    unknown = [PublicFact(f"Nobody {n}", "P36", f"Nowhere {n}") for n in range(5)]
    with pytest.raises(search.UsageError, match="give facts that it knows with --facts"):
        run(setup, unknown, budget_s=1.0)
