from __future__ import annotations

import pytest
import torch

from guardedit.core.errors import EditDiverged
from guardedit.core.proposal import WeightEdit
from guardedit.editing.locate.solve import rome_direction, rome_residual, single_edit_direction
from guardedit.models.matrices import read_matrix
from guardedit.models.weights.factors import Factors, to_payload
from guardedit.models.weights.fold import Fold
from guardedit.models.weights.ridge import Ridge, dual_coefficients
from tests.unit.editing.reference import ridge_primal

LAYER = 0


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def covariance(f: int = 12, seed: int = 1) -> torch.Tensor:
    K = random(f, 5 * f, seed=seed)
    return K @ K.T / (5 * f)


def ridge_of(C: torch.Tensor, weight: float, rho: float) -> Ridge:
    return Ridge(C=C, spectrum=torch.linalg.eigvalsh(C), background_weight=weight, ridge=rho)


def dual(R: torch.Tensor, K: torch.Tensor, ridge: Ridge) -> torch.Tensor:
    U = torch.stack([ridge.solve(k) for k in K.T], dim=1)
    return dual_coefficients(R, K, U) @ U.T


def test_the_primal_form_equals_the_dual_form_that_the_fold_uses():
    C, K, R = covariance(), random(12, 5), random(4, 5, seed=2)
    M = 3.0 * C + 0.1 * torch.eye(12, dtype=torch.float64)
    torch.testing.assert_close(ridge_primal(R, K, M), dual(R, K, ridge_of(C, 3.0, 0.1)))


def test_one_ridge_edit_without_background_is_rome_with_one_key():
    # EMMET with n = 1: lambda -> 0 hits the target exactly, in the direction C^-1 k.
    C, k, r = covariance(), random(12), random(4, seed=2)
    u = rome_direction(C, k)
    rome = torch.outer(rome_residual(target=r, value=torch.zeros_like(r), key=k, direction=u), u)
    ridge = dual(r[:, None], k[:, None], ridge_of(C, 1e-9, 0.0))
    torch.testing.assert_close(ridge, rome, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(rome @ k, r)


def test_ridge_approaches_the_exact_solution_as_the_background_weight_vanishes():
    C, K, R = covariance(), random(12, 5), random(4, 5, seed=2)
    errors = [float((dual(R, K, ridge_of(C, weight, 0.0)) @ K - R).norm()) for weight in (1, 1e-3, 1e-6)]
    assert errors[0] > 100 * errors[1] > 1000 * errors[2]


def test_sequential_edits_with_history_equal_the_batch_and_without_history_do_not():
    C, K, R = covariance(), random(12, 5), random(4, 5, seed=2)
    M = 2.0 * C + 0.01 * torch.eye(12, dtype=torch.float64)
    batch = ridge_primal(R, K, M)
    history, naive, B = torch.zeros(4, 12).double(), torch.zeros(4, 12).double(), M
    for i in range(5):
        k, r = K[:, i : i + 1], R[:, i : i + 1]
        history = history + ridge_primal(r - history @ k, k, B)
        naive = naive + ridge_primal(r - naive @ k, k, M)
        B = B + k @ k.T
    torch.testing.assert_close(history, batch)
    assert (naive - batch).norm() > 0.01 * batch.norm()


def test_a_lone_edit_brings_each_key_the_share_that_its_direction_says(gpt2, gpt2_moments):
    ridge = ridge_of(gpt2_moments.C, 2.0, 0.05)
    k, q, r = random(128), random(128, seed=3), random(32, seed=4)
    k, r = k.float().double(), r.float().double()
    fold = Fold(gpt2, {LAYER: gpt2_moments}, background_weight=2.0, ridge=0.05)
    payload = to_payload(Factors.ridge(layer=LAYER, key=k, residual=r))
    edit = WeightEdit(subject="s", facts=("f",), method="ridge", payload=payload)
    before = gpt2.base_matrix(LAYER).double()
    with gpt2.patched(fold.fold([edit])):
        change = read_matrix(gpt2.model, gpt2.layout.matrix_name(LAYER)).double() - before
    u = single_edit_direction(k, ridge.solve(k))
    torch.testing.assert_close(change @ q, r * (u @ q), rtol=1e-3, atol=1e-5)
    assert 0.0 < float(u @ k) < 1.0


def test_a_singular_background_is_refused_with_the_remedy():
    with pytest.raises(EditDiverged, match="more text"):
        rome_direction(torch.zeros(4, 4, dtype=torch.float64), random(4))
