from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import pytest
import torch
from torch import nn

from guardedit.core.errors import EditDiverged
from guardedit.core.proposal import WeightEdit
from guardedit.editing.contexts import Contexts
from guardedit.editing.editable import editable, found_values
from guardedit.editing.history import History
from guardedit.editing.rows import row_tensors
from guardedit.editing.spread import before_norm, look, spread
from guardedit.editing.values import Recipe, change_rows, find_values
from guardedit.models.bypass import Patch
from guardedit.models.factors import Factors, to_payload
from guardedit.models.matrices import read_matrix, to_stored

LAYERS = (0, 1)


def exactly(_layer, K, R):
    """The least change that brings each key its residual, in the plain metric."""
    return R @ torch.linalg.inv(K.T @ K), K


@pytest.fixture
def found(host, groups, contexts):
    values = find_values(host, LAYERS[-1], groups, contexts=contexts, recipe=Recipe(steps=3, decay=0.0))
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
    return look(host, layer, LAYERS[-1], row_tensors(host.tokenizer, rows, context=64), len(found))


def test_the_first_layer_is_asked_for_half_and_the_last_for_what_is_still_missing(host, found, contexts):
    asked = []

    def solve(layer, K, R):
        asked.append(R.T)
        return exactly(layer, K, R)

    parts = spread(host, LAYERS, found, contexts=contexts, solve=solve)
    wanted = torch.stack([value.change for _, value in found])
    torch.testing.assert_close(asked[0], wanted / 2)
    before = view(host, found, contexts, 1).hidden
    with patched(host, parts, (0,)):
        there = view(host, found, contexts, 1).hidden - before
    torch.testing.assert_close(asked[1], wanted - there, rtol=1e-4, atol=1e-5)
    assert (asked[1] - wanted / 2).norm() > 1e-3 * wanted.norm()


def test_an_exact_solver_brings_a_subject_with_bare_prompts_its_whole_change(host, groups):
    bare = Contexts()
    group = groups[:1]
    values = find_values(host, 1, group, contexts=bare, recipe=Recipe(steps=3, decay=0.0))
    found = list(zip(group, values, strict=True))
    before = view(host, found, bare, 1).hidden
    parts = spread(host, LAYERS, found, contexts=bare, solve=exactly)
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
        spread(host, LAYERS, found, contexts=contexts, solve=solve)
    assert digest(host) == before


class RootMeanSquare(nn.Module):
    def __init__(self, gain: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(gain)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * x / x.pow(2).mean(-1, keepdim=True).sqrt()


def test_what_goes_through_a_norm_is_asked_for_so_that_its_direction_arrives():
    gain = torch.tensor([0.5, 2.0, -1.0, 3.0])
    norm, v = RootMeanSquare(gain), torch.tensor([[1.0, -2.0, 0.5, 1.0]], dtype=torch.float64)
    change = torch.tensor([[0.3, 1.0, -0.7, 0.2]], dtype=torch.float64)
    wanted = norm((v + change).float()).double() - norm(v.float()).double()
    asked = before_norm(norm, v, wanted)
    torch.testing.assert_close(norm((v + asked).float()), norm((v + change).float()))
    assert torch.equal(before_norm(None, v, change), change)


def test_a_group_that_diverges_is_left_out_and_the_others_are_found(groups):
    def find(some):
        if any(group.subject == "Oslo" for group in some):
            raise EditDiverged("the loss of Oslo is not finite")
        return [group.subject for group in some]

    found, refused = found_values(groups, find)
    assert [name for _, name in found] == ["Marie Curie", "Anne Redpath"]
    assert refused == {groups[1].facts[0].id: "the loss of Oslo is not finite"}


def test_a_group_without_a_usable_fact_is_left_out(host, contexts, groups, make_fact):
    stray = make_fact("She", "{} was born in", target="Paris")
    kept, refused = editable(host, [replace(groups[0], facts=(stray,)), groups[1]], contexts)
    assert [group.subject for group in kept] == ["Oslo"]
    assert list(refused) == [stray.id]


def edit(layer: int, key: torch.Tensor | None) -> WeightEdit:
    left, right = torch.ones(2, 1), torch.ones(3, 1)
    payload = to_payload(Factors.direct(layer=layer, left=left, right=right, key=key))
    return WeightEdit(subject="s", facts=("f",), method="m", payload=payload)


def test_the_history_holds_each_key_of_its_layer_once_in_an_order_of_its_own():
    a, b = edit(0, torch.tensor([1.0, 2.0, 3.0])), edit(0, torch.tensor([4.0, 5.0, 6.0]))
    other, keyless = edit(1, torch.ones(3)), edit(0, None)
    one, two = History([a, b, other, keyless, a]), History([keyless, b, a, other])
    assert one.keys(0, 3).shape == (3, 2)
    assert torch.equal(one.keys(0, 3), two.keys(0, 3))
    assert one.keys(2, 3).shape == (3, 0)
