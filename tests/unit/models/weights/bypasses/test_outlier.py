from __future__ import annotations

import math

import pytest
import torch

from guardedit.core.errors import EditError
from guardedit.core.proposal import WeightEdit
from guardedit.models.weights.bypasses.outlier import OutlierBypass, background_length
from guardedit.models.weights.factors import Factors, to_payload


def sampled(left, right, C, *, count=400_000):
    keys = torch.randn(count, len(C), dtype=torch.float64) @ torch.linalg.cholesky(C).t()
    lengths = (keys @ right @ left.t()).norm(dim=1)
    return float(lengths.mean()), float(lengths.std())


@pytest.fixture
def C():  # noqa: N802  # the second moment's letter
    torch.manual_seed(0)
    root = torch.randn(24, 24, dtype=torch.float64)
    return root @ root.t() / 24 + 0.1 * torch.eye(24, dtype=torch.float64)


@pytest.mark.parametrize(("rank", "within"), [(1, 0.01), (5, 0.05)])
def test_the_closed_form_is_what_gaussian_keys_give(C, rank, within):
    torch.manual_seed(1)
    left, right = torch.randn(2, 24, rank, dtype=torch.float64)[:, :, :]
    mean, deviation = background_length(left[:16], right, C)
    wanted = sampled(left[:16], right, C)
    assert mean == pytest.approx(wanted[0], rel=within)
    assert deviation == pytest.approx(wanted[1], rel=within * 5)


def test_a_change_of_equal_singular_values_is_exact():
    eye = torch.eye(6, dtype=torch.float64)
    mean, _ = background_length(eye, eye, eye)
    assert mean == pytest.approx(math.sqrt(2) * math.gamma(3.5) / math.gamma(3.0))


def test_no_change_has_no_length(C):
    nothing = torch.zeros(16, 2, dtype=torch.float64), torch.ones(24, 2, dtype=torch.float64)
    assert background_length(*nothing, C) == (0.0, 0.0)


def test_only_tokens_that_the_change_moves_far_enough_are_moved():
    bypass = OutlierBypass(layer=0, left=torch.eye(2), right=torch.eye(2), threshold=1.0)
    keys = torch.tensor([[[0.9, 0.0], [0.0, 1.1]]])
    assert torch.equal(bypass(keys, torch.zeros(1, 2, 2)), torch.tensor([[[0.0, 0.0], [0.0, 1.1]]]))


def test_the_same_token_is_judged_alike_alone_and_among_others():
    bypass = OutlierBypass(layer=0, left=torch.eye(2), right=torch.eye(2), threshold=1.0)
    keys, values = 3 * torch.randn(2, 7, 2), torch.zeros(2, 7, 2)
    alone = torch.stack([bypass(keys[:, t : t + 1], values[:, :1], t)[:, 0] for t in range(7)], dim=1)
    assert torch.equal(bypass(keys, values), alone)


def test_a_higher_alpha_lets_less_through(folding, moments):
    torch.manual_seed(0)
    key, value = torch.randn(24), torch.randn(16)

    def least(alpha):
        factors = Factors.keyed("hooked", layer=1, key=key, value=value, extra={"alpha": torch.tensor(alpha)})
        edit = WeightEdit(subject="s", facts=("f",), method="test", payload=to_payload(factors))
        return folding.fold([edit]).bypasses[0].threshold

    assert least(0.0) < least(2.0) < least(8.0)


def test_an_edit_without_a_threshold_is_refused(folding):
    factors = Factors.keyed("hooked", layer=1, key=torch.ones(24), value=torch.ones(16))
    edit = WeightEdit(subject="s", facts=("f",), method="test", payload=to_payload(factors))
    with pytest.raises(EditError, match="alpha"):
        folding.fold([edit])
