from __future__ import annotations

import torch

from guardedit.core.proposal import WeightEdit
from guardedit.editing.locate.history import History
from guardedit.models.weights.factors import Factors, to_payload


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
