from __future__ import annotations

from contextlib import ExitStack

import pytest
import torch

from guardedit.core.errors import EditDiverged
from guardedit.editing.locate.spread import spread_residual
from guardedit.editing.locate.values import ValueSettings, change_rows, find_values
from guardedit.editing.optimise.contexts import Contexts
from guardedit.editing.optimise.layer_activations import read_layer
from guardedit.editing.optimise.rows import row_tensors
from guardedit.models.bypass import Patch
from guardedit.models.matrices import read_matrix, to_stored

LAYERS = (0, 1)


def exactly(_layer, K, R):
    """The smallest change (Frobenius norm) that gives each key its residual."""
    return R @ torch.linalg.inv(K.T @ K), K


@pytest.fixture
def found(host, groups, contexts):
    values = find_values(
        host, LAYERS[-1], groups, contexts=contexts, value_settings=ValueSettings(steps=3, decay=0.0)
    )
    return list(zip(groups, values, strict=True))


def patched(host, parts, layers):
    stack = ExitStack()
    for layer in layers:
        name = host.layout.matrix_name(layer)
        change = sum(p.left.double() @ p.right.double().T for mine in parts for p in mine if p.layer == layer)
        W = read_matrix(host.model, name).double()
        stack.enter_context(host.patched(Patch({name: to_stored(host.model, name, W + change)})))
    return stack


def view(host, found, contexts, layer):
    rows = [row for n, (group, _) in enumerate(found) for row in change_rows(n, group, contexts)]
    return read_layer(host, layer, LAYERS[-1], row_tensors(host.tokenizer, rows, context=64), len(found))


def test_the_first_layer_gets_half_and_the_last_what_is_still_missing(host, found, contexts):
    residuals = []

    def solve(layer, K, R):
        residuals.append(R.T)
        return exactly(layer, K, R)

    parts = spread_residual(host, LAYERS, found, contexts=contexts, solve=solve)
    wanted = torch.stack([value.change for _, value in found])
    torch.testing.assert_close(residuals[0], wanted / 2)
    before = view(host, found, contexts, 1).hidden
    with patched(host, parts, (0,)):
        there = view(host, found, contexts, 1).hidden - before
    torch.testing.assert_close(residuals[1], wanted - there, rtol=1e-4, atol=1e-5)
    assert (residuals[1] - wanted / 2).norm() > 1e-3 * wanted.norm()


def test_an_exact_solver_brings_a_subject_with_bare_prompts_its_whole_change(host, groups):
    bare = Contexts()
    group = groups[:1]
    values = find_values(host, 1, group, contexts=bare, value_settings=ValueSettings(steps=3, decay=0.0))
    found = list(zip(group, values, strict=True))
    before = view(host, found, bare, 1).hidden
    parts = spread_residual(host, LAYERS, found, contexts=bare, solve=exactly)
    with patched(host, parts, LAYERS):
        after = view(host, found, bare, 1).hidden
    torch.testing.assert_close(after - before, values[0].change[None], rtol=1e-3, atol=1e-4)


def test_spreading_leaves_the_model_alone_also_when_a_layer_cannot_be_solved(host, found, contexts, digest):
    before = digest(host)

    def solve(layer, K, R):
        if layer == LAYERS[-1]:
            raise EditDiverged("no")
        return exactly(layer, K, R)

    with pytest.raises(EditDiverged):
        spread_residual(host, LAYERS, found, contexts=contexts, solve=solve)
    assert digest(host) == before
