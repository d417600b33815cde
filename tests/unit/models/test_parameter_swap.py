from __future__ import annotations

import pytest
import torch
from torch import nn

from guardedit.core.errors import EditError
from guardedit.models.parameter_swap import ParameterSwap

NAME = "0.weight"


@pytest.fixture
def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 2)).requires_grad_(False)


def test_the_base_tensor_is_seen_inside_of_nested_blocks(model):
    base, swap = model[0].weight.data_ptr(), ParameterSwap(model)
    with swap.swapped({NAME: torch.ones(2, 3)}):
        with swap.swapped({NAME: torch.zeros(2, 3)}):
            assert float(model[0].weight.sum()) == 0.0
            assert swap.base_tensor(NAME).data_ptr() == base
        assert float(model[0].weight.sum()) == 6.0
        assert swap.base_tensor(NAME).data_ptr() == base
    assert model[0].weight.data_ptr() == base == swap.base_tensor(NAME).data_ptr()


def test_a_matrix_that_does_not_fit_leaves_all_parameters_as_they_were(model):
    base = model[0].bias.data_ptr()
    unfit = {"0.bias": torch.ones(2), NAME: torch.ones(3, 3)}
    with pytest.raises(EditError, match="got"), ParameterSwap(model).swapped(unfit):
        pass
    assert model[0].bias.data_ptr() == base
