"""The result of a trial: which edits pass together, and the reasons `harm`, `full` and `undecided`."""

from __future__ import annotations

import pytest

from guardedit.agent.judging import TrialSetup
from guardedit.agent.trial import TrialResult, try_batch
from guardedit.core.fact import Fact, FactKey
from guardedit.core.probe import Probes, Question, QuestionKind
from guardedit.core.protocols import SubjectGroup
from guardedit.core.verdict import Gate, Outcome, combine
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
def tried(town):
    def run(*subjects: str, serving: tuple[str, ...] = (), effort: int = 1, **options: object) -> TrialResult:
        groups = [group(subject) for subject in subjects]
        staying = tuple(edit_of(group(subject)) for subject in serving)
        setup = TrialSetup(
            serving=staying,
            staying=staying,
            facts={fact.id: fact for one in groups for fact in one.facts},
            live={},
            seed=0,
            effort=effort,
        )
        edits = {one.subject: edit_of(one) for one in groups}
        return try_batch(town.consolidate.parts, setup, edits, **options)

    return run


def codes(result: TrialResult, *subjects: str) -> dict[str, str]:
    """Subject -> why its fact stays in memory."""
    ids = {fact.id: subject for subject in subjects for fact in group(subject).facts}
    return {ids[fact_id]: why.code for fact_id, why in result.kept.items()}


def test_an_edit_that_is_rejected_alone_is_harmful(town, tried):
    town.guard.harmful = {"Eve"}
    result = tried("Ada", "Eve")
    assert list(result.edits) == ["Ada"]
    assert codes(result, "Ada", "Eve") == {"Eve": "harm"}
    assert result.verdict.outcome is Outcome.ACCEPT
    assert result.accepted


def test_an_edit_that_is_rejected_alone_is_remade_once(town, tried):
    town.guard.harmful = {"Eve"}
    remade = []
    tried("Eve", remake=lambda edit: remade.append(edit.subject))
    assert remade == ["Eve"]


def test_an_edit_that_passes_once_it_is_remade_is_accepted(town, tried):
    other = edit_of(group("Eve"), beside=("nothing",))
    judge = town.guard.judge

    def judge_by_edit(*, candidate, **rest):
        town.guard.harmful = (
            set() if candidate.weights_sha256 == town.worker.weights_sha256([other]) else {"Eve"}
        )
        return judge(candidate=candidate, **rest)

    town.guard.judge = judge_by_edit
    result = tried("Eve", remake=lambda _: other)
    assert result.edits == {"Eve": other}
    assert result.kept == {}


def test_an_edit_that_is_inconclusive_alone_is_undecided_and_not_harmful(town, tried):
    town.guard.doubtful = {"Eve"}
    result = tried("Ada", "Eve")
    assert list(result.edits) == ["Ada"]
    assert codes(result, "Ada", "Eve") == {"Eve": "undecided"}


def test_no_edit_is_harmful_if_the_serving_epoch_cannot_be_measured_either(town, tried):
    town.guard.broken = True
    result = tried("Ada", "Eve")
    assert result.edits == {}
    assert result.verdict is None
    assert result.repeat
    assert codes(result, "Ada", "Eve") == {"Ada": "undecided", "Eve": "undecided"}
    assert len(town.guard.judged) <= 2  # no search among edits that are not the reason


def test_of_two_edits_that_only_fail_together_one_waits_for_the_next_batch(town, tried):
    town.guard.together = {frozenset({"Ada", "Eve"})}
    result = tried("Ada", "Eve", "Zoe")
    assert len(result.edits) == 2
    assert result.kept == {}


def test_the_layer_is_full_if_a_budget_is_used_up(town, tried):
    town.guard.gate, town.guard.together = "perplexity_ratio_to_base", {frozenset({"Old", "Eve"})}
    result = tried("Eve", serving=("Old",))
    assert codes(result, "Eve") == {"Eve": "full"}


@pytest.mark.parametrize(("used_up", "code"), [(True, "full"), (False, "undecided")])
def test_an_early_rejection_does_not_hide_that_a_budget_is_used_up(town, tried, used_up, code):
    """The wording fails too, and it is asked before the sample that shows the budget."""
    kinds = (QuestionKind.RELIABILITY, QuestionKind.OTHER_SUBJECT)
    judge, asked = town.guard.judge, []
    town.guard.gate, town.guard.together = "reliability", {frozenset({"Old", "Eve"})}

    def probes_for(*_, **__):
        return Probes(texts=("a text",), questions=tuple(Question(prompt=f"{k}?", kind=k) for k in kinds))

    def judge_with_budget(*, probes, **rest):
        verdict = judge(probes=probes, **rest)
        of_kinds = {question.kind for question in probes.questions}
        asked.append(of_kinds)
        fails = used_up and verdict.outcome is Outcome.REJECT
        outcome = Outcome.REJECT if fails else Outcome.ACCEPT
        budget = Gate(name="other_subject_to_base", value=0.9, limit=0.95, at_most=False, outcome=outcome)
        return combine((*verdict.gates, budget)) if QuestionKind.OTHER_SUBJECT in of_kinds else verdict

    town.guard.probes_for, town.guard.judge = probes_for, judge_with_budget
    result = tried("Eve", serving=("Old",))
    assert codes(result, "Eve") == {"Eve": code}
    assert asked[0] == {QuestionKind.RELIABILITY}


def test_an_edit_that_passes_alone_but_not_with_the_serving_ones_is_undecided_and_the_gate_is_named(
    town, tried
):
    town.guard.gate, town.guard.together = "reliability", {frozenset({"Old", "Eve"})}
    result = tried("Eve", serving=("Old",))
    assert codes(result, "Eve") == {"Eve": "undecided"}
    assert all("reliability" in why.reason for why in result.kept.values())


def test_the_effort_is_passed_to_the_guard(town, tried):
    tried("Ada", effort=4)
    assert set(town.guard.efforts) == {4}
