"""Every editing method on transposed matrices, in bfloat16, and behind a BOS."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from guardedit.editing.setup import Setup
from guardedit.models.weights.factors import parts_of
from tests.conformance.editor_bench import (
    FIRST,
    Run,
    editor_of,
    likelier,
    logits_of,
    random_model,
    run_on,
    setup_of,
    spread_out,
    taught,
    tokenizer_of,
)
from tests.tiny_models import SQUARE

pytestmark = pytest.mark.slow


def linear_twin(model: PreTrainedModel) -> PreTrainedModel:
    """The same model with every Conv1D as the Linear that computes the same."""
    twin = copy.deepcopy(model)
    for name, module in list(twin.named_modules()):
        if isinstance(module, Conv1D):
            linear = nn.Linear(*module.weight.shape)
            linear.weight = nn.Parameter(module.weight.detach().t().contiguous(), requires_grad=False)
            linear.bias = module.bias
            twin.set_submodule(name, linear)
    return twin


@pytest.fixture(scope="session")
def twins(tmp_path_factory) -> tuple[Setup, Setup]:
    """A taught GPT-2 whose matrices are square, so that no shape tells a transpose; and its twin."""
    tokenizer = tokenizer_of()
    model = taught(spread_out(SQUARE["gpt2_square"](len(tokenizer))), tokenizer)
    twin = linear_twin(model)
    return (
        setup_of(model, tokenizer, tmp_path_factory.mktemp("conv1d")),
        setup_of(twin, tokenizer, tmp_path_factory.mktemp("linear")),
    )


def test_the_twins_are_of_two_kinds_and_say_the_same(twins):
    kinds = [{type(setup.host.mlp_out(n)) for n in range(setup.host.layers)} for setup in twins]
    assert kinds == [{Conv1D}, {nn.Linear}]
    torch.testing.assert_close(*(logits_of(setup, ()) for setup in twins), rtol=1e-4, atol=1e-4)


def test_an_edit_does_the_same_to_a_transposed_matrix(method, twins):
    one, other = twins
    edits = editor_of(method, one).propose(FIRST, ()).edits
    torch.testing.assert_close(logits_of(one, edits), logits_of(other, edits), rtol=1e-3, atol=1e-3)


def test_a_proposal_for_a_transposed_matrix_is_the_same(method, twins):
    one, other = (
        logits_of(setup, editor_of(method, setup).propose(FIRST, ()).edits) - logits_of(setup, ())
        for setup in twins
    )
    cosine = torch.nn.functional.cosine_similarity(one[:2], other[:2], dim=1)
    assert float(cosine.min()) > 0.99


@pytest.fixture(scope="session")
def half(tmp_path_factory) -> Callable[[str], Run]:
    """What a method proposes for a bfloat16 model."""
    tokenizer = tokenizer_of()
    model = random_model("llama", len(tokenizer)).to(torch.bfloat16)
    setup = setup_of(model, tokenizer, tmp_path_factory.mktemp("bfloat16"))
    made: dict[str, Run] = {}

    def of(name: str) -> Run:
        if name not in made:
            made[name] = run_on(setup, name)
        return made[name]

    return of


def test_edits_of_a_bfloat16_model_and_its_edited_matrices_are_float32(method, half):
    run = half(method)
    assert not run.first.refused
    assert not run.second.refused
    assert run.after == run.before
    for edit in run.edits:
        for part in parts_of(edit.payload):
            assert part.left.dtype == part.right.dtype == torch.float32
            assert part.finite
    patch = run.setup.fold.fold(run.edits)
    for name, stored in patch.matrices.items():
        # In 16 bits a small edit would be rounded away.
        assert stored.dtype == torch.float32
        assert not torch.equal(stored, run.setup.host.model.get_parameter(name).float())
    assert bool(torch.isfinite(logits_of(run.setup, run.edits)).all())


def test_undoing_in_bfloat16_gives_the_very_bytes(method, half):
    run = half(method)
    fold, host = run.setup.fold, run.setup.host
    tensors, whole = host.tensor_sha256(), fold.weights_sha256(run.edits)
    plain = logits_of(run.setup, ())
    assert not torch.equal(logits_of(run.setup, run.edits), plain)
    assert host.tensor_sha256() == tensors
    assert torch.equal(logits_of(run.setup, ()), plain)
    assert fold.weights_sha256(run.edits[1:]) != whole == fold.weights_sha256(run.edits)


@pytest.fixture(scope="session")
def bracketed(tmp_path_factory) -> Setup:
    """A taught model whose tokenizer puts a token before and one behind every text."""
    tokenizer = tokenizer_of(bos=True)
    model = taught(random_model("llama", len(tokenizer)), tokenizer)
    return setup_of(model, tokenizer, tmp_path_factory.mktemp("bracketed"))


def test_a_tokenizer_that_adds_tokens_moves_nothing(method, bracketed):
    assert bracketed.host.tokenizer("Oslo")["input_ids"][0] == 0
    proposal = editor_of(method, bracketed).propose(FIRST, ())
    assert dict(proposal.refused) == {}
    assert all(likelier(bracketed, proposal, FIRST))
