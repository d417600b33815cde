from __future__ import annotations

import pytest
import torch

from guardedit.editing.locate.memit_steps import BACKGROUND_SHARE
from guardedit.editing.methods.memit import MemitEditor
from guardedit.editing.methods.memit_seq import MemitSeqEditor
from guardedit.editing.methods.rome import RomeEditor
from guardedit.models.weights.factors import parts_of


@pytest.fixture
def editor(host, spread_setup, contexts) -> MemitSeqEditor:
    return MemitSeqEditor(spread_setup(host), contexts=contexts)


def first_part(proposal):
    (edit,) = proposal.edits
    return parts_of(edit.payload)[0]


@pytest.fixture
def narrow(host, spread_setup, bare) -> MemitSeqEditor:
    """Of one layer: the Llama's second one is too late."""
    return MemitSeqEditor(spread_setup(host, layers=(0,)), contexts=bare)


def test_a_stream_is_written_and_kept(host, narrow, spread_setup, writable, one_by_one, said):  # noqa: PLR0917  # fixtures
    assert all(said(spread_setup(host), one_by_one(narrow, writable), writable))


def test_a_change_is_written_into_two_layers(gpt2, spread_setup, bare, writable, said):
    setup = spread_setup(gpt2)
    editor = MemitSeqEditor(setup, contexts=bare)
    for group in writable:
        assert all(said(setup, editor.propose([group], ()).edits, [group]))


def test_without_history_it_is_memit(host, editor, spread_setup, contexts, groups):
    memit = MemitEditor(spread_setup(host), contexts=contexts).propose(groups, ())
    assert [e.digest for e in editor.propose(groups, ()).edits] == [e.digest for e in memit.edits]


def test_a_later_edit_writes_less_at_the_keys_of_live_ones(host, editor, spread_setup, contexts, groups):
    live = editor.propose(groups[:1], ()).edits
    key = parts_of(live[0].payload)[0].key[:, 0]
    naive = MemitEditor(spread_setup(host), contexts=contexts)
    with_history, without = (first_part(each.propose(groups[1:2], live)) for each in (editor, naive))
    torch.testing.assert_close(with_history.key, without.key)
    harm = [abs(float(part.right[:, 0] @ key)) for part in (with_history, without)]
    assert harm[0] < 0.5 * harm[1]


def test_edits_of_other_methods_count_as_history(host, editor, spread_setup, contexts, groups):
    setup = spread_setup(host)
    live = RomeEditor(setup, contexts=contexts).propose(groups[:1], ()).edits
    part = first_part(editor.propose(groups[1:2], live))
    K, H = part.key.double(), parts_of(live[0].payload)[0].key.double()
    settings = setup.settings
    M = BACKGROUND_SHARE * (
        settings.background_weight * setup.moments[0].C + settings.ridge * torch.eye(len(K))
    )
    torch.testing.assert_close(part.right.double(), torch.linalg.solve(M + H @ H.T, K), rtol=1e-3, atol=1e-4)


def test_what_is_live_is_all_it_remembers(host, editor, spread_setup, contexts, groups):
    live = editor.propose(groups[:1], ()).edits
    continued = editor.propose(groups[1:2], live)
    fresh = MemitSeqEditor(spread_setup(host), contexts=contexts).propose(groups[1:2], live)
    assert [e.payload for e in continued.edits] == [e.payload for e in fresh.edits]


def test_the_order_of_live_edits_does_not_matter(editor, groups):
    live = editor.propose(groups[:2], ()).edits
    one, other = (editor.propose(groups[2:], order) for order in (live, live[::-1]))
    assert [e.digest for e in one.edits] == [e.digest for e in other.edits]
