from __future__ import annotations

import pytest
import torch

from guardedit.editing.methods.r_rome import RRomeEditor
from guardedit.editing.methods.rome import RomeEditor
from guardedit.models.factors import parts_of


@pytest.fixture
def editor(host, spread_setup, contexts) -> RRomeEditor:
    return RRomeEditor(spread_setup(host), contexts=contexts)


def only_part(edit):
    (part,) = parts_of(edit.payload)
    return part


def test_facts_are_written_one_subject_at_a_time(host, editor, spread_setup, groups, said):
    for group in groups:
        assert said(spread_setup(host), editor.propose([group], ()).edits, [group]) == 1.0


def test_a_subject_that_opens_the_prompt_gets_a_change_no_longer_than_it_needs(
    host, editor, spread_setup, contexts, groups
):
    # The fault of ROME: u^T of the averaged key is divided by its product with another key.
    rome = RomeEditor(spread_setup(host), contexts=contexts)
    ours, theirs = (only_part(each.propose(groups[1:2], ()).edits[0]) for each in (editor, rome))
    at_own = [float((part.right.T @ editor_key(ours)).norm() * part.left.norm()) for part in (ours, theirs)]
    assert at_own[0] > 0
    spread = [float(part.left.norm() * part.right.norm()) for part in (ours, theirs)]
    assert spread[0] <= spread[1]


def editor_key(part) -> torch.Tensor:
    return part.key[:, 0]


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
