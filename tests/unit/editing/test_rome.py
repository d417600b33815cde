from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from guardedit.editing.locate.values import find_values
from guardedit.editing.methods import rome
from guardedit.editing.methods.rome import RomeEditor
from guardedit.editing.optimise.keys import keys_and_values
from guardedit.editing.optimise.rows import Row, row_tensors
from guardedit.editing.setup import Setup
from guardedit.models.matrices import read_matrix
from guardedit.models.weights.factors import from_payload
from guardedit.models.weights.fold import Fold

LAYER = 0


@pytest.fixture
def setup(gpt2, gpt2_moments, settings, make_setup) -> Setup:
    return make_setup(gpt2, gpt2_moments, settings)


@pytest.fixture
def fold(setup) -> Fold:
    return setup.fold


@pytest.fixture
def editor(setup, contexts) -> RomeEditor:
    return RomeEditor(setup, contexts=contexts)


def test_one_edit_a_fact_and_none_for_a_prompt_without_the_subject(editor, groups, make_fact):
    stray = make_fact("She", "{} was born in", target="Paris")
    proposal = editor.propose([replace(groups[2], facts=(*groups[2].facts, stray))], ())
    assert [edit.facts for edit in proposal.edits] == [(fact.id,) for fact in groups[2].facts]
    assert list(proposal.refused) == [stray.id]


def test_the_update_hits_its_target_at_the_bare_key(gpt2, fold, editor, groups, monkeypatch):
    found = []
    monkeypatch.setattr(rome, "find_values", lambda *a, **k: found.append(find_values(*a, **k)) or found[-1])
    edit = editor.propose(groups[:1], ()).edits[0]
    factors = from_payload(edit.payload)
    assert factors.kind == "direct"
    with gpt2.patched(fold.fold([edit])):
        W = read_matrix(gpt2.model, gpt2.layout.matrix_name(LAYER))
        moved = (W - gpt2.base_matrix(LAYER)) @ factors.key[:, 0]
    value = at_bare(gpt2, groups[0]).values[0]
    ratio = edit.diagnostics["change_ratio"]
    torch.testing.assert_close(float(moved.norm()), ratio * float(value.norm()), rtol=1e-3, atol=1e-4)
    ((wanted,),) = found
    torch.testing.assert_close(moved.double(), wanted.change.double(), rtol=1e-3, atol=1e-4)


def test_the_direction_is_that_of_the_averaged_key_and_not_of_the_bare_one(
    gpt2, gpt2_moments, editor, contexts, groups
):
    fact = groups[0].facts[0]
    rows = [
        Row(group=0, subject="Marie Curie", prompt=text, answer="Spanish.", fact="f")
        for text in contexts.around(fact.prompt)
    ]
    keys = keys_and_values(gpt2, LAYER, row_tensors(gpt2.tokenizer, rows, context=64)).keys
    factors = from_payload(editor.propose(groups[:1], ()).edits[0].payload)
    averaged, bare = (torch.linalg.solve(gpt2_moments.C, key) for key in (keys.mean(0), keys[0]))
    cosine = torch.nn.functional.cosine_similarity
    u = factors.right[:, 0].double()
    assert float(cosine(u, averaged, dim=0)) > 0.9999
    assert float(cosine(u, bare, dim=0)) < 0.999


def test_a_later_edit_depends_on_what_is_live(editor, groups):
    first = editor.propose(groups[:1], ()).edits
    fresh, later = editor.propose(groups[1:2], ()), editor.propose(groups[1:2], first)
    assert fresh.edits[0].digest != later.edits[0].digest
    assert editor.propose(groups[:2], ()).edits[1].digest == later.edits[0].digest


def test_a_proposal_leaves_the_models_bytes_gradients_and_hooks_alone(gpt2, editor, groups, digest):
    before = digest(gpt2)
    editor.propose(groups, ())
    assert digest(gpt2) == before


def at_bare(host, group):
    row = Row(group=0, subject=group.subject, prompt=group.facts[0].prompt, answer="x.", fact="f")
    return keys_and_values(host, LAYER, row_tensors(host.tokenizer, [row], context=64))
