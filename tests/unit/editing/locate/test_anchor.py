from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from guardedit.core.errors import EditDiverged
from guardedit.core.probe import Question, QuestionKind
from guardedit.editing.locate.anchor import anchored, norm_anchor, pilot_values
from guardedit.editing.locate.values import Value, ValueSettings
from guardedit.editing.methods.memit import MemitEditor
from guardedit.editing.settings import EditSettings


@pytest.fixture(autouse=True)
def _few_pilots(monkeypatch):
    monkeypatch.setattr("guardedit.editing.locate.anchor.PILOTS", 10)


def value(before: float, change: float) -> Value:
    """In one dimension less than two, so that lengths are plain."""
    key, nothing = torch.ones(3, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    v0, delta = nothing.clone(), nothing.clone()
    v0[0], delta[1] = before, change
    return Value(
        bare_key=key, mean_key=key, bare_value=v0, mean_value=v0, change=delta, loss_nats=0.0, steps=1
    )


def test_the_anchor_is_the_mean_length_without_the_longest():
    assert norm_anchor([value(3.0, 4.0)] * 19 + [value(300.0, 400.0)]) == pytest.approx(5.0)


def test_the_anchor_of_nothing_is_undefined():
    assert norm_anchor([]) != norm_anchor([])


def test_a_value_gets_the_anchors_length_and_keeps_its_direction():
    found = anchored(value(3.0, 4.0), 10.0, limit_ratio=2.0)
    whole = found.bare_value + found.change
    torch.testing.assert_close(whole, torch.tensor([6.0, 8.0], dtype=torch.float64))
    torch.testing.assert_close(found.bare_value, value(3.0, 4.0).bare_value)


def test_a_value_of_more_than_twice_the_anchor_is_refused_with_both_lengths():
    with pytest.raises(EditDiverged, match=r"5 exceeds 4, 2 anchors"):
        anchored(value(3.0, 4.0), 2.0, limit_ratio=2.0)


def test_an_undefined_anchor_refuses_every_value():
    with pytest.raises(EditDiverged, match="exceeds nan"):
        anchored(value(3.0, 4.0), float("nan"), limit_ratio=2.0)


def lengths(setup, contexts) -> list[float]:
    pilots = pilot_values(setup, 0, contexts=contexts, value_settings=ValueSettings(steps=2))
    return [float(pilot.change.norm()) for pilot in pilots]


def test_pilots_are_the_same_for_the_same_seed(gpt2, make_setup, settings, contexts):
    one, two, other = (lengths(make_setup(gpt2, None, settings, seed=seed), contexts) for seed in (0, 0, 1))
    assert one
    assert one == two != other


def test_known_questions_are_pilots_where_another_answer_is_known(gpt2, make_setup, settings, contexts):
    rows = (
        ("Oslo", "Oslo was born in", "Lima"),
        ("Peru", "Peru was born in", "Paris"),
        ("Nobody", "He was born in", "Paris"),
        ("River", "River speaks", "Polish"),
    )
    known = tuple(
        Question(
            prompt=prompt,
            kind=QuestionKind.OTHER_SUBJECT,
            expected=answer,
            subject=subject,
            relation=prompt[-4:],
        )
        for subject, prompt, answer in rows
    )
    # One prompt does not contain its subject, and one relation has no other answer.
    assert len(lengths(make_setup(gpt2, None, settings, known=known), contexts)) == 2


def test_the_setting_gives_all_values_of_a_method_one_length(gpt2, make_setup, settings, contexts, groups):
    setup = make_setup(gpt2, None, replace(settings, norm_anchored=True, anchor_ratio=100.0))
    edits = (
        MemitEditor(setup, contexts=contexts, value_settings=ValueSettings(steps=4)).propose(groups, ()).edits
    )
    norms = [edit.diagnostics["value_norm"] for edit in edits]
    assert len(norms) == 3
    assert norms == pytest.approx([norms[0]] * 3)


def test_an_outlier_is_refused_and_the_others_are_written(gpt2, make_setup, settings, contexts, groups):
    setup = make_setup(gpt2, None, replace(settings, norm_anchored=True, anchor_ratio=0.9))
    proposal = MemitEditor(setup, contexts=contexts, value_settings=ValueSettings(steps=4)).propose(
        groups, ()
    )
    assert len(proposal.refused) > 0
    assert all("anchors" in reason for reason in proposal.refused.values())
    written = {fact for edit in proposal.edits for fact in edit.facts}
    assert written | set(proposal.refused) == {fact.id for group in groups for fact in group.facts}


def test_switched_off_it_leaves_the_digest_of_the_settings_as_it_was():
    plain, on = EditSettings(), EditSettings(norm_anchored=True)
    assert plain.sha256 != on.sha256
    assert replace(on, norm_anchored=False).sha256 == plain.sha256
