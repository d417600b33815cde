"""Which pairs of a matrix are tried: rows that share code share the columns; a row alone meets them all.

The full product costs minutes and finds what these pairs find; `make nightly` tries it all the same.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

#: The full products, as `make nightly` asks for them.
WHOLE = os.environ.get("GUARDEDIT_TESTS") == "whole"


def covering(
    alike: Collection[Sequence[str]], kinds: Collection[Sequence[str]], *, whole: bool = WHOLE
) -> list[tuple[str, str]]:
    """Pairs of a row and a column: rows that are alike meet every column together, each one every kind.

    Args:
        alike: rows, such as methods, by what they share.
        kinds: columns, such as families of models, by what sets them apart for a row.
        whole: every pair.
    """
    return [
        (row, column)
        for rows in alike
        for n, row in enumerate(rows)
        for kind in kinds
        for i, column in enumerate(kind)
        if whole or i % len(rows) == n or i == n % len(kind)
    ]
