from __future__ import annotations

import pytest
import torch

from guardedit.editing.locate.solve import used_directions
from guardedit.editing.methods.alphaedit import AlphaEditEditor
from guardedit.models.weights.factors import parts_of

SHARE = 0.05


@pytest.fixture
def editor(host, spread_setup, contexts) -> AlphaEditEditor:
    return AlphaEditEditor(spread_setup(host), contexts=contexts, free_share=SHARE, l2_share=0.01)


@pytest.fixture
def narrow(host, spread_setup, bare) -> AlphaEditEditor:
    """Of one layer: the Llama's second one is too late."""
    return AlphaEditEditor(spread_setup(host, layers=(0,)), contexts=bare)


def test_a_stream_is_written_and_kept(host, narrow, spread_setup, writable, one_by_one, said):  # noqa: PLR0917  # fixtures
    assert all(said(spread_setup(host), one_by_one(narrow, writable), writable))


def test_a_change_is_written_into_two_layers(gpt2, spread_setup, bare, writable, said):
    setup = spread_setup(gpt2)
    editor = AlphaEditEditor(setup, contexts=bare)
    for group in writable:
        assert all(said(setup, editor.propose([group], ()).edits, [group]))


def test_the_change_does_not_touch_what_background_text_uses(host, editor, spread_setup, groups):
    moments = spread_setup(host).moments
    for edit in editor.propose(groups, ()).edits:
        for part in parts_of(edit.payload):
            taken = used_directions(moments[part.layer].C, free_share=SHARE)
            right = part.right.double()
            assert float((taken.T @ right).norm()) < 1e-5 * float(right.norm())


def test_a_later_edit_writes_less_at_the_keys_of_live_ones(editor, groups):
    live = editor.propose(groups[:1], ()).edits
    key = parts_of(live[0].payload)[0].key[:, 0]
    (later,) = editor.propose(groups[1:2], live).edits
    part = parts_of(later.payload)[0]
    own, past = abs(float(part.right[:, 0] @ part.key[:, 0])), abs(float(part.right[:, 0] @ key))
    assert past < 0.1 * own


def test_what_is_live_is_all_it_remembers(host, editor, spread_setup, contexts, groups):
    live = editor.propose(groups[:1], ()).edits
    fresh = AlphaEditEditor(spread_setup(host), contexts=contexts, free_share=SHARE, l2_share=0.01)
    continued, again = (each.propose(groups[1:2], live) for each in (editor, fresh))
    assert [e.payload for e in continued.edits] == [e.payload for e in again.edits]


def test_a_wider_null_space_takes_more_of_each_key(host, spread_setup, contexts, groups):
    def length(share: float) -> float:
        editor = AlphaEditEditor(spread_setup(host), contexts=contexts, free_share=share, l2_share=1e6)
        part = parts_of(editor.propose(groups[:1], ()).edits[0].payload)[0]
        return float(part.right.norm())

    assert torch.tensor([length(share) for share in (0.001, 0.05, 1.0)]).diff().gt(0).all()
