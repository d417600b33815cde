"""The closed forms against dense textbook solutions, in float64 (methods: ROME, EMMET, MEMIT)."""

from __future__ import annotations

import pytest
import torch

from guardedit.core.errors import EditDiverged, EditError
from guardedit.models.weights.ridge import Ridge, dual_coefficients

D, F, N = 8, 32, 6


@pytest.fixture
def problem():
    """C [F, F] well conditioned, K [F, N], R [D, N], all float64."""
    generator = torch.Generator().manual_seed(1)
    background = torch.randn(F, 200, generator=generator, dtype=torch.float64)
    C = background @ background.t() / 200
    K = torch.randn(F, N, generator=generator, dtype=torch.float64)
    R = torch.randn(D, N, generator=generator, dtype=torch.float64)
    return C, K, R


def dual(C, K, R, *, background_weight: float, ridge: float = 0.0):
    """Delta [D, F] as the fold computes it."""
    solver = Ridge(C=C, spectrum=torch.linalg.eigvalsh(C), background_weight=background_weight, ridge=ridge)
    U = torch.stack([solver.solve(k) for k in K.t()], dim=1)
    return dual_coefficients(R, K, U) @ U.t()


def primal(C, K, R, *, background_weight: float, ridge: float = 0.0):
    B = background_weight * C + ridge * torch.eye(F, dtype=torch.float64) + K @ K.t()
    return R @ K.t() @ torch.linalg.inv(B)


def emmet(C, K, R, *, weight: float):
    inverse = torch.linalg.inv(C)
    inner = K.t() @ inverse @ K + weight * torch.eye(K.shape[1], dtype=torch.float64)
    return R @ torch.linalg.inv(inner) @ K.t() @ inverse


@pytest.mark.parametrize(("background_weight", "ridge"), [(10.0, 0.0), (0.5, 3.0), (0.0, 1.0)])
def test_the_dual_form_is_the_primal_form(problem, background_weight, ridge):
    options = {"background_weight": background_weight, "ridge": ridge}
    assert torch.allclose(dual(*problem, **options), primal(*problem, **options), atol=1e-11)


def test_without_a_background_every_key_gets_exactly_its_residual(problem):
    C, K, R = problem
    assert torch.allclose(dual(C, K, R, background_weight=1e-12) @ K, R, atol=1e-9)
    assert torch.allclose(emmet(C, K, R, weight=0.0) @ K, R, atol=1e-9)


def test_memit_tends_to_emmet_and_for_one_key_to_rome(problem):
    C, K, R = problem
    assert torch.allclose(dual(C, K, R, background_weight=1e-12), emmet(C, K, R, weight=0.0), atol=1e-9)
    k, r = K[:, :1], R[:, :1]
    u = torch.linalg.solve(C, k)
    rome = r @ u.t() / (k.t() @ u)
    assert torch.allclose(dual(C, k, r, background_weight=1e-12), rome, atol=1e-9)


def test_emmet_on_a_scaled_background_is_memit(problem):
    C, K, R = problem
    assert torch.allclose(
        emmet(7.0 * C, K, R, weight=0.3), dual(C, K, R, background_weight=7.0 * 0.3), atol=1e-10
    )


def test_sequential_with_history_is_the_batch_and_without_history_is_not(problem):
    C, K, R = problem
    W0 = torch.zeros(D, F, dtype=torch.float64)
    V = W0 @ K + R
    with_history, without, B = W0.clone(), W0.clone(), 10.0 * C
    for i in range(N):
        k, v = K[:, i : i + 1], V[:, i : i + 1]
        without += (v - without @ k) @ k.t() @ torch.linalg.inv(10.0 * C + k @ k.t())
        B = B + k @ k.t()
        with_history += (v - with_history @ k) @ k.t() @ torch.linalg.inv(B)
    batch = dual(C, K, R, background_weight=10.0)
    assert torch.allclose(with_history, batch, atol=1e-11)
    assert not torch.allclose(without, batch, atol=1e-3)


def test_removing_an_edit_is_the_rank_one_downdate(problem):
    C, K, R = problem
    W = dual(C, K, R, background_weight=10.0)
    k, r = K[:, -1:], R[:, -1:]
    B = 10.0 * C + K @ K.t()
    undone = W - (r - W @ k) @ k.t() @ torch.linalg.inv(B - k @ k.t())
    assert torch.allclose(undone, dual(C, K[:, :-1], R[:, :-1], background_weight=10.0), atol=1e-11)


def test_superseding_a_value_is_one_solve_at_the_same_key(problem):
    C, K, R = problem
    other = R.clone()
    other[:, 2] = 5.0
    B = 10.0 * C + K @ K.t()
    step = (other - R)[:, 2:3] @ K[:, 2:3].t() @ torch.linalg.inv(B)
    assert torch.allclose(
        dual(C, K, R, background_weight=10.0) + step, dual(C, K, other, background_weight=10.0), atol=1e-11
    )


def test_free_rank_is_the_width_without_background_and_vanishes_under_a_heavy_one(problem):
    C, _, _ = problem

    def free(weight: float, ridge: float = 0.0) -> float:
        spectrum = torch.linalg.eigvalsh(C)
        return Ridge(C=C, spectrum=spectrum, background_weight=weight, ridge=ridge).free_rank

    assert free(1e-9) == pytest.approx(F, rel=1e-6)
    assert free(1e9) < 1e-5
    assert free(1.0) > free(10.0) > free(100.0) > free(100.0, ridge=50.0)


def test_free_rank_counts_the_directions_that_the_background_leaves_alone():
    # Half of the directions carry all of the background, and a heavy weight takes them away.
    diagonal = torch.cat([torch.zeros(F // 2), torch.ones(F // 2)]).double()
    solver = Ridge(C=torch.diag(diagonal), spectrum=diagonal, background_weight=1e6, ridge=1e-6)
    assert solver.free_rank == pytest.approx(F / 2, abs=0.01)


def test_the_expected_length_is_that_of_background_keys(problem):
    C, _, _ = problem
    solver = Ridge(C=C, spectrum=torch.linalg.eigvalsh(C), background_weight=3.0, ridge=0.5)
    keys = torch.linalg.cholesky(C) @ torch.eye(F, dtype=torch.float64) * F**0.5  # sum k k^T / F = C
    lengths = [float(k @ solver.solve(k)) for k in keys.t()]
    assert sum(lengths) / F == pytest.approx(solver.expected_length)


def test_a_singular_background_needs_a_ridge_and_says_so():
    C = torch.zeros(F, F, dtype=torch.float64)
    with pytest.raises(EditError, match="not positive definite: raise the ridge"):
        Ridge(C=C, spectrum=torch.zeros(F).double(), background_weight=1.0, ridge=0.0)


def test_keys_that_cannot_be_solved_diverge(problem):
    C, K, R = problem
    K = K.clone()
    K[0, 0] = float("nan")
    with pytest.raises(EditDiverged, match="6 keys cannot be solved"):
        dual(C, K, R, background_weight=1.0)
