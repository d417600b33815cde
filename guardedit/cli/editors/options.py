"""Options that `editors compare` and `editors ablate` share."""

from __future__ import annotations

from typing import Annotated

import typer

Single = Annotated[
    int,
    typer.Option(
        min=0, help="Number of edits measured one at a time, each alone on the base model; 0: none."
    ),
]
Sequential = Annotated[
    int, typer.Option(min=0, help="Number of edits made in sequence, on top of each other; 0: none.")
]
Batch = Annotated[int, typer.Option(min=1, help="Largest number of edits made at once in the sequence.")]
