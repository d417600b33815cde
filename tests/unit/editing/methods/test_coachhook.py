from __future__ import annotations

import pytest
import torch

from guardedit.editing.methods.coachhook import CoachHookEditor
from guardedit.models.weights.factors import parts_of

#: The tiny model's background is little but the edited prompts, so hardly a key stands out from it.
ALPHA = 0.5


@pytest.fixture
def setup(host, spread_setup):
    return spread_setup(host)


@pytest.fixture
def editor(setup, contexts) -> CoachHookEditor:
    return CoachHookEditor(setup, contexts=contexts, alpha=ALPHA)


def test_a_stream_is_written_and_kept(host, spread_setup, bare, writable, one_by_one, said):  # noqa: PLR0917  # fixtures
    setup = spread_setup(host, layers=(0,))
    edits = one_by_one(CoachHookEditor(setup, contexts=bare, alpha=ALPHA), writable)
    assert [edit.subject for edit in edits] == [group.subject for group in writable]
    assert all(said(setup, edits, writable))


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
