from __future__ import annotations

import pytest
import torch

from guardedit.editing.methods.d4s import D4SEditor
from guardedit.models.matrices import read_matrix
from guardedit.models.weights.factors import parts_of
from tests.unit.editing.reference import ridge_primal


@pytest.fixture
def editor(host, spread_setup, contexts) -> D4SEditor:
    return D4SEditor(spread_setup(host), contexts=contexts)


@pytest.fixture
def narrow(host, spread_setup, bare) -> D4SEditor:
    """Of one layer: the Llama's second one is too late."""
    return D4SEditor(spread_setup(host, layers=(0,)), contexts=bare)


def test_a_stream_is_written_and_kept(host, narrow, spread_setup, writable, one_by_one, said):  # noqa: PLR0917  # fixtures
    assert all(said(spread_setup(host), one_by_one(narrow, writable), writable))


def test_a_change_is_written_into_two_layers(gpt2, spread_setup, bare, writable, said):
    setup = spread_setup(gpt2)
    editor = D4SEditor(setup, contexts=bare)
    for group in writable:
        assert all(said(setup, editor.propose([group], ()).edits, [group]))


def test_an_edit_is_the_same_whatever_is_live(editor, groups):
    live = editor.propose(groups[:1], ()).edits
    alone, later = editor.propose(groups[1:2], ()), editor.propose(groups[1:2], live)
    assert [e.payload for e in alone.edits] == [e.payload for e in later.edits]


def test_undo_gives_the_bytes_of_never_having_edited(host, editor, spread_setup, groups, one_by_one):
    fold = spread_setup(host).fold
    a, b, c = one_by_one(editor, groups)
    never = one_by_one(editor, [groups[2], groups[0]])
    assert fold.weights_sha256([a, c]) == fold.weights_sha256(never) != fold.weights_sha256([a, b, c])


def test_an_edit_alone_brings_every_layer_an_equal_part_of_the_change(host, editor, spread_setup, groups):
    setup = spread_setup(host)
    (edit,) = editor.propose(groups[:1], ()).edits
    patch, arrived = setup.fold.fold([edit]), []
    for part in parts_of(edit.payload):
        before = host.base_matrix(part.layer).double()
        with host.patched(patch):
            after = read_matrix(host.model, host.layout.matrix_name(part.layer)).double()
        arrived.append((after - before) @ part.key[:, 0].double())
    assert {part.kind for part in parts_of(edit.payload)} == {"ridge"}
    torch.testing.assert_close(arrived[0], arrived[1], rtol=1e-3, atol=1e-4)
    ratio = float((arrived[0] + arrived[1]).norm()) / edit.diagnostics["change_norm"]
    assert ratio == pytest.approx(1.0, rel=1e-3)


def test_in_one_layer_it_is_memit_for_all_edits_at_once(host, spread_setup, contexts, groups, one_by_one):
    setup = spread_setup(host, layers=(0,))
    editor = D4SEditor(setup, contexts=contexts)
    edits = one_by_one(editor, groups)
    parts = [parts_of(edit.payload)[0] for edit in edits]
    K, R = (torch.cat([getattr(part, n).double() for part in parts], 1) for n in ("key", "left"))
    settings, C = setup.settings, setup.moments[0].C
    M = settings.background_weight * C + settings.ridge * torch.eye(len(C), dtype=torch.float64)
    with host.patched(setup.fold.fold(edits)):
        after = read_matrix(host.model, host.layout.matrix_name(0)).double()
    change = after - host.base_matrix(0).double()
    torch.testing.assert_close(change, ridge_primal(R, K, M), rtol=1e-3, atol=1e-5)
