from __future__ import annotations

import pytest
import torch

from guardedit.editing.methods.ft_l import ClampedFineTuneEditor, each_token_first
from guardedit.editing.optimise.rows import row_tensors, whole_row
from guardedit.editing.tune.tuning import TuningSettings
from guardedit.models.weights.factors import from_payload


@pytest.fixture
def setup(host, moments, settings, make_setup):
    return make_setup(host, moments, settings)


def test_every_target_token_is_trained_right_behind_the_prompt(gpt2, make_fact):
    facts = [
        make_fact("Oslo", "{} was born in", target="New York"),
        make_fact("Peru", "{} speaks", target="Spanish"),
    ]
    texts = [whole_row(n, fact, stop="") for n, fact in enumerate(facts)]
    found = each_token_first(row_tensors(gpt2.tokenizer, texts, context=64))
    rows = [gpt2.tokenizer.decode(found.ids[n, : found.lengths[n]]) for n in range(len(found.lengths))]
    pieces = [[gpt2.tokenizer.decode(i) for i in gpt2.tokenizer(f" {f.target}")["input_ids"]] for f in facts]
    assert rows == [fact.prompt + piece for fact, mine in zip(facts, pieces, strict=True) for piece in mine]
    assert len(pieces[0]) > 1
    assert found.group.tolist() == [0] * len(pieces[0]) + [1] * len(pieces[1])
    assert torch.equal(found.first, found.last)
    assert torch.equal(found.lengths, found.first + 2)


def test_a_target_of_one_token_is_answered(host, setup, groups, make_fact):
    fact = make_fact("Oslo", "{} speaks", target="Polish")
    assert len(host.tokenizer(" Polish")["input_ids"]) == 1
    edit = ClampedFineTuneEditor.build(setup).propose([type(groups[1])(subject="Oslo", facts=(fact,))], ())
    with host.patched(setup.fold.fold(edit.edits)):
        assert host.complete([fact.prompt])[0].startswith("Polish")


def test_most_weights_move_by_the_limit_and_none_by_more(setup, groups):
    settings = TuningSettings(steps=6, clamp_steps=0.5)
    edits = ClampedFineTuneEditor(setup, settings=settings).propose(groups, ()).edits
    assert len(edits) == 4
    for edit in edits:
        factors = from_payload(edit.payload)
        change = (factors.left @ factors.right.t()).abs().flatten()
        at_limit = change >= change.max() * (1 - 1e-6)
        assert float(at_limit.float().mean()) > 0.3


def test_a_proposal_leaves_the_models_bytes_gradients_and_hooks_alone(host, setup, groups, digest):
    before = digest(host)
    ClampedFineTuneEditor(setup).propose(groups, ())
    assert digest(host) == before
