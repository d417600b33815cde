from __future__ import annotations

import torch

from guardedit.editing.tune.low_rank import truncated


def test_a_product_keeps_its_sum_in_fewer_columns():
    torch.manual_seed(0)
    left, right = torch.randn(6, 40) * 0.9 ** torch.arange(40), torch.randn(9, 3) @ torch.randn(3, 40)
    a, b = truncated(left, right)
    assert a.shape[1] == b.shape[1] <= 3
    wanted = left @ right.t()
    assert float((a @ b.t() - wanted).norm()) <= 0.01 * float(wanted.norm()) + 1e-6
