from __future__ import annotations

import pytest

from guardedit.editing.methods.ft_m import FineTuneEditor
from guardedit.models.weights.factors import from_payload


@pytest.fixture
def setup(host, moments, settings, make_setup):
    return make_setup(host, moments, settings)


def test_each_fact_is_answered(host, setup, groups):
    editor = FineTuneEditor.build(setup)
    proposal = editor.propose(groups, ())
    facts = {fact.id: fact for group in groups for fact in group.facts}
    assert [edit.facts[0] for edit in proposal.edits] == list(facts)
    for edit in proposal.edits:
        fact = facts[edit.facts[0]]
        with host.patched(setup.fold.fold([edit])):
            # Nothing tells so small a model what comes behind the full stop.
            assert host.complete([fact.prompt])[0].startswith(fact.target)


def test_a_fact_needs_no_subject_in_its_prompt(host, setup, groups, make_fact):
    stray = make_fact("Oslo", "The city of the fjord is", target="Paris")
    edit = FineTuneEditor(setup).propose([type(groups[1])(subject="Oslo", facts=(stray,))], ()).edits[0]
    with host.patched(setup.fold.fold([edit])):
        assert host.complete([stray.prompt])[0].startswith("Paris")


def test_an_edit_is_the_whole_matrix_and_names_the_keys_it_acts_at(host, setup, groups):
    edit = FineTuneEditor(setup).propose(groups[1:2], ()).edits[0]
    factors = from_payload(edit.payload)
    assert factors.kind == "direct"
    assert factors.left.shape == (32, 32)
    assert factors.right.shape == (128, 32)
    answer = host.tokenizer(" New York.")["input_ids"]
    assert factors.key.shape == (128, len(answer))
    assert edit.diagnostics["loss_nats"] < 0.1


def test_a_later_edit_depends_on_what_is_live(setup, groups):
    editor = FineTuneEditor(setup)
    first = editor.propose(groups[:1], ()).edits
    assert (
        editor.propose(groups[1:2], ()).edits[0].digest != editor.propose(groups[1:2], first).edits[0].digest
    )


def test_a_proposal_repeats_and_leaves_the_models_bytes_gradients_and_hooks_alone(
    host, setup, groups, digest
):
    before = digest(host)
    editor = FineTuneEditor(setup)
    first, again = (editor.propose(groups, ()) for _ in range(2))
    assert digest(host) == before
    assert [edit.digest for edit in first.edits] == [edit.digest for edit in again.edits]
