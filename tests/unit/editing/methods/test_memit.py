from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.memit_steps import BACKGROUND_SHARE
from guardedit.editing.methods.memit import MemitEditor
from guardedit.models.weights.factors import parts_of
from tests.unit.editing.reference import ridge_primal


@pytest.fixture
def editor(host, spread_setup, contexts) -> MemitEditor:
    return MemitEditor(spread_setup(host), contexts=contexts)


def test_a_batch_is_written_and_leaves_the_models_bytes_alone(  # noqa: PLR0917  # fixtures
    host, spread_setup, bare, writable, said, digest
):
    setup, before = spread_setup(host, layers=(0,)), digest(host)
    edits = MemitEditor(setup, contexts=bare).propose(writable, ()).edits
    assert digest(host) == before
    assert not any(said(setup, (), writable))
    assert all(said(setup, edits, writable))


def test_a_change_found_in_one_layer_is_written_into_two(gpt2, spread_setup, bare, writable, said):
    setup = spread_setup(gpt2)
    edits = MemitEditor(setup, contexts=bare).propose(writable, ()).edits
    assert all(said(setup, edits, writable))


def test_two_facts_of_a_subject_are_written_by_one_value(llama, spread_setup, bare, make_fact, said):
    facts = (
        make_fact("River", "{} was born in", target="Lima"),
        make_fact("River", "The city of {} is", target="Lima"),
    )
    setup, group = spread_setup(llama, layers=(0,)), SubjectGroup(subject="River", facts=facts)
    edits = MemitEditor(setup, contexts=bare).propose([group], ()).edits
    assert len(edits) == 1
    assert said(setup, edits, [group]) == [True, True]


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
    settings, C = setup.settings, setup.moments[0].C
    M = BACKGROUND_SHARE * (
        settings.background_weight * C + settings.ridge * torch.eye(len(C), dtype=torch.float64)
    )
    change = left @ right.T
    # left = R (I + K^T M^-1 K)^-1, backwards.
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


def test_an_edit_depends_on_what_is_live_and_the_last_one_can_be_taken_back(
    host, editor, spread_setup, groups, one_by_one
):
    first, second, _ = one_by_one(editor, groups)
    (fresh,) = editor.propose(groups[1:2], ()).edits
    assert fresh.digest != second.digest
    fold = spread_setup(host).fold
    before = fold.weights_sha256([first])
    assert fold.weights_sha256([first, second]) != before == fold.weights_sha256([first])


def test_the_same_groups_give_the_same_bytes(host, editor, spread_setup, contexts, groups):
    again = MemitEditor(spread_setup(host), contexts=contexts)
    assert [e.digest for e in editor.propose(groups, ()).edits] == [
        e.digest for e in again.propose(groups, ()).edits
    ]


def test_no_groups_give_no_edits(editor):
    assert editor.propose((), ()).edits == ()


def test_facts_of_one_subject_share_one_key_in_each_layer(editor, groups):
    (edit,) = editor.propose(groups[2:], ()).edits
    assert [part.key.shape[1] for part in parts_of(edit.payload)] == [1, 1]


def test_a_moved_subject_is_found_by_its_place_in_the_prompt(editor, groups):
    fact = groups[0].facts[0]
    elsewhere = replace(fact, wordings=("Marie Curie speaks",))
    one, other = (
        parts_of(editor.propose([replace(groups[0], facts=(each,))], ()).edits[0].payload)[0]
        for each in (fact, elsewhere)
    )
    assert not torch.equal(one.key, other.key)
