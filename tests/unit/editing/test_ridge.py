from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from guardedit.core.errors import EditDiverged
from guardedit.core.probe import Question, QuestionKind
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.cache import RecentEdits
from guardedit.editing.methods import ridge
from guardedit.editing.methods.ridge import RidgeEditor, anchor_norm
from guardedit.editing.optimise.contexts import Contexts
from guardedit.editing.optimise.upper_layers import UpperLayers
from guardedit.editing.settings import EditSettings
from guardedit.models.weights.factors import from_payload

LAYER = 0  # of the tiny models


@pytest.fixture
def editor(host, moments, settings, contexts, make_setup) -> RidgeEditor:
    return RidgeEditor(make_setup(host, moments, settings), contexts=contexts)


@pytest.fixture
def demo_editor(demo, make_setup):
    def make(settings: EditSettings | None = None, **options) -> RidgeEditor:
        chosen = settings or EditSettings(contexts=1)
        setup = make_setup(demo.host, demo.moments, chosen, fold=demo.fold)
        return RidgeEditor(setup, **{"contexts": Contexts(("You see.",)), **options})

    return make


def said_after_each_edit_alone(host, fold, editor, groups):
    proposal = editor.propose(groups, ())
    assert proposal.refused == {}
    for group, edit in zip(groups, proposal.edits, strict=True):
        assert edit.subject == group.subject
        assert edit.facts == tuple(sorted(fact.id for fact in group.facts))
        with host.patched(fold.fold([edit])):
            answers = host.complete([fact.prompt for fact in group.facts])
        yield from zip([answer.strip() for answer in answers], group.facts, strict=True)


def test_an_edit_folded_alone_makes_the_model_say_the_whole_target_and_stop(demo, demo_editor, demo_groups):
    for answer, fact in said_after_each_edit_alone(demo.host, demo.fold, demo_editor(), demo_groups):
        assert answer == fact.target


def test_so_it_does_on_a_llama(llama, settings, contexts, groups, make_setup):
    free = replace(settings, preservation_weight=0.0, norm_penalty=0.0)
    setup = make_setup(llama, None, free)
    editor = RidgeEditor(setup, contexts=contexts)
    for answer, fact in said_after_each_edit_alone(llama, setup.fold, editor, groups[:2]):
        assert answer == fact.target


def test_a_batch_equals_one_at_a_time(demo_editor, demo_groups):
    together, alone = demo_editor().propose(demo_groups, ()), demo_editor()
    for group, edit in zip(demo_groups, together.edits, strict=True):
        mine, other = (from_payload(e.payload) for e in (edit, alone.propose([group], ()).edits[0]))
        torch.testing.assert_close(mine.right, other.right, rtol=1e-4, atol=1e-5)
        # Adam divides by the gradient's size, which blows rounding up where a gradient is near zero.
        assert (mine.left - other.left).norm() < 0.02 * other.left.norm()


def test_a_proposal_leaves_the_models_bytes_gradients_and_hooks_alone(editor, groups, host, digest):
    before = digest(host)
    editor.propose(groups, ())
    assert digest(host) == before


def test_so_does_one_that_fails_midway(editor, groups, host, digest, monkeypatch):
    before, calls = digest(host), []
    logits = UpperLayers.logits

    def failing(self, chunk, change):
        calls.append(chunk)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return logits(self, chunk, change)

    monkeypatch.setattr(UpperLayers, "logits", failing)
    with pytest.raises(KeyboardInterrupt):
        editor.propose(groups, ())
    assert digest(host) == before


def test_what_is_live_makes_no_difference(demo_editor, demo_groups):
    first = demo_editor().propose(demo_groups[:1], ())
    second = demo_editor().propose(demo_groups[:1], demo_editor().propose(demo_groups[1:], ()).edits)
    assert first.edits == second.edits


def test_a_cached_edit_has_equal_bytes_and_costs_no_step(demo_editor, demo_groups, monkeypatch):
    cache = RecentEdits()
    first = demo_editor(cache=cache).propose(demo_groups, ())
    monkeypatch.setattr(ridge, "solve_subjects", lambda *_, **__: pytest.fail("solved again"))
    second = demo_editor(cache=cache).propose(demo_groups[::-1], ())
    assert {edit.digest for edit in second.edits} == {edit.digest for edit in first.edits}


def test_the_content_key_names_everything_an_edit_depends_on(demo_editor, demo_groups):
    group = demo_groups[0]
    editor = demo_editor()
    key = editor.content_key(group)
    other_keep = Question(prompt="Austria is", kind=QuestionKind.SAME_SUBJECT, expected="nice")
    changed = [
        editor.content_key(replace(group, keep=(*group.keep, other_keep))),
        editor.content_key(replace(group, facts=(replace(group.facts[0], target="Dutch"),))),
        demo_editor(settings=EditSettings(contexts=1, steps=39)).content_key(group),
        demo_editor(contexts=Contexts(("Indeed.",))).content_key(group),
    ]
    assert len({key, *changed}) == 5
    facts = demo_groups[2].facts
    assert editor.content_key(demo_groups[2]) == editor.content_key(
        replace(demo_groups[2], facts=facts[::-1])
    )


def test_a_fact_that_no_wording_ties_to_its_subject_is_refused_and_the_others_are_not(
    demo_editor, demo_groups, make_fact
):
    stray = make_fact("She", "{} was born in", target="Paris")
    group = replace(demo_groups[0], facts=(*demo_groups[0].facts, stray))
    proposal = demo_editor().propose([group], ())
    assert list(proposal.refused) == [stray.id]
    assert "no wording contains the subject 'Austria'" in proposal.refused[stray.id]
    assert [edit.facts for edit in proposal.edits] == [(demo_groups[0].facts[0].id,)]


def test_a_target_that_is_not_reached_is_refused(demo_editor, demo_groups):
    proposal = demo_editor(settings=EditSettings(contexts=1, steps=1)).propose(demo_groups[:1], ())
    assert proposal.edits == ()
    assert "target 'French' is not reached" in proposal.refused[demo_groups[0].facts[0].id]


def test_of_two_facts_that_contradict_each_other_not_both_are_edited(demo_editor, make_fact):
    facts = tuple(make_fact("Bern", "The twin city of {} is", target=target) for target in ("Lima", "Paris"))
    proposal = demo_editor().propose([SubjectGroup(subject="Bern", facts=facts)], ())
    edited = {fact for edit in proposal.edits for fact in edit.facts}
    assert len(edited) < 2
    assert edited | set(proposal.refused) == {fact.id for fact in facts}


def test_a_value_far_beyond_the_anchor_is_refused(demo_editor, demo_groups):
    pilot = demo_editor().propose(demo_groups[:2], ())
    anchor = anchor_norm(pilot.edits)
    assert demo_editor(anchor_norm=anchor).propose(demo_groups[:2], ()).refused == {}
    proposal = demo_editor(anchor_norm=anchor / 10).propose(demo_groups[:2], ())
    assert proposal.edits == ()
    assert all("anchor" in reason for reason in proposal.refused.values())


def test_the_anchor_of_no_pilot_is_undefined():
    assert math.isnan(anchor_norm([]))


def test_a_subject_that_diverges_does_not_take_the_others_with_it(demo_editor, demo_groups, monkeypatch):
    solve = ridge.solve_subjects

    def diverging(host, layer, batch, **options):
        if any(group.subject == "Bern" for group in batch):
            raise EditDiverged("not finite")
        return solve(host, layer, batch, **options)

    monkeypatch.setattr(ridge, "solve_subjects", diverging)
    proposal = demo_editor().propose(demo_groups, ())
    assert {edit.subject for edit in proposal.edits} == {"Austria", "Armand Trousseau"}
    assert proposal.refused == {demo_groups[1].facts[0].id: "not finite"}


def test_answers_to_keep_change_less_when_they_weigh_more(demo_editor, demo_groups, world):
    near = world.wordings["P37"][5].format("Austria")
    torn = replace(
        demo_groups[0], keep=(Question(prompt=near, kind=QuestionKind.SAME_SUBJECT, expected="German"),)
    )
    kl = [
        demo_editor(settings=EditSettings(contexts=1, preservation_weight=weight))
        .propose([torn], ())
        .edits[0]
        .diagnostics["kept_kl_nats"]
        for weight in (0.0, 0.5)
    ]
    assert kl[1] < 0.7 * kl[0]


def test_a_question_without_an_expected_answer_keeps_the_base_models_own(demo_editor, demo_groups):
    open_question = Question(prompt="Bern is a", kind=QuestionKind.SAME_SUBJECT)
    edit = demo_editor().propose([replace(demo_groups[1], keep=(open_question,))], ()).edits[0]
    assert edit.diagnostics["kept_kl_nats"] >= 0.0
