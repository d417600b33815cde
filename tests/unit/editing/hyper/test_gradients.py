from __future__ import annotations

import pytest
import torch

from guardedit.editing.hyper.gradients import (
    LowRankChange,
    answer_nats,
    encode_answers,
    loss_gradients,
    output_edits,
    outputs_edited,
)
from guardedit.models.bypass import Patch
from guardedit.models.matrices import read_matrix, to_stored

LAYERS = (0, 2)


@pytest.fixture
def texts(host):
    return encode_answers(
        host, ["Oslo was born in", "The mother tongue of Ivan Popov is"], ["New York", "Polish"]
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_factors_of_each_row_multiply_to_the_gradient_that_autograd_finds(host, texts, smoothing):
    found = loss_gradients(host, LAYERS, texts, smoothing=smoothing)
    for row in range(2):
        for layer in LAYERS:
            name = host.layout.matrix_name(layer)
            parameter = host.model.get_parameter(name).requires_grad_()
            try:
                logits = host.model(input_ids=texts.ids, use_cache=False).logits
                loss = answer_nats(logits, texts.targets, smoothing=smoothing)[row]
                (wanted,) = torch.autograd.grad(loss, [parameter])
            finally:
                parameter.requires_grad_(requires_grad=False)
            wanted = wanted if read_matrix(host.model, name).shape == wanted.shape else wanted.t()
            factors = found[layer]
            torch.testing.assert_close(
                factors.outputs[row].t() @ factors.keys[row], wanted, rtol=1e-3, atol=1e-6
            )


def test_no_gradient_comes_from_padding_or_from_behind_the_answer(gpt2):
    texts = encode_answers(
        gpt2, ["Oslo was born in", "The mother tongue of Ivan Popov is"], ["Lima", "Polish"]
    )
    found = loss_gradients(gpt2, LAYERS, texts)[0]
    last = texts.lengths - 2
    for row in range(2):
        assert not found.used[row, last[row] + 1 :].any()
        assert found.used[row, last[row]]


def test_finding_gradients_changes_nothing(host, texts, digest):
    before = digest(host)
    loss_gradients(host, LAYERS, texts)
    assert digest(host) == before


def test_a_change_beside_the_matrix_is_a_change_of_the_matrix(host, texts):
    d, f = host.base_matrix(0).shape
    generator = torch.Generator().manual_seed(0)
    changes = {
        layer: LowRankChange(
            torch.randn(2, d, 3, generator=generator) * 0.1, torch.randn(2, f, 3, generator=generator) * 0.1
        )
        for layer in LAYERS
    }
    owner = torch.tensor([1, 0])
    with torch.no_grad(), outputs_edited(host, output_edits(changes, owner), rows=2):
        found = host.model(input_ids=texts.ids, use_cache=False).logits
    for row, edit in enumerate(owner.tolist()):
        matrices = {}
        for layer, change in changes.items():
            name = host.layout.matrix_name(layer)
            W = read_matrix(host.model, name) + change.left[edit] @ change.right[edit].t()
            matrices[name] = to_stored(host.model, name, W)
        with torch.no_grad(), host.patched(Patch(matrices)):
            wanted = host.model(input_ids=texts.ids, use_cache=False).logits
        torch.testing.assert_close(found[row], wanted[row], rtol=1e-3, atol=1e-4)
