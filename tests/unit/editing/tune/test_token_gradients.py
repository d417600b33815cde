from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from guardedit.editing.tune.by_fact import FactToEdit, fact_tensors
from guardedit.editing.tune.token_gradients import text_rows, token_gradients
from guardedit.models.matrices import read_matrix


def test_keys_and_gradients_multiply_to_the_matrixs_own_gradient(host, groups):
    rows = fact_tensors(host, [FactToEdit(group.subject, fact) for group in groups for fact in group.facts])
    rows.first[:] = 0  # then no token of any weight is left out
    found, owners = token_gradients(host, [0, 1], rows)
    for layer, tokens in found.items():
        name = host.layout.matrix_name(layer)
        parameter = host.model.get_parameter(name).requires_grad_()
        try:
            for row in range(len(rows.lengths)):
                ids = rows.ids[row : row + 1, : rows.lengths[row]]
                logits = host.model(ids).logits[0]
                loss = cross_entropy(logits[:-1], ids[0, 1:], reduction="sum")
                (expected,) = torch.autograd.grad(loss, parameter)
                math = expected.t() if read_matrix(host.model, name).shape != expected.shape else expected
                mine = owners == row
                product = tokens.gradients[mine].t() @ tokens.keys[mine]
                torch.testing.assert_close(product, math.double(), rtol=1e-3, atol=1e-4)
        finally:
            parameter.requires_grad_(requires_grad=False)


def test_text_rows_ask_for_every_token_but_the_first(gpt2):
    rows = text_rows(gpt2, ["Oslo speaks Polish.", "", "Peru was born in Lima and so on."], length=5)
    assert rows.lengths.tolist() == [len(gpt2.tokenizer("Oslo speaks Polish.")["input_ids"][:5]), 5]
    assert rows.first.tolist() == [0, 0]
    assert rows.last.tolist() == [int(length) - 2 for length in rows.lengths]


def test_the_model_is_left_as_it_was(host, groups, digest):
    before = digest(host)
    token_gradients(host, [0, 2], fact_tensors(host, [FactToEdit("Oslo", groups[1].facts[0])]))
    assert digest(host) == before
