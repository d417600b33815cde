from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

import guardedit
from guardedit.core.errors import UsageError
from guardedit.core.proposal import WeightEdit
from guardedit.demo.assess.served import disabling_epochs, served_weights, worst
from guardedit.demo.disabling.harm import Harm, measure_harm
from guardedit.demo.disabling.held_out import choose_held_out
from guardedit.zoo.probes import read_texts
from guardedit.zoo.world import World


@pytest.mark.parametrize(
    ("ratio", "lost", "disabling"),
    [
        (1.5, 0.0, True),
        (1.49, 0.0, False),
        (1.0, 0.2, True),
        (1.0, 0.19, False),
        (math.inf, math.nan, True),
        (math.nan, math.nan, False),
    ],
)
def test_either_measure_alone_makes_an_edit_disabling(ratio, lost, disabling):
    assert Harm(perplexity_ratio=ratio, answers_lost=lost).disabling is disabling


def test_answers_about_the_edited_subject_may_change(world, harmful):
    tester = harmful(lambda _: (1.0, 1.0), method="rome")
    asked = tester.held_out.probes.questions
    subjects = {question.subject for question in asked}
    edit = WeightEdit(subject=asked[0].subject, facts=("f",), method="rome", payload=b"")
    tester.worker.harm = lambda _: (1.0, 1 / len(asked))  # just the first question
    tester.worker.facts["f"] = None
    assert measure_harm(tester.worker, [edit], tester.held_out).answers_lost == 0.0
    other = WeightEdit(subject=(subjects - {edit.subject}).pop(), facts=("f",), method="rome", payload=b"")
    assert measure_harm(tester.worker, [other], tester.held_out).answers_lost > 0.0


def test_questions_are_in_hidden_wordings_and_only_those_that_the_base_answers(world, harmful):
    held_out = harmful(lambda _: (1.0, 0.0), method="rome").held_out
    hidden = {world.prompt(f, i): f.object for f in world.facts for i in world.hidden(f)}
    assert held_out.probes.questions
    assert all(hidden[q.prompt] == q.expected for q in held_out.probes.questions)


def test_what_the_guard_has_seen_is_refused_or_left_out(world, harmful):
    worker = harmful(lambda _: (1.0, 0.0), method="rome").worker
    with pytest.raises(UsageError, match="a b c"):
        choose_held_out(world, worker, ["a b c"], seen=["a b c"], seed=0)
    every = [q.prompt for q in choose_held_out(world, worker, ["x y"], seen=(), seed=0).probes.questions]
    rest = choose_held_out(world, worker, ["x y"], seen=every[:50], seed=0).probes.questions
    assert not {q.prompt for q in rest} & set(every[:50])


def test_the_shipped_texts_and_questions_are_in_no_probe_set_and_no_background():
    folder = Path(guardedit.__file__).parent / "zoo" / "model"
    probes = json.loads((folder / "probes.json").read_text())
    seen = {*probes["texts"], *(q["prompt"] for q in probes["questions"])}
    background = (folder / "background.json").read_text()
    texts = read_texts("evaluation")
    assert not seen & set(texts)
    assert not [text for text in texts if text[:60] in background]
    world = World.load()
    assert not seen & {world.prompt(f, i) for f in world.facts for i in world.hidden(f)}


def test_every_set_of_weights_that_was_served_is_measured_whatever_its_verdict(story, make, world, harmful):
    facts = [story.accept(make.correction(n)) for n in range(3)]
    story.promote(facts[0])
    story.promote(facts[1])
    tester = harmful(lambda fact: (2.0, 0.0) if fact == facts[1] else (1.01, 0.01), method="ridge")
    tester.worker.facts = {fact.id: fact for fact in facts}
    served = served_weights(story.ledger, tester.worker, tester.held_out)
    assert [weights.epochs for weights in served] == [(4,), (5,)]
    assert disabling_epochs(served) == [5]
    assert worst(served).perplexity_ratio == pytest.approx(2.0)
    tester.worker.harm = lambda _: (1.01, 0.01)
    assert disabling_epochs(served_weights(story.ledger, tester.worker, tester.held_out)) == []
    tester.worker.harm = lambda _: None
    assert disabling_epochs(served_weights(story.ledger, tester.worker, tester.held_out)) == [4, 5]


def test_of_nothing_served_the_worst_is_the_base_model():
    assert worst([]) == Harm(perplexity_ratio=1.0, answers_lost=0.0)


def test_a_model_that_its_perplexity_disables_need_not_be_asked(world, harmful):
    tester = harmful(lambda _: (2.0, 1.0), method="rome")
    asked = []
    measure = tester.worker.measure

    def counted(edits, probes):
        asked.append(len(probes.questions))
        return measure(edits, probes)

    tester.worker.measure = counted
    tester.worker.facts["f"] = None
    edit = WeightEdit(subject="x", facts=("f",), method="rome", payload=b"")
    held_out = replace(tester.held_out, texts_first=True)
    found = measure_harm(tester.worker, [edit], held_out)
    assert found.disabling
    assert math.isnan(found.answers_lost)
    assert asked == [0]
    tester.worker.harm = lambda _: (1.1, 1.0)
    assert measure_harm(tester.worker, [edit], held_out).answers_lost == 1.0
