"""Checks every argument of every command before the command runs, and renames old options.

A text must be valid UTF-8, a number must fit into 64 bits, and a path must be possible. Each command checks
its own limits.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from guardedit.core.errors import warn_renamed

#: Range of the integers that SQLite, torch and the clock can hold.
LEAST, MOST = -(2**63), 2**63 - 1

#: Option of version 0.1 -> its name now.
RENAMED_OPTIONS = {"--scope": "--tenant", "--dials": "--settings", "--no-dials": "--no-settings"}
#: Command -> its name now.
RENAMED_COMMANDS = {("held", "release"): ("held", "approve")}


def present_options(arguments: Sequence[str]) -> list[str]:
    """The arguments with every renamed option, and a renamed command, under its present name.

    Arguments after `--` are not changed.

    >>> present_options(["facts", "list", "--tenant=acme", "--", "--scope"])
    ['facts', 'list', '--tenant=acme', '--', '--scope']
    """
    arguments = _present_command(arguments)
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    return [*(_present(argument) for argument in arguments[:end]), *arguments[end:]]


def _present_command(arguments: Sequence[str]) -> Sequence[str]:
    old = tuple(arguments[:2])
    if old not in RENAMED_COMMANDS:
        return arguments
    warn_renamed("command", " ".join(old), " ".join(RENAMED_COMMANDS[old]))
    return [*RENAMED_COMMANDS[old], *arguments[2:]]


def _present(argument: str) -> str:
    name, equals, value = argument.partition("=")
    if name not in RENAMED_OPTIONS:
        return argument
    warn_renamed("option", name, RENAMED_OPTIONS[name])
    return RENAMED_OPTIONS[name] + equals + value


def check_arguments(command: Any) -> None:
    """Make click check every parsed argument of a command and of all its subcommands with `unusable`."""
    for inner in getattr(command, "commands", {}).values():
        check_arguments(inner)
    for param in command.params:
        if param.callback is None:
            param.callback = _checked


def _checked(_ctx: Any, param: Any, value: Any) -> Any:
    for item in value if isinstance(value, list | tuple) else (value,):
        if problem := unusable(item):
            raise typer.BadParameter(f"{str(item)!r} {problem}", param=param)
    return value


def unusable(value: Any) -> str:
    r"""What is wrong with a path, a text or a number; "" for nothing.

    Paths may hold bytes that are not text: file systems allow them.

    >>> unusable("Tromsø"), unusable(7), unusable(float("nan"))
    ('', '', 'is not a finite number')
    >>> unusable("Troms\udcf8")
    'is not text in UTF-8'
    """
    if isinstance(value, Path):
        return _unusable_path(value)
    if isinstance(value, str):
        if "\0" in value:
            return "holds a NUL character"
        return "" if _is_text(value) else "is not text in UTF-8"
    if isinstance(value, float):
        return "" if math.isfinite(value) else "is not a finite number"
    if isinstance(value, int):
        return "" if LEAST <= value <= MOST else "does not fit into 64 bits"
    return ""


def _unusable_path(value: Path) -> str:
    try:
        os.lstat(value)
    except ValueError:
        return "holds a NUL character"
    except OSError as error:
        return (
            f"cannot be a path: {error.strerror}" if error.errno in {errno.ENAMETOOLONG, errno.ELOOP} else ""
        )
    return ""


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
