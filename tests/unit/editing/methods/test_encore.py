from __future__ import annotations

import pytest

from guardedit.editing.methods.encore import EncoreEditor
from guardedit.editing.methods.memit_seq import MemitSeqEditor
from guardedit.models.weights.factors import parts_of


@pytest.fixture
def editor(host, spread_setup, contexts) -> EncoreEditor:
    return EncoreEditor(spread_setup(host), contexts=contexts)


@pytest.fixture
def narrow(host, spread_setup, bare) -> EncoreEditor:
    """Of one layer: the Llama's second one is too late."""
    return EncoreEditor(spread_setup(host, layers=(0,)), contexts=bare)


def test_a_stream_is_written_and_kept(host, narrow, spread_setup, writable, one_by_one, said):  # noqa: PLR0917  # fixtures
    assert all(said(spread_setup(host), one_by_one(narrow, writable), writable))


def test_a_change_is_written_into_two_layers(gpt2, spread_setup, bare, writable, said):
    setup = spread_setup(gpt2)
    editor = EncoreEditor(setup, contexts=bare)
    for group in writable:
        assert all(said(setup, editor.propose([group], ()).edits, [group]))


def test_values_stop_soon_after_the_answer_is_said(gpt2, spread_setup, bare, writable):
    full, early = (
        each(spread_setup(gpt2), contexts=bare).propose(writable, ()).edits
        for each in (MemitSeqEditor, EncoreEditor)
    )
    for one, other in zip(early, full, strict=True):
        assert one.diagnostics["steps"] <= other.diagnostics["steps"]
    assert sum(e.diagnostics["steps"] for e in early) < sum(e.diagnostics["steps"] for e in full)


def test_the_ridge_makes_the_change_smaller(host, spread_setup, contexts, groups):
    def size(norm_share: float) -> float:
        editor = EncoreEditor(spread_setup(host), contexts=contexts, norm_share=norm_share)
        parts = [parts_of(edit.payload)[0] for edit in editor.propose(groups, ()).edits]
        return sum(float((p.left @ p.right.T).norm()) for p in parts)

    assert size(10.0) < 0.7 * size(0.0)
