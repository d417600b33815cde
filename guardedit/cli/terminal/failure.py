"""Ends a failing command with its error on stderr and a stable exit code, by default without a traceback."""

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

#: When this variable is set, an unexpected error ends in its traceback.
TRACEBACK = "GUARDEDIT_TRACEBACK"

#: The exception with which Typer prints the help of a group that was called without a command.
_HELP = "NoArgsIsHelpError"


class Code(IntEnum):
    """Exit codes. They do not change between versions."""

    OK = 0
    FAILED = 1
    USAGE = 2  # wrong arguments, or a policy that cannot be used
    HELD = 3  # a person has to decide
    CONFLICT = 4  # another coordinator runs, or another epoch was written first


def code_of(error: GuardeditError) -> Code:
    """The exit code of an error.

    >>> code_of(UsageError("no such epoch")).name, code_of(LedgerBusy("taken")).name
    ('USAGE', 'CONFLICT')
    """
    if isinstance(error, UsageError | PolicyError):
        return Code.USAGE
    return Code.CONFLICT if isinstance(error, ConflictError | LedgerBusy) else Code.FAILED


class CommandGroup(TyperGroup):
    """A group of commands that checks every argument, and turns every error into a line and an exit code."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        check_arguments(self)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse the group's own arguments."""
        with _errors_as_exits():
            return super().make_context(info_name, present_options(args), parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _errors_as_exits():
            return super().invoke(ctx)


@contextmanager
def _errors_as_exits() -> Iterator[None]:
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except GuardeditError as error:
        raise _exit(str(error), code_of(error)) from error
    except BrokenPipeError as error:
        raise typer.Exit(READER_GONE) from error
    except OSError as error:
        raise _exit(_system_error(error), Code.FAILED) from error
    except Exception as error:
        if _is_usage(error):
            raise _exit(_usage(error), Code.USAGE) from error
        if os.environ.get(TRACEBACK) or type(error).__name__ == _HELP:
            raise
        raise _exit(_unexpected(error), Code.FAILED) from error


def _exit(text: str, code: Code) -> typer.Exit:
    show.error(text)
    return typer.Exit(code)


def _is_usage(error: Any) -> bool:
    # No isinstance: Typer has a copy of click's exceptions, and older versions of Typer do not.
    return hasattr(error, "format_message") and type(error).__name__ != _HELP


def _usage(error: Any) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "guardedit"
    return f"{error.format_message().rstrip('.')}; see `{command} --help`"


def _system_error(error: OSError) -> str:
    if error.filename is None:
        return show.output_failed(error)
    return f"cannot use {os.fsdecode(error.filename)}: {error.strerror}; check the path and its permissions"


def _unexpected(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"unexpected {type(error).__name__} in {os.path.basename(last.filename)}:{last.lineno}: {error}; "  # noqa: PTH119
        f"this is a bug in guardedit: please report it with the output of {TRACEBACK}=1"
    )
