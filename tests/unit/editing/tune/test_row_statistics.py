from __future__ import annotations

import torch

from guardedit.editing.tune.row_statistics import RowStatistics, joined


def rows(n: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3.0 + seed * torch.randn(n, 5, dtype=torch.float64, generator=generator)


def test_parts_joined_are_the_statistics_of_all_rows():
    parts = [rows(7, 1), rows(1, 2), rows(30, 3)]
    found, everything = joined(map(RowStatistics.of, parts)), torch.cat(parts)
    assert found.count == 38
    torch.testing.assert_close(found.mean, everything.mean(0))
    torch.testing.assert_close(found.deviation, everything.std(0))
    torch.testing.assert_close(found.mean_square, everything.square().mean(0))


def test_joining_is_symmetric_up_to_rounding():
    a, b = RowStatistics.of(rows(4, 1)), RowStatistics.of(rows(9, 2))
    torch.testing.assert_close(a.joined(b).squares, b.joined(a).squares)


def test_one_row_has_a_deviation_to_divide_by():
    assert torch.equal(RowStatistics.of(rows(1, 1)).deviation, torch.ones(5, dtype=torch.float64))
