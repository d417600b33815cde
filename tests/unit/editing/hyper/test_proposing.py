from __future__ import annotations

import pytest

from guardedit.core.errors import UsageError
from guardedit.editing.hyper.checkpoint import checkpoint_file, save_network, untrained
from guardedit.editing.hyper.ke import KeEditor
from guardedit.editing.hyper.mend import MendEditor
from guardedit.editing.setup import Setup
from guardedit.models.weights.factors import parts_of
from guardedit.models.weights.fold import Fold


@pytest.fixture(params=[KeEditor, MendEditor])
def editor_class(request):
    return request.param


@pytest.fixture
def setup(host, settings, tmp_path, editor_class) -> Setup:
    """With an editor that never trained: at first both step down the gradient."""
    fold = Fold(host, {}, background_weight=1.0, ridge=0.01)
    name = editor_class.name
    save_network(checkpoint_file(tmp_path, name), untrained(name, host), host.base_sha256)
    return Setup(host=host, fold=fold, moments={}, layer=0, layers=(0,), settings=settings, trained=tmp_path)


def test_one_edit_a_fact_with_a_part_for_each_of_the_last_layers(setup, groups, editor_class, digest):
    before = digest(setup.host)
    proposal = editor_class.build(setup).propose(groups, ())
    assert digest(setup.host) == before
    assert [edit.facts for edit in proposal.edits] == [(f.id,) for group in groups for f in group.facts]
    for edit in proposal.edits:
        parts = parts_of(edit.payload)
        assert [(part.layer, part.kind) for part in parts] == [(n, "direct") for n in range(3)]
        assert max(part.left.shape[1] for part in parts) < 40


def test_an_edit_makes_the_new_answer_more_likely(setup, groups, editor_class):
    def nats(edits):
        with setup.host.patched(setup.fold.fold(edits)):
            return -sum(setup.host.token_logprobs([fact.statement])[0])

    fact = groups[1].facts[0]
    (edit,) = editor_class.build(setup).propose(groups[1:2], ()).edits
    assert nats([edit]) < nats([])


def test_each_edit_is_made_on_the_model_as_the_others_left_it(setup, groups, editor_class):
    editor = editor_class.build(setup)
    first, second = editor.propose(groups[2:], ()).edits
    (alone,) = editor.propose([_only(groups[2], 1)], ()).edits
    (after,) = editor.propose([_only(groups[2], 1)], (first,)).edits
    assert after.payload == second.payload != alone.payload


def test_a_subject_is_not_needed_and_a_prompt_that_does_not_fit_is_refused(
    setup, groups, editor_class, make_fact
):
    stray = make_fact("She", "{} was born in", target="Paris")
    long = make_fact("She", "{} " * 90, target="Paris")
    group = _only(groups[0], 0, stray, long)
    proposal = editor_class.build(setup).propose([group], ())
    assert [edit.facts for edit in proposal.edits][1:] == [(stray.id,)]
    assert "shorten it" in proposal.refused[long.id]


def test_without_a_trained_editor_it_can_be_built_and_not_used(setup, groups, editor_class, tmp_path):
    checkpoint_file(tmp_path, editor_class.name).unlink()
    editor = editor_class.build(setup)
    with pytest.raises(UsageError, match=f"guardedit editors train {editor_class.name}"):
        editor.propose(groups, ())


def _only(group, index, *more):
    from dataclasses import replace

    return replace(group, facts=(group.facts[index], *more))
