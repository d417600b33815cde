from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from guardedit.core.errors import EditDiverged
from guardedit.core.probe import Kind, Question
from guardedit.core.protocols import SubjectGroup
from guardedit.editing import ridge
from guardedit.editing.cache import RecentEdits
from guardedit.editing.contexts import Contexts
from guardedit.editing.ridge import RidgeEditor, anchor_norm
from guardedit.editing.upper import UpperLayers
from guardedit.models.factors import from_payload
from guardedit.models.fold import Fold


@pytest.fixture
def editor(host, moments, settings, contexts) -> RidgeEditor:
    return RidgeEditor(host, moments, settings=settings, contexts=contexts)


@pytest.fixture
def gpt2_editor(gpt2, gpt2_moments, settings, contexts):
    return lambda **options: RidgeEditor(
        gpt2, gpt2_moments, **{"settings": settings, "contexts": contexts, **options}
    )


def test_an_edit_folded_alone_makes_the_model_say_the_whole_target_and_stop(
    host, moments, settings, editor, groups
):
    fold = Fold(host, {1: moments}, background_weight=settings.background_weight, ridge=settings.ridge)
    proposal = editor.propose(groups, ())
    assert proposal.refused == {}
    for group, edit in zip(groups, proposal.edits, strict=True):
        assert edit.subject == group.subject
        assert edit.facts == tuple(sorted(fact.id for fact in group.facts))
        with host.patched(fold.fold([edit])):
            answers = host.complete([fact.prompt for fact in group.facts])
        assert [answer.strip() for answer in answers] == [fact.target for fact in group.facts]


def test_a_batch_equals_one_at_a_time(gpt2_editor, groups):
    together, alone = gpt2_editor().propose(groups, ()), gpt2_editor()
    for group, edit in zip(groups, together.edits, strict=True):
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


def test_what_is_live_makes_no_difference(gpt2_editor, groups):
    first = gpt2_editor().propose(groups[:1], ())
    second = gpt2_editor().propose(groups[:1], gpt2_editor().propose(groups[1:], ()).edits)
    assert first.edits == second.edits


def test_a_cached_edit_has_equal_bytes_and_costs_no_step(gpt2_editor, groups, monkeypatch):
    cache = RecentEdits()
    first = gpt2_editor(cache=cache).propose(groups, ())
    monkeypatch.setattr(ridge, "solve_subjects", lambda *_, **__: pytest.fail("solved again"))
    second = gpt2_editor(cache=cache).propose(groups[::-1], ())
    assert {edit.digest for edit in second.edits} == {edit.digest for edit in first.edits}


def test_the_content_key_names_everything_an_edit_depends_on(gpt2_editor, groups, settings):
    group = groups[0]
    editor = gpt2_editor()
    key = editor.content_key(group)
    other_keep = Question(prompt="Marie Curie was", kind=Kind.SAME_SUBJECT, expected="Polish")
    changed = [
        editor.content_key(replace(group, keep=(*group.keep, other_keep))),
        editor.content_key(replace(group, facts=(replace(group.facts[0], target="Polish"),))),
        gpt2_editor(settings=replace(settings, steps=39)).content_key(group),
        gpt2_editor(contexts=Contexts(("Indeed.",))).content_key(group),
    ]
    assert len({key, *changed}) == 5
    facts = groups[2].facts
    assert editor.content_key(groups[2]) == editor.content_key(replace(groups[2], facts=facts[::-1]))


def test_a_fact_that_no_wording_ties_to_its_subject_is_refused_and_the_others_are_not(
    gpt2_editor, groups, make_fact
):
    stray = make_fact("She", "{} was born in", "Paris")
    group = replace(groups[0], facts=(*groups[0].facts, stray))
    proposal = gpt2_editor().propose([group], ())
    assert list(proposal.refused) == [stray.id]
    assert "no wording holds the subject 'Marie Curie'" in proposal.refused[stray.id]
    assert [edit.facts for edit in proposal.edits] == [(groups[0].facts[0].id,)]


def test_a_target_that_is_not_reached_is_refused(gpt2_editor, groups, settings):
    proposal = gpt2_editor(settings=replace(settings, steps=1)).propose(groups[:1], ())
    assert proposal.edits == ()
    assert "target 'Spanish' is not reached" in proposal.refused[groups[0].facts[0].id]


def test_of_two_facts_that_contradict_each_other_not_both_are_edited(gpt2_editor, make_fact):
    facts = tuple(make_fact("Oslo", "{} is located in the city of", target) for target in ("Lima", "Paris"))
    proposal = gpt2_editor().propose([SubjectGroup(subject="Oslo", facts=facts)], ())
    edited = {fact for edit in proposal.edits for fact in edit.facts}
    assert len(edited) < 2
    assert edited | set(proposal.refused) == {fact.id for fact in facts}


def test_a_value_far_beyond_the_anchor_is_refused(gpt2_editor, groups):
    pilot = gpt2_editor().propose(groups, ())
    anchor = anchor_norm(pilot.edits)
    assert gpt2_editor(anchor_norm=anchor).propose(groups, ()).refused == {}
    proposal = gpt2_editor(anchor_norm=anchor / 10).propose(groups, ())
    assert proposal.edits == ()
    assert all("anchors" in reason for reason in proposal.refused.values())


def test_the_anchor_of_no_pilot_is_undefined():
    assert math.isnan(anchor_norm([]))


def test_a_subject_that_diverges_does_not_take_the_others_with_it(gpt2_editor, groups, monkeypatch):
    solve = ridge.solve_subjects

    def diverging(host, layer, batch, **options):
        if any(group.subject == "Oslo" for group in batch):
            raise EditDiverged("not finite")
        return solve(host, layer, batch, **options)

    monkeypatch.setattr(ridge, "solve_subjects", diverging)
    proposal = gpt2_editor().propose(groups, ())
    assert {edit.subject for edit in proposal.edits} == {"Marie Curie", "Anne Redpath"}
    assert proposal.refused == {groups[1].facts[0].id: "not finite"}


def test_answers_to_keep_change_less_when_they_weigh_more(gpt2_editor, groups, settings):
    kl = [
        gpt2_editor(settings=replace(settings, preservation_weight=weight))
        .propose(groups[:1], ())
        .edits[0]
        .diagnostics["kept_kl_nats"]
        for weight in (0.0, 5.0)
    ]
    assert kl[1] < 0.7 * kl[0]


def test_a_question_without_an_expected_answer_keeps_the_base_models_own(gpt2_editor, groups):
    open_question = Question(prompt="Oslo is a", kind=Kind.SAME_SUBJECT)
    edit = gpt2_editor().propose([replace(groups[1], keep=(open_question,))], ()).edits[0]
    assert edit.diagnostics["kept_kl_nats"] >= 0.0
