"""Defines the options that several commands share, and makes the settings from options and environment."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from guardedit.cli.terminal.show import Output
from guardedit.settings import Settings, policy_file

Home = Annotated[
    Path | None,
    typer.Option(
        "--home",
        help="Folder with the ledger. Default: $GUARDEDIT_HOME, else .guardedit in the current folder.",
        show_default=False,
    ),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        help="Policy file, or the name of a shipped policy such as memory-only. Default: $GUARDEDIT_POLICY, "
        "else the shipped default.yaml.",
        show_default=False,
    ),
]
Model = Annotated[
    Path | None,
    typer.Option(
        "--model",
        help="The base model: a name listed by `guardedit model list`, a folder or a .gguf file. Default: "
        "$GUARDEDIT_MODEL, else the built-in demo model.",
        show_default=False,
    ),
]
Format = Annotated[Output, typer.Option("--output", "-o", help="Format of the output.")]
Tenant = Annotated[
    str,
    typer.Option(
        "--tenant", help="Tenant who asks: the answers use its facts and those of the tenant `default`."
    ),
]
OneTenant = Annotated[str | None, typer.Option("--tenant", help="List only facts of this tenant.")]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="DATE",
        help="By the facts that hold at this time, such as 2005-06-30 or 2005-06-30T12:00:00Z; UTC where "
        "no zone is given.",
        show_default=False,
    ),
]
RecordedAt = Annotated[
    str,
    typer.Option(
        "--epoch",
        metavar="EPOCH",
        help="By the facts of this epoch: a number, a ref (serving or last-good), or a date as for --as-of: "
        "what was recorded by then.",
    ),
]
Facts = Annotated[
    Path | None,
    typer.Option(
        help="Corrections to edit, in the format of `guardedit submit`. Default: facts of the demo model's "
        "own world; any other model needs a file.",
        metavar="FILE.jsonl",
        show_default=False,
    ),
]

#: Largest seed: some methods multiply it, and a generator of torch takes 64 bits.
MOST_SEED = 2**32 - 1


def settings_from(
    home: Path | None = None, policy: Path | None = None, model: Path | None = None, **others: Any
) -> Settings:
    """The settings of the environment, overridden by every argument that is not None.

    Raises:
        UsageError: a variable of the environment is wrong.
    """
    given = {"home": home, "policy": policy and policy_file(str(policy)), **others}
    given["model"] = None if model is None else str(model)
    settings = Settings.from_environment(os.environ)
    return replace(settings, **{name: value for name, value in given.items() if value is not None})


def examples(*lines: str) -> str:
    """The last paragraph of a command's help."""
    return "\b\n" + "\n".join(["Example:" if len(lines) == 1 else "Examples:", *(f"  {x}" for x in lines)])


def commands(text: str) -> typer.Typer:
    """An empty group of commands, with plain help."""
    return typer.Typer(help=text, no_args_is_help=True, rich_markup_mode=None, add_completion=False)
