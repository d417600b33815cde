from __future__ import annotations

from dataclasses import replace

import pytest

from guardedit.core.errors import EditDiverged
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.methods.wise import WiseEditor
from guardedit.editing.optimise.objective import Objective
from guardedit.editing.setup import Setup
from guardedit.editing.tune.side_memory import SideMemorySettings
from guardedit.models.weights.factors import from_payload, parts_of, to_payload

OTHERS = ("The city of Peru is Paris. Lena Berg speaks Spanish.", "Old Mill is a name. River is a name.")


@pytest.fixture
def setup(host, spread_setup):
    return replace(spread_setup(host), texts=OTHERS)


@pytest.fixture
def editor(setup, contexts) -> WiseEditor:
    return WiseEditor(setup, contexts=contexts)


def patient(setup: Setup) -> Setup:
    """With all the steps that answers take."""
    return replace(setup, settings=replace(setup.settings, steps=80))


def shards_of(edits):
    return [int(from_payload(edit.payload).extra["shard"]) for edit in edits]


def test_a_batch_is_written(setup, contexts, groups, said):
    edits = WiseEditor(patient(setup), contexts=contexts).propose(groups, ()).edits
    assert [edit.facts for edit in edits] == [(fact.id,) for group in groups for fact in group.facts]
    assert all(said(setup, edits, groups))


def test_a_fact_needs_no_subject_in_its_prompt(editor, setup, make_fact, said):
    stray = SubjectGroup(subject="Nobody", facts=(make_fact("Nobody", "River was born in", target="Lima"),))
    proposal = editor.propose([stray], ())
    assert proposal.refused == {}
    assert all(said(setup, proposal.edits, [stray]))


def test_what_does_not_excite_the_memory_is_left_exactly_alone(host, editor, setup, groups):
    edits = editor.propose(groups[:1], ()).edits
    before = host.token_logprobs(["Old Mill is a name."])
    with host.patched(setup.fold.fold(edits)):
        assert host.token_logprobs(["Old Mill is a name."]) == before


def test_its_prompts_excite_the_memory_beyond_the_threshold(editor, setup, groups):
    edits = editor.propose(groups, ()).edits
    (bypass,) = setup.fold.fold(edits).bypasses
    loudness = [float(from_payload(edit.payload).extra["activation"]) for edit in edits]
    assert 0 < bypass.threshold < min(loudness)


def test_an_edit_is_made_on_top_of_what_is_live(editor, groups):
    live = editor.propose(groups[:1], ()).edits
    alone, later = editor.propose(groups[1:2], ()), editor.propose(groups[1:2], live)
    assert alone.edits[0].digest != later.edits[0].digest


def test_what_is_live_is_all_it_remembers(setup, editor, contexts, groups):
    live = editor.propose(groups[:1], ()).edits
    again = [replace(edit, payload=to_payload(*parts_of(edit.payload))) for edit in live]
    fresh = WiseEditor(setup, contexts=contexts).propose(groups[1:2], again)
    assert [e.payload for e in fresh.edits] == [e.payload for e in editor.propose(groups[1:2], live).edits]


def test_a_full_shard_is_followed_by_another_and_both_are_served_merged(
    setup, contexts, groups, one_by_one, said
):
    # A fifth of 128 columns are fewer than the tokens of one fact's texts, so half of them.
    editor = WiseEditor(patient(setup), contexts=contexts, shard_facts=1, share=0.5)
    edits = one_by_one(editor, groups[:2])
    assert shards_of(edits) == [0, 1]
    assert all(said(setup, edits, groups[:2]))


def test_a_shard_takes_facts_until_it_is_full(setup, contexts, groups, one_by_one):
    editor = WiseEditor(setup, contexts=contexts, shard_facts=2)
    edits = one_by_one(editor, groups)
    assert shards_of(edits) == [0, 0, 1, 1]


def test_without_ordinary_text_it_makes_do_with_prefixes(setup, contexts, groups):
    editor = WiseEditor(replace(setup, texts=()), contexts=contexts)
    assert len(editor.propose(groups[:1], ()).edits) == 1


def test_numbers_that_are_not_finite_are_refused_fact_by_fact(editor, groups, monkeypatch):
    def diverging(*_):
        raise EditDiverged("lower the step size")

    monkeypatch.setattr(Objective, "gradient", diverging)
    proposal = editor.propose(groups[:1], ())
    assert proposal.edits == ()
    assert list(proposal.refused) == [fact.id for fact in groups[0].facts]


def test_the_confidence_is_that_of_the_settings_unless_others_are_given(setup, contexts, groups):
    timid = (
        WiseEditor(setup, contexts=contexts, settings=SideMemorySettings(steps=1))
        .propose(groups[:1], ())
        .edits
    )
    assert timid[0].diagnostics["steps"] == 1.0


def test_a_proposal_leaves_the_models_bytes_gradients_and_hooks_alone(host, editor, groups, digest):
    before = digest(host)
    editor.propose(groups, ())
    assert digest(host) == before
