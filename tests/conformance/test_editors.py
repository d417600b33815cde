"""Every editing method in the registry keeps the same promises, and those of its own card."""

from __future__ import annotations

import math
import random

import torch

from guardedit.editing.registry import Registry
from guardedit.models.weights.factors import parts_of, to_payload
from guardedit.models.weights.fold import Fold
from tests.conformance.editor_bench import (
    FIRST,
    QUICK,
    SECOND,
    card_of,
    difference,
    editor_of,
    likelier,
    logits_of,
    payloads,
    reread,
    state_of,
    tensors_of,
)

#: Largest relative difference between an edit made in a batch and the same one made alone. Batches change
#: the order of sums in the last bits, and Adam's first steps carry that on.
TOLERANCE = 1e-2


def test_a_method_has_the_name_it_is_registered_under(method):
    assert Registry().resolve(method).name == method


def test_a_card_says_where_the_method_is_from_and_what_an_edit_keeps(method):
    card = card_of(method)
    assert card.family in {"locate-then-edit", "fine-tuning", "meta-learning", "side memory"}
    assert "arXiv" in card.paper or "ICLR" in card.paper
    assert card.stores
    assert all(text and not text.endswith(".") for text in card.deviations)


def test_a_card_does_not_contradict_itself(method):
    card = card_of(method)
    # An edit that was made for what was live is not undone by leaving out what it was made for.
    assert not (card.undo == "exact" and card.reads_live)
    assert card.batch == "together" or card.reads_live, "one by one, though no edit knows of another?"


def test_every_fact_is_edited_once_or_refused_with_a_reason(run, method):
    for groups, proposal in ((FIRST, run.first), (SECOND, run.second)):
        ids = [fact.id for group in groups for fact in group.facts]
        edited = [fact for edit in proposal.edits for fact in edit.facts]
        assert sorted([*edited, *proposal.refused]) == sorted(ids)
        assert all(proposal.refused.values())
        assert proposal.refused == {}, "these facts are not odd"
        assert proposal.method == method
        assert proposal.seconds >= 0.0


def test_an_edit_names_its_subject_its_facts_and_its_method(run, method):
    subjects = {fact.id: group.subject for group in (*FIRST, *SECOND) for fact in group.facts}
    for edit in run.edits:
        assert {subjects[fact] for fact in edit.facts} == {edit.subject}
        assert list(edit.facts) == sorted(edit.facts)
        assert edit.method == method
        assert all(type(value) is float for value in edit.diagnostics.values())


def test_a_proposal_leaves_bytes_gradients_hooks_and_modules_alone(run):
    assert run.after == run.before


def test_factors_are_finite_and_fold_to_finite_weights(run):
    assert all(
        bool(torch.isfinite(tensor).all()) for tensor in tensors_of(run.edits) if tensor.is_floating_point()
    )
    patch = run.setup.fold.fold(run.edits)
    assert patch.matrices or patch.bypasses
    assert bool(torch.isfinite(logits_of(run.setup, run.edits)).all())


def test_an_edit_makes_its_answers_likelier(run):
    assert all(likelier(run.setup, run.first, FIRST))


def test_with_without_and_with_an_edit_again_are_equal_bytes_each_time(run):
    fold, edits = run.setup.fold, run.edits
    base, whole = fold.weights_sha256(()), fold.weights_sha256(edits)
    assert base == run.setup.host.base_sha256 != whole
    for left_out in range(len(edits)):
        rest = [*edits[:left_out], *edits[left_out + 1 :]]
        without = fold.weights_sha256(rest)
        assert without != whole
        assert fold.weights_sha256(edits) == whole
        assert fold.weights_sha256(rest) == without
    assert fold.weights_sha256(()) == base


def test_undoing_out_of_order_leaves_exactly_the_fold_of_the_rest(run):
    """A fold that has never seen the undone edits gives the same bytes."""
    setup, edits = run.setup, run.edits
    setup.fold.weights_sha256(edits)
    for rest in (edits[1:], edits[1:2], edits[-1:]):
        fresh = Fold(setup.host, setup.moments, background_weight=QUICK.background_weight, ridge=QUICK.ridge)
        assert fresh.weights_sha256(rest) == setup.fold.weights_sha256(rest)


def test_the_order_of_edits_does_not_matter_to_the_fold(run):
    whole = run.setup.fold.weights_sha256(run.edits)
    for seed in range(3):
        shuffled = random.Random(seed).sample(run.edits, len(run.edits))
        assert run.setup.fold.weights_sha256([*shuffled, shuffled[0]]) == whole


def test_a_patched_model_is_the_base_again_afterwards(run):
    host, before = run.setup.host, state_of(run.setup.host)
    plain = logits_of(run.setup, ())
    changed = logits_of(run.setup, run.edits)
    assert float((changed - plain).abs().max()) > 1e-4
    assert state_of(host) == before
    assert torch.equal(logits_of(run.setup, ()), plain)


def test_a_payload_survives_reading_and_writing(run):
    for edit in run.edits:
        assert to_payload(*parts_of(edit.payload)) == edit.payload


def test_a_new_editor_continues_from_the_saved_edits_as_if_it_had_never_stopped(run, editor):
    continued = editor.propose(SECOND, reread(run.first.edits))
    assert payloads(continued) == payloads(run.second)


def test_the_same_call_gives_the_same_bytes_whatever_the_global_random_state(run, method):
    with torch.random.fork_rng():
        torch.manual_seed(20)
        before = torch.get_rng_state()
        editor = editor_of(method, run.setup)
        again = editor.propose(FIRST, ())
        assert torch.equal(torch.get_rng_state(), before), "the global random state was moved"
        torch.manual_seed(21)
        assert payloads(again) == payloads(run.first)
        assert payloads(editor.propose(FIRST, ())) == payloads(run.first)


def test_a_method_reads_what_is_live_just_when_its_card_says_so(run, method, editor):
    unread = payloads(editor.propose(SECOND, ())) == payloads(run.second)
    assert unread != card_of(method).reads_live


def test_a_batch_is_what_its_card_says(run, method, editor):
    card = card_of(method)
    if card.batch == "one by one":  # each on top of the ones before, to the last bit
        made = []
        for group in FIRST:
            made += editor.propose([group], made).edits
        assert [edit.payload for edit in made] == payloads(run.first)
        return
    if not card.reads_live:  # each as it would be alone
        alone = [edit for group in FIRST for edit in editor.propose([group], ()).edits]
        for one, other in zip(alone, run.first.edits, strict=True):
            assert difference(one, other) < TOLERANCE
    turned = {edit.facts: edit for edit in editor.propose(FIRST[::-1], ()).edits}
    for edit in run.first.edits:  # and nobody is first in a batch
        assert difference(edit, turned[edit.facts]) < TOLERANCE


def test_the_guards_numbers_are_numbers(run):
    for edit, found in zip(run.edits, run.setup.fold.inspect(run.edits, ()), strict=True):
        names_a_key = any(part.key is not None for part in parts_of(edit.payload))
        assert found.finite
        assert found.facts == edit.facts
        for value in (found.relative_size, found.background_error):
            assert math.isfinite(value)
            assert value >= 0.0
        for value in (found.value_ratio, found.key_outlier):
            assert math.isfinite(value) or (math.isnan(value) and not names_a_key)
    assert 0.0 <= run.setup.fold.capacity_ratio(run.edits) < math.inf


def test_nothing_to_edit_is_no_edit(run, editor):
    nothing = editor.propose((), run.first.edits)
    assert (nothing.edits, dict(nothing.refused)) == ((), {})


def test_a_longer_sequence_still_folds_and_undoes(run, editor):
    live = list(run.edits)
    live += editor.propose(FIRST[:1], live).edits
    fold = run.setup.fold
    assert fold.weights_sha256(live[: len(run.edits)]) == fold.weights_sha256(run.edits)
    assert bool(torch.isfinite(logits_of(run.setup, live)).all())
