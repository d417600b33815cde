"""What a failure looks like from outside: one line on stderr and a stable exit code, never a traceback.

Knows the branches of the error tree and nothing of the commands.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

from guardedit.cli import show
from guardedit.core.errors import ConflictError, GuardeditError, LedgerBusy, PolicyError, UsageError


class Code(IntEnum):
    """Exit codes. They do not change between versions."""

    OK = 0
    FAILED = 1
    USAGE = 2  # also a policy that cannot be used
    HELD = 3  # a person has to decide
    CONFLICT = 4  # somebody else was first: another coordinator, another epoch


def code_of(error: GuardeditError) -> Code:
    """The exit code of an error.

    >>> code_of(UsageError("no such epoch")).name, code_of(LedgerBusy("taken")).name
    ('USAGE', 'CONFLICT')
    """
    if isinstance(error, UsageError | PolicyError):
        return Code.USAGE
    return Code.CONFLICT if isinstance(error, ConflictError | LedgerBusy) else Code.FAILED


class Commands(TyperGroup):
    """The root group: turns every GuardeditError of a command into its line and its code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except GuardeditError as error:
            show.complain(str(error))
            raise typer.Exit(code_of(error)) from error
