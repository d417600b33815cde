from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from guardedit.models.text.passes import BEGINNING, CPU_TOKENS, FEWEST, passes

CPU = torch.device("cpu")
ROWS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=40), max_size=60)


@given(ROWS, st.integers(1, 9))
def test_every_row_is_in_one_pass_and_no_pass_is_too_large(rows, at_most):
    groups = passes(rows, at_most=at_most, device=CPU)
    assert sorted(i for group in groups for i in group) == list(range(len(rows)))
    assert all(0 < len(group) <= at_most for group in groups)


def test_long_rows_make_narrow_passes_on_a_cpu_only():
    rows = [[1] * (CPU_TOKENS // 2)] * 4
    assert [len(group) for group in passes(rows, at_most=64, device=CPU)] == [2, 2]
    assert [len(group) for group in passes(rows, at_most=64, device=torch.device("cuda"))] == [4]


def test_rows_with_a_common_beginning_stay_together():
    alike = [[7] * BEGINNING + [n] * (n % 3 + 1) for n in range(FEWEST)]
    others = [[10 + n] * (BEGINNING + 2) for n in range(FEWEST)]
    mixed = [row for pair in zip(alike, others, strict=True) for row in pair]
    groups = passes(mixed, at_most=64, device=CPU)
    assert sorted(sorted(i % 2 for i in group) for group in groups) == [[0] * FEWEST, [1] * FEWEST]
