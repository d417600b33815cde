from __future__ import annotations

import pytest

from guardedit.editing.methods.encore import EncoreEditor
from guardedit.editing.methods.memit_seq import MemitSeqEditor
from guardedit.models.factors import parts_of


@pytest.fixture
def editor(host, spread_setup, contexts) -> EncoreEditor:
    return EncoreEditor(spread_setup(host), contexts=contexts)


def test_a_stream_is_written_and_kept(host, editor, spread_setup, groups, one_by_one, said):
    edits = [edit for made in one_by_one(editor, groups) for edit in made.edits]
    assert said(spread_setup(host), edits, groups) == 1.0


def test_values_stop_early_and_are_shorter(host, editor, spread_setup, contexts, groups):
    full = MemitSeqEditor(spread_setup(host), contexts=contexts).propose(groups, ()).edits
    early = editor.propose(groups, ()).edits
    for one, other in zip(early, full, strict=True):
        assert one.diagnostics["steps"] <= other.diagnostics["steps"]
    assert sum(e.diagnostics["steps"] for e in early) < sum(e.diagnostics["steps"] for e in full)


def test_the_ridge_makes_the_change_smaller(host, spread_setup, contexts, groups):
    def size(norm_share: float) -> float:
        editor = EncoreEditor(spread_setup(host), contexts=contexts, norm_share=norm_share)
        parts = [parts_of(edit.payload)[0] for edit in editor.propose(groups, ()).edits]
        return sum(float((p.left @ p.right.T).norm()) for p in parts)

    assert size(10.0) < 0.7 * size(0.0)
