from __future__ import annotations

import pytest
import torch

from guardedit.core.errors import EditError
from guardedit.models.weights.factors import Factors, from_payload, to_payload


def test_a_ridge_edit_survives_its_payload():
    factors = Factors.ridge(layer=3, key=torch.arange(4.0), residual=torch.arange(3.0).double())
    found = from_payload(to_payload(factors))
    assert (found.layer, found.kind) == (3, "ridge")
    assert torch.equal(found.right, factors.right)
    assert torch.equal(found.left, factors.left)
    assert found.left.dtype == torch.float32
    assert found.left.shape == (3, 1)
    assert found.key is not None
    assert torch.equal(found.key, found.right)


@pytest.mark.parametrize("key", [None, torch.ones(4)])
def test_a_direct_edit_survives_its_payload_with_and_without_a_key(key):
    factors = Factors.direct(layer=0, left=torch.rand(3, 2), right=torch.rand(4, 2), key=key)
    found = from_payload(to_payload(factors))
    assert found.kind == "direct"
    assert torch.equal(found.left @ found.right.t(), factors.left @ factors.right.t())
    assert (found.key is None) == (key is None)


def test_equal_factors_give_equal_bytes_whatever_memory_layout_and_device_dtype_they_came_in():
    left, right = torch.rand(3, 2), torch.rand(4, 2)
    payloads = {
        to_payload(Factors.direct(layer=1, left=x, right=y, key=right[:, 0]))
        for x, y in ((left, right), (left.t().contiguous().t(), right.double()), (left.clone(), right))
    }
    assert len(payloads) == 1


def test_numbers_that_are_not_finite_pass_and_are_told():
    factors = from_payload(
        to_payload(Factors.ridge(layer=0, key=torch.tensor([1.0, torch.nan]), residual=torch.ones(2)))
    )
    assert not factors.finite
    assert Factors.ridge(layer=0, key=torch.ones(2), residual=torch.ones(2)).finite


@pytest.mark.parametrize("payload", [b"", b"garbage", b"\x08" + bytes(7) + b"{}      "])
def test_bytes_that_are_no_payload_are_refused(payload):
    with pytest.raises(EditError, match=f"not a weight edit .{len(payload)} bytes"):
        from_payload(payload)


def test_a_truncated_payload_is_refused_at_every_length():
    payload = to_payload(Factors.ridge(layer=0, key=torch.ones(4), residual=torch.ones(3)))
    for length in range(0, len(payload), 7):
        with pytest.raises(EditError):
            from_payload(payload[:length])


def test_columns_must_pair():
    with pytest.raises(EditError, match=r"left is \(3, 2\), right is \(4, 1\)"):
        Factors.direct(layer=0, left=torch.ones(3, 2), right=torch.ones(4, 1))
    with pytest.raises(EditError, match=r"both need f rows"):
        Factors.direct(layer=0, left=torch.ones(3), right=torch.ones(4), key=torch.ones(5))
