from __future__ import annotations

import torch

from guardedit.editing.tune.side_memory import common_starts


def test_a_common_start_is_as_many_tokens_as_a_kept_row_begins_with():
    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 5, 4], [6, 2, 3, 4]])
    found = common_starts(ids, torch.tensor([False, True, False]))
    assert found.tolist() == [[True, True, False, False], [True] * 4, [False] * 4]
