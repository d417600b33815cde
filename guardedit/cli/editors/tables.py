"""Prints the results of `editors compare` and `editors ablate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from guardedit.cli.terminal import show
from guardedit.cli.terminal.show import Output

if TYPE_CHECKING:
    from guardedit.lab.editors.compare import MethodResult


def print_results(found: Sequence[MethodResult]) -> None:
    """Print both tables, and on stderr the methods that ended early."""
    from guardedit.lab.editors.report import problems, sequence_table, single_table

    for title, table in (
        ("each edit alone:", single_table(found)),
        ("in sequence, measured after the last checkpoint:", sequence_table(found)),
    ):
        if table:
            show.line({}, Output.TABLE, title)
            show.rows(table, list(table[0]), Output.TABLE, empty="")
    for text in problems(found):
        show.warn(text)
