from __future__ import annotations

import math

import pytest
import torch

from guardedit.core.errors import UsageError
from guardedit.editing.filters import FILTERS, find_filter
from guardedit.editing.filters.interpolation import interpolation
from guardedit.editing.filters.prune import largest_singular_value, prune
from guardedit.editing.filters.rect import rect

D, F = 6, 15


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


W, LEFT, RIGHT = normal(D, F, seed=0), normal(D, 3, seed=1), normal(F, 3, seed=2)


def product(factors: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return factors[0] @ factors[1].t()


def textbook_prune(W, change, base):
    U, s, Vh = torch.linalg.svd(change, full_matrices=False)
    limit = float(torch.linalg.svdvals(W)[0])
    new = [
        math.log(value, base) - math.log(limit, base) + limit if value >= limit else value
        for value in s.tolist()
    ]
    return U @ torch.diag(torch.tensor(new, dtype=W.dtype)) @ Vh


@pytest.mark.parametrize("base", [math.e, 2.0, 1.5, 1.2])
def test_prune_is_the_dense_formula(base):
    left = 2.0 * LEFT
    change = left @ RIGHT.t()
    limit = torch.linalg.svdvals(W)[0]
    assert (torch.linalg.svdvals(change)[:3] > limit).any()
    found = product(prune(W, left, RIGHT, base=base))
    torch.testing.assert_close(found, textbook_prune(W, change, base))
    assert not torch.allclose(found, change)


def test_prune_squashes_some_singular_values_and_leaves_others():
    left = LEFT * torch.tensor([5.0, 0.1, 0.1])
    change = left @ RIGHT.t()
    before, after = (torch.linalg.svdvals(x)[:3] for x in (change, product(prune(W, left, RIGHT))))
    limit = torch.linalg.svdvals(W)[0]
    assert (before > limit).tolist() == [True, False, False]
    assert limit < after[0] < before[0]
    torch.testing.assert_close(after[1:], before[1:])


def test_prune_passes_a_small_change_as_it_is():
    left, right = prune(W, 0.01 * LEFT, RIGHT)
    assert torch.equal(left, 0.01 * LEFT)
    assert right is RIGHT


def test_prune_takes_a_whole_matrix_and_one_with_equal_columns():
    dense = 3.0 * normal(D, F, seed=3)
    found = product(prune(W, torch.eye(D, dtype=W.dtype), dense.t()))
    torch.testing.assert_close(found, textbook_prune(W, dense, 1.2))
    left, right = LEFT[:, [0, 0]], 4.0 * RIGHT[:, [1, 1]]
    torch.testing.assert_close(product(prune(W, left, right)), textbook_prune(W, left @ right.t(), 1.2))


@pytest.mark.parametrize("shape", [(4, 9), (9, 4)])
def test_the_largest_singular_value_is_found_whichever_side_is_longer(shape):
    A = normal(*shape, seed=4)
    assert largest_singular_value(A) == pytest.approx(float(torch.linalg.svdvals(A)[0]))


@pytest.mark.parametrize("share", [0.1, 0.4, 1.0])
def test_rect_keeps_the_entries_that_change_most_relative_to_their_weight(share):
    change = LEFT @ RIGHT.t()
    ranked = sorted(
        ((abs(float(change[i, j] / W[i, j])), i, j) for i in range(D) for j in range(F)), reverse=True
    )
    expected = torch.zeros_like(change)
    for _, i, j in ranked[: round(share * D * F)]:
        expected[i, j] = change[i, j]
    torch.testing.assert_close(product(rect(W, LEFT, RIGHT, share=share)), expected)


def test_rect_takes_a_weight_of_zero_to_be_changed_most():
    zeroed = W.clone()
    zeroed[2, 3] = 0.0
    kept = product(rect(zeroed, LEFT, RIGHT, share=1 / (D * F)))
    assert kept.nonzero().tolist() == [[2, 3]]
    assert not product(rect(zeroed, torch.zeros_like(LEFT), RIGHT)).isnan().any()


def test_interpolation_is_the_point_on_the_line_to_the_base_weights():
    edited = W + LEFT @ RIGHT.t()
    expected = 0.7 * W + 0.3 * edited
    torch.testing.assert_close(W + product(interpolation(W, LEFT, RIGHT, alpha=0.3)), expected)


def test_every_filter_is_found_by_name_and_makes_no_change_of_nothing():
    assert set(FILTERS) == {"rect", "prune", "1-li"}
    for name in FILTERS:
        found = find_filter(name)
        assert found.name == name
        assert not product(found.apply(W, torch.zeros_like(LEFT), RIGHT)).any()
    assert [name for name in FILTERS if find_filter(name).scales] == ["1-li"]


def test_an_unknown_filter_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'rect'"):
        find_filter("rekt")
    with pytest.raises(UsageError, match="cannot be loaded"):
        find_filter("x", {"x": "guardedit.editing.filters.nowhere:x"})
