"""The options that several commands share, and the settings that follow from them and the environment."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError
from guardedit.settings import Settings

Home = Annotated[
    Path | None, typer.Option("--home", help="Folder of the ledger; else GUARDEDIT_HOME.", show_default=False)
]
PolicyFile = Annotated[
    Path | None, typer.Option("--policy", help="Policy file; else GUARDEDIT_POLICY.", show_default=False)
]
Model = Annotated[
    Path | None,
    typer.Option("--model", help="Folder of the base model; else GUARDEDIT_MODEL.", show_default=False),
]
Format = Annotated[Output, typer.Option("--output", "-o", help="For people, or for programs.")]
Tenant = Annotated[str, typer.Option("--tenant", help="Tenant whose facts count, beside those of `default`.")]
OneTenant = Annotated[str | None, typer.Option("--tenant", help="Only facts of this tenant.")]

#: Of a seed: some methods multiply it, and a generator of torch takes 64 bits.
MOST_SEED = 2**32 - 1


def settings_from(
    home: Path | None = None, policy: Path | None = None, model: Path | None = None, **others: Any
) -> Settings:
    """The environment's settings, overridden by the options that were given (not None).

    Raises:
        UsageError: a variable of the environment is wrong.
    """
    given = {"home": home, "policy": policy, "model": None if model is None else str(model), **others}
    settings = Settings.from_environment(os.environ)
    return replace(settings, **{name: value for name, value in given.items() if value is not None})


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\b\n" + "\n".join(["Example:" if len(lines) == 1 else "Examples:", *(f"  {x}" for x in lines)])


def commands(text: str) -> typer.Typer:
    """A group of commands about one noun, with plain help."""
    return typer.Typer(help=text, no_args_is_help=True, rich_markup_mode=None, add_completion=False)


def check_picture(path: Path | None) -> None:
    """UsageError where no picture can be written; for before anything slow."""
    if path is None:
        return
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"there is no folder {path.parent} for the picture: make it first")
    if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise UsageError(f"the picture cannot be written to {path}: name a file that can be")


def made_folder(path: Path) -> Path:
    """The folder, made if need be; UsageError where nothing can be written to it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the folder {path} cannot be made ({error.strerror}): name another") from error
    if not os.access(path, os.W_OK):
        raise UsageError(f"nothing can be written to the folder {path}: name another")
    return path
