"""What a trial makes of edits: only a reject is guilt, and doubt is not."""

from __future__ import annotations

import pytest

from guardedit.agent.trial import Trial
from guardedit.core.fact import Fact, FactKey
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.core.verdict import Outcome
from tests.fakes import edit_of


def group(subject: str) -> SubjectGroup:
    fact = Fact(
        key=FactKey(subject, "home"),
        version=1,
        correction_id=subject,
        wordings=(f"{subject} is",),
        target="x",
        method="fake",
    )
    return SubjectGroup(subject=subject, facts=(fact,))


@pytest.fixture
def trial(town):
    def make(
        *subjects: str, others: tuple[str, ...] = (), **fields: object
    ) -> tuple[Trial, dict[str, WeightEdit]]:
        groups = [group(subject) for subject in subjects]
        inside = tuple(edit_of(group(subject)) for subject in others)
        made = Trial(
            town.consolidate.parts,
            serving=inside,
            others=inside,
            facts={fact.id: fact for one in groups for fact in one.facts},
            live={},
            seed=0,
            **fields,
        )
        return made, {one.subject: edit_of(one) for one in groups}

    return make


def codes(trial: Trial) -> dict[str, str]:
    by_id = {fact.id: fact.key.subject for fact in trial.facts.values()}
    return {by_id[name]: why.code for name, why in {**trial.guilty, **trial.undecided}.items()}


def test_an_edit_that_fails_alone_is_guilty(town, trial):
    town.guard.harmful = {"Eve"}
    made, edits = trial("Ada", "Eve")
    assert list(made.run(edits)) == ["Ada"]
    assert codes(made) == {"Eve": "harm"}
    assert made.verdict.outcome is Outcome.ACCEPT


def test_an_edit_that_fails_alone_is_made_anew_once(town, trial):
    town.guard.harmful = {"Eve"}
    asked = []
    made, edits = trial("Eve", remake=lambda edit: asked.append(edit.subject))
    made.run(edits)
    assert asked == ["Eve"]


def test_doubt_is_no_guilt(town, trial):
    town.guard.doubtful = {"Eve"}
    made, edits = trial("Ada", "Eve")
    assert list(made.run(edits)) == ["Ada"]
    assert codes(made) == {"Eve": "undecided"}


def test_nobody_is_to_blame_where_nothing_can_be_measured(town, trial):
    town.guard.broken = True
    made, edits = trial("Ada", "Eve")
    assert made.run(edits) == {}
    assert made.verdict is None
    assert codes(made) == {"Ada": "undecided", "Eve": "undecided"}
    assert len(town.guard.judged) <= 2  # no search among edits that are not the cause


def test_two_that_only_fail_together_are_told_apart(town, trial):
    town.guard.together = {frozenset({"Ada", "Eve"})}
    made, edits = trial("Ada", "Eve", "Zoe")
    kept = made.run(edits)
    assert len(kept) == 2
    assert codes(made) == {}  # the other waits for the next batch


def test_where_a_shared_budget_is_spent_the_layer_is_full(town, trial):
    town.guard.gate, town.guard.together = "perplexity_ratio_to_base", {frozenset({"Old", "Eve"})}
    made, edits = trial("Eve", others=("Old",))
    made.run(edits)
    assert codes(made) == {"Eve": "full"}


def test_what_passes_alone_and_not_beside_what_serves_is_tried_again_and_the_gate_is_named(town, trial):
    town.guard.gate, town.guard.together = "reliability", {frozenset({"Old", "Eve"})}
    made, edits = trial("Eve", others=("Old",))
    made.run(edits)
    assert codes(made) == {"Eve": "undecided"}
    assert all("reliability" in why.reason for why in made.undecided.values())


def test_more_effort_asks_more(town, trial):
    made, edits = trial("Ada", effort=4)
    made.run(edits)
    assert set(town.guard.efforts) == {4}
