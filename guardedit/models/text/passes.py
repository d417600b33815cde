"""Which rows of tokens share a forward pass: rows of similar length, and rows with the same beginning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch

#: Most tokens in a pass on a CPU, where a wider pass is no faster and falls out of the processor's cache.
CPU_TOKENS = 1024
#: Tokens by which equal beginnings are told, and the fewest rows for which that is worth a pass of their own.
BEGINNING, FEWEST = 8, 8


def passes(rows: Sequence[Sequence[int]], *, at_most: int, device: torch.device) -> list[list[int]]:
    """Indices of rows in groups, each for one pass.

    Args:
        rows: token ids, without padding.
        at_most: most rows in a pass.
        device: of the model; on a CPU a pass also has at most `CPU_TOKENS` tokens, padding included.

    >>> passes([[1, 2, 3], [4], [5, 6]], at_most=2, device=torch.device("cpu"))
    [[1, 2], [0]]
    """
    beginnings = Counter(tuple(row[:BEGINNING]) for row in rows)
    tokens = CPU_TOKENS if device.type == "cpu" else at_most * max(map(len, rows), default=0)

    def beginning(i: int) -> tuple[int, ...]:
        found = tuple(rows[i][:BEGINNING])
        return found if len(found) == BEGINNING and beginnings[found] >= FEWEST else ()

    groups: list[list[int]] = []
    for i in sorted(range(len(rows)), key=lambda i: (beginning(i), len(rows[i]), i)):
        group = groups[-1] if groups else []
        alike = group and beginning(group[0]) == beginning(i)
        if alike and len(group) < at_most and (len(group) + 1) * len(rows[i]) <= tokens:
            group.append(i)
        else:
            groups.append([i])
    return groups
