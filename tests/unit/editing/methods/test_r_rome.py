from __future__ import annotations

import pytest
import torch

from guardedit.editing.locate.solve import rome_direction
from guardedit.editing.methods.r_rome import RRomeEditor
from guardedit.models.weights.factors import parts_of


@pytest.fixture
def editor(host, spread_setup, contexts) -> RRomeEditor:
    return RRomeEditor(spread_setup(host), contexts=contexts)


def only_part(edit):
    (part,) = parts_of(edit.payload)
    return part


def test_each_subject_is_written(host, spread_setup, bare, writable, said):
    setup = spread_setup(host)
    editor = RRomeEditor(setup, contexts=bare)
    for group in writable:
        assert all(said(setup, editor.propose([group], ()).edits, [group]))


def test_the_denominator_is_that_of_the_direction_itself_and_cannot_vanish(
    host, spread_setup, editor, groups
):
    # ROME divides by u^T k of another key than the one that u is made of; here k^T C^-1 k is positive.
    C = spread_setup(host).moments[0].C
    for edit in editor.propose(groups, ()).edits:
        part = only_part(edit)
        k, u = part.key[:, 0].double(), part.right[:, 0].double()
        torch.testing.assert_close(u, rome_direction(C, k), rtol=1e-4, atol=1e-5)
        assert float(u @ k) > 0


def test_the_averaged_target_is_met_at_the_averaged_key(host, editor, groups):
    edit = editor.propose(groups[:1], ()).edits[0]
    part = only_part(edit)
    layer = host.mlp_out(0)
    bias = 0.0 if getattr(layer, "bias", None) is None else layer.bias.detach()
    after = host.base_matrix(0) @ part.key[:, 0] + bias + part.left @ (part.right.T @ part.key[:, 0])
    assert float(after.norm()) == pytest.approx(edit.diagnostics["value_norm"], rel=1e-3)


def test_later_subjects_of_a_batch_are_made_on_the_model_with_the_earlier_ones(editor, groups):
    first, second, _ = editor.propose(groups, ()).edits
    (apart,) = editor.propose(groups[1:2], [first]).edits
    (fresh,) = editor.propose(groups[1:2], ()).edits
    assert second.digest == apart.digest != fresh.digest
