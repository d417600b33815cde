"""The model that the commands about probe sets take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ModelName = Annotated[
    Path | None,
    typer.Argument(
        metavar="[MODEL]",
        help="The base model, as in --model of other commands. Default: $GUARDEDIT_MODEL, else the built-in "
        "demo model.",
        show_default=False,
    ),
]
