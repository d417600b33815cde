"""Which rows of tokens share a forward pass: rows of similar length, and rows with the same beginning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch

#: Most tokens in a pass on a CPU, where a wider pass is no faster and falls out of the processor's cache.
CPU_TOKENS = 1024
#: Most tokens of the prompts that are decoded together, and the largest share of them that is padding.
DECODED_TOKENS, PADDING = 4096, 0.5
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


def by_length(rows: Sequence[Sequence[int]], *, at_most: int) -> list[list[int]]:
    """Indices of rows in groups of equal length, shortest first, at most `at_most` per group.

    >>> by_length([[1, 2], [3], [4, 5], [6, 7]], at_most=2)
    [[1], [0, 2], [3]]
    """
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), i))
    groups: list[list[int]] = []
    for i in order:
        fits = groups and len(rows[groups[-1][0]]) == len(rows[i]) and len(groups[-1]) < at_most
        if fits:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def similar_lengths(rows: Sequence[Sequence[int]], *, at_most: int) -> list[list[int]]:
    """Indices of rows in groups of similar length, shortest first, each in the order of the lengths.

    A group has at most `at_most` rows and `DECODED_TOKENS` tokens, of which `PADDING` may be padding.

    >>> similar_lengths([[1] * 9, [1], [1], [1] * 8], at_most=3)
    [[1, 2], [3, 0]]
    """
    groups: list[list[int]] = []
    for i in sorted(range(len(rows)), key=lambda i: (len(rows[i]), i)):
        group, width = groups[-1] if groups else [], len(rows[i])
        total = (len(group) + 1) * width
        padding = sum(width - len(rows[j]) for j in group)
        if group and len(group) < at_most and total <= DECODED_TOKENS and padding <= PADDING * total:
            group.append(i)
        else:
            groups.append([i])
    return groups


def shared_beginning(rows: Sequence[Sequence[int]]) -> int:
    """Number of tokens with which all rows begin, so that each has one more; 0 if fewer than `BEGINNING`."""
    shortest = min(map(len, rows)) - 1
    L = next((at for at in range(shortest) if len({row[at] for row in rows}) > 1), shortest)
    return L if L >= BEGINNING else 0
