from __future__ import annotations

import pytest
import torch

from guardedit.lab.sweep.candidates import EditPlace
from guardedit.prepare.places.screening import LOWER_SHARE, _room, by_room, windows


@pytest.mark.parametrize("layers", [1, 2, 3, 6, 12, 30, 80])
def test_windows_lie_in_the_model_and_begin_in_its_lower_part(layers: int) -> None:
    found = windows(layers, most=5)
    assert found
    assert len(set(found)) == len(found)
    for place in found:
        assert 0 <= place.layers[0] <= max(layers * LOWER_SHARE, layers // 2)
        assert place.layers[-1] < layers


def test_places_with_the_most_room_in_all_their_layers_come_first() -> None:
    one, two, three = EditPlace((0,)), EditPlace((1,)), EditPlace((0, 1))
    assert by_room([one, two, three], {0: 1.0, 1: 2.0}) == [three, two, one]


def test_an_ordinary_key_has_room_one_and_a_rare_one_more() -> None:
    torch.manual_seed(0)
    width = 64
    scale = torch.linspace(0.1, 3.0, width, dtype=torch.float64)
    keys = torch.randn(4000, width, dtype=torch.float64) * scale
    C = keys.t() @ keys / len(keys)
    assert _room(keys[:500], C) == pytest.approx(1.0, abs=0.1)
    assert _room(keys[:500] / scale * 3.0, C) > 2.0
