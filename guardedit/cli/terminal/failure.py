"""What a failure looks like from outside: one line on stderr and a stable exit code, never a traceback.

Knows the branches of the error tree and nothing of the commands.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

from guardedit.cli.terminal import show
from guardedit.cli.terminal.arguments import check_arguments, present_options
from guardedit.cli.terminal.streams import READER_GONE
from guardedit.core.errors import ConflictError, GuardeditError, LedgerBusy, PolicyError, UsageError

#: Set, an error that nobody foresaw ends in its traceback, for whoever mends it.
TRACEBACK = "GUARDEDIT_TRACEBACK"


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
    """The root group: looks at every argument, and turns every error into its line and its code."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        check_arguments(self)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Read the group's own arguments."""
        with _told():
            return super().make_context(info_name, present_options(args), parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _told():
            return super().invoke(ctx)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except GuardeditError as error:
        raise _ended(str(error), code_of(error)) from error
    except BrokenPipeError as error:
        raise typer.Exit(READER_GONE) from error
    except OSError as error:
        raise _ended(_system_error(error), Code.FAILED) from error
    except Exception as error:
        if _is_usage(error):
            raise _ended(_usage(error), Code.USAGE) from error
        if os.environ.get(TRACEBACK) or type(error).__name__ == _HELP:
            raise
        raise _ended(_unforeseen(error), Code.FAILED) from error


#: Typer's way to print the help of a group that was called without a command.
_HELP = "NoArgsIsHelpError"


def _ended(text: str, code: Code) -> typer.Exit:
    show.complain(text)
    return typer.Exit(code)


def _is_usage(error: Any) -> bool:
    # By its face: Typer brings a click of its own, older versions of it do not.
    return hasattr(error, "format_message") and type(error).__name__ != _HELP


def _usage(error: Any) -> str:
    context = getattr(error, "ctx", None)
    where = context.command_path if context else "guardedit"
    return f"{error.format_message().rstrip('.')}; `{where} --help` says what it takes"


def _system_error(error: OSError) -> str:
    if error.filename is None:
        return show.unwritten(error)
    return f"cannot use {os.fsdecode(error.filename)}: {error.strerror}; check that path and its rights"


def _unforeseen(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"unforeseen {type(error).__name__} in {os.path.basename(last.filename)}:{last.lineno}: {error}; "  # noqa: PTH119
        f"this is a fault of guardedit, please report it with what {TRACEBACK}=1 shows"
    )
