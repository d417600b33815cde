from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from guardedit.core.errors import EditError
from guardedit.models.matrices import read_matrix, tensor_sha256, to_stored, write


class Square(nn.Module):
    """One Conv1D and one Linear of equal shape, so that shapes cannot tell them apart."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = Conv1D(5, 5)
        self.linear = nn.Linear(5, 5)


@pytest.mark.parametrize("part", ["conv", "linear"])
def test_the_math_orientation_is_decided_by_class_even_for_square_matrices(part):
    torch.manual_seed(0)
    model = Square()
    module = model.get_submodule(part)
    nn.init.normal_(module.weight)
    k = torch.randn(5)
    assert torch.allclose(read_matrix(model, f"{part}.weight") @ k, module(k) - module.bias, atol=1e-5)


@pytest.mark.parametrize("part", ["conv", "linear"])
def test_a_matrix_that_was_read_and_stored_again_has_the_same_bytes(part):
    model = Square()
    stored = to_stored(model, f"{part}.weight", read_matrix(model, f"{part}.weight").double())
    assert tensor_sha256(stored) == tensor_sha256(model.get_submodule(part).weight)


def test_write_swaps_pointers_and_hands_back_the_untouched_former_tensor():
    model = Square()
    former, other = model.linear.weight.data, torch.ones(5, 5)
    before = tensor_sha256(former)
    assert write(model, "linear.weight", other) is former or tensor_sha256(former) == before
    assert model.linear.weight.data_ptr() == other.data_ptr()


@pytest.mark.parametrize("wrong", [torch.ones(5, 4), torch.ones(5, 5, dtype=torch.float64)])
def test_write_refuses_another_shape_or_dtype(wrong):
    model = Square()
    before = tensor_sha256(model.linear.weight)
    with pytest.raises(EditError, match=r"linear\.weight is \(5, 5\) torch\.float32"):
        write(model, "linear.weight", wrong)
    assert tensor_sha256(model.linear.weight) == before


def test_a_parameter_of_another_model_is_named():
    with pytest.raises(EditError, match=r"no parameter 'h\.0\.weight'"):
        read_matrix(Square(), "h.0.weight")


def test_the_digest_tells_dtype_shape_and_single_bits_apart():
    tensor = torch.arange(6, dtype=torch.float32)
    flipped = tensor.clone()
    flipped.view(torch.int32)[3] ^= 1
    variants = [tensor, tensor.view(2, 3), tensor.double(), tensor.to(torch.bfloat16), flipped]
    assert len({tensor_sha256(one) for one in variants}) == 5
    assert tensor_sha256(tensor.view(2, 3).t()) == tensor_sha256(tensor.view(2, 3).t().contiguous())
