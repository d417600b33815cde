"""The algebra that ROME, EMMET, MEMIT, AlphaEdit and D4S share, with real numbers in float64.

Every form that the package uses is compared with the textbook's dense one.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from guardedit.core.errors import EditDiverged
from guardedit.editing.locate.solve import (
    equality_coefficients,
    project_to_null_space,
    rome_direction,
    rome_residual,
    used_directions,
    with_history,
)
from guardedit.models.weights.ridge import dual_coefficients
from tests.unit.editing.reference import ridge_primal

D, F, N = 4, 12, 5


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def eye(n: int) -> Tensor:
    return torch.eye(n, dtype=torch.float64)


@pytest.fixture
def C() -> Tensor:  # noqa: N802  # the field's letter
    K = random(F, 5 * F, seed=1)
    return K @ K.T / (5 * F)


@pytest.fixture
def K() -> Tensor:  # noqa: N802  # the field's letter
    return random(F, N)


@pytest.fixture
def R() -> Tensor:  # noqa: N802  # the field's letter
    return random(D, N, seed=2)


def memit(R: Tensor, K: Tensor, M: Tensor) -> Tensor:
    U = torch.linalg.solve(M, K)
    return dual_coefficients(R, K, U) @ U.T


def emmet(R: Tensor, K: Tensor, C: Tensor, slack: float) -> Tensor:
    U = torch.linalg.solve(C, K)
    return equality_coefficients(R, K, U, slack=slack) @ U.T


def sequential(R: Tensor, K: Tensor, M: Tensor, *, remember: bool) -> Tensor:
    """One edit after the other, each for what the ones before leave missing at its key."""
    change = torch.zeros(R.shape[0], K.shape[0], dtype=torch.float64)
    for i in range(K.shape[1]):
        k, H = K[:, i : i + 1], K[:, : i if remember else 0]
        U = with_history(torch.linalg.solve(M, k), H, torch.linalg.solve(M, H))
        change = change + dual_coefficients(R[:, i : i + 1] - change @ k, k, U) @ U.T
    return change


def test_the_columns_of_the_dual_form_add_up_to_the_primal_form(C, K, R):
    M = 3.0 * C + 0.1 * eye(F)
    U = torch.linalg.solve(M, K)
    left = dual_coefficients(R, K, U)
    columns = torch.stack([torch.outer(left[:, i], U[:, i]) for i in range(N)]).sum(0)
    torch.testing.assert_close(columns, ridge_primal(R, K, M))


def test_emmet_without_slack_hits_every_target(C, K, R):
    torch.testing.assert_close(emmet(R, K, C, 0.0) @ K, R)


def test_emmet_of_one_edit_is_rome_with_one_key(C, K, R):
    k, r = K[:, 0], R[:, 0]
    u = rome_direction(C, k)
    rome = torch.outer(rome_residual(target=r, value=torch.zeros_like(r), key=k, direction=u), u)
    torch.testing.assert_close(emmet(R[:, :1], K[:, :1], C, 0.0), rome)


def test_emmet_with_slack_is_memit_with_the_product_as_its_background_weight(C, K, R):
    torch.testing.assert_close(emmet(R, K, 7.0 * C, 0.3), memit(R, K, 7.0 * 0.3 * C))


def test_memit_becomes_emmet_as_the_background_weight_vanishes(C, K, R):
    exact = emmet(R, K, C, 0.0)
    errors = [float((memit(R, K, weight * C) - exact).norm()) for weight in (1e-2, 1e-4, 1e-6)]
    assert errors[0] > 50 * errors[1] > 2500 * errors[2]


def test_parallel_keys_without_slack_are_refused_and_slack_lets_them_share(C, K, R):
    twice = torch.stack([K[:, 0], K[:, 0]], dim=1)
    with pytest.raises(EditDiverged, match="slack"):
        equality_coefficients(R[:, :2], twice, torch.zeros_like(twice), slack=0.0)
    shared = emmet(R[:, :2], twice, C, 1e-9) @ K[:, 0]
    torch.testing.assert_close(shared, R[:, :2].mean(1), rtol=1e-4, atol=1e-6)


def test_a_history_is_the_same_as_adding_its_keys_to_the_background(C, K):
    M, H = 2.0 * C + 0.01 * eye(F), random(F, 7, seed=3)
    found = with_history(torch.linalg.solve(M, K), H, torch.linalg.solve(M, H))
    torch.testing.assert_close(found, torch.linalg.solve(M + H @ H.T, K))


def test_edits_in_sequence_with_history_equal_one_batch_and_without_history_do_not(C, K, R):
    M = 2.0 * C + 0.01 * eye(F)
    batch = memit(R, K, M)
    torch.testing.assert_close(sequential(R, K, M, remember=True), batch)
    assert (sequential(R, K, M, remember=False) - batch).norm() > 0.01 * batch.norm()


def test_the_order_of_edits_with_history_does_not_matter(C, K, R):
    M, order = 2.0 * C, torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(
        sequential(R[:, order], K[:, order], M, remember=True), sequential(R, K, M, remember=True)
    )


def test_deleting_an_edit_by_downdate_is_never_having_made_it(C, K, R):
    M, rest = 2.0 * C, [0, 1, 3, 4]
    k, r = K[:, 2:3], R[:, 2:3]
    everything = memit(R, K, M)
    B = M + K @ K.T
    undo = -(r - everything @ k) @ torch.linalg.solve(B - k @ k.T, k).T
    torch.testing.assert_close(everything + undo, memit(R[:, rest], K[:, rest], M))


def test_superseding_a_value_is_one_rank_one_step(C, K, R):
    M, new = 2.0 * C, random(D, 1, seed=4)
    step = (new - R[:, 2:3]) @ torch.linalg.solve(M + K @ K.T, K[:, 2:3]).T
    replaced = torch.cat([R[:, :2], new, R[:, 3:]], dim=1)
    torch.testing.assert_close(memit(R, K, M) + step, memit(replaced, K, M))


def test_the_weights_are_a_function_of_base_and_of_keys_with_absolute_targets(C, K, R):
    W, weight = random(D, F, seed=5), 2.0
    V = R + W @ K
    whole = (weight * W @ C + V @ K.T) @ torch.linalg.inv(weight * C + K @ K.T)
    torch.testing.assert_close(W + memit(R, K, weight * C), whole)


def low_rank_background() -> Tensor:
    """A background that uses six of twelve directions a lot and the others hardly."""
    Q = torch.linalg.qr(random(F, F, seed=6))[0]
    strengths = torch.tensor([1e-4] * 6 + [0.5, 1.0, 1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    return (Q * strengths) @ Q.T


def test_alphaedit_equals_the_reference_form_and_its_formula():
    C, K, H, R, l2 = low_rank_background(), random(F, N), random(F, 3, seed=3), random(D, N, seed=2), 0.7
    taken = used_directions(C, free_share=0.01)
    P, S = eye(F) - taken @ taken.T, H @ H.T
    free, past = project_to_null_space(taken, K), project_to_null_space(taken, H)
    U = with_history(free / l2, past, past / l2)
    change = dual_coefficients(R, free, U) @ U.T
    formula = R @ K.T @ P @ torch.linalg.inv(K @ K.T @ P + S @ P + l2 * eye(F))
    code = torch.linalg.solve(P @ (K @ K.T + S) + l2 * eye(F), P @ K @ R.T).T
    torch.testing.assert_close(change, formula)
    torch.testing.assert_close(change, code)
    torch.testing.assert_close(change @ P, change)


def test_the_null_space_holds_the_weakest_directions_up_to_its_share():
    C = low_rank_background()
    for share, kept in ((0.0, 0), (1e-3, 6), (0.05, 7), (1.0, F)):
        taken = used_directions(C, free_share=share)
        assert taken.shape == (F, F - kept)
        torch.testing.assert_close(taken.T @ taken, eye(F - kept))
        held = torch.trace(project_to_null_space(taken, C)) / torch.trace(C)
        assert float(held) <= share + 1e-12


def test_the_null_space_does_not_depend_on_the_scale_of_the_background():
    C = low_rank_background()
    taken, scaled = (used_directions(each, free_share=0.05) for each in (C, 1000.0 * C))
    torch.testing.assert_close(taken @ taken.T, scaled @ scaled.T)
