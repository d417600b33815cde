"""Rows split at the subject's last token: a prefix that no edit of the rows changes, and a suffix.

Holds the token ids, attention masks and answer positions of both parts, and groups rows into forward passes.
Runs no model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from guardedit.editing.optimise.rows import RowTensors

#: Rows in one pass: few enough for the processor's cache, which threads share, and many enough to be worth a
#: call. With two threads, passes of 64 rows take a quarter longer.
CHUNK = 32
#: Most tokens of padding in one pass. A separate call for the shorter rows costs about as much time as this
#: much padding.
PADDING = 40


class SplitRows:
    """B rows with at most P tokens before the subject's last token and at most S tokens from it on.

    The prefix is padded on the left, the suffix on the right. A row's last token predicts no answer token, so
    it is left out.

    Args:
        rows: B rows.

    Attributes:
        before, after: [B] int64, number of tokens of each row before the subject's last token, and from it
            on.
        P, S: the largest entry of `before`, and of `after`.
        ids: [B, P + S] int64, token ids; any id where `mask` is False.
        mask: [B, P + S] bool, tokens that are not padding.
        positions: [B, P + S] int64, the position of each token in its row; 0 where padded.
        predicting: [B, S] bool, suffix positions that predict an answer token.
    """

    def __init__(self, rows: RowTensors) -> None:
        length = rows.last + 1
        self.before, self.after = rows.subject_at, length - rows.subject_at
        self.P, self.S = int(self.before.max()), int(self.after.max())
        T = rows.ids.shape[1]
        # Index of the token in each column: the prefix ends at column P, the suffix begins there.
        token = self.before[:, None] - self.P + torch.arange(self.P + self.S)
        self.mask = (token >= 0) & (token < length[:, None])
        self.positions = token.clamp(0, T - 1) * self.mask
        self.ids = rows.ids.gather(1, self.positions)
        offsets = torch.arange(self.S) + self.before[:, None]
        self.predicting = (offsets >= rows.first[:, None]) & (offsets <= rows.last[:, None])
        self._kept = offsets < rows.changes[:, None]
        self._number = (self.predicting.flatten().cumsum(0) - 1).view_as(self.predicting)
        self._next_ids = rows.ids.gather(1, (offsets + 1).clamp(max=T - 1))

    def suffix_length(self, chunk: Tensor) -> int:
        """Length in tokens of the longest suffix among the rows `chunk` [b]."""
        return int(self.after[chunk].max())

    def answer_ids(self, chunk: Tensor) -> Tensor:
        """[m] ids of the answer tokens of the rows `chunk` [b], row after row."""
        S = self.suffix_length(chunk)
        return self._next_ids[chunk, :S][self.predicting[chunk, :S]]

    def answer_rows(self, chunk: Tensor) -> Tensor:
        """[m] for each answer token, the index into `chunk` of its row."""
        return self.predicting[chunk].nonzero()[:, 0]

    def answer_numbers(self, chunk: Tensor) -> Tensor:
        """[m] for each answer token, its number among the answer tokens of all B rows."""
        S = self.suffix_length(chunk)
        return self._number[chunk, :S][self.predicting[chunk, :S]]

    def answer_kept(self, chunk: Tensor) -> Tensor:
        """[m] bool, for each answer token, whether it is to stay what the base model says."""
        S = self.suffix_length(chunk)
        return self._kept[chunk, :S][self.predicting[chunk, :S]]

    def chunks(self, active: Tensor) -> list[Tensor]:
        """Row indices of each pass over `active` rows [B] bool: longest first, similar lengths together."""
        indices = active.nonzero()[:, 0]
        if not len(indices):
            return []
        length = self.after[indices] * (self.P + 1) + self.before[indices]
        longest_first = indices[length.argsort(descending=True, stable=True)]
        return list(torch.split(longest_first, _sizes(self.after[longest_first].tolist())))

    def chunks_by_context(self, context: Tensor) -> list[Tensor]:
        """Row indices for each pass over all rows: one context prefix (`context` [B]) and similar lengths."""
        order = (self.before * self.ids.shape[1] + self.after).argsort(stable=True)
        return [
            chunk
            for prefix in sorted({*context.tolist()})
            for chunk in torch.split(order[context[order] == prefix], CHUNK)
        ]

    def chunks_in_order(self) -> list[Tensor]:
        """Row indices for each pass over all rows, in the order of the rows."""
        return list(torch.split(torch.arange(len(self.ids)), CHUNK))


def _sizes(lengths: Sequence[int]) -> list[int]:
    """How many rows each pass takes, given the rows' lengths in descending order.

    >>> _sizes([9, 8, 8, 2, 2, 2, 2, 2, 2])
    [8, 1]
    """
    sizes, longest, padding = [0], lengths[0], 0
    for length in lengths:
        padding += longest - length
        if sizes[-1] == CHUNK or padding > PADDING:
            sizes.append(0)
            longest, padding = length, 0
        sizes[-1] += 1
    return sizes
