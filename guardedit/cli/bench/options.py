"""Options that several `bench` commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from guardedit.cli.terminal.options import MOST_SEED

Threads = Annotated[
    int, typer.Option(min=0, max=1_024, help="Threads for PyTorch; 0: as many as PyTorch chooses.")
]
Seed = Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Random seed, for the choice of facts.")]

#: Seconds between two lines of progress where stderr is not a terminal.
LINE_S = 10.0
