from __future__ import annotations

import pytest
import torch

from guardedit.editing.methods.coachhook import CoachHookEditor
from guardedit.editing.values import Recipe
from guardedit.models.factors import parts_of

#: So small a model needs long changes.
RECIPE = Recipe(steps=60, clamp_ratio=20.0, kl_weight=0.0, decay=0.0)


@pytest.fixture
def setup(host, spread_setup):
    return spread_setup(host)


@pytest.fixture
def editor(setup, contexts) -> CoachHookEditor:
    # The tiny model's background is little but these prompts, so hardly any key stands out from it.
    return CoachHookEditor(setup, contexts=contexts, alpha=-1.0, recipe=RECIPE)


def test_a_stream_is_written_and_kept(editor, setup, groups, one_by_one, answered):
    edits = [edit for made in one_by_one(editor, groups) for edit in made.edits]
    assert [edit.subject for edit in edits] == [group.subject for group in groups]
    assert answered(setup, edits, groups) == 1.0


def test_no_matrix_is_touched(editor, setup, groups):
    patch = setup.fold.fold(editor.propose(groups, ()).edits)
    assert not patch.matrices
    assert [bypass.layer for bypass in patch.bypasses] == [0, 1]


def test_an_edit_is_the_same_whatever_is_live(editor, groups):
    live = editor.propose(groups[:1], ()).edits
    alone, later = editor.propose(groups[1:2], ()), editor.propose(groups[1:2], live)
    assert [e.payload for e in alone.edits] == [e.payload for e in later.edits]


def test_with_a_threshold_out_of_reach_the_base_model_speaks(host, setup, contexts, groups):
    edits = CoachHookEditor(setup, contexts=contexts, alpha=1e6).propose(groups, ()).edits
    prompt = groups[0].facts[0].prompt
    before = host.token_logprobs([prompt])
    with host.patched(setup.fold.fold(edits)):
        assert host.token_logprobs([prompt]) == before


def test_text_that_no_edit_is_about_is_left_exactly_alone(host, setup, contexts, groups):
    """The mean of the test is over background text, so most of it lies below even a low threshold."""
    edits = CoachHookEditor(setup, contexts=contexts, alpha=3.0).propose(groups[:1], ()).edits
    text = "The city of Peru is"
    before = host.token_logprobs([text])
    with host.patched(setup.fold.fold(edits)):
        assert host.token_logprobs([text]) == before


def test_an_edit_is_spread_over_the_layers_of_the_setup(host, spread_setup, contexts, groups):
    (edit,) = CoachHookEditor(spread_setup(host), contexts=contexts).propose(groups[:1], ()).edits
    parts = parts_of(edit.payload)
    assert [(part.kind, part.layer) for part in parts] == [("hooked", 0), ("hooked", 1)]
    assert all(torch.equal(part.extra["alpha"], parts[0].extra["alpha"]) for part in parts)


def test_a_proposal_leaves_the_models_bytes_gradients_and_hooks_alone(host, editor, groups, digest):
    before = digest(host)
    editor.propose(groups, ())
    assert digest(host) == before
