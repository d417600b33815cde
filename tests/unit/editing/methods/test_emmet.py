from __future__ import annotations

import pytest
import torch

from guardedit.editing.locate.memit_steps import value_settings_from
from guardedit.editing.locate.solve import rome_direction
from guardedit.editing.locate.values import find_values
from guardedit.editing.methods.emmet import EmmetEditor
from guardedit.models.weights.factors import parts_of


@pytest.fixture
def editor(host, spread_setup, contexts) -> EmmetEditor:
    return EmmetEditor(spread_setup(host), contexts=contexts, slack=1e-6)


def test_a_batch_is_written_into_one_layer(host, spread_setup, bare, writable, said):
    setup = spread_setup(host)
    edits = EmmetEditor(setup, contexts=bare, slack=1.0).propose(writable, ()).edits
    assert all(said(setup, edits, writable))
    assert {part.layer for edit in edits for part in parts_of(edit.payload)} == {0}


def test_a_batch_without_slack_hits_each_target_at_its_key(host, editor, spread_setup, contexts, groups):
    parts = [parts_of(edit.payload)[0] for edit in editor.propose(groups, ()).edits]
    left, right, K = (torch.cat([getattr(p, n).double() for p in parts], 1) for n in ("left", "right", "key"))
    found = find_values(
        host, 0, groups, contexts=contexts, value_settings=value_settings_from(spread_setup(host).settings)
    )
    wanted = torch.stack([value.change for value in found], dim=1)
    torch.testing.assert_close(left @ (right.T @ K), wanted, rtol=1e-2, atol=1e-3)


def test_a_single_edit_goes_in_the_direction_of_rome_with_one_key(host, editor, spread_setup, groups):
    part = parts_of(editor.propose(groups[:1], ()).edits[0].payload)[0]
    setup = spread_setup(host)
    eps = setup.settings.ridge / setup.settings.background_weight
    C = setup.moments[0].C + eps * torch.eye(len(setup.moments[0].C), dtype=torch.float64)
    u = rome_direction(C, part.key[:, 0].double())
    cosine = torch.nn.functional.cosine_similarity(u, part.right[:, 0].double(), dim=0)
    assert float(cosine) > 0.99999


def test_slack_lets_less_of_a_batch_arrive(host, spread_setup, contexts, groups):
    def size(slack: float) -> float:
        editor = EmmetEditor(spread_setup(host), contexts=contexts, slack=slack)
        parts = [parts_of(edit.payload)[0] for edit in editor.propose(groups, ()).edits]
        return sum(float((p.left @ p.right.T).norm()) for p in parts)

    assert size(100.0) < 0.7 * size(1e-6)
