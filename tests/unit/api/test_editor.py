"""`guardedit.Editor` on tiny models: what an edit does to a model, and that undo leaves no trace."""

from __future__ import annotations

import hashlib
import itertools

import pytest
import torch

import guardedit
from guardedit.core.errors import MalformedCorrection
from tests.conformance.editor_bench import BACKGROUND, random_model, taught, tokenizer_of

#: One method for each kind of edit: a whole matrix, several matrices, and beside a matrix.
KINDS = ("ft-m", "memit", "grace")
TEXTS = tuple(itertools.islice(itertools.cycle(BACKGROUND), 400))


def correction(subject="Marta", target="Spanish"):
    return {"subject": subject, "prompt": "{} speaks", "target_new": target}


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizer_of()


@pytest.fixture
def model(tokenizer):
    return taught(random_model("gpt2", len(tokenizer)), tokenizer, steps=20).train()


@pytest.fixture
def editor_of(model, tokenizer, tmp_path_factory):
    cache = tmp_path_factory.getbasetemp() / "editor-cache"

    def make(method="ft-m", **more):
        places = {"layers": (0, 1)} | more
        return guardedit.Editor(method, model, tokenizer, texts=TEXTS, cache=cache, **places)

    return make


def bytes_of(model):
    digest = hashlib.sha256()
    for _, part in sorted(model.state_dict().items()):
        digest.update(part.detach().numpy().tobytes())
    return digest.hexdigest()


def logits_of(model, tokenizer):
    was, ids = model.training, tokenizer("Marta speaks", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        found = model.eval()(input_ids=ids).logits
    model.train(was)
    return found


def hooks_of(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize("method", KINDS)
def test_an_edit_changes_the_callers_model_and_undo_leaves_no_trace(model, tokenizer, editor_of, method):
    before, logits = bytes_of(model), logits_of(model, tokenizer)
    editor = editor_of(method)
    assert bytes_of(model) == before
    with editor.edit(correction()) as edited:
        assert not torch.equal(logits_of(model, tokenizer), logits)
        assert len(edited.results) == 1
        assert edited.results[0].edited
    assert bytes_of(model) == before
    assert torch.equal(logits_of(model, tokenizer), logits)
    assert model.training
    assert all(part.requires_grad for part in model.parameters())
    assert hooks_of(model) == 0


@pytest.mark.parametrize("method", KINDS)
def test_edits_are_undone_in_any_order(model, editor_of, method):
    base = bytes_of(model)
    editor = editor_of(method)
    first = editor.edit(correction())
    one = bytes_of(model)
    second = editor.edit(correction("Pavel", "Polish"))
    first.undo()
    second.undo()
    assert bytes_of(model) == base
    again = editor.edit(correction())
    assert bytes_of(model) == one
    again.undo()
    again.undo()  # does nothing
    assert bytes_of(model) == base
    assert editor.live == ()


def test_an_error_in_the_block_still_undoes(model, editor_of):
    base = bytes_of(model)
    with pytest.raises(ZeroDivisionError), editor_of().edit(correction()):
        raise ZeroDivisionError
    assert bytes_of(model) == base


def test_bad_input_leaves_the_model_alone(model, editor_of):
    editor, base = editor_of(), bytes_of(model)
    with pytest.raises(MalformedCorrection, match="unknown field"):
        editor.edit([correction(), {**correction(), "colour": "red"}])
    with pytest.raises(guardedit.UsageError, match="is a retraction: undo the edit instead"):
        editor.edit({"subject": "Marta", "prompt": "{} speaks", "op": "retract"})
    assert bytes_of(model) == base


@pytest.mark.parametrize(
    ("method", "more", "said"),
    [
        ("mimit", {}, "did you mean 'memit'"),
        ("ft-m", {"layers": None}, "no layer is named and the model has no edit card"),
        ("ft-m", {"layers": (7,)}, "layer 7 does not exist: this model has layers 0 to 2"),
        ("ft-m", {"settings": {"stepz": 3}}, "ft-m has no setting 'stepz'; known: .*steps"),
        ("ft-m", {"settings": {"steps": "many"}}, "steps"),
        ("ft-m", {"settings": {"steps": -1}}, "steps"),
        ("joint", {"settings": {"clamp_ratio": 3}}, "joint has no setting 'clamp_ratio'"),
    ],
)
def test_what_does_not_fit_is_said_with_the_remedy(editor_of, method, more, said):
    with pytest.raises(guardedit.UsageError, match=said):
        editor_of(method, **more)


def test_no_corrections_are_no_edit(model, editor_of):
    base = bytes_of(model)
    edited = editor_of().edit([])
    assert (edited.results, edited.edits) == ((), ())
    assert bytes_of(model) == base
