"""`guardedit memory tune`: choose the announcement that the model obeys, and write its memory card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import MOST_SEED, Format, Home, Model, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output

#: As in `prepare.announcing.measure`, which imports torch.
ASKED, BESIDE = ("own", "paraphrases", "questions"), ("neighbours", "same_subject")


def tune(
    *,
    home: Home = None,
    model: Model = None,
    facts: Annotated[
        Path | None,
        typer.Option(
            help="Corrections with target_true, as JSON Lines.  [default: the shipped public facts]",
            metavar="FILE.jsonl",
            show_default=False,
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=16, help="Number of facts, half of them to choose on.")] = 50,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Seed of the choice of facts.")] = 0,
    output: Format = Output.TABLE,
) -> None:
    """Choose how a fact in memory is stated to the model, by measurement.

    About ten ways of stating a fact are compared on facts that the model knows otherwise: does it answer with
    the new object by itself? With the best one, all facts of another set are put into memory and asked for
    as an application does: is the new object in the answer and not the old one, and do other answers stay as
    they are? The result is written to memory_card.json in the model's folder, where the next start finds it.
    """
    from guardedit.prepare.announcement import tune_announcement
    from guardedit.prepare.announcing import read_corrections

    corrections = read_corrections(facts) if facts else None
    with progress("loading the model") as report:
        found = tune_announcement(
            settings_from(home, None, model), corrections=corrections, count=count, seed=seed, tell=report
        )
    if output is Output.JSON:
        show.record({**found.card, "written": str(found.path)}, output)
    else:
        show.rows(_rows(found.card), ("announcement", "obeyed by itself", "facts"), output, empty="")
        show.page(
            f"\n{found.card['announcement']['name']}, on {found.card['held_out']['facts']} other facts:"
        )
        show.rows(_served(found.card), ("questions", "asked", "right"), output, empty="")
        show.page(f"written to {found.path}")


def _rows(card: dict[str, Any]) -> list[dict[str, Any]]:
    """How often the model obeys each announcement by itself, best first."""
    return [
        {"announcement": row["name"], "obeyed by itself": row["obeyed"], "facts": row["facts"]}
        for row in card["table"]
    ]


def _served(card: dict[str, Any]) -> list[dict[str, Any]]:
    """How questions are answered with the chosen announcement, on the facts that nothing was chosen on."""
    held = card["held_out"]
    return [
        {"questions": kind, "asked": asked, "right": held[kind]}
        for kind, asked in zip((*ASKED, *BESIDE), held["asked"], strict=True)
    ]
