from __future__ import annotations

import sys

import pytest
import torch

from guardedit.core.errors import UsageError
from guardedit.editing.methods import lora
from guardedit.editing.methods.lora import LoraEditor, LoraSettings
from guardedit.models.weights.factors import parts_of

#: Enough where no answer is asked for.
HASTY = LoraSettings(steps=8)


@pytest.fixture
def setup(host, moments, settings, make_setup):
    return make_setup(host, moments, settings, layers=(0, 1))


def test_each_fact_is_answered(host, setup, groups):
    edits = LoraEditor.build(setup).propose(groups, ()).edits
    facts = [fact for group in groups for fact in group.facts]
    assert [edit.facts for edit in edits] == [(fact.id,) for fact in facts]
    for edit, fact in zip(edits, facts, strict=True):
        with host.patched(setup.fold.fold([edit])):
            # Nothing tells so small a model what comes behind the full stop.
            assert host.complete([fact.prompt])[0].startswith(fact.target)


def test_an_edit_has_a_part_of_rank_eight_for_each_layer(host, setup, groups):
    edit = LoraEditor(setup, settings=HASTY).propose(groups[1:2], ()).edits[0]
    parts = parts_of(edit.payload)
    assert [part.layer for part in parts] == [0, 1]
    answer = len(host.tokenizer(" New York.")["input_ids"])
    for part in parts:
        assert part.kind == "direct"
        assert (part.left.shape, part.right.shape) == ((32, 8), (128, 8))
        assert part.key.shape == (128, answer)


def test_an_edit_does_not_depend_on_the_rest_of_the_batch_and_repeats(setup, groups):
    editor = LoraEditor(setup, settings=HASTY)
    whole = editor.propose(groups, ()).edits
    assert editor.propose(groups[1:2], ()).edits[0].digest == whole[1].digest


def test_a_later_edit_depends_on_what_is_live(setup, groups):
    editor = LoraEditor(setup, settings=HASTY)
    first = editor.propose(groups[:1], ()).edits
    fresh, later = editor.propose(groups[1:2], ()), editor.propose(groups[1:2], first)
    assert fresh.edits[0].digest != later.edits[0].digest


def test_training_that_breaks_off_leaves_the_model_as_it_was(host, setup, groups, digest, monkeypatch):
    before = digest(host), {name: id(module) for name, module in host.model.named_modules()}
    calls = []

    class Failing(torch.optim.Adam):
        def step(self, closure=None):
            calls.append(1)
            if len(calls) == 3:
                raise MemoryError("no memory left")
            return super().step(closure)

    monkeypatch.setattr(lora.torch.optim, "Adam", Failing)
    with pytest.raises(MemoryError):
        LoraEditor(setup, settings=HASTY).propose(groups, ())
    assert len(calls) == 3
    assert (digest(host), {name: id(module) for name, module in host.model.named_modules()}) == before
    assert not hasattr(host.model, "peft_config")


def test_without_peft_the_error_names_the_method_and_the_extra_to_install(setup, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UsageError, match=r"method 'lora' needs .*: pip install 'guardedit\[lora\]'"):
        LoraEditor.build(setup)


def test_a_proposal_leaves_the_models_bytes_gradients_and_hooks_alone(host, setup, groups, digest):
    before = digest(host)
    LoraEditor(setup, settings=HASTY).propose(groups, ())
    assert digest(host) == before
