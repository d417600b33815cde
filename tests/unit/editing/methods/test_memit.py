from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from guardedit.core.fact import Fact
from guardedit.editing.methods.memit import MemitEditor
from guardedit.editing.solve import ridge_primal
from guardedit.models.factors import parts_of


@pytest.fixture
def editor(host, spread_setup, contexts) -> MemitEditor:
    return MemitEditor(spread_setup(host), contexts=contexts)


def test_a_batch_is_written_and_leaves_the_models_bytes_alone(
    host, editor, spread_setup, groups, said, digest
):
    before = digest(host)
    proposal = editor.propose(groups, ())
    assert digest(host) == before
    assert said(spread_setup(host), (), groups) == 0.0
    assert said(spread_setup(host), proposal.edits, groups) == 1.0


def test_each_subject_has_an_edit_of_its_own_with_a_part_in_every_layer(editor, groups):
    proposal = editor.propose(groups, ())
    assert [edit.subject for edit in proposal.edits] == [group.subject for group in groups]
    assert [len(edit.facts) for edit in proposal.edits] == [1, 1, 2]
    for edit in proposal.edits:
        assert [(part.kind, part.layer) for part in parts_of(edit.payload)] == [("direct", 0), ("direct", 1)]


def test_the_edits_of_a_batch_add_up_to_the_solution_for_all_of_them(host, editor, spread_setup, groups):
    parts = [parts_of(edit.payload)[0] for edit in editor.propose(groups, ()).edits]
    K, left, right = (torch.cat([getattr(p, n).double() for p in parts], 1) for n in ("key", "left", "right"))
    setup = spread_setup(host)
    dials, C = setup.settings, setup.moments[0].C
    M = dials.background_weight * C + dials.ridge * torch.eye(len(C), dtype=torch.float64)
    change = left @ right.T
    # What the solution asks for at its keys determines it: R = Delta K + Delta M K (K^T K)^-1 ...
    R = left @ (torch.eye(K.shape[1], dtype=torch.float64) + K.T @ right)
    torch.testing.assert_close(change, ridge_primal(R, K, M), rtol=1e-3, atol=1e-5)


def test_a_refused_fact_does_not_stop_the_others(editor, groups, make_fact):
    stray = make_fact("She", "{} was born in", target="Paris")
    long = make_fact("Oslo", "{} was born in " + "and in " * 80, target="Lima")
    odd = [replace(groups[2], facts=(*groups[2].facts, stray)), replace(groups[1], facts=(long,)), groups[0]]
    proposal = editor.propose(odd, ())
    assert [edit.subject for edit in proposal.edits] == ["Anne Redpath", "Marie Curie"]
    assert set(proposal.refused) == {stray.id, long.id}
    assert "subject" in proposal.refused[stray.id]
    assert "tokens" in proposal.refused[long.id]


def test_an_edit_depends_on_what_is_live_and_the_last_one_can_be_left_out(
    editor, spread_setup, host, groups, one_by_one, said
):
    first, second, _ = one_by_one(editor, groups)
    fresh = editor.propose(groups[1:2], ())
    assert fresh.edits[0].digest != second.edits[0].digest
    fold = spread_setup(host).fold
    assert fold.weights_sha256(first.edits) == fold.weights_sha256([*second.edits, *first.edits][1:])
    assert said(spread_setup(host), [*first.edits, *second.edits], groups[1:2]) == 1.0


def test_the_same_groups_give_the_same_bytes(host, editor, spread_setup, contexts, groups):
    again = MemitEditor(spread_setup(host), contexts=contexts)
    assert [e.digest for e in editor.propose(groups, ()).edits] == [
        e.digest for e in again.propose(groups, ()).edits
    ]


def test_no_groups_give_no_edits(editor):
    assert editor.propose((), ()).edits == ()


def test_facts_of_one_subject_share_one_value_and_are_both_written(host, editor, spread_setup, groups, said):
    edits = editor.propose(groups[2:], ()).edits
    assert len(edits) == 1
    assert parts_of(edits[0].payload)[0].key.shape[1] == 1
    assert said(spread_setup(host), edits, groups[2:]) == 1.0


def test_a_moved_subject_is_found_by_its_place_in_the_prompt(editor, groups):
    fact: Fact = groups[0].facts[0]
    elsewhere = replace(fact, wordings=("Marie Curie speaks",))
    one, other = (
        parts_of(editor.propose([replace(groups[0], facts=(each,))], ()).edits[0].payload)[0]
        for each in (fact, elsewhere)
    )
    assert not torch.equal(one.key, other.key)
