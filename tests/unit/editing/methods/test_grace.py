from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from guardedit.core.protocols import SubjectGroup
from guardedit.editing.methods.grace import GraceEditor, label_of, typical_distance
from guardedit.editing.optimise.upper_layers import UpperLayers
from guardedit.models.weights.factors import from_payload, parts_of, to_payload


@pytest.fixture
def setup(host, spread_setup):
    return spread_setup(host)


@pytest.fixture
def editor(setup) -> GraceEditor:
    return GraceEditor(setup, radius_ratio=0.05)


def bypass_of(setup, edits):
    (bypass,) = setup.fold.fold(edits).bypasses
    return bypass


def test_a_stream_is_written_and_kept(editor, setup, groups, one_by_one, said):
    edits = one_by_one(editor, groups)
    assert [edit.facts for edit in edits] == [(fact.id,) for group in groups for fact in group.facts]
    assert all(said(setup, edits, groups))


def test_every_wording_is_answered(host, editor, setup, groups):
    edits = editor.propose(groups, ()).edits
    asked = [(text, fact.target) for group in groups for fact in group.facts for text in fact.wordings]
    with host.patched(setup.fold.fold(edits)):
        answers = [answer.partition(".")[0] for answer in host.complete([text for text, _ in asked])]
    assert answers == [target for _, target in asked]


def test_other_prompts_are_left_exactly_alone(host, editor, setup, groups):
    others = ["Peru was born in", "The city of Ann Lee is", "You see."]
    before = host.token_logprobs(others)
    with host.patched(setup.fold.fold(editor.propose(groups, ()).edits)):
        assert host.token_logprobs(others) == before


def test_a_fact_needs_no_subject_in_its_prompt(host, editor, setup, make_fact, said):
    stray = SubjectGroup(subject="Nobody", facts=(make_fact("Nobody", "River was born in", target="Lima"),))
    proposal = editor.propose([stray], ())
    assert proposal.refused == {}
    assert all(said(setup, proposal.edits, [stray]))


def test_a_newer_version_answers_the_same_prompt_and_its_removal_brings_the_older_back(
    host, editor, setup, groups, said
):
    old = groups[1]
    new = replace(old, facts=tuple(replace(fact, version=2, target="Paris") for fact in old.facts))
    (first,), (second,) = (editor.propose([group], ()).edits for group in (old, new))
    for live, group in (([first, second], new), ([second, first], new), ([second], new), ([first], old)):
        assert all(said(setup, live, [group]))
        assert float(bypass_of(setup, live).radii.min()) > 0


def test_equal_targets_are_one_label_and_targets_of_equal_tokens_are_not():
    assert torch.equal(label_of("New York"), label_of("New York"))
    # The published test compares the mean of token ids, which an anagram shares.
    assert not torch.equal(label_of("ab ba"), label_of("ba ab"))


def test_the_digests_of_edits_are_their_own(editor, groups, make_fact):
    """The published code names an edit by its target, which several share."""
    same = [
        replace(groups[1], facts=(make_fact(subject, "{} was born in", target="Lima"),), subject=subject)
        for subject in ("Oslo", "River")
    ]
    edits = editor.propose(same, ()).edits
    assert len({edit.digest for edit in edits}) == 2


def test_radii_are_a_share_of_what_is_usual_between_keys(setup, editor, groups):
    factors = from_payload(editor.propose(groups[1:2], ()).edits[0].payload)
    usual = typical_distance(setup.moments[setup.layer])
    assert float(factors.extra["radius"]) == pytest.approx(0.05 * usual)
    keys = torch.randn(2000, 50, dtype=torch.float64)
    centred = (keys[:1000] - keys[1000:]).square().sum(1).mean().sqrt()
    # A mean much longer than everything else changes no distance, and so no typical one.
    C = keys.t() @ keys / 2000 + 400 * torch.ones(50, 50)
    shifted = replace(setup.moments[setup.layer], C=C, spectrum=torch.linalg.eigvalsh(C))
    assert typical_distance(shifted) == pytest.approx(float(centred), rel=0.05)


def test_a_payload_read_back_and_written_again_gives_the_same_model(setup, editor, groups):
    edits = list(editor.propose(groups, ()).edits)
    again = [replace(edit, payload=to_payload(*parts_of(edit.payload))) for edit in edits]
    assert setup.fold.weights_sha256(again) == setup.fold.weights_sha256(edits)


def test_a_batch_equals_one_at_a_time(editor, groups):
    together = editor.propose(groups, ()).edits
    alone = [edit for group in groups for edit in editor.propose([group], ()).edits]
    for one, other in zip(together, alone, strict=True):
        a, b = from_payload(one.payload), from_payload(other.payload)
        torch.testing.assert_close(a.right, b.right, rtol=1e-4, atol=1e-4)
        # Adam divides by the gradient's size, which blows rounding up where a gradient is near zero.
        assert (a.left - b.left).norm() < 0.05 * b.left.norm()


def test_a_proposal_leaves_the_models_bytes_gradients_and_hooks_alone(host, editor, groups, digest):
    before = digest(host)
    editor.propose(groups, ())
    assert digest(host) == before


def test_so_does_one_that_fails_midway(host, editor, groups, digest, monkeypatch):
    before, logits, calls = digest(host), UpperLayers.logits, []

    def failing(self, chunk, change):
        calls.append(chunk)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return logits(self, chunk, change)

    monkeypatch.setattr(UpperLayers, "logits", failing)
    with pytest.raises(KeyboardInterrupt):
        editor.propose(groups, ())
    assert digest(host) == before
