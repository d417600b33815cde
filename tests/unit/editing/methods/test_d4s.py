from __future__ import annotations

import pytest
import torch

from guardedit.editing.methods.d4s import D4SEditor
from guardedit.editing.solve import ridge_primal
from guardedit.models.factors import parts_of
from guardedit.models.matrices import read_matrix


@pytest.fixture
def editor(host, spread_setup, contexts) -> D4SEditor:
    return D4SEditor(spread_setup(host), contexts=contexts)


def test_a_stream_is_written_and_kept(host, editor, spread_setup, groups, one_by_one, said):
    edits = [edit for made in one_by_one(editor, groups) for edit in made.edits]
    assert said(spread_setup(host), edits, groups) == 1.0


def test_an_edit_is_the_same_whatever_is_live(editor, groups):
    live = editor.propose(groups[:1], ()).edits
    alone, later = editor.propose(groups[1:2], ()), editor.propose(groups[1:2], live)
    assert [e.payload for e in alone.edits] == [e.payload for e in later.edits]


def test_undo_gives_the_bytes_of_never_having_edited(host, editor, spread_setup, groups, one_by_one):
    fold = spread_setup(host).fold
    a, b, c = (made.edits[0] for made in one_by_one(editor, groups))
    without = one_by_one(editor, [groups[2], groups[0]])
    never = [edit for made in without for edit in made.edits]
    assert fold.weights_sha256([a, c]) == fold.weights_sha256(never) != fold.weights_sha256([a, b, c])


def test_every_layer_is_asked_for_an_equal_part_of_the_change(editor, groups):
    for edit in editor.propose(groups, ()).edits:
        low, high = parts_of(edit.payload)
        assert (low.kind, low.layer, high.layer) == ("ridge", 0, 1)
        torch.testing.assert_close(low.left, high.left)


def test_in_one_layer_it_is_memit_for_all_edits_at_once(host, spread_setup, contexts, groups, one_by_one):
    setup = spread_setup(host, layers=(0,))
    editor = D4SEditor(setup, contexts=contexts)
    edits = [edit for made in one_by_one(editor, groups) for edit in made.edits]
    parts = [parts_of(edit.payload)[0] for edit in edits]
    K, R = (torch.cat([getattr(part, n).double() for part in parts], 1) for n in ("key", "left"))
    dials, C = setup.settings, setup.moments[0].C
    M = dials.background_weight * C + dials.ridge * torch.eye(len(C), dtype=torch.float64)
    with host.patched(setup.fold.fold(edits)):
        after = read_matrix(host.model, host.layout.matrix_name(0)).double()
    change = after - host.base_matrix(0).double()
    torch.testing.assert_close(change, ridge_primal(R, K, M), rtol=1e-3, atol=1e-5)
